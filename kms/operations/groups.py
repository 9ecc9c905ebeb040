"""Groups: create, list, get, update, delete. It must not know the wire or HTTP."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from accounts.models import App, AppGroup, Group, GroupMembership, GroupRole
from accounts.principal import PrincipalKind
from kms.audit.entry import Category, Detail
from kms.objects.models import HistoryItem, SecurityObject
from kms.operations.authority import absent, group_target, resolve_on_account
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.demanding import NO_CHANGE, PolicyChange, change_policies, resolve_policies
from kms.operations.errors import Conflict, NotFound
from kms.operations.naming import save_named
from kms.operations.queries import Page, paged, resolve_listing
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class CreateGroup(Command):
    name: str
    description: str = ""
    custom_metadata: Mapping[str, str] = field(default_factory=dict)
    undo_seconds: int | None = None
    policy: PolicyChange = NO_CHANGE


@dataclass(frozen=True, slots=True)
class ListGroups(Command):
    """``text`` is a part of the name."""

    page: Page
    text: str = ""


@dataclass(frozen=True, slots=True)
class GetGroup(Command):
    group: UUID


@dataclass(frozen=True, slots=True)
class UpdateGroup(Command):
    """Change what is not None."""

    group: UUID
    name: str | None = None
    description: str | None = None
    custom_metadata: Mapping[str, str] | None = None
    undo_seconds: int | None = None
    policy: PolicyChange = NO_CHANGE

    def profile(self) -> Mapping[str, Any]:
        """What changes of the group itself."""
        wanted = {name: getattr(self, name) for name in ("name", "description", "custom_metadata", "undo_seconds")}
        return {name: value for name, value in wanted.items() if value is not None}


@dataclass(frozen=True, slots=True)
class DeleteGroup(Command):
    group: UUID


def create_group(call: Call, command: CreateGroup, _payload: None) -> Group:
    """A user who makes a group administers it; the account's administrators do anyway."""
    row = Group(
        account_id=call.account,
        name=command.name,
        description=command.description,
        custom_metadata=dict(command.custom_metadata),
        undo_seconds=command.undo_seconds,
        creator_kind=call.principal.kind,
        creator_id=call.principal.id,
    )
    _save(row, created=True)
    if call.principal.kind is PrincipalKind.USER:
        GroupMembership.objects.create(user_id=call.principal.id, group=row, role=GroupRole.ADMINISTRATOR)
    change_policies(call, row, command.policy)
    call.touched.insert(0, group_target(row))
    return row


def list_groups(call: Call, command: ListGroups, _payload: None) -> list[Group]:
    named = visible_groups(call).filter(name__icontains=command.text)
    rows = list(paged(named, command.page))
    call.details["returned"] = len(rows)
    return rows


def visible_groups(call: Call) -> QuerySet[Group]:
    rows = Group.objects.filter(account_id=call.account).select_related("policy")
    seen = call.facts.groups_with(Permission.GROUP_GET)
    return rows if seen is None else rows.filter(id__in=seen)


def get_group(_call: Call, _command: GetGroup, row: Group) -> Group:
    return row


def update_group(call: Call, command: UpdateGroup, row: Group, *_same: Group) -> Group:
    for name, value in command.profile().items():
        setattr(row, name, value)
    _save(row)
    change_policies(call, row, command.policy)
    return row


def delete_group(call: Call, _command: DeleteGroup, row: Group) -> None:
    """Only an empty one: objects and apps would be left without anyone to answer for them."""
    objects = SecurityObject.objects.filter(group=row)
    if objects.filter(deletion_date__isnull=True).exists():
        raise Conflict("group-not-empty", "The group has security objects; move or delete them first")
    if HistoryItem.objects.filter(object__group=row, expires_at__gt=call.now).exists():
        raise Conflict("group-not-empty", "Deleted security objects of the group can still be brought back")
    if AppGroup.objects.filter(group=row).exists() or App.objects.filter(default_group=row).exists():
        raise Conflict("group-not-empty", "The group has apps; remove or delete them first")
    objects.delete()  # tombstones: the record knows of them without their rows
    row.delete()


def find_group(call: Call, group: UUID, *, lock: bool = False) -> Group:
    rows = Group.objects.select_for_update() if lock else Group.objects.all()
    row = rows.filter(id=group, account_id=call.account).first()
    if row is None:
        raise NotFound(absent("group"))
    return row


def groups_to_join(call: Call, wanted: Collection[UUID], permission: Permission) -> list[Resolved]:
    """Groups of the account that somebody is to be put into, which needs the right in each of them."""
    rows = list(Group.objects.filter(account_id=call.account, id__in=wanted))
    if len(rows) != len(set(wanted)):
        raise NotFound(absent("group"))
    return [Resolved(permission, group_target(row), row) for row in rows]


def _save(row: Group, *, created: bool = False) -> None:
    save_named(row, constraint="group_name_unique_in_account", noun="A group", created=created)


def _resolve(permission: Permission, *, lock: bool = False) -> Any:
    def resolve(call: Call, command: Any) -> Sequence[Resolved]:
        row = find_group(call, command.group, lock=lock)
        return (Resolved(permission, group_target(row), row),)

    return resolve


def _resolve_update(call: Call, command: UpdateGroup) -> Sequence[Resolved]:
    """The profile is one right, each policy another; who asks for several needs them all."""
    row = find_group(call, command.group, lock=True)
    policies = resolve_policies(group_target(row), row, command.policy)
    if policies and not command.profile():
        return policies
    return (Resolved(Permission.GROUP_UPDATE, group_target(row), row), *policies)


def _describe(command: Any) -> Mapping[str, Detail]:
    return {"name": command.name}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(
        CreateGroup, "group.create", resolve_on_account(Permission.GROUP_CREATE), create_group, describe=_describe
    ),
    _operation(ListGroups, "group.list", resolve_listing, list_groups),
    _operation(GetGroup, "group.get", _resolve(Permission.GROUP_GET), get_group),
    _operation(UpdateGroup, "group.update", _resolve_update, update_group, describe=_describe),
    _operation(
        DeleteGroup, "group.delete", _resolve(Permission.GROUP_DELETE, lock=True), delete_group, irreversible=True
    ),
)
