"""Reads: one object, lists of objects, the audit log. What a caller may not see is not counted either.

It must not know the wire or HTTP; it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from kms.audit import listing
from kms.audit.entry import Category, Detail
from kms.audit.models import AuditRecord
from kms.objects.models import SecurityObject
from kms.operations.authority import absent, object_target
from kms.operations.command import Call, Command, ObjectRef, Operation, Resolved, control
from kms.operations.errors import InvalidRequest, NotFound
from kms.operations.history import items_of
from kms.operations.managed_object import ObjectView, chains_of, named_object, view_of
from kms.operations.object_listing import Narrowing, Order, page_of_objects
from policies.decision import Target
from policies.permissions import Permission

MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class GetObject(Command):
    """``deleted``: a tombstone is shown too."""

    key: ObjectRef
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """``after`` continues a listing after that value of the sort key."""

    limit: int = MAX_PAGE
    offset: int = 0
    sort: str = "id"
    descending: bool = False
    after: str | None = None


@dataclass(frozen=True, slots=True)
class ListObjects(Command):
    """``after`` continues after that object, in any order; ``page.after`` after a value."""

    page: Page
    name: str | None = None
    group: UUID | None = None
    creator: UUID | None = None
    kind: str | None = None
    custom_metadata: Mapping[str, str] = field(default_factory=dict)
    with_counts: bool = False
    destroyed: bool = False
    deleted: bool = False
    narrowing: Narrowing = Narrowing()  # noqa: RUF009 - frozen, so one does for all
    after: UUID | None = None


@dataclass(frozen=True, slots=True)
class ReadAudit(Command):
    """Newest first; ``before`` continues after an entry seen. Empty filters match everything."""

    limit: int
    offset: int = 0
    before: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    categories: tuple[str, ...] = ()
    actor_kinds: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    actor: UUID | None = None
    object_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ObjectList:
    """``total`` counts what the caller may see, ``matched`` what the filters left of it (both None unless asked)."""

    views: Sequence[ObjectView]
    total: int | None = None
    matched: int | None = None


# -- objects -------------------------------------------------------------------------------------------------------


def get_object(call: Call, _command: GetObject, row: SecurityObject) -> ObjectView:
    return shown(call, [row])[0]


def shown(call: Call, rows: Sequence[SecurityObject]) -> list[ObjectView]:
    """Rows with what else belongs to a full picture of them, in a few queries however many rows there are."""
    ids = [row.id for row in rows]
    copies = _made_of(call, "copied_from", ids)
    subkeys = _made_of(call, "parent", ids)
    history, chains = items_of(rows, call), chains_of(rows)
    return [
        replace(
            view_of(row, call.now),
            copies=tuple(copies.get(row.id, ())),
            subkeys=tuple(subkeys.get(row.id, ())),
            history=tuple(history.get(row.id, ())),
            chain=chains.get(row.id, ()),
        )
        for row in rows
    ]


def _made_of(call: Call, column: str, ids: Sequence[UUID]) -> Mapping[UUID, list[UUID]]:
    """Ids of objects in the account that name one of these in ``column``."""
    found: dict[UUID, list[UUID]] = {}
    rows = SecurityObject.objects.filter(
        account_id=call.account, deletion_date__isnull=True, **{f"{column}__in": ids}
    ).order_by("created_at")
    for source, made in rows.values_list(column, "id"):
        found.setdefault(source, []).append(made)
    return found


def list_objects(call: Call, command: ListObjects, _payload: None) -> ObjectList:
    visible = _living(visible_objects(call), command)
    matching = _filtered(visible, command)
    if command.narrowing != Narrowing():
        matching = matching.filter(command.narrowing.condition(call.now, _guarding(call)))
    rows = _page(call, visible, matching, command)
    call.details["returned"] = len(rows)
    views = shown(call, rows)
    if not command.with_counts:
        return ObjectList(views)
    return ObjectList(views, visible.count(), matching.count())


def _page(call: Call, visible: QuerySet[Any], matching: QuerySet[Any], command: ListObjects) -> list[SecurityObject]:
    page = command.page
    plain = command.after is None and command.narrowing == Narrowing() and page.sort in ("id", "name")
    if plain or page.after is not None or page.offset:
        return list(paged(matching, page))
    living = _living(SecurityObject.objects.filter(account_id=call.account), command)
    order = Order(page.sort, page.descending)
    narrowed = matching is not visible or call.facts.groups_with(Permission.OBJECT_GET) is not None
    return page_of_objects(
        living,
        visible,
        matching,
        order,
        command.after,
        page.limit,
        narrowed=narrowed and not _in_index(command),
        sought=command.narrowing.sought,
    )


def _in_index(command: ListObjects) -> bool:
    """Of one type or of one group, by name: an index has just these, in this order."""
    others = (command.name, command.creator, command.custom_metadata or None)
    one_of = (command.kind is None) != (command.group is None)
    return one_of and command.page.sort == "name" and command.narrowing == Narrowing() and not any(others)


def _guarding(call: Call) -> frozenset[UUID]:
    """The groups where a quorum of the group's own stands before whatever it may be."""
    return frozenset(group for group, demand in call.facts.demands.groups.items() if demand.guard is not None)


