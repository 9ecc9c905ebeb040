"""The form in which a quorum is put together: what it holds, what its buttons do, how it is laid out for the page.

The tree travels in one hidden field, its numbers and checkboxes in fields named after their place in it. So each press
of a button is one request that changes nothing but the form, and it works without a script.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _

from kms.api.inside import Refused
from kms.console.quorums import tree
from kms.console.quorums.dangers import Danger, dangers_of
from kms.console.quorums.sentences import sentence_of_tree
from kms.console.quorums.tree import Node, Part, Path, Place, Unreadable
from kms.console.roles.names import title_of
from kms.console.visit import Visit

_OFFERED = 100


@dataclass(slots=True)
class People:
    """Whom a place can be given: what the box offers, and every name that is known so far."""

    offered: list[tuple[Place, str]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    without_factor: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, visit: Visit, root: Node) -> People:
        people = cls()
        for role in _asked(visit, "ListRoles", {}).get("items", ()):
            if role["kind"] == "account":
                people._offer(Place("role", role["role_id"]), title_of(role))
        users = _asked(visit, "ListUsers", {"limit": _OFFERED})
        for user in users:
            people._offer(Place("user", user["user_id"]), user["user_email"])
            if not user["second_factors"]:
                people.without_factor.add(user["user_id"])
        people.names |= visit.names(place.id for place in root.places if place.id not in people.names)
        return people

    def _offer(self, place: Place, name: str) -> None:
        self.offered.append((place, name))
        self.names[place.id] = name

    def find(self, visit: Visit, text: str) -> Place:
        """Who is meant. Raises ValueError with what to say."""
        same = [place for place, name in self.offered if name.casefold() == text.casefold()]
        if len(same) == 1:
            return same[0]
        things = [thing for thing in visit.call("FindByName", query={"q": text}) if _can_approve(thing)]
        exact = [thing for thing in things if thing["name"].casefold() == text.casefold()]
        meant = exact if len(exact) == 1 else things
        if len(meant) == 1:
            self.names[meant[0]["id"]] = meant[0]["name"]
            return Place(meant[0]["kind"], meant[0]["id"])
        if not meant:
            raise ValueError(_("There is no user, app or account role “%(text)s”.") % {"text": text})
        some = ", ".join(thing["name"] for thing in meant[:5])
        raise ValueError(_("Several have that in their name: %(some)s. Give the whole name.") % {"some": some})


def _asked(visit: Visit, operation: str, query: Mapping[str, Any]) -> Any:
    """What the viewer may not list is not offered; they can still give a whole name."""
    try:
        return visit.call(operation, query=query)
    except Refused:
        return {} if operation == "ListRoles" else []


def _can_approve(thing: Mapping[str, Any]) -> bool:
    return thing["kind"] in ("user", "app") or (thing["kind"] == "role" and thing.get("about") == "account")


@dataclass(slots=True)
class Editor:
    """The tree, and what is said about it. ``fault`` is what was wrong with the last press, at the place ``at``."""

    root: Node
    people: People
    fault: str = ""
    at: str = ""
    focus: str | None = None
    typed: str = ""

    @classmethod
    def posted(cls, visit: Visit) -> Editor:
        """What the form holds, with its last button pressed. Raises Unreadable."""
        root = _read(visit.form)
        editor = cls(root, People.of(visit, root))
        verb, _colon, where = visit.form.get("do", "").partition(":")
        if verb in _BUTTONS:
            editor.focus = where
            _BUTTONS[verb](editor, visit, tree.path_of(where))
        return editor

    # -- for the page ----------------------------------------------------------------------------------------------

    @property
    def wire(self) -> dict[str, Any]:
        return tree.written(self.root)

    @property
    def text(self) -> str:
        return json.dumps(self.wire)

    @property
    def laid_out(self) -> dict[str, Any]:
        return self._laid_out(self.root, ())

    def _laid_out(self, part: Part, path: Path) -> dict[str, Any]:
        where = tree.text_of(path)
        shown: dict[str, Any] = {"path": where, "nested": len(path) > 1, "focused": where == self.focus}
        if isinstance(part, Place):
            return shown | {"kind": part.kind, "name": self.people.names.get(part.id) or part.id}
        members = [self._laid_out(member, (*path, number)) for number, member in enumerate(part.members)]
        mine = self.at == where and bool(self.fault)
        return shown | {
            "node": part,
            "members": members,
            "inner": bool(path),
            "fault": self.fault if mine else "",
            "typed": self.typed if mine else "",
        }

    def sentence(self, *, custodians: bool = False) -> str:
        return sentence_of_tree(self.root, self.people.names, custodians=custodians)

    def dangers(self, viewer: str) -> list[Danger]:
        return dangers_of(self.root, self.people.names, viewer, frozenset(self.people.without_factor))


def _read(form: QueryDict) -> Node:
    try:
        root = tree.read(json.loads(form.get("tree") or "{}"))
    except (ValueError, AttributeError, RecursionError):
        raise Unreadable from None
    for path, node in tree.walk(root):
        where = tree.text_of(path)
        number = form.get(f"n-{where}", "")
        node.n = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else 0
        node.password, node.factor = f"password-{where}" in form, f"factor-{where}" in form
    return root


# -- buttons -------------------------------------------------------------------------------------------------------


def _add(editor: Editor, visit: Visit, path: Path) -> None:
    text = visit.form.get(f"who-{tree.text_of(path)}", "").strip()[:256]
    if not text:
        return _complain(editor, path, _("Say who: an e-mail address, or the name of an app or role."), text)
    try:
        place = editor.people.find(visit, text)
    except ValueError as unknown:
        return _complain(editor, path, str(unknown), text)
    node = tree.node_at(editor.root, path)
    if place.kind != "role" and place in node.members:
        return _complain(editor, path, _("They are here already."), text)
    return tree.add(editor.root, path, place)


def _complain(editor: Editor, path: Path, text: str, typed: str) -> None:
    editor.fault, editor.at, editor.typed = text, tree.text_of(path), typed


def _nest(editor: Editor, _visit: Visit, path: Path) -> None:
    node = tree.node_at(editor.root, path)
    tree.add(editor.root, path, Node())
    editor.focus = tree.text_of((*path, len(node.members) - 1))


def _remove(editor: Editor, _visit: Visit, path: Path) -> None:
    tree.remove(editor.root, path)
    editor.focus = tree.text_of(path[:-1])


def _indent(editor: Editor, _visit: Visit, path: Path) -> None:
    tree.indent(editor.root, path)


def _outdent(editor: Editor, _visit: Visit, path: Path) -> None:
    tree.outdent(editor.root, path)
    editor.focus = tree.text_of(path[:-2])


_BUTTONS = {"add": _add, "nest": _nest, "remove": _remove, "indent": _indent, "outdent": _outdent}
