"""Keys as these programs use them: found by name, used by id."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from k8s.client.calls import Call
from k8s.client.client import Client

_GCM = {"alg": "AES", "mode": "GCM"}
_TAG_BITS = 128


class Key(msgspec.Struct, frozen=True):
    """What the server says of a key now. A rotated key has another id; the name goes to the new one."""

    kid: UUID
    obj_type: str
    enabled: bool
    key_ops: frozenset[str]
    state: str = ""

    def why_not(self, *operations: str) -> str:
        """What stands against these operations; empty where nothing does."""
        missing = [operation for operation in operations if operation not in self.key_ops]
        if not self.enabled:
            return "the key is disabled"
        if self.state != "Active":
            return f"the key is {self.state or 'of an unknown state'}"
        return f"the key may not {' and '.join(missing)}" if missing else ""


class Sealed(msgspec.Struct, frozen=True):
    """What AES-GCM makes of a plaintext."""

    cipher: bytes
    iv: bytes
    tag: bytes


class Opened(msgspec.Struct, frozen=True):
    plain: bytes

    def __repr__(self) -> str:
        return "Opened(…)"


class Keys:
    def __init__(self, client: Client) -> None:
        self._client = client

    def named(self, name: str, call: Call) -> Key:
        """The key that bears the name now."""
        return self._client.call("/crypto/v1/keys/info", {"name": name}, Key, call=call)

    def encrypt(self, key: UUID, plain: bytes, aad: bytes, call: Call) -> Sealed:
        body: dict[str, Any] = {**_GCM, "key": {"kid": key}, "plain": plain, "ad": aad, "tag_len": _TAG_BITS}
        return self._client.call("/crypto/v1/encrypt", body, Sealed, call=call)

    def decrypt(self, key: UUID, sealed: Sealed, aad: bytes, call: Call) -> bytes:
        body: dict[str, Any] = {
            **_GCM,
            "key": {"kid": key},
            "cipher": sealed.cipher,
            "iv": sealed.iv,
            "tag": sealed.tag,
            "ad": aad,
        }
        return self._client.call("/crypto/v1/decrypt", body, Opened, call=call).plain
