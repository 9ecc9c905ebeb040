"""Nobody gives what they do not hold: what a role or an app's permissions would give is compared with the giver's own.

Every door by which rights are given asks here: roles made and changed, users, invitations, groups of a directory, apps.
It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from accounts.models import Role
from kms.operations.command import Call
from kms.operations.errors import AccessDenied
from policies.facts import Given, account_role, group_role
from policies.permissions import CATALOGUE, Permission, with_implied
from policies.system_roles import ACCOUNT_ROLES, APP_ADMINISTRATOR, DATA_OPERATIONS, GROUP_ROLES

# Programs may be given these by whoever gives them rights at all: no role of a person's holds them.
_FOR_PROGRAMS = DATA_OPERATIONS | {Permission.OBJECT_CALCULATE_DIGEST, Permission.OBJECT_MANAGE}


def give_on_account(call: Call, given: Given) -> None:
    """Refuse what would give more on the account, or in all its groups, than the caller holds there."""
    _refuse(given.account - call.facts.account)
    _refuse(given.all_groups - call.facts.all_groups)


def give_in_group(call: Call, group: UUID, given: frozenset[Permission]) -> None:
    _refuse(given - call.facts.all_groups - call.facts.groups.get(group, frozenset()))


def give_account_roles(call: Call, name: str | None, roles: Iterable[Role], custom: Mapping[UUID, Role]) -> None:
    """A system role, if any, and roles of the account's own."""
    if name:
        give_on_account(call, Given(ACCOUNT_ROLES[name].account, ACCOUNT_ROLES[name].all_groups))
    for role in roles:
        give_on_account(call, account_role(role, custom))


def give_group_roles(call: Call, group: UUID, name: str | None, roles: Iterable[Role] = ()) -> None:
    if name:
        give_in_group(call, group, GROUP_ROLES[name])
    for role in roles:
        give_in_group(call, group, group_role(role))


def give_to_program(call: Call, group: UUID, permissions: Iterable[Permission]) -> None:
    """What an app may do in a group: what persons can do at all, its giver must be able to do there."""
    give_in_group(call, group, with_implied(frozenset(permissions)) - _FOR_PROGRAMS)


def give_to_administrative_app(call: Call) -> None:
    """What every administrative app may do on the account."""
    give_on_account(call, Given(account=with_implied(APP_ADMINISTRATOR)))


def _refuse(beyond: frozenset[Permission]) -> None:
    if beyond:
        sentences = ", ".join(sorted(CATALOGUE[permission].sentence for permission in beyond)[:3])
        raise AccessDenied("beyond-own", f"Nobody gives what they do not hold: {sentences}")
