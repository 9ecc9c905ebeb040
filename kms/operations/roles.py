"""Roles of an account's own making: create, list, get, change, delete; and what the caller holds by all of theirs.

The system's roles are listed beside them and cannot be changed. It must not know the wire or HTTP.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.models import AccountRoleGrant, ExternalRole, ExternalRoleGroup, GroupRoleGrant, Role
from kms.audit.entry import Category, Detail
from kms.crypto.errors import ParameterInvalid
from kms.operations.authority import absent, resolve_on_account
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import Conflict, InvalidRequest, NotFound
from kms.operations.giving import give_on_account
from kms.operations.naming import save_named
from kms.operations.queries import Page, paged
from kms.operations.quorum_places import guards_of_places, refuse_named
from policies.decision import Target
from policies.facts import Given, account_role, custom_roles
from policies.permissions import Permission, Scope, in_scope, permissions_named, with_implied
from policies.quorum import Member, MemberKind
from policies.system_roles import ACCOUNT_ROLES, GROUP_ROLES, SYSTEM_ROLE_ID, SYSTEM_ROLES, RoleKind, SystemRole

MAX_ROLES = 1000
_SCOPES = {RoleKind.ACCOUNT: in_scope(Scope.ACCOUNT), RoleKind.GROUP: in_scope(Scope.GROUP)}
# A role that looks like one of the system's would be taken for it.
_RESERVED = frozenset(
    word + name
    for kind, names in ((RoleKind.ACCOUNT, ACCOUNT_ROLES), (RoleKind.GROUP, GROUP_ROLES))
    for name in names
    for word in ("", kind.value)
)


@dataclass(frozen=True, slots=True)
class RoleDetails:
    """``all_groups_role`` is a group role's id, for account roles only."""

    kind: RoleKind
    permissions: frozenset[Permission]
    exclusive: bool = False
    all_groups_role: UUID | None = None


@dataclass(frozen=True, slots=True)
class CreateRole(Command):
    name: str
    details: RoleDetails
    description: str = ""


@dataclass(frozen=True, slots=True)
class ListRoles(Command):
    page: Page


@dataclass(frozen=True, slots=True)
class GetRole(Command):
    role: UUID


@dataclass(frozen=True, slots=True)
class UpdateRole(Command):
    """Change what is not None. The kind stays."""

    role: UUID
    name: str | None = None
    details: RoleDetails | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteRole(Command):
    role: UUID


@dataclass(frozen=True, slots=True)
class GetOwnPermissions(Command):
    """What the caller holds in the selected account, by every role together."""


@dataclass(frozen=True, slots=True)
class RoleView:
    """A role to be shown; one of the system's has no creator and was always there."""

    id: UUID
    account: UUID
    name: str
    description: str
    details: RoleDetails
    creator: tuple[str, UUID] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RoleList:
    views: tuple[RoleView, ...]
    total: int


@dataclass(frozen=True, slots=True)
class HeldPermissions:
    account: frozenset[Permission]
    all_groups: frozenset[Permission]
    groups: Mapping[UUID, frozenset[Permission]]


# -- handlers ------------------------------------------------------------------------------------------------------


def create_role(call: Call, command: CreateRole, _payload: None) -> RoleView:
    if Role.objects.filter(account_id=call.account).count() >= MAX_ROLES:
        raise Conflict("too-many-roles", f"An account has at most {MAX_ROLES} roles")
    row = Role(
        account_id=call.account,
        kind=command.details.kind,
        name=_checked_name(command.name),
        description=command.description,
        creator_kind=call.principal.kind,
        creator_id=call.principal.id,
    )
    _set_details(call, row, command.details)
    _save(row, created=True)
    call.touched.insert(0, role_target(row))
    return view_of(row)


def list_roles(call: Call, command: ListRoles, _payload: None) -> RoleList:
    """The system's first, then the account's own, page by page."""
    rows = Role.objects.filter(account_id=call.account)
    system = () if command.page.offset or command.page.after else tuple(SYSTEM_ROLES.values())
    views = (*(_system_view(role, call.account) for role in system), *(view_of(r) for r in paged(rows, command.page)))
    call.details["returned"] = len(views)
    return RoleList(views[: command.page.limit], rows.count() + len(SYSTEM_ROLES))


def get_role(call: Call, _command: GetRole, found: Role | SystemRole) -> RoleView:
    return view_of(found) if isinstance(found, Role) else _system_view(found, call.account)


def update_role(call: Call, command: UpdateRole, found: Role | SystemRole) -> RoleView:
    """Whoever holds the role holds the change with this transaction."""
    row = _own(found)
    if command.name is not None:
        row.name = _checked_name(command.name)
    if command.description is not None:
        row.description = command.description
    if command.details is not None:
        if command.details.kind != row.kind:
            raise InvalidRequest("A role keeps its kind; make another one")
        if command.details.exclusive and not row.exclusive and _is_held(row):
            raise Conflict("role-in-use", "The role is held beside others; it cannot become exclusive")
        _set_details(call, row, command.details)
    _save(row)
    call.details["name"] = row.name
    return view_of(row)


def delete_role(call: Call, _command: DeleteRole, found: Role | SystemRole) -> None:
    row = _own(found)
    call.details["name"] = row.name
    refuse_named(call, Member(MemberKind.ROLE, row.id))
    everywhere = Role.objects.filter(account_id=call.account, all_groups_role=row.id)
    if _is_held(row) or everywhere.exists():
        raise Conflict("role-in-use", "The role is in use; take it from its holders first")
    row.delete()


def get_own_permissions(call: Call, _command: GetOwnPermissions, _payload: None) -> HeldPermissions:
    return HeldPermissions(call.facts.account, call.facts.all_groups, call.facts.groups)


