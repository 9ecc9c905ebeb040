"""DES (FIPS 46-3, withdrawn): 56 bits fall to a search of days. For old data only; no token of ours takes its keys."""

from __future__ import annotations

from os import urandom

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES

from kms.crypto.algorithm import Key, lent_key
from kms.crypto.algorithms.block_cipher import BlockCipherKind
from kms.crypto.cipher_mode import Mode, with_block
from kms.crypto.keyed_cipher import KeyedCipher, LentCipher
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes

BLOCK = 8


class Des(BlockCipherKind):
    kind = "DES"
    token_capable = False
    sizes = {56: 8}
    modes = {**with_block(BLOCK, "CBC", "CBCNOPAD", "CTR", "OFB", "CFB"), "ECB": Mode("ECB")}

    def cipher(self, key: Key) -> KeyedCipher:
        # TDEA of one key three times is DES: E_k(D_k(E_k(x))) = E_k(x).
        return LentCipher(TripleDES(lent_key(key).material.reveal() * 3))

    def generate_material(self, spec: KeySpec) -> SecretBytes:
        return SecretBytes(new_part())


def new_part() -> bytes:
    """A fresh key of 56 bits with odd parity in the lowest bit of each byte."""
    return bytes(byte & 0xFE | (byte & 0xFE).bit_count() % 2 ^ 1 for byte in urandom(8))


def without_parity(part: bytes) -> bytes:
    """What of a key counts: the cipher reads seven bits of each byte."""
    return bytes(byte & 0xFE for byte in part)
