"""External roles: what a group of an identity provider's directory means in this account. And who is in it now.

Nobody says that a group gives what they could not give themselves. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from accounts.models import (
    AppCredential,
    CredentialKind,
    ExternalGrant,
    ExternalIdentity,
    ExternalRole,
    ExternalRoleGroup,
    GroupRole,
    IdentityProvider,
    ProviderKind,
    Role,
)
from accounts.sso import ldap
from accounts.sso.kind import SettingInvalid
from accounts.sso.ldap_settings import canonical_dn
from kms.audit.entry import Category, Detail
from kms.crypto.errors import ParameterInvalid
from kms.operations.authority import account_target, resolve_on_account
from kms.operations.command import Call, Command, Operation, Resolved, control
from kms.operations.directories import asking
from kms.operations.errors import Conflict, InvalidRequest, NotFound
from kms.operations.giving import give_account_roles, give_group_roles, give_to_program
from kms.operations.groups import groups_to_join
from kms.operations.providers import find_provider
from kms.operations.roles import roles_named
from policies.decision import Target
from policies.facts import custom_roles
from policies.permissions import Permission, permissions_named
from policies.system_roles import RoleKind

MAX_ROLES, MAX_NAME = 500, 512


@dataclass(frozen=True, slots=True)
class Given:
    """What members get in one group: roles as users, the system's or the account's own, permissions as apps."""

    user_role: str = ""
    user_roles: frozenset[UUID] = frozenset()
    app_permissions: frozenset[Permission] = frozenset()


Mappings = Mapping[UUID, Given]


@dataclass(frozen=True, slots=True)
class CreateExternalRole(Command):
    """``name`` is the directory group's distinguished name, or the value that the provider states for it."""

    name: str
    provider: UUID
    kind: str
    groups: Mappings = field(default_factory=dict)
    account_role: str = ""
    account_roles: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class ListExternalRoles(Command):
    group: UUID | None = None


@dataclass(frozen=True, slots=True)
class GetExternalRole(Command):
    role: UUID


@dataclass(frozen=True, slots=True)
class UpdateExternalRole(Command):
    """Change what is not None. ``account_roles``, of the account's own, are set together with ``account_role``."""

    role: UUID
    name: str | None = None
    set_groups: Mappings = field(default_factory=dict)
    remove_groups: frozenset[UUID] = frozenset()
    account_role: str | None = None
    account_roles: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class DeleteExternalRole(Command):
    """Whoever had something by it has it no longer."""

    role: UUID


@dataclass(frozen=True, slots=True)
class SyncExternalRole(Command):
    """Ask the directory who of those who have logged in is in the group now."""

    role: UUID


@dataclass(frozen=True, slots=True)
class ExternalRoleView:
    row: ExternalRole
    kind: str
    groups: Mappings


# -- handlers ------------------------------------------------------------------------------------------------------


def create_external_role(
    call: Call, command: CreateExternalRole, provider: IdentityProvider, *_granted: Any
) -> ExternalRoleView:
    if command.kind != provider.kind:
        raise InvalidRequest(f"The provider is of kind {provider.kind}; so is a role of its groups")
    if ExternalRole.objects.filter(provider=provider).count() >= MAX_ROLES:
        raise Conflict("too-many-roles", f"A provider has at most {MAX_ROLES} external roles")
    row = ExternalRole(id=uuid4(), account_id=call.account, provider=provider, created_at=call.now)
    row.name, row.account_role = _name(provider, command.name), command.account_role
    row.own_roles = sorted(command.account_roles)
    _give(call, command.account_role, command.account_roles, command.groups)
    _refuse_taken(row)
    row.save(force_insert=True)
    _set_groups(row, command.groups)
    call.touched.insert(0, _target(row))
    return view_of(row)


def list_external_roles(call: Call, command: ListExternalRoles, _payload: None) -> list[ExternalRoleView]:
    rows = ExternalRole.objects.filter(account_id=call.account).select_related("provider")
    if command.group is not None:
        rows = rows.filter(mappings__group_id=command.group)
    found = [view_of(row) for row in rows.prefetch_related("mappings").order_by("created_at", "id")]
    call.details["returned"] = len(found)
    return found


def get_external_role(_call: Call, _command: GetExternalRole, row: ExternalRole) -> ExternalRoleView:
    return view_of(row)


def update_external_role(
    call: Call, command: UpdateExternalRole, row: ExternalRole, *_granted: Any
) -> ExternalRoleView:
    """Who was in a group is no member of another: with the name, the grants go until the directory is asked again."""
    _give(call, command.account_role, command.account_roles, command.set_groups)
    if command.name is not None and _name(row.provider, command.name) != row.name:
        row.name = _name(row.provider, command.name)
        _refuse_taken(row)
        ExternalGrant.objects.filter(role=row).delete()
    if command.account_role is not None:
        row.account_role, row.own_roles = command.account_role, sorted(command.account_roles)
    row.save(update_fields=["name", "account_role", "own_roles"])
    ExternalRoleGroup.objects.filter(role=row, group_id__in=command.remove_groups).delete()
    _set_groups(row, command.set_groups)
    call.details.update(name=row.name, role=row.account_role)
    return view_of(row)


