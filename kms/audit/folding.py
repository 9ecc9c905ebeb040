"""Failures of nobody in particular, as one entry with a count: a flood of them must not become a flood of rows. Pure.

Only what a stranger was denied is folded, and only with its like of one batch: the same in everything but the request
and how long it took, which stay the first one's. Whoever is known keeps an entry for each call. It must not know when
a batch is written.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import replace

from accounts.principal import PrincipalKind
from kms.audit.entry import AuditEntry, Outcome


def foldable(entry: AuditEntry) -> bool:
    """Nobody's, about nothing that is somebody's, and not a count already (kms.operations.refusals)."""
    return (
        entry.actor_kind == PrincipalKind.ANONYMOUS
        and entry.outcome is Outcome.DENIED
        and entry.account is None
        and entry.session is None
        and entry.object_id is None
        and "items" not in entry.details
    )


def folded(entries: Iterable[AuditEntry]) -> list[AuditEntry]:
    """In the order of the first of each kind; ``repeats`` says how many there were, where there was more than one."""
    kinds: dict[Hashable, list[AuditEntry]] = {}
    for number, entry in enumerate(entries):
        kinds.setdefault(_likeness(entry) if foldable(entry) else number, []).append(entry)
    return [_counted(alike[0], len(alike)) for alike in kinds.values()]


def _likeness(entry: AuditEntry) -> Hashable:
    return (
        (entry.action, entry.category, entry.reason, entry.actor_id, entry.method),
        (entry.object_kind, entry.groups, entry.client_ip),
        tuple(sorted(entry.details.items())),
    )


def _counted(entry: AuditEntry, count: int) -> AuditEntry:
    return entry if count == 1 else replace(entry, details={**entry.details, "repeats": count})
