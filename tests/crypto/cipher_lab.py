"""Block cipher keys of known material, used through the corridor, beside `cryptography` computing the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.decrepit.ciphers.algorithms import SEED, TripleDES
from cryptography.hazmat.decrepit.ciphers.modes import CFB, OFB
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, CTR, Mode
from cryptography.hazmat.primitives.padding import PKCS7

from kms.crypto.algorithm import CipherParameters, Encrypted
from kms.operations.command import ObjectRef
from kms.operations.cryptographic import Decrypt, Encrypt, GenerateMac, VerifyMac
from kms.operations.executor import execute
from tests.crypto.local_cipher import PLAIN, run
from tests.kit.tenants import Tenant

MODES = ("ECB", "CBC", "CBCNOPAD", "CTR", "OFB", "CFB")
WHOLE_BLOCKS = ("ECB", "CBCNOPAD")


class CipherLab:
    """One key of a kind. ``oracle`` is the same key in `cryptography`."""

    def __init__(self, tenant: Tenant, kind: str, material: bytes, **fields: Any) -> None:
        self.tenant, self.kind, self.material = tenant, kind, material
        self.key: ObjectRef = tenant.imported(kind, material, **fields)
        self.oracle = oracle(kind, material)
        self.block = self.oracle.block_size // 8

    def encrypt(self, parameters: CipherParameters, data: bytes) -> Encrypted:
        result: Encrypted = execute(self.tenant.app, Encrypt(self.key, self.kind, parameters, data)).value
        return result

    def decrypt(self, parameters: CipherParameters, data: bytes) -> bytes:
        result: bytes = execute(self.tenant.app, Decrypt(self.key, self.kind, parameters, data)).value
        return result

    def mac(self, data: bytes, hash_name: str | None = None) -> bytes:
        result: bytes = execute(self.tenant.app, GenerateMac(self.key, hash_name, data)).value
        return result

    def mac_holds(self, data: bytes, mac: bytes) -> bool:
        result: bool = execute(self.tenant.app, VerifyMac(self.key, None, data, mac)).value
        return result

    def expected(self, mode: str, iv: bytes | None, data: bytes) -> bytes:
        """What `cryptography` makes of the same."""
        if mode == "CBC":
            pad = PKCS7(self.block * 8).padder()
            data = pad.update(data) + pad.finalize()
        if mode == "CTR" and self.kind != "AES":
            return self._counted(iv or b"", data)
        return run(self.oracle, _mode(mode, iv or b""), data)

    def _counted(self, first: bytes, data: bytes) -> bytes:
        """`cryptography` counts with AES only: SP 800-38A §6.5 by the letter over its ECB."""
        counter, blocks = int.from_bytes(first, "big"), []
        for _ in range(0, len(data), self.block):
            blocks.append(counter.to_bytes(self.block, "big"))
            counter = (counter + 1) % (1 << 8 * self.block)
        made = run(self.oracle, PLAIN, b"".join(blocks))
        return bytes(left ^ right for left, right in zip(data, made, strict=False))

    def fresh_iv(self, mode: str) -> bytes | None:
        return None if mode == "ECB" else os.urandom(self.block)


def oracle(kind: str, material: bytes) -> BlockCipherAlgorithm:
    if kind == "AES":
        return AES(material)
    if kind == "SEED":
        return SEED(material)
    if kind == "DES":
        return TripleDES(material * 3)
    return TripleDES(material if len(material) == 24 else material + material[:8])


_MODES: dict[str, Callable[[bytes], Mode]] = {"CBC": CBC, "CBCNOPAD": CBC, "CTR": CTR, "OFB": OFB, "CFB": CFB}


def _mode(mode: str, iv: bytes) -> Mode:
    return PLAIN if mode == "ECB" else _MODES[mode](iv)
