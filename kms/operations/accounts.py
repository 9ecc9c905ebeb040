"""Accounts: create, list, get, update, delete. It must not know the wire or HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.models import Account, AccountRole, App, Group, Membership
from accounts.principal import PrincipalKind
from kms.audit.entry import Category, Detail
from kms.operations.authentication_settings import (
    AuthenticationChange,
    AuthenticationView,
    change_authentication,
    view_of,
)
from kms.operations.authority import absent, resolve_on_account
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.demanding import NO_CHANGE, PolicyChange, change_policies, policy_of, resolve_policies
from kms.operations.errors import Conflict, NotFound
from kms.operations.log_sinks import SinkChange, SinkView, change_sinks, sinks_of
from policies.decision import Target
from policies.models import AccountPolicy
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class CreateAccount(Command):
    """The caller becomes the new account's administrator."""

    name: str
    description: str = ""
    organization: str = ""
    country: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True)
class ListAccounts(Command):
    """The accounts that the caller is a member of."""


@dataclass(frozen=True, slots=True)
class GetAccount(Command):
    account: UUID


@dataclass(frozen=True, slots=True)
class UpdateAccount(Command):
    """Change what is not None."""

    account: UUID
    name: str | None = None
    description: str | None = None
    organization: str | None = None
    country: str | None = None
    phone: str | None = None
    custom_metadata: Mapping[str, str] | None = None
    undo_seconds: int | None = None
    authentication: AuthenticationChange | None = None
    policy: PolicyChange = NO_CHANGE
    sinks: SinkChange | None = None

    def profile(self) -> Mapping[str, Any]:
        """What changes of the account itself."""
        names = ("name", "description", "organization", "country", "phone", "custom_metadata", "undo_seconds")
        wanted = {name: getattr(self, name) for name in names}
        return {name: value for name, value in wanted.items() if value is not None}


