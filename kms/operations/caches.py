"""What this process remembers between calls, each with the version it was read at. Memory only: losing it is harmless.

Nothing here is trusted: the group commit compares every version before an answer leaves. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from accounts.lru import Lru
from accounts.principal import Principal
from accounts.row_seals import verified
from kms.objects import keystore
from kms.objects.models import SecurityObject
from kms.objects.snapshot import ObjectSnapshot, snapshot_of
from kms.operations.command import ObjectRef
from policies.facts import Known, known_of
from policies.versions import share_lock_subjects

MAX_CALLERS, MAX_OBJECTS = 10_000, 10_000
# Larger rows (opaques, certificates) are read each time: no hot operation works on them.
MAX_CACHED_BLOB = 8192
_NAME_MOVES = 5


class NotCached(Exception):
    """The answer needs the database, and the caller said not to ask it (it is on the event loop)."""


@dataclass(frozen=True, slots=True)
class VersionedObject:
    snapshot: ObjectSnapshot
    version: int


class Caches:
    """Facts by principal, objects by id, ids by name."""

    def __init__(self) -> None:
        self._known: Lru[tuple[UUID, UUID | None, UUID | None], Known] = Lru(MAX_CALLERS)
        self._objects: Lru[UUID, VersionedObject] = Lru(MAX_OBJECTS)
        self._names: Lru[tuple[UUID, str], UUID] = Lru(MAX_OBJECTS)

    def known(self, principal: Principal, *, load: bool) -> Known:
        key = (principal.id, principal.account, principal.session)
        found = self._known.get(key)
        if found is None:
            if not load:
                raise NotCached
            found = known_of(principal)
            self._known.put(key, found)
        return found

    def keep(self, principal: Principal, known: Known) -> None:
        """What another plane has read anyway, if this one remembers something older."""
        key = (principal.id, principal.account, principal.session)
        found = self._known.get(key)
        if found is not None and found.versions != known.versions:
            self._known.put(key, known)

    def object(self, account: UUID, ref: ObjectRef, *, load: bool) -> VersionedObject | None:
        """The object of this account that the reference names, or None."""
        object_id = ref.id if ref.id is not None else self._names.get((account, ref.name or ""))
        found = None if object_id is None else self._objects.get(object_id)
        if found is not None and _matches(found, account, ref):
            return found
        if not load:
            raise NotCached
        return self._load(account, ref)

    def forget(self, principal: Principal, subjects: Iterable[UUID]) -> None:
        """Drop whatever a stale call rested on."""
        self._known.drop((principal.id, principal.account, principal.session))
        for subject in subjects:
            self._objects.drop(subject)

    def clear(self) -> None:
        self._known.clear()
        self._objects.clear()
        self._names.clear()

    def locked_object(self, account: UUID, ref: ObjectRef) -> VersionedObject | None:
        """The object as it is now, held unchanged until the current transaction ends; the cache is passed by."""
        return _read(account, ref, lock=True)

    def _load(self, account: UUID, ref: ObjectRef) -> VersionedObject | None:
        found = _read(account, ref)
        if found is not None and len(found.snapshot.blob) <= MAX_CACHED_BLOB:
            self._objects.put(found.snapshot.id, found)
            self._names.put((account, found.snapshot.name), found.snapshot.id)
        return found


def _read(account: UUID, ref: ObjectRef, *, lock: bool = False) -> VersionedObject | None:
    """Looked up again when a name went to another row in between: a rotation leaves no moment without a key."""
    for _ in range(_NAME_MOVES):
        row_id = _row_id(account, ref)
        if row_id is None:
            return None
        if lock:
            share_lock_subjects([row_id])
        found = _read_row(account, ref, row_id)
        if found is not None or ref.id is not None:
            return found
    return None


def _row_id(account: UUID, ref: ObjectRef) -> UUID | None:
    if ref.id is not None:
        return ref.id
    named = SecurityObject.objects.filter(account_id=account, name=ref.name, deletion_date__isnull=True)
    return named.values_list("id", flat=True).first()


def _read_row(account: UUID, ref: ObjectRef, row_id: UUID) -> VersionedObject | None:
    """Row and version are of one moment, and the row fits its seal (RowsForged)."""
    rows = verified([row_id])
    row = rows.first(SecurityObject, row_id)
    if row is None or row.account_id != account or row.deletion_date is not None:
        return None
    if ref.name is not None and row.name != ref.name:
        return None
    return VersionedObject(snapshot_of(row, keystore.deployment_id()), rows.versions[row_id])


def _matches(found: VersionedObject, account: UUID, ref: ObjectRef) -> bool:
    snapshot = found.snapshot
    return snapshot.account == account and (ref.name is None or snapshot.name == ref.name)


caches = Caches()
