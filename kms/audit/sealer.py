"""The sealer: puts the entries of the record in their final order, hashes them into the tree and signs its roots.

Every process runs it; the lock of one row lets one at a time. Entries are taken when they are committed, in the order
of their sequence; one that is committed later than its successors comes after them. A place is final, whoever was
sealing and whatever died. It must not know how the key signs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from django.db import connection, transaction
from django.db.models import Max, Min

from accounts import row_seals
from kms.audit import fact_moves, log
from kms.audit.checkpoint import Checkpoint, signed_note
from kms.audit.entry import Outcome, of_the_server
from kms.audit.fact_moves import FactSum
from kms.audit.leaf import COLUMNS, SELECTED, line_of
from kms.audit.merkle import Frontier, leaf_hash
from kms.audit.models import AuditCheckpoint, AuditLeaf, AuditNode, AuditRecord, AuditSignature, Sealing

# In one transaction: some 200 ms of one core.
AT_ONCE = 10_000
HEARTBEAT = timedelta(seconds=60)
# How often every entry is looked at, whatever the marks say: those are kept by a rule with a gap of microseconds.
SWEEP = timedelta(hours=1)
# What may wait to be sealed, and be signed: what is not yet can still be changed unseen.
LONGEST_WAIT, MOST_WAITING = timedelta(seconds=60), 100_000
# Hashes that are kept: of every 8th level. The others are folded from at most 128 of them.
KEPT_LEVELS = 8
_ACTION, _DETAILS = ([name for name, _ in COLUMNS].index(name) for name in ("action", "details"))
_decode = msgspec.json.Decoder().decode

# The bound is said of both sides: the planner does not infer it, and reads every leaf there is.
_ENTRIES = f"""
SELECT {SELECTED} FROM audit_entry e
WHERE sequence > %(after)s
    AND NOT EXISTS (SELECT 1 FROM audit_leaf l WHERE l.sequence = e.sequence AND l.sequence > %(after)s)
ORDER BY sequence LIMIT {AT_ONCE}
"""  # noqa: S608 - built from constants
_WAITING = f"""
SELECT count(*), min(time) FROM (
    SELECT time FROM audit_entry WHERE sequence > (SELECT coalesce(max(sequence), 0) FROM audit_leaf)
    ORDER BY sequence LIMIT {MOST_WAITING}
) waiting
"""  # noqa: S608 - built from constants
_SNAPSHOT = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::numeric, pg_snapshot_xmax(pg_current_snapshot())::text::numeric
"""
_ADD_LEAVES = (
    f"INSERT INTO {AuditLeaf._meta.db_table} (index, sequence, hash) "  # noqa: S608 - the table's name is ours
    "SELECT * FROM unnest(%s::int8[], %s::int8[], %s::bytea[])"
)
_ADD_NODES = (
    f"INSERT INTO {AuditNode._meta.db_table} (level, index, hash) "  # noqa: S608 - the table's name is ours
    "SELECT * FROM unnest(%s::int2[], %s::int8[], %s::bytea[])"
)


@dataclass(frozen=True, slots=True)
class Signer:
    """``name`` says whose key it is; ``sign`` gives ASN.1 ECDSA over SHA-256; ``spki`` is the public key, DER."""

    name: str
    spki: bytes
    sign: Callable[[bytes], bytes]