@dataclass(frozen=True, slots=True)
class AccountView:
    """``authentication`` and ``policy`` None: the account is not the selected one.

    ``webhook_url`` may hold a secret of its receiver's, so it is empty but for those who may change it; and so are the
    sinks of the log.
    """

    row: Account
    authentication: AuthenticationView | None = None
    policy: AccountPolicy | None = None
    webhook_url: str = ""
    sinks: tuple[SinkView, ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteAccount(Command):
    account: UUID


@dataclass(frozen=True, slots=True)
class ListPlugins(Command):
    """There are none: plugins are not offered (docs/divergences.md), and clients list them all the same."""


def create_account(call: Call, command: CreateAccount, _payload: None) -> AccountView:
    row = Account.objects.create(
        name=command.name,
        description=command.description,
        organization=command.organization,
        country=command.country,
        phone=command.phone,
    )
    Membership.objects.create(user_id=call.principal.id, account=row, role=AccountRole.ADMINISTRATOR)
    call.details["account"] = str(row.id)
    return _view(call, row)


def list_accounts(call: Call, _command: ListAccounts, _payload: None) -> list[AccountView]:
    if call.principal.kind is PrincipalKind.APP:
        return [_view(call, row) for row in Account.objects.filter(id=call.account)]
    own = Account.objects.filter(memberships__user_id=call.principal.id, memberships__invitation_pending=False)
    return [_view(call, row) for row in own.order_by("name")]


def get_account(call: Call, _command: GetAccount, row: Account) -> AccountView:
    return _view(call, row)


def _view(call: Call, row: Account) -> AccountView:
    """How people log in is shown inside the account; by which providers, to those who may change it."""
    if row.id != call.principal.account:
        return AccountView(row)
    manages = Permission.AUTHENTICATION_MANAGE in call.facts.account
    policy, sets = policy_of(row), Permission.APPROVAL_SETTINGS in call.facts.account
    webhook = policy.webhook_url if sets else ""
    sinks = sinks_of(call, row) if Permission.LOGGING_MANAGE in call.facts.account else ()
    return AccountView(row, view_of(row, with_providers=manages), policy, webhook, sinks)


def update_account(call: Call, command: UpdateAccount, row: Account, *_same: Account) -> AccountView:
    for name, value in command.profile().items():
        setattr(row, name, value)
    if command.authentication is not None:
        change_authentication(call, row, command.authentication)
        call.details["fields"] = "authentication"
    if command.sinks is not None:
        change_sinks(row, command.sinks)
        call.details["fields"] = "logging" if command.authentication is None else "authentication,logging"
    row.save()
    change_policies(call, row, command.policy)
    return _view(call, row)


def delete_account(_call: Call, _command: DeleteAccount, row: Account) -> None:
    """Only an empty one; its audit log stays."""
    if Group.objects.filter(account=row).exists() or App.objects.filter(account=row).exists():
        raise Conflict("account-not-empty", "The account has groups or apps; delete them first")
    row.delete()


def list_plugins(_call: Call, _command: ListPlugins, _payload: None) -> list[Any]:
    return []


# -- resolution ----------------------------------------------------------------------------------------------------


def _resolve_membership(call: Call, _command: ListAccounts) -> Sequence[Resolved]:
    return (Resolved(Permission.OWN_ACCOUNTS, Target("user", call.principal.id, call.principal.account)),)


def _resolve_account(permission: Permission, *, lock: bool = False) -> Any:
    """The selected account, or one that the caller is a member of (read only: names to choose from at login)."""

    def resolve(call: Call, command: Any) -> Sequence[Resolved]:
        rows = Account.objects.select_for_update() if lock else Account.objects.all()
        row = rows.filter(id=command.account).first()
        if row is None:
            raise NotFound(absent("account"))
        if permission is Permission.ACCOUNT_GET and _is_member(call, row):
            return (Resolved(Permission.OWN_ACCOUNTS, Target("account", row.id, row.id), row),)
        # Another account looks absent, not forbidden.
        target = Target("account", row.id, row.id, see=Permission.ACCOUNT_GET)
        if call.principal.account != row.id:
            raise NotFound(absent("account"), "not-visible")
        return (Resolved(permission, target, row),)

    return resolve


def _resolve_update(call: Call, command: UpdateAccount) -> Sequence[Resolved]:
    """The profile is one right, how people log in another, where the log is sent, and each policy, one more."""
    updating: Resolved = _resolve_account(Permission.ACCOUNT_UPDATE, lock=True)(call, command)[0]
    row, target = updating.payload, updating.target
    more = resolve_policies(target, row, command.policy)
    if command.authentication is not None:
        more.insert(0, Resolved(Permission.AUTHENTICATION_MANAGE, target, row))
    if command.sinks is not None:
        more.append(Resolved(Permission.LOGGING_MANAGE, target, row))
    return more if more and not command.profile() else (updating, *more)


def _is_member(call: Call, row: Account) -> bool:
    if call.principal.kind is not PrincipalKind.USER:
        return False
    return Membership.objects.filter(user_id=call.principal.id, account=row, invitation_pending=False).exists()


def _describe(command: Any) -> Mapping[str, Detail]:
    return {"name": command.name}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(
        CreateAccount,
        "account.create",
        resolve_on_account(Permission.ACCOUNT_CREATE),
        create_account,
        describe=_describe,
    ),
    _operation(ListAccounts, "account.list", _resolve_membership, list_accounts),
    _operation(GetAccount, "account.get", _resolve_account(Permission.ACCOUNT_GET), get_account),
    _operation(
        UpdateAccount,
        "account.update",
        _resolve_update,
        update_account,
        describe=_describe,
    ),
    _operation(
        DeleteAccount,
        "account.delete",
        _resolve_account(Permission.ACCOUNT_DELETE, lock=True),
        delete_account,
        irreversible=True,
    ),
    _operation(ListPlugins, "plugin.list", resolve_on_account(Permission.PLUGIN_LIST), list_plugins),
)
