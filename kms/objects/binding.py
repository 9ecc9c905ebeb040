"""The bytes that tie a key blob to its row: moved to another row, or with a bound field changed, it does not open.

Pure: no Django, no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from kms.crypto.operation import KeyOperation

_DOMAIN = b"keystead object v1"


@dataclass(frozen=True, slots=True)
class BoundFields:
    """Every field of a security object that its blob answers for. ``size`` is in bits; ``options`` are canonical."""

    deployment: UUID
    account: UUID
    object_id: UUID
    version: int
    kind: str
    size: int
    curve: str
    operations: frozenset[KeyOperation]
    options: bytes = b""


def canonical(parts: Iterable[bytes]) -> bytes:
    """Length-prefixed concatenation: no two different lists give the same bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def binding_of(fields: BoundFields) -> bytes:
    parts = [
        _DOMAIN,
        fields.deployment.bytes,
        fields.account.bytes,
        fields.object_id.bytes,
        fields.version.to_bytes(8, "big"),
        fields.kind.encode(),
        fields.size.to_bytes(8, "big"),
        fields.curve.encode(),
        canonical(sorted(operation.value.encode() for operation in fields.operations)),
    ]
    # A list of another length is another list, so objects without options keep the blobs they have.
    return canonical([*parts, fields.options] if fields.options else parts)


def secret_binding(deployment: UUID, purpose: str, owner: UUID, version: int) -> bytes:
    """The binding of a sealed secret that is no security object: a factor's key, a provider's password."""
    domain = b"keystead secret v1"
    return canonical([domain, deployment.bytes, purpose.encode(), owner.bytes, version.to_bytes(8, "big")])


def credential_binding(deployment: UUID, app: UUID, version: int) -> bytes:
    """The binding of an app's sealed secret."""
    return canonical([b"keystead app secret v1", deployment.bytes, app.bytes, version.to_bytes(8, "big")])
