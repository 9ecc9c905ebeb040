"""The integrity sweep: everything that decisions rest on, against its seals and against the record.

Use finds rows that were changed. The sweep finds them before they are used, and finds what use cannot: an older state
of a subject that was brought back with the seal it had, and subjects that were taken away. What does not hold loses its
seal and its version, so that every process refuses it at once. It must not know the wire or HTTP.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection, transaction

from accounts import row_seals
from accounts.connections import own_connection
from accounts.row_seals import Moved, State
from accounts.sealed_tables import SEALED
from kms.audit import fact_moves, log
from kms.audit.entry import AuditEntry, Outcome, of_the_server
from kms.audit.fact_moves import FactSum, SumForged
from kms.audit.models import Sealing
from kms.audit.sealer import facts_at
from kms.audit.trust import trust
from kms.operations.alone import alone

logger = logging.getLogger(__name__)

SWEEP_LOCK = 768_333  # any number will do, as long as every process takes the same
PAGE = 500
# Of each second it works so long: the process has calls to answer.
_SHARE = 0.2
EVERY_SECONDS = 3600.0
_UNEXPLAINED = "What decisions rest on does not add up to what the record says, and it is not known where"

# Versions and seals, the sum that they must have, and the changes that are not in it yet: one statement, one moment.
_ALL = """
SELECT subject, version, seal, NULL AS facts, NULL::bytea AS hidden, NULL::int8 AS size, NULL::bytea[] AS frontier
FROM accounts_factversion
UNION ALL SELECT NULL, NULL, NULL, e.details ->> 'facts', NULL, NULL, NULL FROM audit_entry e, audit_sealing s
WHERE s.id = 1 AND e.action = %(action)s AND e.sequence > s.complete_to
    AND NOT EXISTS (SELECT 1 FROM audit_leaf l WHERE l.sequence = e.sequence AND l.sequence > s.complete_to)
UNION ALL SELECT NULL, NULL, NULL, NULL, facts, size, frontier FROM audit_sealing WHERE id = 1
"""
_HISTORY = "SELECT details ->> 'facts' FROM audit_entry WHERE action = %s ORDER BY sequence"
_SUBJECTS = "SELECT subject FROM accounts_factversion WHERE subject > %s ORDER BY subject LIMIT %s"
_LOOSE = " UNION ".join(
    f"SELECT t.{column} FROM {table.name} t LEFT JOIN accounts_factversion v ON v.subject = t.{column} "  # noqa: S608 - the tables' names are ours
    f"WHERE v.subject IS NULL AND t.{column} IS NOT NULL"
    for table in SEALED.values()
    for column in table.subjects
)


@dataclass(slots=True)
class Swept:
    """What a sweep found. ``forged`` do not fit their seals, ``set_back`` are not what the record says they are."""

    subjects: int = 0
    forged: list[UUID] = field(default_factory=list)
    set_back: list[UUID] = field(default_factory=list)
    adds_up: bool = True

    @property
    def found(self) -> list[UUID]:
        return sorted({*self.forged, *self.set_back})


def sweep(*, share: float = 1.0) -> Swept:
    """Look at everything, and refuse what does not hold. ``share``: of the time, how much it may take."""
    with own_connection() as apart:
        swept = _compared(apart)
        apart.isolation_level = None
        for images in _pages(apart, share):
            swept.subjects += len(images)
            swept.forged += [image.subject for image in images if not image.genuine()]
    _refuse(swept.found)
    return swept


# -- against the seals ---------------------------------------------------------------------------------------------


def _pages(apart: psycopg.Connection[Any], share: float) -> Iterator[list[row_seals.Image]]:
    """Every subject that has a version, and every one that has rows and none."""
    loose = [row[0] for row in apart.execute(_LOOSE).fetchall()]
    for first in range(0, len(loose), PAGE):
        yield row_seals.images_by(apart, loose[first : first + PAGE])
    last = UUID(int=0)
    while True:
        started = time.monotonic()
        page = [row[0] for row in apart.execute(_SUBJECTS, [last, PAGE]).fetchall()]
        if not page:
            return
        yield row_seals.images_by(apart, page)
        last = page[-1]
        time.sleep((time.monotonic() - started) * (1 / share - 1))


# -- against the record --------------------------------------------------------------------------------------------


def _compared(apart: psycopg.Connection[Any]) -> Swept:
    """Whether what is there has the sum that the record says, and who is not as it says when it has not. SumForged: the
    record's sum is not there to compare."""
    apart.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with apart.transaction():
        actual, unsealed, state = totals(apart)
        expected = facts_at(state)
        expected.apply(unsealed)
        if expected.value == actual.value:
            return Swept()
        differing = list(_differing(apart))
    expected.apply(differing)
    return Swept(set_back=[move.subject for move in differing], adds_up=expected.value == actual.value)