def delete_external_role(call: Call, _command: DeleteExternalRole, row: ExternalRole) -> None:
    call.details["name"] = row.name
    row.delete()


def sync_external_role(call: Call, _command: SyncExternalRole, row: ExternalRole) -> ExternalRoleView:
    provider = row.provider
    if provider.kind != ProviderKind.LDAP:
        raise InvalidRequest("Only a directory can be asked; other providers say it at the next login")
    if not provider.enabled or not provider.config["service_dn"]:
        raise InvalidRequest("The directory is asked with its service account, and while it is enabled")
    known = _known_to(provider)
    with asking(provider) as settings:
        inside = ldap.members(settings, row.name, known)
    _grant_exactly(row, [known[subject] for subject in inside], call.now)
    call.details.update(name=row.name, returned=len(inside))
    return view_of(row)


# -- helpers -------------------------------------------------------------------------------------------------------


def view_of(row: ExternalRole) -> ExternalRoleView:
    groups = {
        m.group_id: Given(m.user_role, frozenset(m.own_roles), permissions_named(m.app_permissions))
        for m in row.mappings.all()
    }
    return ExternalRoleView(row, row.provider.kind, groups)


def external_group_roles(users: Collection[UUID], account: UUID) -> dict[UUID, dict[UUID, str]]:
    """The roles in groups that users have by their providers' groups, as last asked. The stronger of two holds."""
    grants = ExternalGrant.objects.filter(user__in=users, role__account_id=account).exclude(role__mappings=None)
    rows = grants.exclude(role__mappings__user_role="").values_list(
        "user_id", "role__mappings__group_id", "role__mappings__user_role"
    )
    found: dict[UUID, dict[UUID, str]] = {}
    for user, group, role in rows:
        held = found.setdefault(user, {})
        held[group] = GroupRole.ADMINISTRATOR if GroupRole.ADMINISTRATOR in (role, held.get(group)) else role
    return found


Owner = tuple[str, UUID]


def _known_to(provider: IdentityProvider) -> dict[str, Owner]:
    """Who has logged in by the provider, by the subject they are known as."""
    people = ExternalIdentity.objects.filter(provider=provider).values_list("subject", "user_id")
    found: dict[str, Owner] = {subject: ("user_id", user) for subject, user in people}
    programs = AppCredential.objects.filter(
        kind=CredentialKind.LDAP, replaced_at__isnull=True, config__provider=str(provider.id)
    )
    for app, config in programs.filter(app__account_id=provider.account_id).values_list("app_id", "config"):
        if "subject" in config:
            found[config["subject"]] = ("app_id", app)
    return found


def _grant_exactly(row: ExternalRole, owners: Collection[Owner], now: datetime) -> None:
    """The provider's lock puts it in a row with the logins that change the same grants."""
    provider = IdentityProvider.objects.select_for_update(no_key=True).filter(id=row.provider_id).first()
    same = ExternalRole.objects.select_for_update().filter(id=row.id, name=row.name).exists()
    if provider is None or provider.config != row.provider.config or not same:
        raise Conflict("concurrent-change", "The role or its directory was changed meanwhile; look again and retry")
    held = {
        ("user_id", grant.user_id) if grant.user_id else ("app_id", grant.app_id): grant.pk
        for grant in ExternalGrant.objects.filter(role=row)
    }
    ExternalGrant.objects.filter(pk__in=[held[owner] for owner in held.keys() - set(owners)]).delete()
    missing = sorted(set(owners) - held.keys(), key=str)
    ExternalGrant.objects.bulk_create(ExternalGrant(role=row, **{kind: owner}) for kind, owner in missing)
    row.last_synced = now
    row.save(update_fields=["last_synced"])


def _name(provider: IdentityProvider, name: str) -> str:
    """A directory's group by the one spelling of its name; another provider's exactly as it is stated."""
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise ParameterInvalid(f"name is a text of 1 to {MAX_NAME} printable characters")
    if provider.kind != ProviderKind.LDAP:
        return name
    try:
        return canonical_dn(name)
    except SettingInvalid as error:
        raise ParameterInvalid(f"name: {error}") from error


def _give(call: Call, account_role: str | None, account_roles: frozenset[UUID], groups: Mappings) -> None:
    """Nobody gives by way of a directory what they do not hold."""
    own = _own_roles(call, RoleKind.ACCOUNT, account_roles)
    give_account_roles(call, account_role, own, custom_roles(call.account) if own else {})
    for group, given in groups.items():
        give_group_roles(call, group, given.user_role, _own_roles(call, RoleKind.GROUP, given.user_roles))
        give_to_program(call, group, given.app_permissions)


