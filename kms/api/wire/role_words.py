"""Lists of words that say which roles somebody gets in one place: one of the system's, and ids of the account's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from kms.api.wire.base import WireError
from kms.api.wire.names import ACCOUNT_ROLES, GROUP_ROLES, WIRE_ACCOUNT_ROLE, WIRE_GROUP_ROLE
from policies.system_roles import SYSTEM_ROLES, RoleKind

_WORDS = {RoleKind.ACCOUNT: ACCOUNT_ROLES, RoleKind.GROUP: GROUP_ROLES}
_WORD_OF = {RoleKind.ACCOUNT: WIRE_ACCOUNT_ROLE, RoleKind.GROUP: WIRE_GROUP_ROLE}
_SYSTEM = {kind: {role.id: role.name for role in SYSTEM_ROLES.values() if role.kind is kind} for kind in RoleKind}


@dataclass(frozen=True, slots=True)
class Roles:
    """What a list asks for in one place: the system's role, "" for none, and ids of the account's own."""

    name: str = ""
    own: frozenset[UUID] = frozenset()


def roles_of(words: Iterable[str], kind: RoleKind, what: str) -> Roles:
    """The system's roles are known by their words and by their ids."""
    known, system = _WORDS[kind], _SYSTEM[kind]
    given = list(words)
    names = [known[word] for word in given if word in known]
    try:
        own = frozenset(UUID(word) for word in given if word not in known)
    except ValueError:
        raise WireError(f"Invalid request: {what} takes one of {', '.join(known)}, and ids of roles") from None
    names += [system[role] for role in own & system.keys()]
    if len(names) > 1:
        raise WireError(f"Invalid request: {what} takes at most one of {', '.join(known)}")
    return Roles(names[0] if names else "", own - system.keys())


def words_of(name: str, own: Iterable[UUID], kind: RoleKind) -> list[str]:
    return ([_WORD_OF[kind][name]] if name else []) + [str(role) for role in own]
