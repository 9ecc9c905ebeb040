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

# The words for "your data or parameters are wrong". Anything else on an invalid vector is a defect.
REFUSED = (DataRejected, ParameterInvalid, AlgorithmUnsupported)


class Lab:
    """What vectors need of a tenant. Keys are imported once and found again by their bytes."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._keys: dict[tuple[str, bytes], ObjectRef] = {}

    def key(self, kind: str, material: bytes, *operations: str) -> ObjectRef:
        found = self._keys.get((kind, material))
        if found is None:
            asked = {"operations": operations} if operations else {}
            found = self._keys[kind, material] = self._tenant.imported(kind, material, **asked)
        return found

    def encrypt(self, key: ObjectRef, plaintext: bytes, parameters: CipherParameters) -> Encrypted:
        result: Encrypted = self._run(Encrypt(key, "AES", parameters, plaintext)).value
        return result

    def decrypt(self, key: ObjectRef, ciphertext: bytes, parameters: CipherParameters) -> bytes:
        result: bytes = self._run(Decrypt(key, "AES", parameters, ciphertext)).value
        return result

    def mac(self, key: ObjectRef, hash_name: str, data: bytes) -> bytes:
        result: bytes = self._run(GenerateMac(key, hash_name, data)).value
        return result

    def mac_holds(self, key: ObjectRef, hash_name: str, data: bytes, mac: bytes) -> bool:
        result: bool = self._run(VerifyMac(key, hash_name, data, mac)).value
        return result

    def sign(self, key: ObjectRef, parameters: SignatureParameters, data: bytes) -> bytes:
        result: bytes = self._run(Sign(key, parameters, data=data)).value
        return result

    def holds(self, key: ObjectRef, parameters: SignatureParameters, data: bytes, signature: bytes) -> bool:
        result: bool = self._run(Verify(key, parameters, signature, data=data)).value
        return result

    def wrap(self, key: ObjectRef, mode: str, material: bytes) -> bytes:
        subject = self.key("SECRET", material)
        result: bytes = self._run(WrapKey(key, subject, "AES", CipherParameters(mode))).ciphertext
        return result

    def unwrap(self, key: ObjectRef, mode: str, wrapped: bytes) -> bytes:
        """Unwrapped as a secret that may be exported, and exported."""
        template = ObjectTemplate(
            unique("u"), "SECRET", self._tenant.group.id, operations=frozenset({KeyOperation.EXPORT})
        )
        view = self._run(UnwrapKey(key, "AES", CipherParameters(mode), wrapped, template))
        exported = self._run(ExportObject(ObjectRef(id=view.row.id)))
        material: bytes = exported.value.reveal()
        return material

    def _run(self, command: Any) -> Any:
        return execute(self._tenant.app, command)
