"""Seals on what decisions rest on: a MAC over all rows of a subject and its version, made when a change is committed.

Whoever can write to the database can write rows, and cannot seal them. A row that was changed, put in or taken away
past this server makes its subject's seal not fit, and nothing is decided on it. What is decided on are the very bytes
that the seal was compared with. An older state of a subject, with the seal it had, fits: kms.audit.fact_moves is for
that.

It must not know where the key is kept, nor what the rows mean.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import psycopg
from django.db import connection, transaction
from django.db.models import Model

from accounts.connections import own_connection
from accounts.lru import Lru
from accounts.models import Deployment
from accounts.sealed_tables import SEALED, SealedTable

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=Model)
KEY_BYTES = 32
# Subjects that are read at once, where all are.
_PAGE = 1000
_REMEMBERED = 200
_FORMAT = b"keystead facts v1"
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(order="sorted").encode


class RowsForged(Exception):
    """Rows that a decision rests on are not those that this server wrote. They are not used."""

    reason = "rows-forged"

    def __init__(self, subjects: Iterable[UUID]) -> None:
        self.subjects = tuple(subjects)
        super().__init__(f"the rows of {', '.join(map(str, self.subjects))} do not fit their seal")


class RowKey:
    """What seals are made with, and what they are added up and hidden with (kms.audit.fact_moves): a key for each."""

    def __init__(self, secret: bytes) -> None:
        derived = (hmac.digest(secret, purpose, "sha256") for purpose in (b"seals", b"sums", b"hides"))
        self._seals, self.sums, self.hides = derived
        self.fingerprint = hashlib.sha256(b"keystead row key" + secret).digest()

    def seal(self, image: Image) -> bytes:
        """32 bytes. Of a subject that is gone too: what it was must not come back."""
        assert image.version is not None
        head = (_FORMAT, image.subject.bytes, image.version.to_bytes(8, "big"))
        parts = (*head, *image.canonical())
        return hmac.digest(self._seals, b"".join(len(p).to_bytes(4, "big") + p for p in parts), "sha256")


@dataclass(frozen=True, slots=True)
class Image:
    """Everything that decisions about one subject read, at one moment.

    ``version`` is None when the database has none: then nothing rests on the subject, and it has no rows. ``ours``:
    this transaction changed it, and seals it when it commits.
    """

    subject: UUID
    version: int | None
    seal: bytes | None
    ours: bool
    rows: tuple[tuple[SealedTable, dict[str, Any]], ...]

    def canonical(self) -> list[bytes]:
        return sorted(_encode([table.name, table.said(row)]) for table, row in self.rows)

    def genuine(self) -> bool:
        if self.version is None:
            return not self.rows
        return self.seal is not None and hmac.compare_digest(self.seal, key().seal(self))


class Verified:
    """Subjects whose rows fit their seals."""

    def __init__(self, images: Iterable[Image]) -> None:
        self._images = {image.subject: image for image in images}

    @property
    def versions(self) -> dict[UUID, int]:
        """The version of each; one that is gone reads as 0, which no row ever has."""
        return {subject: image.version or 0 for subject, image in self._images.items()}

    def of(self, model: type[M], subject: UUID | None) -> list[M]:
        """The subject's rows in a table, in the order of their keys."""
        if subject is None:
            return []
        found = [row for table, row in self._images[subject].rows if table.model is model]
        key = str(model._meta.pk.column)
        found.sort(key=lambda row: row[key])
        return [SEALED[model._meta.db_table].instance(row) for row in found]  # type: ignore[misc]  # the table's model

    def first(self, model: type[M], subject: UUID | None) -> M | None:
        found = self.of(model, subject)
        return found[0] if found else None


# -- the key -------------------------------------------------------------------------------------------------------

_source: Callable[[], RowKey] | None = None
_key: RowKey | None = None
_lock = threading.RLock()


def install(source: Callable[[], RowKey]) -> None:
    """Say how to reach the key. The composition root calls this once; nothing is read before the first use."""
    global _source, _key
    with _lock:
        _source, _key = source, None


