"""The sealer: puts the entries of the record in their final order, hashes them into the tree and signs its roots.

Every process runs it; the lock of one row lets one at a time. An entry is taken when nothing that began before it can
still be committed, so the order is final, whoever was sealing and whatever died. It must not know how the key signs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction

from accounts.principal import SYSTEM_ID, AuthenticationMethod, PrincipalKind
from kms.audit import log
from kms.audit.checkpoint import Checkpoint, signed_note
from kms.audit.entry import AuditEntry, Category, Outcome
from kms.audit.leaf import SELECTED, line_of
from kms.audit.merkle import Frontier, leaf_hash
from kms.audit.models import AuditCheckpoint, AuditLeaf, AuditNode, AuditSignature, Sealing

# In one transaction: some 200 ms of one core.
AT_ONCE = 10_000
HEARTBEAT = timedelta(seconds=60)
# Hashes that are kept: of every 8th level. The others are folded from at most 128 of them.
KEPT_LEVELS = 8

_ENTRIES = f"""
SELECT txid::text AS transaction, {SELECTED} FROM audit_entry
WHERE (txid, sequence) > (%s::text::xid8, %s) AND txid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY txid, sequence LIMIT {AT_ONCE}
"""  # noqa: S608 - built from constants
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
            entries = _ready(state)
            if entries:
                self._grow(state, entries)
            state.save()
            return len(entries)

    def _grow(self, state: Sealing, entries: Sequence[tuple[object, ...]]) -> None:
        start, frontier = state.size, Frontier(state.size, map(bytes, state.frontier))
        hashes, nodes = [], []
        for _, *row in entries:
            hashed = leaf_hash(line_of(row))
            hashes.append(hashed)
            nodes += [node for node in frontier.append(hashed) if node[0] % KEPT_LEVELS == 0]
        with connection.cursor() as cursor:
            sequences = [row[1] for row in entries]
            cursor.execute(_ADD_LEAVES, [list(range(start, frontier.size)), sequences, hashes])
            if nodes:
                levels, indices, roots = zip(*nodes, strict=True)
                cursor.execute(_ADD_NODES, [[level // KEPT_LEVELS for level in levels], list(indices), list(roots)])
        last = entries[-1]
        state.size, state.frontier = frontier.size, frontier.hashes
        state.txid, state.sequence = int(str(last[0])), int(str(last[1]))
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
    log.append(
        AuditEntry(
            action="record.heartbeat",
            category=Category.OTHER,
            outcome=Outcome.DONE,
            reason="heartbeat",
            actor_kind=PrincipalKind.SYSTEM,
            actor_id=SYSTEM_ID,
            method=AuthenticationMethod.NONE,
        )
    )


def _ready(state: Sealing) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_ENTRIES, [str(int(state.txid)), state.sequence])
        return list(cursor.fetchall())
