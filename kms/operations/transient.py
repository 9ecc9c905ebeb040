"""Transient keys: keys the server does not keep. The caller holds a sealed blob with the key and its attributes.

The attributes are bound to the key's blob, so a changed one does not open; the token's seal makes it unforgeable.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import msgspec

from kms.crypto.operation import KeyOperation
from kms.hsm.errors import BlobRejected
from kms.hsm.module import KeySpec, StoredKey
from kms.objects import keystore
from kms.objects.binding import canonical
from kms.objects.snapshot import ObjectSnapshot
from kms.objects.state import Cryptoperiod, KeyState
from kms.objects.usage import Usable
from kms.operations.errors import InvalidRequest

LIFETIME = timedelta(hours=24)
_DOMAIN = b"keystead transient v1"
_LENGTH_BYTES = 4


class _Attributes(msgspec.Struct, frozen=True, array_like=True):
    """What travels beside the key. Group and account say who may use it; nobody can change them."""

    id: UUID
    account: UUID
    group: UUID
    kind: str
    size: int
    curve: str
    operations: list[str]
    protection: str
    expires_at: datetime
    public_key: bytes | None = None
    made_here: bool = True
    public_only: bool = False


def make_transient(
    spec: KeySpec,
    make: Callable[[bytes], StoredKey],
    *,
    account: UUID,
    group: UUID,
    operations: frozenset[KeyOperation],
    protection: str,
    now: datetime,
    made_here: bool = True,
    public_only: bool = False,
) -> tuple[UUID, bytes, bytes | None]:
    """The key that ``make`` gives for a binding, as its id, the blob for the caller and the public key."""
    attributes = _Attributes(
        uuid4(),
        account,
        group,
        spec.kind,
        spec.size,
        spec.curve or "",
        sorted(operations),
        protection,
        now + LIFETIME,
        made_here=made_here,
        public_only=public_only,
    )
    provisional = _binding(msgspec.json.encode(attributes))
    return _sealed(attributes, provisional, make(provisional))


def _sealed(attributes: _Attributes, provisional: bytes, stored: StoredKey) -> tuple[UUID, bytes, bytes | None]:
    """Bind the blob to the public key too, which is known only now and must be as unforgeable as the rest."""
    encoded = msgspec.json.encode(msgspec.structs.replace(attributes, public_key=stored.public))
    blob = keystore.rebind(stored.blob, binding=provisional, to=_binding(encoded))
    return attributes.id, len(encoded).to_bytes(_LENGTH_BYTES, "big") + encoded + blob, stored.public


def open_transient(blob: bytes, account: UUID, now: datetime) -> ObjectSnapshot:
    """The object inside a caller's blob; altered, foreign and expired ones are refused alike."""
    length = int.from_bytes(blob[:_LENGTH_BYTES], "big")
    encoded, key = blob[_LENGTH_BYTES : _LENGTH_BYTES + length], blob[_LENGTH_BYTES + length :]
    try:
        attributes = msgspec.json.decode(encoded, type=_Attributes)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _invalid() from None
    binding = _binding(encoded)
    _authenticate(key, binding)
    if attributes.account != account:
        raise _invalid()
    if attributes.expires_at <= now:
        raise InvalidRequest("The transient key has expired", "transient-key-expired")
    return ObjectSnapshot(
        id=attributes.id,
        account=account,
        group=attributes.group,
        name="",
        kind=attributes.kind,
        size=attributes.size,
        curve=attributes.curve,
        protection=attributes.protection,
        usable=Usable(
            frozenset(map(KeyOperation, attributes.operations)), KeyState.ACTIVE, Cryptoperiod(), enabled=True
        ),
        blob=key,
        public_key=attributes.public_key,
        binding=binding,
        cache_key=attributes.id.bytes + bytes(8),
        public_only=attributes.public_only,
    )


def made_here(blob: bytes) -> bool:
    """Whether the key was born here rather than brought. Only for a blob that has been opened: this checks nothing."""
    length = int.from_bytes(blob[:_LENGTH_BYTES], "big")
    return msgspec.json.decode(blob[_LENGTH_BYTES : _LENGTH_BYTES + length], type=_Attributes).made_here


def _authenticate(key: bytes, binding: bytes) -> None:
    """Prove that the attributes are ours before anything is decided on them."""
    try:
        keystore.authenticate(key, binding=binding)
    except BlobRejected:
        raise _invalid() from None


def _binding(encoded: bytes) -> bytes:
    return canonical([_DOMAIN, keystore.deployment_id().bytes, encoded])


def _invalid() -> InvalidRequest:
    return InvalidRequest("The transient key is not valid", "transient-key-invalid")
