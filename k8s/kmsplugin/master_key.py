"""The key that the API server's seeds are encrypted under: the one that bears its name, and those that did.

Nothing is remembered between calls. Whoever asks gets what the server says now, so all replicas say the same, and a key
that was disabled or revoked ends the call and not just the health check.
"""

from __future__ import annotations

import hmac
import os
from uuid import UUID

from k8s.client import Bad, Call, Refused
from k8s.client.keys import Keys, Sealed
from k8s.kmsplugin.envelope import MAX_PLAINTEXT, Envelope, Malformed, additional_data, unpacked

_PROBE_BYTES = 32


class MasterKey:
    """``cluster`` is bound to each ciphertext."""

    def __init__(self, keys: Keys, name: str, cluster: str) -> None:
        self._keys, self._name, self._cluster = keys, name, cluster

    def current(self, call: Call) -> UUID:
        """The key for new seeds. Refused when it could not be used for them."""
        key = self._keys.named(self._name, call)
        why_not = key.why_not("ENCRYPT", "DECRYPT")
        if why_not or key.obj_type != "AES":
            raise Refused(f"{self._name} ({key.kid}) cannot be used: {why_not or f'it is {key.obj_type}, not AES'}")
        return key.kid

    def proven(self, call: Call) -> UUID:
        """The same, and it does encrypt and decrypt: rights and quorums are known to the server alone."""
        key, probe = self.current(call), os.urandom(_PROBE_BYTES)
        if not hmac.compare_digest(self._opened(self._sealed(key, probe, call), call), probe):
            raise Bad(f"{self._name} ({key}) does not decrypt what it encrypted")
        return key

    def seal(self, plaintext: bytes, call: Call) -> tuple[UUID, bytes]:
        """Under the current key; which one that was, and the envelope."""
        if not 0 < len(plaintext) <= MAX_PLAINTEXT:
            raise Bad(f"The plaintext has {len(plaintext)} bytes; 1 to {MAX_PLAINTEXT} can be encrypted")
        key = self.current(call)
        try:
            return key, self._sealed(key, plaintext, call).packed()
        except Malformed as error:
            raise Bad(str(error)) from None

    def open(self, ciphertext: bytes, call: Call, *, key_id: str | None = None) -> bytes:
        """Under the key that the envelope names, which must be ``key_id`` where the API server remembers one."""
        try:
            envelope = unpacked(ciphertext)
        except Malformed as error:
            raise Bad(str(error)) from None
        if key_id is not None and key_id != str(envelope.key):
            raise Bad("The ciphertext was not made under the key that the request names")
        return self._opened(envelope, call)

    def _sealed(self, key: UUID, plaintext: bytes, call: Call) -> Envelope:
        sealed = self._keys.encrypt(key, plaintext, additional_data(key, self._cluster), call)
        return Envelope(key, sealed.iv, sealed.tag, sealed.cipher)

    def _opened(self, envelope: Envelope, call: Call) -> bytes:
        sealed = Sealed(envelope.data, envelope.iv, envelope.tag)
        return self._keys.decrypt(envelope.key, sealed, additional_data(envelope.key, self._cluster), call)
