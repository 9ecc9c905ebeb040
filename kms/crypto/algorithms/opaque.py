"""Objects without cryptography: secrets (passwords, PINs, tokens) and opaque bytes. Kept sealed, exported whole."""

from __future__ import annotations

from kms.crypto.algorithm import Algorithm, Described
from kms.crypto.errors import ParameterInvalid
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes

MAX_BYTES = 512 * 1024


class _Bytes(Algorithm):
    token_capable = False
    operations = MANAGEMENT | {KeyOperation.DERIVE}
    defaults = frozenset({KeyOperation.EXPORT, KeyOperation.APP_MANAGEABLE})

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        if not material:
            raise ParameterInvalid("the value is empty")
        if len(material) > MAX_BYTES:
            raise ParameterInvalid(f"the value has {len(material)} bytes; at most {MAX_BYTES} are kept")
        if size is not None and size != len(material) * 8:
            raise ParameterInvalid(f"key_size is {size}, but the value has {len(material) * 8} bits")
        return Described(KeySpec(self.kind, len(material) * 8), material)


class Secret(_Bytes):
    kind = "SECRET"


class Opaque(_Bytes):
    kind = "OPAQUE"
