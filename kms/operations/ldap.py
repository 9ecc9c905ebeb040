"""Directories for the administrators who set them up: try settings before they are saved, look for groups.

It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from accounts import throttle
from accounts.models import IdentityProvider, ProviderKind
from accounts.principal import Principal
from accounts.sso import ldap
from accounts.sso.kind import SettingInvalid
from accounts.sso.ldap import Entry
from accounts.sso.ldap_settings import canonical_dn
from accounts.throttle import Attempt
from kms.audit.entry import CallContext, Category
from kms.crypto.errors import ParameterInvalid
from kms.operations import attempts
from kms.operations.authority import resolve_on_account
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.directories import answering, asking
from kms.operations.errors import InvalidRequest, NotFound
from kms.operations.named_secrets import Secrets
from kms.operations.providers import find_provider, parsed, provider_target
from policies.permissions import Permission

# What an administrator of the account may look for. Not passwords: a filter on one is a way to guess it.
SEARCHABLE = frozenset(
    {"cn", "uid", "samaccountname", "mail", "userprincipalname", "displayname", "description", "ou"}
    | {"givenname", "sn", "member", "uniquemember", "memberof"}
)
MAX_FILTERS = 8


@dataclass(frozen=True, slots=True)
class TriedCredentials:
    """Somebody's password, tried as at a login: by their address, or by the entry's name."""

    password: str = field(repr=False)
    email: str = ""
    dn: str = ""


@dataclass(frozen=True, slots=True)
class TryDirectory(Command):
    """Ask a directory whether the settings work, without keeping them."""

    config: Mapping[str, Any]
    secrets: Secrets = field(default_factory=dict, repr=False)
    credentials: TriedCredentials | None = None


@dataclass(frozen=True, slots=True)
class SearchDirectory(Command):
    """Entries that match all filters; ``*`` in a value stands for any text."""

    provider: UUID
    filters: Sequence[tuple[str, str]]
    base: str = ""
    object_class: str = ""
    whole_subtree: bool = True


def try_directory(call: Call, command: TryDirectory, _payload: None) -> None:
    config = parsed(ProviderKind.LDAP, command.config, command.secrets)
    with answering():
        settings = ldap.directory(config, {name: secret.reveal() for name, secret in command.secrets.items()})
        ldap.probe(settings)
        if command.credentials is None:
            return
        given = command.credentials
        shown = ldap.program if given.dn else ldap.person
        found = shown(settings, given.dn or given.email, given.password)
    if found is None:
        raise InvalidRequest("The directory works, and these credentials are nobody's in it", "test-credentials")
    attempts.clear(_attempt(call.principal, call.context))


def search_directory(call: Call, command: SearchDirectory, row: IdentityProvider) -> list[Entry]:
    if not 0 < len(command.filters) <= MAX_FILTERS or any(n.lower() not in SEARCHABLE for n, _ in command.filters):
        raise ParameterInvalid(f"1 to {MAX_FILTERS} filters, by {', '.join(sorted(SEARCHABLE))}")
    with asking(row) as settings:
        found = ldap.found_entries(
            settings,
            command.filters,
            base=_inside(command.base, settings.base_dn),
            object_class=command.object_class,
            whole_subtree=command.whole_subtree,
        )
    call.details["returned"] = len(found)
    return found


def _inside(base: str, limit: str) -> str:
    """The service account may see more of the directory than this account was given."""
    try:
        wanted, outer = canonical_dn(base or limit), canonical_dn(limit)
    except SettingInvalid as error:
        raise ParameterInvalid(f"base_dn: {error}") from error
    if wanted != outer and not wanted.endswith(f",{outer}"):
        raise ParameterInvalid("base_dn lies outside the base_dn of the settings")
    return base or limit


# -- resolution ----------------------------------------------------------------------------------------------------


def _attempt(principal: Principal, context: CallContext) -> Attempt:
    return Attempt(throttle.DIRECTORY_PASSWORD, principal.id, context.client_ip)


def _admit_test(principal: Principal, command: TryDirectory, context: CallContext) -> None:
    """An administrator here is not one of the directory, and may not guess its people's passwords from here."""
    if command.credentials is not None:
        attempts.reserve(_attempt(principal, context))


def _resolve_provider(call: Call, command: SearchDirectory) -> Sequence[Resolved]:
    row = find_provider(call, command.provider)
    if row.kind != ProviderKind.LDAP:
        raise NotFound("The directory does not exist")
    return (Resolved(Permission.AUTHENTICATION_MANAGE, provider_target(row), row),)


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(
        TryDirectory,
        "directory.test",
        resolve_on_account(Permission.AUTHENTICATION_MANAGE),
        try_directory,
        admit=_admit_test,
    ),
    _operation(SearchDirectory, "directory.search", _resolve_provider, search_directory),
)
