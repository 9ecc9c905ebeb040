"""The state of a multi-part operation, in the caller's hands: opaque, unalterable, for one key and one direction.

The token seals a head when the operation begins: whose it is, under which key, until when, and a secret of its own.
Under that secret each step encrypts where the cipher stands, because the token's sealing key has only so many messages
in it (SP 800-38D §8.3). A state that is presented twice is continued twice: the server keeps nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kms.crypto.multipart import Progress
from kms.hsm.errors import BlobRejected, MechanismRefused
from kms.objects import keystore
from kms.objects.binding import canonical
from kms.objects.snapshot import ObjectSnapshot
from kms.operations.command import ObjectRef
from kms.operations.errors import InvalidRequest
from kms.secret import SecretBytes

LIFETIME = timedelta(hours=6)
_DOMAIN = b"keystead cipher state v1"
_LENGTH_BYTES, _NONCE_BYTES, _SECRET_BYTES = 4, 12, 32


class _Head(msgspec.Struct, frozen=True, array_like=True):
    """``revision`` is the object's and moves with its material, operations and options."""

    object_id: UUID
    transient: bool
    revision: bytes
    expires_at: datetime
    secret: bytes


@dataclass(frozen=True, slots=True)
class OpenedState:
    """A state that is ours, whole and in time. ``progress`` is good only under the key it belongs to."""

    progress: Progress
    _head: _Head
    _sealed_head: bytes

    def key(self) -> ObjectRef:
        """The key, for a request that does not name one."""
        if self._head.transient:
            raise InvalidRequest("key is needed: the state belongs to a transient key")
        return ObjectRef(id=self._head.object_id)

    def check_key(self, key: ObjectSnapshot) -> None:
        if self._head.revision != key.cache_key:
            raise InvalidRequest(
                "The state belongs to another key, or to this one before it was changed; begin again", "state-of-other"
            )

    def continued(self, progress: Progress) -> bytes:
        """The state for the next step."""
        return _written(self._sealed_head, self._head, progress)


def first_state(key: ObjectSnapshot, progress: Progress, now: datetime) -> bytes:
    head = _Head(key.id, not key.name, key.cache_key, now + LIFETIME, os.urandom(_SECRET_BYTES))
    binding = _binding(key.account, encrypting=progress.chain.encrypting)
    sealed = keystore.seal(SecretBytes(msgspec.msgpack.encode(head)), binding=binding)
    return _written(sealed, head, progress)


def open_state(state: bytes, account: UUID, now: datetime, *, encrypting: bool) -> OpenedState:
    """Altered states, foreign ones and those of the other direction are refused alike."""
    length = int.from_bytes(state[:_LENGTH_BYTES], "big")
    sealed, body = state[_LENGTH_BYTES : _LENGTH_BYTES + length], state[_LENGTH_BYTES + length :]
    try:
        opened = keystore.unseal(sealed, binding=_binding(account, encrypting=encrypting))
        head = msgspec.msgpack.decode(opened.reveal(), type=_Head)
        packed = AESGCM(head.secret).decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], sealed)
    except (BlobRejected, MechanismRefused, InvalidTag, ValueError):
        # ValueError: the AEAD's word for a nonce that was cut off.
        raise InvalidRequest("The state is not valid", "state-invalid") from None
    if head.expires_at <= now:
        raise InvalidRequest("The state has expired; begin again", "state-expired")
    return OpenedState(Progress.from_bytes(packed), head, sealed)


def _written(sealed: bytes, head: _Head, progress: Progress) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    body = AESGCM(head.secret).encrypt(nonce, progress.to_bytes(), sealed)
    return len(sealed).to_bytes(_LENGTH_BYTES, "big") + sealed + nonce + body


def _binding(account: UUID, *, encrypting: bool) -> bytes:
    direction = b"encrypt" if encrypting else b"decrypt"
    return canonical([_DOMAIN, keystore.deployment_id().bytes, account.bytes, direction])
