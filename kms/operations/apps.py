"""Apps and their API keys: create, list, get, update, delete, read and replace the secret.

It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db.models import QuerySet

from accounts.credentials import (
    MAX_APP_SECRET_BYTES,
    MIN_APP_SECRET_BYTES,
    digest,
    new_app_secret,
)
from accounts.models import App, AppCredential, AppGroup, AppRole, CredentialKind, Group, Session
from accounts.principal import PrincipalKind
from kms.audit.entry import Category, Detail
from kms.crypto.errors import ParameterInvalid
from kms.objects import keystore
from kms.objects.binding import credential_binding
from kms.operations.authority import absent
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.errors import AccessDenied, Conflict, NotFound
from kms.operations.groups import groups_to_join
from kms.operations.naming import save_named
from kms.operations.queries import Page, paged, resolve_listing
from kms.secret import SecretBytes
from policies.decision import Target
from policies.permissions import APP_GRANTABLE, Permission

DEFAULT_SECRET_BYTES = 64
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
    secret_bytes: int = DEFAULT_SECRET_BYTES


@dataclass(frozen=True, slots=True)
class ListApps(Command):
    page: Page
    group: UUID | None = None


@dataclass(frozen=True, slots=True)
class GetApp(Command):
    app: UUID


@dataclass(frozen=True, slots=True)
class UpdateApp(Command):
    """Change what is not None."""

    app: UUID
    name: str | None = None
    description: str | None = None
    interface: str | None = None
    app_type: str | None = None
    enabled: bool | None = None
    default_group: UUID | None = None
    ip_ranges: tuple[str, ...] | None = None
    add_groups: GroupPermissions = field(default_factory=dict)
    change_groups: GroupPermissions = field(default_factory=dict)
    remove_groups: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class DeleteApp(Command):
    app: UUID


@dataclass(frozen=True, slots=True)
class GetAppSecret(Command):
    app: UUID


@dataclass(frozen=True, slots=True)
class ResetAppSecret(Command):
    app: UUID
    secret_bytes: int = DEFAULT_SECRET_BYTES


@dataclass(frozen=True, slots=True)
class AppView:
    row: App
    groups: GroupPermissions


@dataclass(frozen=True, slots=True)
class AppSecret:
    app: UUID
    secret: SecretBytes


# -- handlers ------------------------------------------------------------------------------------------------------


def create_app(call: Call, command: CreateApp, *_groups: Group) -> AppView:
    if not command.groups:
        raise ParameterInvalid("an app belongs to at least one group: give add_groups")
    _check_default_group(command.default_group, command.groups)
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
        creator_kind=call.principal.kind,
        creator_id=call.principal.id,
    )
    _save(row, created=True)
    _set_secret(row, command.secret_bytes, call.now)
    _set_groups(row, command.groups)
    call.touched.insert(0, app_target(row, list(command.groups)))
    return view_of(row)


def list_apps(call: Call, command: ListApps, _payload: None) -> list[AppView]:
    rows = visible_apps(call)
    if command.group is not None:
        rows = rows.filter(group_memberships__group_id=command.group)
    found = [view_of(row) for row in paged(rows, command.page)]
    call.details["returned"] = len(found)
    return found


def visible_apps(call: Call) -> QuerySet[App]:
    rows = App.objects.filter(account_id=call.account).prefetch_related("group_memberships")
    seen = call.facts.groups_with(Permission.APP_GET)
    if seen is None:
        return rows
    if call.principal.kind is PrincipalKind.APP:
        return rows.filter(id=call.principal.id)
    return rows.filter(group_memberships__group_id__in=seen).distinct()


def get_app(_call: Call, _command: GetApp, row: App) -> AppView:
    return view_of(row)


def update_app(call: Call, command: UpdateApp, row: App, *_groups: Group) -> AppView:
    for name in ("name", "description", "interface", "app_type", "enabled"):
        if getattr(command, name) is not None:
            setattr(row, name, getattr(command, name))
    if command.ip_ranges is not None:
        row.ip_ranges = list(command.ip_ranges)
    row.group_memberships.filter(group_id__in=command.remove_groups).delete()
    _set_groups(row, {**command.add_groups, **command.change_groups})
    remaining = view_of(row).groups
    if not remaining:
        raise Conflict("app-without-group", "An app belongs to at least one group")
    if command.default_group is not None:
        _check_default_group(command.default_group, remaining)
        row.default_group_id = command.default_group
    elif row.default_group_id not in remaining:
        row.default_group_id = None
    _save(row)
    call.details["name"] = row.name
    return view_of(row)


def delete_app(call: Call, _command: DeleteApp, row: App) -> None:
    call.details["name"] = row.name
    row.delete()


def get_app_secret(_call: Call, _command: GetAppSecret, row: App) -> AppSecret:
    credential = current_credential(row)
    if credential is None or credential.secret_sealed is None:
        raise Conflict("not-a-secret", "The app does not authenticate with an API key")
    sealed = keystore.unseal(bytes(credential.secret_sealed), binding=_binding(credential))
    return AppSecret(row.id, sealed)


def reset_app_secret(call: Call, command: ResetAppSecret, row: App) -> AppView:
    """The old key stops working with this transaction, on every worker, and so do the sessions it opened."""
    Session.objects.filter(app=row, terminated_at__isnull=True).update(terminated_at=call.now)
    _set_secret(row, command.secret_bytes, call.now)
    return view_of(row)


# -- helpers -------------------------------------------------------------------------------------------------------


def view_of(row: App) -> AppView:
    known = {str(permission): permission for permission in APP_GRANTABLE}
    memberships = {
        m.group_id: frozenset(known[p] for p in m.permissions if p in known) for m in row.group_memberships.all()
    }
    return AppView(row, memberships)


def app_target(row: App, groups: Sequence[UUID]) -> Target:
    return Target("app", row.id, row.account_id, tuple(groups), Permission.APP_GET)


def current_credential(row: App) -> AppCredential | None:
    return row.credentials.filter(replaced_at__isnull=True).first()


def _set_secret(row: App, size: int, now: datetime) -> None:
    """A new API key; the one before it holds no longer."""
    if not MIN_APP_SECRET_BYTES <= size <= MAX_APP_SECRET_BYTES:
        raise ParameterInvalid(f"secret_size is {MIN_APP_SECRET_BYTES} to {MAX_APP_SECRET_BYTES} bytes, not {size}")
    last = current_credential(row)
    row.credentials.filter(replaced_at__isnull=True).update(replaced_at=now)
    secret = new_app_secret(size)
    credential = AppCredential(app=row, kind=CredentialKind.SECRET, version=1 if last is None else last.version + 1)
    credential.secret_digest = digest(secret)
    credential.secret_sealed = keystore.seal(SecretBytes(secret.encode()), binding=_binding(credential))
    credential.save()


def _binding(credential: AppCredential) -> bytes:
    return credential_binding(keystore.deployment_id(), credential.app_id, credential.version)


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
    if not command.groups:
        raise ParameterInvalid("an app belongs to at least one group: give add_groups")
    if command.role == AppRole.ADMIN and Permission.ACCOUNT_UPDATE not in call.facts.account:
        raise AccessDenied("not-granted", "Only account administrators create administrative apps")
    return groups_to_join(call, command.groups, Permission.APP_CREATE)


def find_app(call: Call, app: UUID, *, lock: bool) -> tuple[App, list[UUID]]:
    rows = App.objects.select_for_update() if lock else App.objects.all()
    row = rows.filter(id=app, account_id=call.account).first()
    if row is None:
        raise NotFound(absent("app"))
    return row, list(row.group_memberships.values_list("group_id", flat=True))


def _resolve(permission: Permission, *, lock: bool = False) -> Any:
    def resolve(call: Call, command: Any) -> Sequence[Resolved]:
        row, groups = find_app(call, command.app, lock=lock)
        if permission is Permission.APP_GET and row.id == call.principal.id:
            return (Resolved(Permission.OWN_PROFILE, Target("app", row.id, row.account_id, tuple(groups)), row),)
        return (Resolved(permission, app_target(row, groups), row),)

    return resolve


def _resolve_update(call: Call, command: UpdateApp) -> Sequence[Resolved]:
    row, groups = find_app(call, command.app, lock=True)
    joined = groups_to_join(call, {**command.add_groups, **command.change_groups}, Permission.APP_CREATE)
    return (Resolved(Permission.APP_UPDATE, app_target(row, groups), row), *joined)


def _describe(command: CreateApp) -> Mapping[str, Detail]:
    return {"name": command.name, "role": command.role}


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(CreateApp, "app.create", _resolve_creation, create_app, describe=_describe),
    _operation(ListApps, "app.list", resolve_listing, list_apps),
    _operation(GetApp, "app.get", _resolve(Permission.APP_GET), get_app),
    _operation(UpdateApp, "app.update", _resolve_update, update_app),
    _operation(DeleteApp, "app.delete", _resolve(Permission.APP_DELETE, lock=True), delete_app, irreversible=True),
    _operation(GetAppSecret, "app.read-secret", _resolve(Permission.APP_SECRET_READ), get_app_secret),
    _operation(ResetAppSecret, "app.reset-secret", _resolve(Permission.APP_SECRET_RESET, lock=True), reset_app_secret),
)
