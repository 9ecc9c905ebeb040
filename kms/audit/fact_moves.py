"""The record of what decisions rest on: each change of a subject's seal, and the sum of those that hold.

A seal says that rows are ours, not that they are the newest: a superuser can bring back yesterday's rows with the seal
that they had. So every change is an entry, and the sealer keeps the sum of all seals that hold by those entries. What
is in the database has to add up to the same. The sum is a set hash (MSet-Add-Hash of Clarke et al., ASIACRYPT 2003,
section 5): to keep it while changing what is added up, one has to know the key.
"""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db import connection
from psycopg import sql

from accounts.row_seals import Moved, RowKey, State
from kms.audit import log
from kms.audit.entry import AuditEntry, Outcome, of_the_server
from kms.audit.merkle import Frontier

ACTION = "record.facts"
# In one entry, whose details are cut at rows.LONGEST_TEXT: a move takes some 110 characters.
_AT_ONCE = 8
_PAGE = 1000
# Cannot be met by trying.
_TAG_BYTES = 16
_MODULUS = 1 << 256
_NONCE_BYTES = 12


def record(moves: Sequence[Moved]) -> None:
    """In the current transaction of the default connection, which may be about to commit."""
    with connection.cursor() as cursor:
        log.append_through(cursor, *entries_of(moves))


def entries_of(moves: Sequence[Moved]) -> list[AuditEntry]:
    return [_entry(moves[first : first + _AT_ONCE]) for first in range(0, len(moves), _AT_ONCE)]


def _entry(moves: Sequence[Moved]) -> AuditEntry:
    facts = " ".join(f"{m.subject.hex}:{_written(m.before)}:{_written(m.after)}" for m in moves)
    return of_the_server(ACTION, Outcome.DONE, "changed", details={"facts": facts})


def tag(seal: bytes) -> bytes:
    """What an entry and the sum know a seal by."""
    return seal[:_TAG_BYTES]


def _written(state: State | None) -> str:
    return "" if state is None else f"{state[0]}.{base64.b64encode(tag(state[1])).decode()}"


_SAID_IN = "SELECT details ->> 'facts' FROM {} WHERE action = %s"
_NOW = """
SELECT subject, version, seal FROM accounts_factversion WHERE subject = ANY(%s) AND seal IS NOT NULL
ORDER BY subject FOR SHARE
"""


def say_again(month: str) -> None:
    """Before a month of the record goes: of whom it says something, the record says anew what they are now.

    So that it is known of everybody, however long ago they changed. The sum stays as it is. In the current transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(_SAID_IN).format(sql.Identifier(month)), [ACTION])
        named = sorted({move.subject for (facts,) in cursor.fetchall() for move in moves_in(facts)})
        for first in range(0, len(named), _PAGE):
            cursor.execute(_NOW, [named[first : first + _PAGE]])
            states = [(subject, (version, bytes(seal))) for subject, version, seal in cursor.fetchall()]
            log.append_through(cursor, *entries_of([Moved(subject, state, state) for subject, state in states]))


def moves_in(text: str) -> Iterator[Moved]:
    """What an entry says. ``after`` and ``before`` have tags, not seals."""
    for each in text.split():
        subject, before, after = each.split(":")
        yield Moved(UUID(hex=subject), _read(before), _read(after))


def _read(written: str) -> State | None:
    version, _, tag = written.partition(".")
    return (int(version), base64.b64decode(tag)) if version else None


class FactSum:
    """Of all subjects that have a version: what the database must add up to."""

    def __init__(self, key: RowKey, value: int = 0) -> None:
        self._key = key
        self.value = value

    def apply(self, moves: Iterable[Moved]) -> None:
        for move in moves:
            self.value += self._of(move.subject, move.after) - self._of(move.subject, move.before)
        self.value %= _MODULUS

    def add(self, subject: UUID, state: State) -> None:
        self.value = (self.value + self._of(subject, state)) % _MODULUS

    def _of(self, subject: UUID, state: State | None) -> int:
        if state is None:
            return 0
        said = subject.bytes + state[0].to_bytes(8, "big") + tag(state[1])
        return int.from_bytes(hmac.digest(self._key.sums, said, "sha256"), "big")

    def hidden(self, place: bytes) -> bytes:
        """For the database, which must not see it, and tied to ``place``: how far the record was when it held."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self._key.hides).encrypt(nonce, self.value.to_bytes(32, "big"), place)


class SumForged(Exception):
    """The sum of the facts is gone, or is not the one of this place in the record."""


def found(key: RowKey, hidden: bytes | None, where: bytes) -> FactSum:
    """What ``FactSum.hidden`` left. Raises SumForged."""
    if hidden is None:
        raise SumForged("The sum of what decisions rest on is not there any more")
    kept = bytes(hidden)
    try:
        value = AESGCM(key.hides).decrypt(kept[:_NONCE_BYTES], kept[_NONCE_BYTES:], where)
    except (InvalidTag, ValueError):  # too short
        raise SumForged("The sum of what decisions rest on is not the one of this place in the record") from None
    return FactSum(key, int.from_bytes(value, "big"))


def place(tree: Frontier) -> bytes:
    """How far the record is."""
    return tree.size.to_bytes(8, "big") + tree.root()
