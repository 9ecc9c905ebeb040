"""Vectors go through ``execute`` like any caller's data: keys are imported, used and exported by an app."""

from __future__ import annotations

from typing import Any

from kms.crypto.algorithm import CipherParameters, Encrypted, SignatureParameters
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.hsm.errors import DataRejected
from kms.operations.command import ObjectRef
from kms.operations.creation import UnwrapKey
from kms.operations.cryptographic import Decrypt, Encrypt, GenerateMac, Sign, Verify, VerifyMac, WrapKey
from kms.operations.executor import execute
from kms.operations.lifecycle import ExportObject
from kms.operations.making import ObjectTemplate
from tests.kit.tenants import Tenant, unique
from tests.vectors.tally import Tally

# The words for "your data or parameters are wrong". Anything else on an invalid vector is a defect.
REFUSED = (DataRejected, ParameterInvalid, AlgorithmUnsupported)
EDGE = "corridor"


class Lab:
    """What vectors need of a tenant. Keys are imported once and found again by their bytes."""

    def __init__(self, tenant: Tenant, tally: Tally) -> None:
        self._tenant = tenant
        self._tally = tally
        self._keys: dict[tuple[str, bytes, str], ObjectRef] = {}

    def saw(self, family: str, file: str, **counts: int) -> None:
        """For the table of `make vectors`: valid, invalid and on_purpose."""
        self._tally.add(EDGE, family, file, {name.replace("_", " "): count for name, count in counts.items()})

    def key(self, kind: str, material: bytes, *operations: str, **fields: Any) -> ObjectRef:
        asked = {**fields, "operations": operations} if operations else fields
        slot = (kind, material, repr(asked))
        if slot not in self._keys:
            self._keys[slot] = self._tenant.imported(kind, material, **asked)
        return self._keys[slot]

    def encrypt(self, key: ObjectRef, plaintext: bytes, parameters: CipherParameters) -> Encrypted:
        result: Encrypted = self.run(Encrypt(key, None, parameters, plaintext)).value
        return result

    def decrypt(self, key: ObjectRef, ciphertext: bytes, parameters: CipherParameters) -> bytes:
        result: bytes = self.run(Decrypt(key, None, parameters, ciphertext)).value
        return result

    def mac(self, key: ObjectRef, hash_name: str | None, data: bytes) -> bytes:
        result: bytes = self.run(GenerateMac(key, hash_name, data)).value
        return result

    def mac_holds(self, key: ObjectRef, hash_name: str | None, data: bytes, mac: bytes) -> bool:
        result: bool = self.run(VerifyMac(key, hash_name, data, mac)).value
        return result

    def sign(self, key: ObjectRef, parameters: SignatureParameters, data: bytes) -> bytes:
        result: bytes = self.run(Sign(key, parameters, data=data)).value
        return result

    def holds(self, key: ObjectRef, parameters: SignatureParameters, data: bytes, signature: bytes) -> bool:
        result: bool = self.run(Verify(key, parameters, signature, data=data)).value
        return result

    def wrap(self, key: ObjectRef, mode: str, material: bytes) -> bytes:
        subject = self.key("SECRET", material)
        result: bytes = self.run(WrapKey(key, subject, "AES", CipherParameters(mode))).ciphertext
        return result

    def unwrap(self, key: ObjectRef, mode: str, wrapped: bytes) -> bytes:
        """Unwrapped as a secret that may be exported, and exported."""
        view = self.run(UnwrapKey(key, "AES", CipherParameters(mode), wrapped, self.secret_template()))
        return self.exported(view.row.id)

    def secret_template(self, **fields: Any) -> ObjectTemplate:
        """Of an object whose only use is to be looked at."""
        return ObjectTemplate(
            unique("u"), "SECRET", self._tenant.group.id, operations=frozenset({KeyOperation.EXPORT}), **fields
        )

    def exported(self, identity: Any) -> bytes:
        material: bytes = self.run(ExportObject(ObjectRef(id=identity))).value.reveal()
        return material

    def run(self, command: Any) -> Any:
        return execute(self._tenant.app, command)
