"""Fact versions inside a transaction: hold them, and tell lock conflicts from other failures. It decides nothing."""

from __future__ import annotations

from uuid import UUID

from django.db import OperationalError, connection

from accounts.models import FactVersion
from accounts.principal import Principal
from policies.demand_rows import Versions
from policies.facts import subjects_of

# SQLSTATE 40P01 deadlock_detected, 40001 serialization_failure, 55P03 lock_not_available.
_LOCK_CONFLICTS = frozenset({"40P01", "40001", "55P03"})
_READ = (
    f"SELECT subject, version FROM {FactVersion._meta.db_table} "  # noqa: S608 - the table's name is ours
    "WHERE subject = ANY(%s) ORDER BY subject "
)
_SHARE, _EXCLUSIVE = _READ + "FOR SHARE", _READ + "FOR UPDATE"


_ENTER = "SELECT pg_advisory_xact_lock_shared(%s)"
_ENTER_ALONE = "SELECT pg_advisory_xact_lock(%s)"


def enter(principal: Principal) -> None:
    """Before a principal's version is shared: wait for whoever has announced a change of the principal."""
    with connection.cursor() as cursor:
        cursor.execute(_ENTER, [_door(principal.id)])


def announce_change(subject: UUID) -> None:
    """Before somebody else's rights are changed: those calls of theirs that have begun end first, later ones wait.

    Rows alone would not do: PostgreSQL lets further sharers of a row past a writer that waits, so a user who calls
    without a pause could hold off being disabled for half a minute (measured).
    """
    with connection.cursor() as cursor:
        cursor.execute(_ENTER_ALONE, [_door(subject)])


def _door(subject: UUID) -> int:
    return int.from_bytes(subject.bytes[:8], "big", signed=True)


def own_lock(principal: Principal) -> Versions:
    """As ``share_lock_subjects``, for a call that changes the caller's own user or session.

    Theirs are taken whole at once: calls that share them first and then each want them whole would wait for
    one another.
    """
    own, found = {principal.id, principal.session}, Versions()
    with connection.cursor() as cursor:
        for subject in sorted(subjects_of(principal)):
            cursor.execute(_EXCLUSIVE if subject in own else _SHARE, [[subject]])
            found |= dict(cursor.fetchall())
    return {subject: found.get(subject, 0) for subject in subjects_of(principal)}


def share_lock_subjects(wanted: list[UUID]) -> Versions:
    """Hold off changes of these subjects; one that is gone reads as 0, which no row ever has.

    The lock order of the house: the caller's door, fact versions by subject, the door of whoever is changed, then rows,
    one noun at a time: account, user, group, app, session, object.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SHARE, [sorted(wanted)])
        found = dict(cursor.fetchall())
    return {subject: found.get(subject, 0) for subject in wanted}


def is_lock_conflict(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) in _LOCK_CONFLICTS
