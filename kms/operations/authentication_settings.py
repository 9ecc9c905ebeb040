"""How the people of an account may log in: passwords, second factors, the account's providers, set as one.

It must not know the wire or HTTP. That administrators may always come in with a password is policies.facts' to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from accounts.models import Account, IdentityProvider, PasswordLogin, ProviderKind
from accounts.principal import AuthenticationMethod
from accounts.second_factor import Factor, Requirement
from accounts.sso.kinds import kind_of
from kms.crypto.errors import ParameterInvalid
from kms.operations.command import Call
from kms.operations.errors import Conflict
from kms.operations.providers import ProviderSettings, add, change, find_provider, turn_off
from policies.facts import factors_owned

STEP_UP_SECONDS = 900
MIN_STEP_UP, MAX_STEP_UP = 60, 86400


@dataclass(frozen=True, slots=True)
class PasswordRules:
    """Who may use a password, what second factor is asked beside it, and how old a proof may be for what is sensitive
    (None asks for none)."""

    everyone: bool
    second_factor: Requirement
    step_up_seconds: int | None


@dataclass(frozen=True, slots=True)
class SignOnSettings:
    """``rules`` None closes passwords to all but administrators. The oldest provider of each kind that is named here is
    set, or turned off where it is None: turned off, it is still known whom it means, for the day it is on again."""

    rules: PasswordRules | None
    single: Mapping[ProviderKind, ProviderSettings | None]


@dataclass(frozen=True, slots=True)
class AuthenticationChange:
    """Change what is not None or empty; ``directories`` are changed by id."""

    sign_on: SignOnSettings | None = None
    directories: Mapping[UUID, ProviderSettings] = field(default_factory=dict)
    new_directories: tuple[ProviderSettings, ...] = ()
    removed_directories: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class AuthenticationView:
    """``providers`` None: not for the caller to see."""

    rules: PasswordRules
    providers: tuple[IdentityProvider, ...] | None = None


def view_of(account: Account, *, with_providers: bool) -> AuthenticationView:
    rules = PasswordRules(
        everyone=account.password_login == PasswordLogin.EVERYONE,
        second_factor=Requirement(account.second_factor),
        step_up_seconds=account.step_up_seconds,
    )
    if not with_providers:
        return AuthenticationView(rules)
    return AuthenticationView(rules, tuple(account.providers.order_by("created_at", "id")))


def change_authentication(call: Call, account: Account, wanted: AuthenticationChange) -> None:
    """In the transaction that holds the account's row; the caller saves it."""
    for provider in sorted(wanted.removed_directories):
        _directory(call, provider).delete()
    for provider, settings in sorted(wanted.directories.items()):
        change(call, _directory(call, provider), settings)
    for settings in wanted.new_directories:
        add(call, ProviderKind.LDAP, settings)
    if wanted.sign_on is not None:
        for kind, single in wanted.sign_on.single.items():
            _set_single(call, kind, single)
        _set_rules(call, account, wanted.sign_on.rules)


def _directory(call: Call, provider: UUID) -> IdentityProvider:
    row = find_provider(call, provider, lock=True)
    if row.kind != ProviderKind.LDAP:
        raise ParameterInvalid("the identity provider is not a directory")
    return row


def _set_single(call: Call, kind: ProviderKind, settings: ProviderSettings | None) -> None:
    rows = IdentityProvider.objects.select_for_update().filter(account_id=call.account, kind=kind)
    row = single_of(list(rows.order_by("created_at", "id")))
    if settings is None:
        if row is not None:
            turn_off(call, row)
    elif row is None:
        add(call, kind, settings)
    elif kind == ProviderKind.SAML:
        # The vendor's accounts say its metadata and nothing beside it; what is beside it stays.
        kept = kind_of(kind).given(row.config)
        named = ProviderSettings(row.name, row.icon_url, {**kept, **settings.config})
        change(call, row, named)
    else:
        change(call, row, settings)


def single_of(rows: list[IdentityProvider]) -> IdentityProvider | None:
    """The one of a kind that is meant where only one can be named: the oldest that is on, else the oldest."""
    return next((row for row in rows if row.enabled), rows[0] if rows else None)


def _set_rules(call: Call, account: Account, rules: PasswordRules | None) -> None:
    if rules is None:
        if not IdentityProvider.objects.filter(account=account, enabled=True).exists():
            raise ParameterInvalid("without passwords and without an identity provider nobody could log in")
        account.password_login = PasswordLogin.ADMINISTRATORS
        return
    _check_step_up(rules.step_up_seconds)
    if rules.second_factor != account.second_factor:
        _refuse_locking_oneself_out(call, rules.second_factor)
    account.password_login = PasswordLogin.EVERYONE if rules.everyone else PasswordLogin.ADMINISTRATORS
    account.second_factor = rules.second_factor
    account.step_up_seconds = rules.step_up_seconds


def _check_step_up(seconds: int | None) -> None:
    if seconds is not None and not MIN_STEP_UP <= seconds <= MAX_STEP_UP:
        raise ParameterInvalid(f"step_up_seconds is {MIN_STEP_UP} to {MAX_STEP_UP}, or 0 for none")


def _refuse_locking_oneself_out(call: Call, wanted: Requirement) -> None:
    """Whoever demands a factor has one: that shows that it can be had, and leaves somebody who can take it back."""
    if call.principal.method is not AuthenticationMethod.PASSWORD or wanted is Requirement.NONE:
        return
    owned = factors_owned(call.principal.id)
    if not owned or (wanted is Requirement.FIDO2 and Factor.FIDO2 not in owned):
        raise Conflict("no-second-factor", "Enrol a second factor of this kind yourself before the account asks for it")
