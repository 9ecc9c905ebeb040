"""What an account and its groups demand of calls, as decisions see it. Frozen, shared, pure: no rows, no Django."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from uuid import UUID

from policies.permissions import Permission
from policies.quorum import Guard, MemberKind, places

_NOTHING: Mapping[UUID, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Demand:
    """One account's or group's. ``cryptographic`` and ``metadata`` are as rows keep them; their rooms read them."""

    guard: Guard | None = None
    cryptographic: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None


NO_DEMAND = Demand()


@dataclass(frozen=True, slots=True)
class Demands:
    """All of an account's, read together at one version of the account."""

    account: Demand = NO_DEMAND
    groups: Mapping[UUID, Demand] = field(default_factory=lambda: _NOTHING)

    def of_group(self, group: UUID) -> Demand:
        return self.groups.get(group, NO_DEMAND)

    def guards(self, permission: Permission, groups: tuple[UUID, ...]) -> Iterator[Guard]:
        """The quorums that stand before a permission on a target in these groups."""
        for demand in (self.account, *(self.of_group(group) for group in groups)):
            if demand.guard is not None and permission in demand.guard.guarded:
                yield demand.guard

    def groups_guarding(self, permission: Permission) -> frozenset[UUID]:
        """The groups where a quorum of the group's own stands before a permission."""
        guards = ((group, demand.guard) for group, demand in self.groups.items())
        return frozenset(group for group, guard in guards if guard is not None and permission in guard.guarded)

    def naming(self, kind: MemberKind, member: UUID) -> Iterator[Guard]:
        """The quorums of the account and its groups in which somebody has a place."""
        for demand in (self.account, *self.groups.values()):
            named = () if demand.guard is None else places(demand.guard.quorum)
            if demand.guard is not None and any(p.kind is kind and p.id == member for p in named):
                yield demand.guard


NO_DEMANDS = Demands()
