"""SEED (RFC 4269, ISO/IEC 18033-3), the Korean block cipher. No token of ours offers it."""

from __future__ import annotations

from cryptography.hazmat.decrepit.ciphers.algorithms import SEED

from kms.crypto.algorithm import Key, lent_key
from kms.crypto.algorithms.block_cipher import BlockCipherKind
from kms.crypto.cipher_mode import Mode, with_block
from kms.crypto.keyed_cipher import KeyedCipher, LentCipher

BLOCK = 16


class Seed(BlockCipherKind):
    kind = "SEED"
    token_capable = False
    sizes = {128: 16}
    modes = {**with_block(BLOCK, "CBC", "CBCNOPAD", "CTR", "OFB", "CFB"), "ECB": Mode("ECB")}

    def cipher(self, key: Key) -> KeyedCipher:
        return LentCipher(SEED(lent_key(key).material.reveal()))
