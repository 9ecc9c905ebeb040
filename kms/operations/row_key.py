"""The key that seals what decisions rest on: kept beside the deployment, sealed by the token, and known to the token.

A deployment gets it at its first start, and what is in the database then is sealed as it is. That happens once: the
token remembers which key it was, so nobody brings it about again by taking the key away. It must not know what is
sealed.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg

from accounts import row_seals
from accounts.connections import own_connection
from accounts.models import Deployment
from accounts.row_seals import KEY_BYTES, RowKey, RowsForged
from kms.audit import fact_moves, log
from kms.audit.merkle import Frontier
from kms.hsm.module import Kept
from kms.objects import keystore
from kms.objects.binding import secret_binding
from kms.secret import SecretBytes

# A transaction that is open keeps the first start waiting, and not for ever.
_WAIT = "10s"
_DEPLOYMENT = """
INSERT INTO accounts_deployment (id, created_at)
SELECT gen_random_uuid(), now() WHERE NOT EXISTS (SELECT 1 FROM accounts_deployment)
"""
_OWN = "UPDATE accounts_deployment SET row_key_sealed = %s WHERE id = %s AND row_key_sealed IS NULL"
_FIRST = """
INSERT INTO audit_sealing (id, epoch, size, frontier, complete_to) VALUES (1, 1, 0, '{}', 0) ON CONFLICT DO NOTHING
"""
_BEGIN = "UPDATE audit_sealing SET facts = %s WHERE id = 1"


def row_key() -> RowKey:
    """From the token, which must be there. RowsForged: the database's is not the one that the token remembers."""
    remembered = [each for each in keystore.module().recall(Kept.ROW_KEY) if each]
    with own_connection() as apart:
        identity, sealed = _kept(apart)
        if sealed is None:
            if remembered:
                raise RowsForged([identity])
            _adopt(apart, identity)
            identity, sealed = _kept(apart)
    key = RowKey(keystore.module().unseal(sealed or b"", binding=_binding(identity)).reveal())
    if not remembered:
        # Also after a crash between the two: a key that is there, and no token knows, was made by whoever died.
        keystore.module().keep(key.fingerprint, Kept.ROW_KEY)
    elif key.fingerprint not in remembered:
        raise RowsForged([identity])
    return key


def forget_row_key() -> None:
    """After a restore from a time before there was a key: the next start makes another, and seals what it finds."""
    if Deployment.objects.filter(row_key_sealed__isnull=True).exists():
        keystore.module().keep(b"", Kept.ROW_KEY)


def _kept(apart: psycopg.Connection[Any]) -> tuple[UUID, bytes | None]:
    """The deployment and its key. Committed at once: the caller's transaction may end as it will."""
    apart.execute(_DEPLOYMENT)
    ((identity, sealed),) = apart.execute("SELECT id, row_key_sealed FROM accounts_deployment").fetchall()
    return identity, sealed


def _adopt(apart: psycopg.Connection[Any], identity: UUID) -> None:
    """Make the key and seal what there is, in one transaction that waits for those which are changing something."""
    secret = keystore.module().random(KEY_BYTES)
    sealed = keystore.module().seal(SecretBytes(secret), binding=_binding(identity))
    with apart.transaction(), apart.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{_WAIT}'")
        cursor.execute("LOCK TABLE accounts_factversion IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute(_OWN, [sealed, identity])
        if cursor.rowcount:
            key = RowKey(secret)
            cursor.execute(_BEGIN, [_nothing_yet(cursor, key)])
            for moves in row_seals.seal_all(cursor, key):
                log.append_through(cursor, *fact_moves.entries_of(moves))


def _nothing_yet(cursor: psycopg.Cursor[Any], key: RowKey) -> bytes:
    """The sum of no facts, at the place where the record is. The row is locked: the sealer waits."""
    cursor.execute(_FIRST)
    ((size, frontier),) = cursor.execute("SELECT size, frontier FROM audit_sealing WHERE id = 1 FOR UPDATE").fetchall()
    return fact_moves.FactSum(key).hidden(fact_moves.place(Frontier(size, map(bytes, frontier))))


def _binding(identity: UUID) -> bytes:
    return secret_binding(identity, "row-key", identity, 1)