def totals(apart: psycopg.Connection[Any]) -> tuple[FactSum, list[Moved], Sealing]:
    """The sum of what is there, the changes that the sealer has not seen yet, and where it is: of one moment."""
    actual, unsealed, state = FactSum(row_seals.key()), list[Moved](), Sealing(size=0, frontier=[])
    with psycopg.ServerCursor(apart, "facts") as rows:
        rows.execute(_ALL, {"action": fact_moves.ACTION})
        for subject, version, seal, facts, hidden, size, frontier in rows:
            if subject is not None:
                actual.add(subject, (version, seal or b""))
            elif facts is not None:
                unsealed += fact_moves.moves_in(facts)
            else:
                state = Sealing(size=size, frontier=frontier, facts=hidden)
    return actual, unsealed, state


def _differing(apart: psycopg.Connection[Any]) -> Iterator[Moved]:
    """From what the record last said of a subject to what is there, where that is not the same.

    It says nothing of subjects whose entries were put away.
    """
    said = _last_said(apart)
    with psycopg.ServerCursor(apart, "versions") as rows:
        for subject, version, seal in rows.execute("SELECT subject, version, seal FROM accounts_factversion"):
            state, now = said.pop(subject, None), (version, fact_moves.tag(seal or b""))
            if state is not None and state != now:
                yield Moved(subject, state, now)
    yield from (Moved(subject, state, None) for subject, state in said.items() if state is not None)


def _last_said(apart: psycopg.Connection[Any]) -> dict[UUID, State | None]:
    """Reading everything there ever was: only when it is known that something is wrong."""
    last: dict[UUID, State | None] = {}
    with psycopg.ServerCursor(apart, "history") as rows:
        for (facts,) in rows.execute(_HISTORY, [fact_moves.ACTION]):
            last.update((move.subject, move.after) for move in fact_moves.moves_in(facts))
    return last


# -- what follows --------------------------------------------------------------------------------------------------


def _refuse(found: list[UUID]) -> None:
    """Those that still have a seal lose it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT subject FROM accounts_factversion WHERE seal IS NULL AND subject = ANY(%s)", [found])
        refused = {row[0] for row in cursor.fetchall()}
        new = [subject for subject in found if subject not in refused]
        if new:
            row_seals.unseal(new)
            log.append(*map(_refused, new))
    for subject in found:
        logger.critical("the rows of %s were changed past this server; they are not used", subject)


def _refused(subject: UUID) -> AuditEntry:
    details = {"subject": str(subject)}
    return of_the_server("record.facts-refused", Outcome.FAILED, row_seals.RowsForged.reason, details=details)


class FactSweeper:
    """One process's."""

    def __init__(self) -> None:
        self._done_at = -EVERY_SECONDS

    def turn(self) -> None:
        """At the start, hourly, and until it is in order again. One process at a time; the others come by later."""
        if trust.reason is not None or (trust.facts is None and time.monotonic() - self._done_at < EVERY_SECONDS):
            return
        with alone(SWEEP_LOCK) as ours:
            if ours:
                self._note(_fault())
                self._done_at = time.monotonic()

    def _note(self, fault: str | None) -> None:
        if fault is not None and fault != trust.facts:
            logger.critical("the server is sealed: %s", fault)
        trust.facts = fault


def _fault() -> str | None:
    """Why nobody can be served. Subjects that are known to be forged are refused, and no reason to refuse others."""
    try:
        return None if sweep(share=_SHARE).adds_up else _UNEXPLAINED
    except SumForged as error:
        return str(error)
