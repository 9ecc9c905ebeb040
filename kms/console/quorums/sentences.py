"""A quorum in one sentence, as somebody would say it. Pure: policies as the API shows them, and names by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from kms.console.quorums.tree import Node, Part, Place, Unreadable, read


def sentence_of(policy: Mapping[str, Any] | None, names: Mapping[str, str], *, custodians: bool = False) -> str:
    """What it takes, of a policy or of a bare tree. Nobody: an empty text."""
    try:
        return sentence_of_tree(read(policy), names, custodians=custodians)
    except Unreadable:
        return ""


def sentence_of_tree(root: Node, names: Mapping[str, str], *, custodians: bool = False) -> str:
    if not root.members:
        return ""
    template = _("%(who)s must hold components") if custodians else _("%(who)s must approve")
    text = template % {"who": _who(root, names)}
    if "@" not in text.partition(" ")[0]:  # an address begins as it is written
        text = text[:1].upper() + text[1:]
    shown = _shown(root)
    return f"{text}, {shown}." if shown else f"{text}."


def short_of(policy: Mapping[str, Any] | None) -> str:
    """ "2 of 3", for a badge; of the outermost quorum."""
    try:
        root = read(policy)
    except Unreadable:
        return ""
    return _("%(n)s of %(members)s") % {"n": root.n, "members": len(root.members)} if root.members else ""


def ids_in(policy: Mapping[str, Any] | None) -> list[str]:
    """Whom it names, for ``visit.names``."""
    try:
        return [place.id for place in read(policy).places]
    except Unreadable:
        return []


def _who(node: Node, names: Mapping[str, str]) -> str:
    """ "any 2 of Alice, Bob and (any 1 of Carol and Dave)"."""
    told = [_told(member, names) for member in node.members]
    if len(told) == 1:
        return told[0]
    if node.n >= len(told):
        return listed(told)
    if node.n == 1 and len(told) == 2:
        return _("either %(first)s or %(second)s") % {"first": told[0], "second": told[1]}
    return _("any %(n)s of %(members)s") % {"n": node.n, "members": listed(told)}


def _told(part: Part, names: Mapping[str, str]) -> str:
    if isinstance(part, Place):
        return _name(part, names)
    shown = _shown(part)
    told = _who(part, names)
    return f"({told}, {shown})" if shown else f"({told})" if len(part.members) > 1 else told


def _name(place: Place, names: Mapping[str, str]) -> str:
    known = names.get(place.id)
    if place.kind == "role":
        return _("someone with the role %(role)s") % {"role": known or place.id[:8]}
    if place.kind == "app":
        return _("the app %(app)s") % {"app": known or place.id[:8]}
    return known or _("user %(id)s") % {"id": place.id[:8]}


def _shown(node: Node) -> str:
    many = len(list(node.places)) > 1
    if node.password and node.factor:
        text = ngettext("with a password and a second factor", "each with a password and a second factor", 1 + many)
    elif node.factor:
        text = ngettext("with a second factor", "each with a second factor", 1 + many)
    elif node.password:
        text = ngettext("with a password", "each with a password", 1 + many)
    else:
        text = ""
    return text


def listed(names: Sequence[str]) -> str:
    """ "Alice, Bob and Carol"."""
    if len(names) < 2:
        return "".join(names)
    return _("%(several)s and %(last)s") % {"several": ", ".join(names[:-1]), "last": names[-1]}