def in_use() -> bool:
    """Whether the deployment has its key. Before, nothing is sealed: its first start seals what it finds."""
    return _key is not None or Deployment.objects.filter(row_key_sealed__isnull=False).exists()


def key() -> RowKey:
    global _key
    if _key is None:
        with _lock:
            if _key is None:
                if _source is None:
                    raise RuntimeError("no row key is installed")
                _key = _source()
    return _key


# -- reading -------------------------------------------------------------------------------------------------------

_NAMED = "unnest(%s::uuid[]) AS w(subject)"
# Whatever this transaction has moved; the index of the unsealed makes it quick.
_MOVED = """(SELECT subject FROM accounts_factversion
WHERE seal IS NULL AND moved_in = pg_current_xact_id_if_assigned()::text::bigint) AS w"""


@cache
def _statement(which: str) -> str:
    """One statement, so that versions, seals and rows are of one moment."""
    rows = " UNION ALL ".join(
        f"SELECT '{table.name}' AS name, to_jsonb(t)::text AS row FROM {table.name} t WHERE t.{column} = w.subject"  # noqa: S608 - the tables' names are ours
        for table in SEALED.values()
        for column in table.subjects
    )
    return f"""
    SELECT w.subject, v.version, v.seal,
        coalesce(v.seal IS NULL AND v.moved_in = pg_current_xact_id_if_assigned()::text::bigint, false), r.names, r.rows
    FROM {which} LEFT JOIN accounts_factversion v ON v.subject = w.subject
    LEFT JOIN LATERAL (SELECT array_agg(u.name) AS names, array_agg(u.row) AS rows FROM ({rows}) u) r ON true
    """  # noqa: S608 - built from constants


def _images(raw: psycopg.Connection[Any], which: str, parameters: Sequence[Any] = ()) -> list[Image]:
    with psycopg.Cursor(raw) as cursor:
        found = cursor.execute(_statement(which), parameters, prepare=True).fetchall()
    return [
        Image(subject, version, seal, ours, tuple(zip(map(SEALED.__getitem__, names), map(_decode, rows), strict=True)))
        for subject, version, seal, ours, names, rows in (
            (*head, names or (), rows or ()) for *head, names, rows in found
        )
    ]


def images_by(apart: psycopg.Connection[Any], subjects: Sequence[UUID]) -> list[Image]:
    """As they are, genuine or not, seen by a connection of the caller's."""
    return _images(apart, _NAMED, [list(subjects)])


_recent: Lru[tuple[UUID, int], Image] = Lru(_REMEMBERED)


def verified(subjects: Iterable[UUID], *, at: Mapping[UUID, int] | None = None) -> Verified:
    """The subjects as they are now; RowsForged when a row is not ours.

    ``at``: those that many share and that have many rows, and the version at which the caller holds them. At a version
    they are what they are, so they are remembered from the first who asked.
    """
    shared = at or {}
    remembered = {subject: image for subject, version in shared.items() if (image := _recent.get((subject, version)))}
    images = images_by(_raw(), [subject for subject in dict.fromkeys(subjects) if subject not in remembered])
    _demand(image for image in images if not image.ours)
    for image in images:
        if image.subject in shared and image.version is not None and not image.ours:
            _recent.put((image.subject, image.version), image)
    images += remembered.values()
    if any(image.ours for image in images):
        # Somebody may have written the number of this transaction there. What was before it is looked at in the end.
        connection.facts_moved = True  # type: ignore[attr-defined]  # kms.config.database_engine's
    return Verified(images)


def _demand(images: Iterable[Image]) -> None:
    forged = [image.subject for image in images if not image.genuine()]
    if forged:
        error = RowsForged(forged)
        logger.critical("%s; they were changed past this server, and are not used", error)
        raise error


def _raw() -> psycopg.Connection[Any]:
    connection.ensure_connection()
    raw: psycopg.Connection[Any] = connection.connection
    return raw


# -- sealing -------------------------------------------------------------------------------------------------------

