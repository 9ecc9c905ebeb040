"""Apps and how they prove themselves: create, list, get, update, delete, read and replace the credential.

It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db.models import Q, QuerySet

from accounts.activity import last_seen
from accounts.models import App, AppCredential, AppGroup, AppRole, CredentialKind, Group
from accounts.principal import PrincipalKind
from kms.audit.entry import Category, Detail
from kms.crypto.errors import ParameterInvalid
from kms.operations.app_credentials import (
    CredentialView,
    Replacement,
    current_credential,
    previous_credential,
    replace_credential,
    view_of_credential,
)
from kms.operations.app_trust import NewSecret
from kms.operations.authority import absent, account_target
from kms.operations.client_configurations import ClientChange, changed
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import Conflict, NotFound
from kms.operations.giving import give_to_administrative_app, give_to_program
from kms.operations.groups import groups_to_join
from kms.operations.naming import save_named
from kms.operations.queries import Page, paged, resolve_listing
from kms.operations.quorum_places import guards_of_places, refuse_named
from policies.decision import Target
from policies.permissions import Permission, permissions_named
from policies.quorum import Member, MemberKind
from policies.system_roles import APP_GRANTABLE

MAX_RATE = 1_000_000
_NEW_SECRET = Replacement(NewSecret())
# By these somebody else can be the app, and give the approvals that are the app's to give.
_BECOMING = frozenset({Permission.APP_SECRET_READ, Permission.APP_SECRET_RESET})
# Administrative apps are the account's business and no group's, whatever groups they are in.
_OF_ADMINISTRATIVE = {
    Permission.APP_GET: Permission.ADMIN_APP_GET,
    Permission.APP_UPDATE: Permission.ADMIN_APP_UPDATE,
    Permission.APP_SECRET_RESET: Permission.ADMIN_APP_UPDATE,
    Permission.APP_DELETE: Permission.ADMIN_APP_DELETE,
    Permission.APP_SECRET_READ: Permission.ADMIN_APP_SECRET_READ,
}
GroupPermissions = Mapping[UUID, frozenset[Permission]]


@dataclass(frozen=True, slots=True)
class CreateApp(Command):
    name: str
    default_group: UUID | None = None
    groups: GroupPermissions = field(default_factory=dict)
    description: str = ""
    interface: str = ""
    app_type: str = ""
    role: str = AppRole.CRYPTO
    enabled: bool = True
    ip_ranges: tuple[str, ...] = ()
    rate_limit: int | None = None
    credential: Replacement = _NEW_SECRET
    clients: ClientChange | None = None


@dataclass(frozen=True, slots=True)
class ListApps(Command):
    """``text`` is a part of the name."""

    page: Page
    group: UUID | None = None
    role: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class GetApp(Command):
    app: UUID


@dataclass(frozen=True, slots=True)
class UpdateApp(Command):
    """Change what is not None. A rate limit of 0 takes the limit away."""

    app: UUID
    name: str | None = None
    description: str | None = None
    interface: str | None = None
    app_type: str | None = None
    enabled: bool | None = None
    default_group: UUID | None = None
    ip_ranges: tuple[str, ...] | None = None
    rate_limit: int | None = None
    credential: Replacement | None = None
    add_groups: GroupPermissions = field(default_factory=dict)
    change_groups: GroupPermissions = field(default_factory=dict)
    remove_groups: frozenset[UUID] = frozenset()
    clients: ClientChange | None = None


@dataclass(frozen=True, slots=True)
class DeleteApp(Command):
    app: UUID


@dataclass(frozen=True, slots=True)
class GetAppCredential(Command):
    app: UUID


@dataclass(frozen=True, slots=True)
class ResetAppSecret(Command):
    """A new API key of our making, for an app that has one."""

    app: UUID
    credential: Replacement = _NEW_SECRET


@dataclass(frozen=True, slots=True)
class AppView:
    row: App
    groups: GroupPermissions
    credential: AppCredential
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """``previous`` is what was replaced and still holds."""

    app: UUID
    current: CredentialView
    previous: CredentialView | None


# -- handlers ------------------------------------------------------------------------------------------------------


def create_app(call: Call, command: CreateApp, *_groups: Group) -> AppView:
    _check_default_group(command.default_group, command.groups)
    _give(call, command.groups)
    if command.role == AppRole.ADMIN:
        give_to_administrative_app(call)
    row = App(
        id=uuid4(),
        account_id=call.account,
        name=command.name,
        description=command.description,
        interface=command.interface,
        app_type=command.app_type,
        role=command.role,
        enabled=command.enabled,
        default_group_id=command.default_group,
        ip_ranges=list(command.ip_ranges),
        rate_limit=_rate(command.rate_limit),
        clients=changed({}, command.clients or {}),
        creator_kind=call.principal.kind,
        creator_id=call.principal.id,
    )
    _save(row, created=True)
    _replace(call, row, command.credential)
    _set_groups(row, command.groups)
    call.touched.insert(0, app_target(row, list(command.groups)))
    return view_of(row)


def list_apps(call: Call, command: ListApps, _payload: None) -> list[AppView]:
    rows = visible_apps(call)
    if command.group is not None:
        rows = rows.filter(group_memberships__group_id=command.group)
    if command.role is not None:
        rows = rows.filter(role=command.role)
    if command.text:
        rows = rows.filter(name__icontains=command.text)
    found = views_of(paged(rows, command.page))
    call.details["returned"] = len(found)
    return found


def visible_apps(call: Call) -> QuerySet[App]:
    rows = App.objects.filter(account_id=call.account).prefetch_related("group_memberships", "credentials")
    if call.principal.kind is PrincipalKind.APP:
        return rows.filter(id=call.principal.id)
    administrative, seen = Q(role=AppRole.ADMIN), call.facts.groups_with(Permission.APP_GET)
    inside = Q() if seen is None else Q(id__in=AppGroup.objects.filter(group_id__in=seen).values("app_id"))
    programs = ~administrative & inside
    sees_both = Permission.ADMIN_APP_GET in call.facts.account
    return rows.filter(administrative | programs if sees_both else programs)


def get_app(_call: Call, _command: GetApp, row: App) -> AppView:
    return views_of([row])[0]


def update_app(call: Call, command: UpdateApp, row: App, *_groups: Group) -> AppView:
    for name in ("name", "description", "interface", "app_type", "enabled"):
        if getattr(command, name) is not None:
            setattr(row, name, getattr(command, name))
    if command.ip_ranges is not None:
        row.ip_ranges = list(command.ip_ranges)
    if command.rate_limit is not None:
        row.rate_limit = _rate(command.rate_limit)
    if command.clients is not None:
        row.clients = changed(row.clients, command.clients)
    if command.credential is not None:
        _replace(call, row, command.credential)
    joined = {**command.add_groups, **command.change_groups}
    _give(call, joined)
    row.group_memberships.filter(group_id__in=command.remove_groups).delete()
    _set_groups(row, joined)
    remaining = view_of(row).groups
    if not remaining and row.role != AppRole.ADMIN:
        raise Conflict("app-without-group", "An app belongs to at least one group")
    if command.default_group is not None:
        _check_default_group(command.default_group, remaining)
        row.default_group_id = command.default_group
    elif row.default_group_id not in remaining:
        row.default_group_id = None
    _save(row)
    call.details["name"] = row.name
    return views_of([row])[0]


def delete_app(call: Call, _command: DeleteApp, row: App) -> None:
    call.details["name"] = row.name
    refuse_named(call, Member(MemberKind.APP, row.id))
    row.delete()


def get_app_credential(call: Call, _command: GetAppCredential, row: App) -> AppCredentials:
    current, previous = _current(row), previous_credential(row, call.now)
    call.details["kind"] = current.kind
    replaced = None if previous is None else view_of_credential(previous)
    return AppCredentials(row.id, view_of_credential(current), replaced)


def reset_app_secret(call: Call, command: ResetAppSecret, row: App) -> AppView:
    """The old key stops working with this transaction, on every worker, or when its overlap is over."""
    if _current(row).kind != CredentialKind.SECRET:
        raise Conflict("not-a-secret", "The app does not authenticate with an API key")
    _replace(call, row, command.credential)
    return views_of([row])[0]


# -- helpers -------------------------------------------------------------------------------------------------------


def views_of(rows: Iterable[App]) -> list[AppView]:
    """With when each was last seen, in one query for all."""
    found = list(rows)
    seen = last_seen(row.id for row in found)
    return [view_of(row, seen.get(row.id)) for row in found]


def view_of(row: App, seen_at: datetime | None = None) -> AppView:
    memberships = {m.group_id: permissions_named(m.permissions) & APP_GRANTABLE for m in row.group_memberships.all()}
    return AppView(row, memberships, _current(row), seen_at)


def app_target(row: App, groups: Sequence[UUID]) -> Target:
    return Target("app", row.id, row.account_id, tuple(groups), permission_on(row, Permission.APP_GET))


def permission_on(row: App, permission: Permission) -> Permission:
    """What is asked for to do to this app what ``permission`` allows to do to most."""
    return _OF_ADMINISTRATIVE[permission] if row.role == AppRole.ADMIN else permission


def _current(row: App) -> AppCredential:
    current = current_credential(row)
    if current is None:
        raise Conflict("app-without-credential", "The app has no credential; give it one")
    return current


def _replace(call: Call, row: App, wanted: Replacement) -> None:
    made = replace_credential(row, wanted, call.now)
    call.details.update(kind=made.kind, overlap_seconds=int(wanted.overlap.total_seconds()))


def _rate(wanted: int | None) -> int | None:
    if wanted is not None and not 0 <= wanted <= MAX_RATE:
        raise ParameterInvalid(f"rate_limit is 1 to {MAX_RATE} calls a second, or 0 for no limit")
    return wanted or None


def _give(call: Call, groups: GroupPermissions) -> None:
    """Nobody gives an app what they cannot do themselves, but for what only programs do."""
    for group, permissions in groups.items():
        give_to_program(call, group, permissions)


def _set_groups(row: App, groups: GroupPermissions) -> None:
    for group, permissions in groups.items():
        AppGroup.objects.update_or_create(app=row, group_id=group, defaults={"permissions": sorted(permissions)})


def _check_default_group(default: UUID | None, groups: GroupPermissions) -> None:
    if default is not None and default not in groups:
        raise ParameterInvalid("default_group must be one of the app's groups")


def _save(row: App, *, created: bool = False) -> None:
    save_named(row, constraint="app_name_unique_in_account", noun="An app", created=created)


# -- resolution ----------------------------------------------------------------------------------------------------


def _resolve_creation(call: Call, command: CreateApp) -> Sequence[Resolved]:
    joined = groups_to_join(call, command.groups, Permission.APP_CREATE)
    if command.role == AppRole.ADMIN:
        return (Resolved(Permission.ADMIN_APP_CREATE, account_target(call)), *joined)
    if not joined:
        raise ParameterInvalid("an app belongs to at least one group: give add_groups")
    return joined


def find_app(call: Call, app: UUID, *, lock: bool) -> tuple[App, list[UUID]]:
    rows = App.objects.select_for_update() if lock else App.objects.all()
    row = rows.filter(id=app, account_id=call.account).first()
    if row is None:
        raise NotFound(absent("app"))
    return row, list(row.group_memberships.values_list("group_id", flat=True))


def _resolved(call: Call, permission: Permission, row: App, groups: Sequence[UUID]) -> Resolved:
    asked = permission_on(row, permission)
    guards = guards_of_places(call, asked, Member(MemberKind.APP, row.id)) if permission in _BECOMING else ()
    return Resolved(asked, replace(app_target(row, groups), guards=guards), row)


def _resolve(permission: Permission, *, lock: bool = False) -> Any:
    def resolve(call: Call, command: Any) -> Sequence[Resolved]:
        row, groups = find_app(call, command.app, lock=lock)
        if permission is Permission.APP_GET and row.id == call.principal.id:
            return (Resolved(Permission.OWN_PROFILE, Target("app", row.id, row.account_id, tuple(groups)), row),)
        return (_resolved(call, permission, row, groups),)

    return resolve


def _resolve_update(call: Call, command: UpdateApp) -> Sequence[Resolved]:
    row, groups = find_app(call, command.app, lock=True)
    joined = groups_to_join(call, {**command.add_groups, **command.change_groups}, Permission.APP_CREATE)
    target = app_target(row, groups)
    update = Resolved(permission_on(row, Permission.APP_UPDATE), target, row)
    if command.credential is None:
        return (update, *joined)
    # Whoever replaces the proof could then be the app, as whoever resets its API key could.
    return (update, _resolved(call, Permission.APP_SECRET_RESET, row, groups), *joined)


def _describe(command: CreateApp) -> Mapping[str, Detail]:
    return {"name": command.name, "role": command.role}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(CreateApp, "app.create", _resolve_creation, create_app, describe=_describe),
    _operation(ListApps, "app.list", resolve_listing, list_apps),
    _operation(GetApp, "app.get", _resolve(Permission.APP_GET), get_app),
    _operation(UpdateApp, "app.update", _resolve_update, update_app),
    _operation(DeleteApp, "app.delete", _resolve(Permission.APP_DELETE, lock=True), delete_app, irreversible=True),
    _operation(GetAppCredential, "app.read-secret", _resolve(Permission.APP_SECRET_READ), get_app_credential),
    _operation(ResetAppSecret, "app.reset-secret", _resolve(Permission.APP_SECRET_RESET, lock=True), reset_app_secret),
)
