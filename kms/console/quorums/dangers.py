"""What is wrong or unwise about a quorum that is being put together, said while it can still be changed. Pure.

The API refuses what is impossible; this says it sooner, and says besides what is allowed and will be regretted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.utils.translation import gettext as _

from kms.console.quorums.sentences import listed
from kms.console.quorums.tree import Node, Place


@dataclass(frozen=True, slots=True)
class Danger:
    """``impossible`` ones are refused when it is saved."""

    text: str
    impossible: bool = False


def dangers_of(
    root: Node, names: Mapping[str, str], viewer: str, without_factor: frozenset[str] = frozenset()
) -> list[Danger]:
    """``without_factor`` are users who have no second factor now."""
    if not root.members:
        return []
    return [*_impossible(root), *_unwise(root, names, viewer, without_factor)]


def _impossible(root: Node) -> Iterator[Danger]:
    for node in root.nodes:
        if not node.members:
            yield Danger(_("There is a quorum without members. Add somebody to it or remove it."), impossible=True)
        elif node.n > len(node.members):
            text = _("It asks for %(n)s approvals, and there are only %(members)s who could give one.")
            yield Danger(text % {"n": node.n, "members": len(node.members)}, impossible=True)
        elif node.n < 1:
            yield Danger(_("It asks for no approval at all. The least is one."), impossible=True)
    named = [(place.kind, place.id) for node in root.nodes for place in _own(node) if place.kind != "role"]
    if any(_twice(node) for node in root.nodes):
        yield Danger(_("Somebody is named twice in the same quorum. Each person counts once."), impossible=True)
    elif len(set(named)) < len(named):
        yield Danger(_("Somebody is named in several places. One person counts only once for all of them."))
    if any(place.kind == "app" for place in _asked(root)):
        text = _("An app can show neither a password nor a second factor, so it cannot be where one is required.")
        yield Danger(text, impossible=True)


def _unwise(root: Node, names: Mapping[str, str], viewer: str, without_factor: frozenset[str]) -> Iterator[Danger]:
    places = list(root.places)
    people = {place.id for place in places if place.kind == "user"}
    if people == {viewer} and len(people) == len(places):
        yield Danger(_("You are the only one named. Nobody approves what they asked for themselves, so you could not."))
    elif all(place.kind == "user" for place in places) and len(people) <= _least(root):
        text = _("Everybody named has to approve. When one is away, or asks for something, nothing can be approved.")
        yield Danger(text)
    lacking = sorted(
        {names.get(place.id, place.id[:8]) for place in _asked(root, factor=True) if place.id in without_factor}
    )
    if lacking:
        text = _("No second factor is set up yet for %(who)s, who could not approve until then.")
        yield Danger(text % {"who": listed(lacking)})


def _least(node: Node) -> int:
    """How many people it takes at least, if each fills one place."""
    costs = sorted(_least(member) if isinstance(member, Node) else 1 for member in node.members)
    return sum(costs[: max(node.n, 0)])


def _own(node: Node) -> Iterator[Place]:
    return (member for member in node.members if isinstance(member, Place))


def _twice(node: Node) -> bool:
    named = [(place.kind, place.id) for place in _own(node) if place.kind != "role"]
    return len(set(named)) < len(named)


def _asked(node: Node, *, factor: bool = False, above: bool = False) -> Iterator[Place]:
    """The places of whom something is required: anything, or a second factor."""
    asked = above or node.factor or (node.password and not factor)
    for member in node.members:
        if isinstance(member, Node):
            yield from _asked(member, factor=factor, above=asked)
        elif asked:
            yield member