# -- helpers -------------------------------------------------------------------------------------------------------


def view_of(row: Role) -> RoleView:
    details = RoleDetails(RoleKind(row.kind), permissions_named(row.permissions), row.exclusive, row.all_groups_role)
    creator = (row.creator_kind, row.creator_id)
    return RoleView(row.id, row.account_id, row.name, row.description, details, creator, row.created_at, row.updated_at)


def _system_view(role: SystemRole, account: UUID) -> RoleView:
    if role.kind is RoleKind.GROUP:
        details = RoleDetails(role.kind, GROUP_ROLES[role.name])
        return RoleView(role.id, account, f"Group {role.name}", "A role of the system", details)
    everywhere = SYSTEM_ROLE_ID.get((RoleKind.GROUP, role.name)) if ACCOUNT_ROLES[role.name].all_groups else None
    details = RoleDetails(role.kind, ACCOUNT_ROLES[role.name].account, all_groups_role=everywhere)
    return RoleView(role.id, account, f"Account {role.name}", "A role of the system", details)


def _set_details(call: Call, row: Role, details: RoleDetails) -> None:
    """All that the role would give is compared with what the caller holds, wherever it may be given to somebody."""
    wrong = details.permissions - _SCOPES[details.kind]
    if wrong:
        raise ParameterInvalid(f"permissions of another kind of role: {', '.join(sorted(wrong))}")
    row.permissions = sorted(details.permissions)
    row.exclusive, row.all_groups_role = details.exclusive, details.all_groups_role
    custom = custom_roles(call.account)
    if row.kind == RoleKind.GROUP:
        if details.all_groups_role is not None:
            raise ParameterInvalid("all_groups_role is for account roles")
        give_on_account(call, Given(all_groups=with_implied(details.permissions)))
        return
    if details.all_groups_role is not None and not _is_group_role(details.all_groups_role, custom):
        raise ParameterInvalid("all_groups_role is no group role of this account")
    give_on_account(call, account_role(row, custom))


def _is_group_role(role: UUID, custom: Mapping[UUID, Role]) -> bool:
    found = SYSTEM_ROLES.get(role) or custom.get(role)
    return found is not None and found.kind == RoleKind.GROUP


def _checked_name(name: str) -> str:
    plain = unicodedata.normalize("NFKC", name).casefold()
    if "".join(letter for letter in plain if letter.isalnum()) in _RESERVED:
        raise Conflict("name-reserved", "The name would be taken for one of the system's roles")
    return name


def _is_held(row: Role) -> bool:
    """By somebody, or to be given to those that a directory counts in a group."""
    granted = AccountRoleGrant.objects.filter(role=row).exists() or GroupRoleGrant.objects.filter(role=row).exists()
    external = ExternalRole.objects if row.kind == RoleKind.ACCOUNT else ExternalRoleGroup.objects
    return granted or external.filter(account_id=row.account_id, own_roles__contains=[row.id]).exists()


def _own(found: Role | SystemRole) -> Role:
    if isinstance(found, SystemRole):
        raise Conflict("system-role", "The system's roles cannot be changed")
    return found


def _save(row: Role, *, created: bool = False) -> None:
    save_named(row, constraint="role_name_unique_in_account", noun="A role", created=created)


def roles_named(call: Call, kind: RoleKind, ids: frozenset[UUID]) -> list[Role]:
    """Roles of the account's own, of one kind, that somebody is to be given."""
    rows = list(Role.objects.select_for_update().filter(account_id=call.account, kind=kind, id__in=ids).order_by("id"))
    if len(rows) != len(ids):
        raise NotFound(absent("role"))
    return rows


# -- resolution ----------------------------------------------------------------------------------------------------


def role_target(found: Role | SystemRole, account: UUID | None = None) -> Target:
    held_by = found.account_id if isinstance(found, Role) else account
    return Target("role", found.id, held_by, (), Permission.ROLE_GET)


def _resolve(permission: Permission, *, lock: bool = False) -> Any:
    def resolve(call: Call, command: Any) -> Sequence[Resolved]:
        rows = Role.objects.select_for_update() if lock else Role.objects.all()
        found = SYSTEM_ROLES.get(command.role) or rows.filter(id=command.role, account_id=call.account).first()
        if found is None:
            raise NotFound(absent("role"))
        return (Resolved(permission, role_target(found, call.account), found),)

    return resolve


def _resolve_update(call: Call, command: UpdateRole) -> Sequence[Resolved]:
    """What a role gives decides who of its holders may review: changing it is for those who are asked with it."""
    (found,) = _resolve(Permission.ROLE_UPDATE, lock=True)(call, command)
    if command.details is None:
        return (found,)
    guards = guards_of_places(call, Permission.ROLE_UPDATE, Member(MemberKind.ROLE, command.role))
    return (replace(found, target=replace(found.target, guards=guards)),)


def _resolve_own(call: Call, _command: GetOwnPermissions) -> Sequence[Resolved]:
    return (Resolved(Permission.LIST_VISIBLE, Target(call.principal.kind.value, call.principal.id, call.account)),)


def _describe(command: Any) -> Mapping[str, Detail]:
    return {"name": command.name}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(CreateRole, "role.create", resolve_on_account(Permission.ROLE_CREATE), create_role, describe=_describe),
    _operation(ListRoles, "role.list", resolve_on_account(Permission.ROLE_GET), list_roles),
    _operation(GetRole, "role.get", _resolve(Permission.ROLE_GET), get_role),
    _operation(UpdateRole, "role.update", _resolve_update, update_role),
    _operation(DeleteRole, "role.delete", _resolve(Permission.ROLE_DELETE, lock=True), delete_role, irreversible=True),
    _operation(GetOwnPermissions, "user.get-permissions", _resolve_own, get_own_permissions),
)
