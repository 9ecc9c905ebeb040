"""Login by a directory's password: of people by their address, of apps by their name.

The directory is asked before the transaction: it may be slow, and a transaction that is tried again asks for no second
bind. Nothing changes by the answer until the provider was looked at again. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from accounts import throttle
from accounts.errors import NotAuthenticated
from accounts.models import App, AppCredential, CredentialKind, IdentityProvider, Membership
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from accounts.sso import ldap
from accounts.sso.ldap import Person
from accounts.sso.ldap_settings import APP_ROLES, Directory
from accounts.throttle import Attempt, Door
from accounts.validity import end_of
from kms.audit.entry import CallContext
from kms.operations import attempts
from kms.operations.command import Call
from kms.operations.directories import asking, usable_directory
from kms.operations.sign_on.proof import Method, refuse_disabled_app
from kms.operations.sign_on.vouched import Assertion, grant_roles, provider_unchanged, vouched_for

# An app has no place that it is known to come from, so strangers could lock it out of every place at once.
APP_DOOR = Door("app-directory-password", free_anywhere=10_000)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the directory said, and what was asked. ``found`` is None when the password is not theirs."""

    provider: IdentityProvider
    attempt: Attempt
    found: Person | None


@dataclass(frozen=True, slots=True)
class LdapCredential:
    """``account`` is where the login is meant for, if it was said; a directory belongs to one account anyway."""

    provider: UUID
    email: str
    password: str = field(repr=False)
    account: UUID | None = None
    asked: list[Asked] = field(default_factory=list, repr=False, compare=False)


def admit(credential: LdapCredential, context: CallContext) -> None:
    provider = usable_directory(credential.provider)
    if provider is None or credential.account not in (None, provider.account_id):
        raise NotAuthenticated("provider-unknown")
    subject = throttle.subject_of(credential.email)
    attempt = Attempt(throttle.DIRECTORY_PASSWORD, subject, context.client_ip, provider.id)
    credential.asked[:] = [
        _ask(provider, attempt, lambda settings: ldap.person(settings, credential.email, credential.password))
    ]


def prove(call: Call, credential: LdapCredential) -> Principal:
    asked = credential.asked[-1]
    found = _found(asked)
    assertion = Assertion(
        asked.provider,
        found.subject,
        found.email,
        found.groups,
        _ends_at(asked.provider, call.now),
        found.first_name,
        found.last_name,
    )
    principal = vouched_for(call, assertion, AuthenticationMethod.LDAP)
    role = Membership.objects.get(user_id=principal.id, account_id=asked.provider.account_id).role
    _require_group(asked.provider, role, found.groups)
    attempts.clear(asked.attempt)
    return principal


# -- apps ----------------------------------------------------------------------------------------------------------


def directory_credential(app: UUID) -> AppCredential | None:
    """The app's current credential, if it is a directory's word."""
    return (
        AppCredential.objects.filter(app_id=app, kind=CredentialKind.LDAP, replaced_at__isnull=True)
        .select_related("app")
        .first()
    )


def ask_for_app(credential: AppCredential, name: str, password: str, context: CallContext) -> Asked:
    provider = usable_directory(UUID(credential.config["provider"]))
    if provider is None or provider.account_id != credential.app.account_id:
        raise NotAuthenticated("provider-unknown")
    attempt = Attempt(APP_DOOR, credential.app_id, context.client_ip, provider.id)
    return _ask(provider, attempt, lambda settings: ldap.program(settings, name, password))


def prove_app(call: Call, app: UUID, asked: Asked) -> Principal:
    """The entry that came first stays the app's: another that gets its name later is not the app."""
    found = _found(asked)
    provider = provider_unchanged(asked.provider)
    row = App.objects.select_for_update(no_key=True).get(id=app)
    credential = directory_credential(app)
    if credential is None or UUID(credential.config["provider"]) != provider.id:
        raise NotAuthenticated("credential-replaced")
    ends_at = end_of(credential)
    if ends_at is not None and ends_at <= call.now:
        raise NotAuthenticated("app-credential-expired")
    if credential.config.setdefault("subject", found.subject) != found.subject:
        raise NotAuthenticated("another-subject")
    _require_group(provider, APP_ROLES[row.role], found.groups)
    AppCredential.objects.filter(pk=credential.pk).exclude(config=credential.config).update(config=credential.config)
    grant_roles(provider, found.groups, app=row)
    ends = [end for end in (ends_at, _ends_at(provider, call.now)) if end is not None]
    principal = Principal(
        PrincipalKind.APP,
        app,
        row.account_id,
        AuthenticationMethod.LDAP,
        provider=provider.id,
        expires_at=min(ends, default=None),
    )
    refuse_disabled_app(principal)
    attempts.clear(asked.attempt)
    return principal


# -- both ----------------------------------------------------------------------------------------------------------


def _ask(provider: IdentityProvider, attempt: Attempt, question: Callable[[Directory], Person | None]) -> Asked:
    attempts.reserve(attempt)
    with asking(provider) as settings:
        return Asked(provider, attempt, question(settings))


def _found(asked: Asked) -> Person:
    if asked.found is None:
        raise NotAuthenticated("wrong-directory-password")
    return asked.found


def _ends_at(provider: IdentityProvider, now: datetime) -> datetime | None:
    """The directory is asked again when this has passed."""
    seconds = provider.config["valid_for"]
    return None if seconds is None else now + timedelta(seconds=seconds)


def _require_group(provider: IdentityProvider, role: str, groups: frozenset[str]) -> None:
    required = provider.config["required_groups"].get(role)
    if required is not None and required not in groups:
        raise NotAuthenticated("not-in-required-group")


METHOD = Method(LdapCredential, prove, lambda credential: credential.email, admit)
