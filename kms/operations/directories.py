"""An account's directories (LDAP), asked from here: their settings opened, their failures in the house's words.

It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from accounts.models import IdentityProvider, ProviderKind
from accounts.sso.kind import ProviderFailed, SettingInvalid
from accounts.sso.ldap_connection import NotInstalled
from accounts.sso.ldap_settings import Directory, directory
from kms.operations.errors import InvalidRequest, ProviderUnavailable
from kms.operations.providers import opened_secrets


def usable_directory(provider: UUID) -> IdentityProvider | None:
    """The directory, unless it or its account is disabled."""
    return IdentityProvider.objects.filter(
        id=provider, kind=ProviderKind.LDAP, enabled=True, account__enabled=True
    ).first()


@contextmanager
def asking(row: IdentityProvider) -> Iterator[Directory]:
    with answering():
        yield directory(row.config, opened_secrets(row))


@contextmanager
def answering() -> Iterator[None]:
    """One answer for every way in which a directory does not work: it must not tell what listens where."""
    try:
        yield
    except NotInstalled as error:
        raise InvalidRequest(str(error), "ldap-not-installed") from error
    except (ProviderFailed, SettingInvalid) as error:
        raise ProviderUnavailable from error