def _own_roles(call: Call, kind: RoleKind, wanted: frozenset[UUID]) -> list[Role]:
    rows = roles_named(call, kind, wanted)
    if any(row.exclusive for row in rows):
        raise Conflict("role-exclusive", "An exclusive role is held alone, and nobody sees to that in a directory")
    return rows


def _refuse_taken(row: ExternalRole) -> None:
    if ExternalRole.objects.filter(provider=row.provider, name=row.name).exclude(id=row.id).exists():
        raise Conflict("name-taken", "The provider's group has an external role already")


def _set_groups(row: ExternalRole, groups: Mappings) -> None:
    for group, given in groups.items():
        ExternalRoleGroup.objects.update_or_create(
            role=row,
            group_id=group,
            defaults={
                "account_id": row.account_id,
                "user_role": given.user_role,
                "own_roles": sorted(given.user_roles),
                "app_permissions": sorted(given.app_permissions),
            },
        )


# -- resolution ----------------------------------------------------------------------------------------------------


def _target(row: ExternalRole) -> Target:
    return Target("external-role", row.id, row.account_id, (), Permission.EXTERNAL_ROLE_GET)


def _to_map(call: Call, changed: Collection[UUID], *said: Mappings) -> list[Resolved]:
    """What is said of users is one right in a group, what is said of apps another: what was said before counts too."""
    of_changed = [(group, given) for each in said for group, given in each.items() if group in changed]
    users = {group for group, given in of_changed if given.user_role or given.user_roles}
    apps = {group for group, given in of_changed if given.app_permissions}
    return [
        *groups_to_join(call, set(changed) - apps | users, Permission.EXTERNAL_ROLE_MAP_USERS),
        *groups_to_join(call, apps, Permission.EXTERNAL_ROLE_MAP_APPS),
    ]


def _to_give_on_account(call: Call, given: bool) -> list[Resolved]:
    """The right that giving the same by hand would need."""
    return [Resolved(Permission.USER_UPDATE_ROLE, account_target(call))] if given else []


def _resolve_creation(call: Call, command: CreateExternalRole) -> Sequence[Resolved]:
    target = account_target(call)
    provider = find_provider(call, command.provider)
    granted = [
        *_to_map(call, command.groups.keys(), command.groups),
        *_to_give_on_account(call, bool(command.account_role or command.account_roles)),
    ]
    return (Resolved(Permission.EXTERNAL_ROLE_CREATE, target, provider), *granted)


def _find(call: Call, role: UUID, *, lock: bool) -> ExternalRole:
    rows = ExternalRole.objects.select_for_update(of=("self",)) if lock else ExternalRole.objects.all()
    row = rows.select_related("provider").filter(id=role, account_id=call.account).first()
    if row is None:
        raise NotFound("The external role does not exist")
    return row


def _resolve(permission: Permission, *, lock: bool = False) -> Any:
    def resolve(call: Call, command: Any) -> Sequence[Resolved]:
        row = _find(call, command.role, lock=lock)
        return (Resolved(permission, _target(row), row),)

    return resolve


def _resolve_update(call: Call, command: UpdateExternalRole) -> Sequence[Resolved]:
    """Groups are mapped by those who map them there; the role itself is changed by those who manage all of them."""
    row = _find(call, command.role, lock=True)
    changed = {*command.set_groups, *command.remove_groups}
    mapped = _to_map(call, changed, command.set_groups, view_of(row).groups)
    on_account = _to_give_on_account(call, command.account_role is not None)
    only_mapped = mapped and command.name is None and not on_account
    own = Permission.EXTERNAL_ROLE_GET if only_mapped else Permission.EXTERNAL_ROLE_MANAGE
    return (Resolved(own, _target(row), row), *mapped, *on_account)


def _describe(command: CreateExternalRole) -> Mapping[str, Detail]:
    return {"name": command.name, "kind": command.kind, "role": command.account_role}


_operation = control(Category.ADMINISTRATIVE)
_GET, _SYNC, _DELETE = Permission.EXTERNAL_ROLE_GET, Permission.EXTERNAL_ROLE_SYNC, Permission.EXTERNAL_ROLE_DELETE
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(CreateExternalRole, "external-role.create", _resolve_creation, create_external_role, describe=_describe),
    _operation(ListExternalRoles, "external-role.list", resolve_on_account(_GET), list_external_roles),
    _operation(GetExternalRole, "external-role.get", _resolve(_GET), get_external_role),
    _operation(UpdateExternalRole, "external-role.update", _resolve_update, update_external_role),
    _operation(
        DeleteExternalRole,
        "external-role.delete",
        _resolve(_DELETE, lock=True),
        delete_external_role,
        irreversible=True,
    ),
    _operation(SyncExternalRole, "external-role.sync", _resolve(_SYNC), sync_external_role),
)
