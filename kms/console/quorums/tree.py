"""A quorum as it is being put together: members and quorums within quorums, by their place in the tree. Pure.

At both ends it speaks the API's form, {"quorum": {"n", "members", "require_2fa", "require_password"}} and {"user": id}.
It knows no rule of what a quorum may be: the API has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

KINDS = ("user", "app", "role")
# What is read at all; the API's own bounds are narrower.
_MAX_DEPTH, _MAX_PARTS = 6, 128


class Unreadable(ValueError):
    """What was sent is no tree."""


@dataclass(slots=True)
class Place:
    """One member, by id."""

    kind: str
    id: str


@dataclass(slots=True)
class Node:
    """``n`` of the members."""

    n: int = 1
    members: list[Node | Place] = field(default_factory=list)
    password: bool = False
    factor: bool = False

    @property
    def places(self) -> Iterator[Place]:
        for member in self.members:
            if isinstance(member, Node):
                yield from member.places
            else:
                yield member

    @property
    def nodes(self) -> Iterator[Node]:
        yield self
        for member in self.members:
            if isinstance(member, Node):
                yield from member.nodes


Part = Node | Place
Path = tuple[int, ...]


def read(wire: Mapping[str, Any] | None) -> Node:
    """The tree of a policy; what names a single member is one of one."""
    if not wire:
        return Node()
    found = _part(wire.get("policy") or wire, 1)
    return found if isinstance(found, Node) else Node(1, [found])


def _part(wire: Any, depth: int) -> Part:
    if not isinstance(wire, Mapping) or depth > _MAX_DEPTH:
        raise Unreadable
    inner = wire.get("quorum")
    if inner is None:
        return _place(wire)
    members = inner.get("members") if isinstance(inner, Mapping) else None
    if not isinstance(members, list) or len(members) > _MAX_PARTS or not isinstance(inner.get("n"), int):
        raise Unreadable
    parts = [_part(member, depth + 1) for member in members]
    return Node(inner["n"], parts, bool(inner.get("require_password")), bool(inner.get("require_2fa")))


def _place(wire: Mapping[str, Any]) -> Place:
    for kind in KINDS:
        if wire.get(kind) is not None:
            try:
                return Place(kind, str(UUID(str(wire[kind]))))
            except ValueError:
                raise Unreadable from None
    raise Unreadable


def written(part: Part) -> dict[str, Any]:
    if isinstance(part, Place):
        return {part.kind: part.id}
    members = [written(member) for member in part.members]
    return {"quorum": {"n": part.n, "members": members, "require_password": part.password, "require_2fa": part.factor}}


# -- changes -------------------------------------------------------------------------------------------------------


def path_of(text: str) -> Path:
    """ "0.2" is the third member of the first member; "" is the whole."""
    try:
        return tuple(int(step) for step in text.split(".") if step)
    except ValueError:
        raise Unreadable from None


def text_of(path: Path) -> str:
    return ".".join(map(str, path))


def node_at(root: Node, path: Path) -> Node:
    found: Part = root
    for step in path:
        if not isinstance(found, Node) or not 0 <= step < len(found.members):
            raise Unreadable
        found = found.members[step]
    if not isinstance(found, Node):
        raise Unreadable
    return found


def walk(root: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every quorum of the tree, each before those within it."""
    yield path, root
    for number, member in enumerate(root.members):
        if isinstance(member, Node):
            yield from walk(member, (*path, number))


def add(root: Node, path: Path, part: Part) -> None:
    node_at(root, path).members.append(part)


def remove(root: Node, path: Path) -> Part:
    if not path:
        raise Unreadable
    above = node_at(root, path[:-1])
    if not 0 <= path[-1] < len(above.members):
        raise Unreadable
    gone = above.members.pop(path[-1])
    above.n = max(1, min(above.n, len(above.members)))
    return gone


def indent(root: Node, path: Path) -> None:
    """The member becomes the first of a quorum of its own, in the same place."""
    above, gone = node_at(root, path[:-1]), remove(root, path)
    above.members.insert(path[-1], Node(1, [gone]))


def outdent(root: Node, path: Path) -> None:
    """The member leaves its quorum for the one around it; what is empty then goes."""
    if len(path) < 2:
        raise Unreadable
    part = remove(root, path)
    around, inner = node_at(root, path[:-2]), node_at(root, path[:-1])
    around.members.insert(path[-2] + 1, part)
    if not inner.members:
        around.members.pop(path[-2])