def _living(rows: QuerySet[SecurityObject], command: ListObjects) -> QuerySet[SecurityObject]:
    if not command.deleted:
        rows = rows.filter(deletion_date__isnull=True)
    return rows if command.destroyed else rows.filter(destruction_date__isnull=True)


def visible_objects(call: Call) -> QuerySet[SecurityObject]:
    """The same rule as ``decide``: object.get in the object's group (tests/policies compares the two).

    What is read with the approval of a quorum is in no list: a list has no approval.
    """
    own = Q(quorum__isnull=False, quorum__guarded__contains=[Permission.OBJECT_GET.value])
    rows = SecurityObject.objects.filter(account_id=call.account).exclude(own)
    guarding = call.facts.demands.groups_guarding(Permission.OBJECT_GET)
    rows = rows.exclude(group_id__in=guarding) if guarding else rows
    groups = call.facts.groups_with(Permission.OBJECT_GET)
    return rows if groups is None else rows.filter(group_id__in=groups)


def _filtered(rows: QuerySet[SecurityObject], command: ListObjects) -> QuerySet[SecurityObject]:
    wanted = {
        "name": command.name,
        "group_id": command.group,
        "creator_id": command.creator,
        "kind": command.kind,
        "custom_metadata__contains": dict(command.custom_metadata) or None,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    return rows.filter(**given) if given else rows


def paged(rows: QuerySet[Any], page: Page) -> QuerySet[Any]:
    order = f"-{page.sort}" if page.descending else page.sort
    if page.after is not None:
        rows = rows.filter(**{f"{page.sort}__{'lt' if page.descending else 'gt'}": page.after})
    return rows.order_by(order)[page.offset : page.offset + page.limit]


def _resolve_object(call: Call, command: GetObject) -> Sequence[Resolved]:
    if command.key.transient is not None:
        raise InvalidRequest("A transient key has no record to show")
    row = named_object(call, command.key, SecurityObject.objects.all(), deleted=command.deleted)
    if row is None:
        raise NotFound(absent("object"))
    return (Resolved(Permission.OBJECT_GET, object_target(row), row),)


def resolve_listing(call: Call, _command: Command) -> Sequence[Resolved]:
    """Anyone may list; what comes back is filtered by what they may see."""
    return (Resolved(Permission.LIST_VISIBLE, Target("listing", account=call.account)),)


# -- the record ----------------------------------------------------------------------------------------------------


def read_audit(call: Call, command: ReadAudit, _payload: None) -> Sequence[AuditRecord]:
    period = _given(time__gte=command.since, time__lte=command.until)
    narrowed = visible_audit(call) & _given(
        category__in=command.categories or None,
        actor_kind__in=command.actor_kinds or None,
        severity__in=command.severities or None,
        actor_id=command.actor,
        object_id=command.object_id,
    )
    rows = AuditRecord.objects.filter(period, account_id=call.account)
    found = listing.page(rows, narrowed, before=command.before, offset=command.offset, limit=command.limit)
    call.details["returned"] = len(found)
    return found


def _given(**wanted: Any) -> Q:
    return Q(**{name: value for name, value in wanted.items() if value is not None})


def visible_audit(call: Call) -> Q:
    """All of the account for its auditors, else what touched the groups where audit.read is held.

    Not one's own attempts elsewhere: an entry knows if its target was absent or invisible, and the caller must not.
    """
    if Permission.AUDIT_READ_ACCOUNT in call.facts.account:
        return Q()
    groups = call.facts.groups_with(Permission.AUDIT_READ)
    return Q() if groups is None else Q(groups__overlap=list(groups))


def _describe_ref(command: GetObject) -> Mapping[str, Detail]:
    return {"subject": str(command.key)}


_operation = control(Category.OTHER)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(GetObject, "object.get", _resolve_object, get_object, describe=_describe_ref),
    _operation(ListObjects, "object.list", resolve_listing, list_objects),
    _operation(ReadAudit, "audit.read", resolve_listing, read_audit),
)