_SEAL = """
UPDATE accounts_factversion v SET seal = n.seal FROM unnest(%s::uuid[], %s::bytea[]) AS n(subject, seal)
WHERE v.subject = n.subject
"""
State = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Moved:
    """A subject's version and seal before a change and after it; None where there is none."""

    subject: UUID
    before: State | None
    after: State | None


class _Before:
    """What was committed before the current transaction, seen through a connection of its own.

    The transaction holds the subject's version, so nobody else has changed the subject meanwhile.
    """

    def __init__(self) -> None:
        self._connection: psycopg.Connection[Any] | None = None
        self._lock = threading.Lock()

    def images_of(self, subjects: Sequence[UUID]) -> list[Image]:
        with self._lock:
            if self._connection is None or self._connection.closed or self._connection.broken:
                self._connection = own_connection()
                self._connection.execute("SET plan_cache_mode = force_generic_plan")
            return images_by(self._connection, subjects)


_before = _Before()


def seal_moved(forgotten: Iterable[UUID]) -> list[Moved]:
    """Seal what the current transaction changed, at its end. RowsForged when it was not ours before: a change of forged
    rows would make them good."""
    now = {image.subject: image for image in _images(_raw(), _MOVED)}
    subjects = list(dict.fromkeys([*now, *forgotten]))
    if not subjects or not in_use():
        return []
    earlier = _before.images_of(subjects)
    _demand(earlier)
    with connection.cursor() as cursor:
        after = _sealed(cursor, now.values(), key())
    moves = (Moved(image.subject, _state(image), after.get(image.subject)) for image in earlier)
    return [move for move in moves if move.before != move.after]


def _sealed(cursor: Any, images: Iterable[Image], sealed_by: RowKey) -> dict[UUID, State]:
    """Seal subjects as they were read; their states from then on."""
    states = {image.subject: (image.version or 0, sealed_by.seal(image)) for image in images}
    cursor.execute(_SEAL, [list(states), [seal for _, seal in states.values()]])
    return states


def _state(image: Image) -> State | None:
    return None if image.version is None or image.seal is None else (image.version, image.seal)


def forget(subjects: Iterable[UUID]) -> None:
    """Take away the versions of subjects that are gone. Without a version a subject reads as gone, as before."""
    gone = list(subjects)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_factversion WHERE subject = ANY(%s)", [gone])
        connection.facts_forgotten.extend(gone)  # type: ignore[attr-defined]  # kms.config.database_engine's


def seal_all(cursor: psycopg.Cursor[Any], sealed_by: RowKey) -> Iterator[list[Moved]]:
    """Seal what is there, as it is: once, when a deployment gets its key."""
    subjects = cursor.execute("SELECT subject FROM accounts_factversion").fetchall()
    for first in range(0, len(subjects), _PAGE):
        images = images_by(cursor.connection, [row[0] for row in subjects[first : first + _PAGE]])
        yield [Moved(subject, None, state) for subject, state in _sealed(cursor, images, sealed_by).items()]


_UNSEAL = """
INSERT INTO accounts_factversion (subject, version) SELECT unnest(%s::uuid[]), 1
ON CONFLICT (subject) DO UPDATE SET version = accounts_factversion.version + 1, seal = NULL, moved_in = NULL
"""


def unseal(subjects: Sequence[UUID]) -> None:
    """Take seals off, and move the versions: every process looks again, and finds none. In the current transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_UNSEAL, [list(subjects)])


def reseal(subjects: Sequence[UUID]) -> list[Moved]:
    """Seal subjects as they are, forged or not, for an operator who has looked. In the current transaction."""
    resealed: list[Moved] = []
    for first in range(0, len(subjects), _PAGE):
        there = images_by(_raw(), subjects[first : first + _PAGE])
        known = [image.subject for image in there if image.version is not None or image.rows]
        unseal(known)
        with connection.cursor() as cursor:
            states = _sealed(cursor, images_by(_raw(), known), key())
        resealed += [Moved(subject, None, state) for subject, state in states.items()]
    return resealed