class Sealer:
    def __init__(self, deployment: UUID, signer: Callable[[], Signer]) -> None:
        """``signer`` is asked when something is to be signed: the token may be away when the process starts."""
        self._deployment = deployment
        self._signer = signer

    def turn(self, now: datetime) -> int:
        """Seal what is ready and sign the root; the number of entries that were sealed."""
        row_seals.key()  # before the lock: a deployment's first start makes it, and writes to the locked row
        sealed = 0
        while True:
            taken = self._seal(now)
            sealed += taken
            if taken < AT_ONCE:
                break
        self._sign()
        return sealed

    def _seal(self, now: datetime) -> int:
        with transaction.atomic():
            # A sealer that is stopped in the middle of this loses its lock, and wakes to an error.
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '10s'")
            state = _own_turn()
            if state is None:
                return 0
            _beat(state, now)
            _sweep(state, now)
            _advance(state)
            entries = _ready(state)
            if entries:
                self._grow(state, entries)
            state.save()
            return len(entries)

    def _grow(self, state: Sealing, entries: Sequence[tuple[object, ...]]) -> None:
        start, frontier = state.size, frontier_of(state)
        facts = facts_at(state)
        hashes, nodes = [], []
        for row in entries:
            hashed = leaf_hash(line_of(row))
            hashes.append(hashed)
            nodes += [node for node in frontier.append(hashed) if node[0] % KEPT_LEVELS == 0]
            if row[_ACTION] == fact_moves.ACTION:
                facts.apply(fact_moves.moves_in(_decode(str(row[_DETAILS]))["facts"]))
        with connection.cursor() as cursor:
            sequences = [row[0] for row in entries]
            cursor.execute(_ADD_LEAVES, [list(range(start, frontier.size)), sequences, hashes])
            if nodes:
                levels, indices, roots = zip(*nodes, strict=True)
                cursor.execute(_ADD_NODES, [[level // KEPT_LEVELS for level in levels], list(indices), list(roots)])
        state.size, state.frontier = frontier.size, frontier.hashes
        state.facts = facts.hidden(fact_moves.place(frontier))
        AuditCheckpoint.objects.create(
            size=state.size, origin=origin(self._deployment, state.epoch), root=frontier.root()
        )

    def _sign(self) -> None:
        """The newest root, once it is committed: two sealers who do it at once sign the same text."""
        row = AuditCheckpoint.objects.order_by("-size").first()
        if row is None or AuditSignature.objects.filter(checkpoint=row).exists():
            return
        signer = self._signer()
        text = Checkpoint(row.origin, row.size, bytes(row.root)).text()
        note = signed_note(text, signer.name, signer.spki, signer.sign)
        AuditSignature.objects.bulk_create([AuditSignature(checkpoint=row, note=note)], ignore_conflicts=True)


def backlog(now: datetime) -> str | None:
    """Why no more should be added to what is not sealed yet; None while that is little."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        waiting, since = cursor.fetchone()
    if waiting >= MOST_WAITING:
        return f"{waiting} entries or more are not sealed"
    unsigned = AuditCheckpoint.objects.filter(auditsignature=None, size__gt=_signed_size()).aggregate(Min("time"))
    oldest = min((each for each in (since, unsigned["time__min"]) if each is not None), default=now)
    return f"entries are not sealed since {oldest:%H:%M:%S} UTC" if now - oldest > LONGEST_WAIT else None


def _signed_size() -> int:
    return AuditSignature.objects.aggregate(Max("checkpoint_id"))["checkpoint_id__max"] or 0


def frontier_of(state: Sealing) -> Frontier:
    return Frontier(state.size, map(bytes, state.frontier))


def facts_at(state: Sealing) -> FactSum:
    """What the facts added up to when the record was as it is here. SumForged: that is not there, or of elsewhere."""
    kept = None if state.facts is None else bytes(state.facts)
    return fact_moves.found(row_seals.key(), kept, fact_moves.place(frontier_of(state)))


def origin(deployment: UUID, epoch: int) -> str:
    """An epoch's log is one of its own: what a rollback lost is in none that comes after it."""
    return f"keystead/{deployment}/record/{epoch}"


def _own_turn() -> Sealing | None:
    """The one row, locked; None while somebody else has it."""
    Sealing.objects.get_or_create(id=1)
    return Sealing.objects.select_for_update(skip_locked=True).filter(id=1).first()


def _beat(state: Sealing, now: datetime) -> None:
    """An entry each minute, whatever happens or does not: a record whose end was cut off lacks them."""
    if state.heartbeat_at is not None and now - state.heartbeat_at < HEARTBEAT:
        return
    state.heartbeat_at = now
    log.append(of_the_server("record.heartbeat", Outcome.DONE, "heartbeat"))


def _sweep(state: Sealing, now: datetime) -> None:
    """From the first entry that is kept; the leaves of months that went are not looked at."""
    if state.swept_at is None or now - state.swept_at >= SWEEP:
        first = AuditRecord.objects.aggregate(Min("sequence"))["sequence__min"] or 1
        state.swept_at, state.complete_to, state.mark = now, first - 1, None


def _advance(state: Sealing) -> None:
    """What can be left out of the search: up to the mark, nothing can be committed any more that is not there.

    A transaction that has a smaller sequence than the mark began before the mark was made. A database that was restored
    counts its transactions anew; a mark of its past is made again.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SNAPSHOT)
        oldest_open, next_xid = cursor.fetchone()
    if state.mark is not None and state.mark_xid is not None and state.mark_xid <= oldest_open:
        state.complete_to, state.mark = state.mark, None
    if state.mark is None or state.mark_xid is None or state.mark_xid > next_xid:
        newest = AuditLeaf.objects.order_by("-sequence").values_list("sequence", flat=True).first()
        state.mark, state.mark_xid = newest, next_xid


def _ready(state: Sealing) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_ENTRIES, {"after": state.complete_to})
        return list(cursor.fetchall())
