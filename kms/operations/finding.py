"""Things by a part of their name, and the names of things by their ids: for people, who know names, over records, which
know ids. What a caller may not see is not found, as in every list. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from accounts.models import Account, Membership, Role
from kms.audit.entry import Category
from kms.operations.apps import visible_apps
from kms.operations.command import Call, Command, Operation, control
from kms.operations.errors import InvalidRequest
from kms.operations.groups import visible_groups
from kms.operations.queries import resolve_listing, visible_objects
from policies.permissions import Permission

MAX_IDS = 200
MAX_TEXT = 256
MAX_HITS = 50


@dataclass(frozen=True, slots=True)
class FindThings(Command):
    """Whatever has ``text`` in its name (objects: at its beginning), or as its id; at most ``limit`` of each kind."""

    text: str
    limit: int = 8


@dataclass(frozen=True, slots=True)
class NameThings(Command):
    ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Thing:
    """``about`` tells two of a kind apart: an object's type, a role's kind."""

    kind: str
    id: UUID
    name: str
    about: str = ""


def find_things(call: Call, command: FindThings, _payload: None) -> list[Thing]:
    text = command.text.strip()
    if not text or len(text) > MAX_TEXT:
        raise InvalidRequest(f"What is looked for has 1 to {MAX_TEXT} characters")
    limit = min(command.limit, MAX_HITS)
    return _told(call, [thing for source in _SOURCES for thing in _first(source, call, _like(source, text), limit)])


def name_things(call: Call, command: NameThings, _payload: None) -> list[Thing]:
    if len(command.ids) > MAX_IDS:
        raise InvalidRequest(f"At most {MAX_IDS} ids are named at once")
    wanted = [(source, Q(**{f"{source.id}__in": command.ids})) for source in _SOURCES]
    return _told(call, [thing for source, which in wanted for thing in _first(source, call, which, MAX_IDS)])


def _told(call: Call, found: list[Thing]) -> list[Thing]:
    call.details["returned"] = len(found)
    return found


@dataclass(frozen=True, slots=True)
class _Source:
    """Where things of a kind are: the rows that the caller may see, and their columns.

    ``match`` is how a text is looked for in the name: at its beginning where there may be millions.
    """

    kind: str
    rows: Callable[[Call], QuerySet[Any]]
    id: str = "id"
    name: str = "name"
    about: str | None = None
    match: str = "icontains"


def _first(source: _Source, call: Call, which: Q, limit: int) -> Iterator[Thing]:
    columns = [source.id, source.name, *([source.about] if source.about else [])]
    rows = source.rows(call).filter(which).order_by(source.name).values_list(*columns)
    return (Thing(source.kind, *row) for row in rows[:limit])


def _like(source: _Source, text: str) -> Q:
    named = Q(**{f"{source.name}__{source.match}": text})
    try:
        return named | Q(**{source.id: UUID(text)})
    except ValueError:
        return named


def _objects(call: Call) -> QuerySet[Any]:
    return visible_objects(call).filter(deletion_date__isnull=True)


def _users(call: Call) -> QuerySet[Any]:
    """The account's users for who may list them; everybody knows themselves."""
    rows = Membership.objects.filter(account_id=call.account)
    return rows if Permission.USER_GET in call.facts.account else rows.filter(user_id=call.principal.id)


def _roles(call: Call) -> QuerySet[Any]:
    return Role.objects.filter(account_id=call.account)


def _account(call: Call) -> QuerySet[Any]:
    return Account.objects.filter(id=call.account)


_SOURCES = (
    _Source("group", visible_groups),
    _Source("object", _objects, about="kind", match="startswith"),
    _Source("app", visible_apps, about="role"),
    _Source("user", _users, id="user_id", name="user__email"),
    _Source("role", _roles, about="kind"),
    _Source("account", _account),
)

_operation = control(Category.OTHER)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(FindThings, "listing.find", resolve_listing, find_things),
    _operation(NameThings, "listing.name", resolve_listing, name_things),
)
