"""TDEA (SP 800-67) with three keys (168 bits) or two (112 bits, K1 K2 K1). SP 800-131A: for old data only."""

from __future__ import annotations

from itertools import pairwise

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES

from kms.crypto.algorithm import Described, Key, LentKey
from kms.crypto.algorithms.block_cipher import BlockCipherKind
from kms.crypto.algorithms.des import BLOCK, new_part, without_parity
from kms.crypto.cipher_mode import Mode, with_block
from kms.crypto.errors import ParameterInvalid
from kms.crypto.keyed_cipher import KeyedCipher, LentCipher, TokenTdea
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes

TWO_KEYS, THREE_KEYS = 112, 168


class Des3(BlockCipherKind):
    """The material is always three parts of 8 bytes: one with two keys repeats the first."""

    kind = "DES3"
    sizes = {TWO_KEYS: 24, THREE_KEYS: 24}
    modes = {**with_block(BLOCK, "CBC", "CBCNOPAD", "CTR", "OFB", "CFB"), "ECB": Mode("ECB")}

    def cipher(self, key: Key) -> KeyedCipher:
        return LentCipher(TripleDES(key.material.reveal())) if isinstance(key, LentKey) else TokenTdea(key)

    def generate_material(self, spec: KeySpec) -> SecretBytes:
        first, second = new_part(), new_part()
        return SecretBytes(first + second + (first if spec.size == TWO_KEYS else new_part()))

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        value = material.reveal()
        if len(value) not in (16, 24):
            raise ParameterInvalid(f"a DES3 key is 16 or 24 bytes of material, not {len(value)}")
        parts = [without_parity(value[start : start + 8]) for start in range(0, len(value), 8)]
        if any(left == right for left, right in pairwise(parts)):
            # E_k(D_k(E_k(x))) is E_k(x): SP 800-67 §3.1 wants the keys apart.
            raise ParameterInvalid("two neighbouring keys of the DES3 key are the same, so that it is only DES")
        found = TWO_KEYS if len(value) == 16 or parts[0] == parts[2] else THREE_KEYS
        if size is not None and size != found:
            raise ParameterInvalid(f"key_size is {size}, but the value is a key of {found} bits")
        whole = value + value[:8] if len(value) == 16 else value
        return Described(KeySpec(self.kind, found), SecretBytes(whole))
