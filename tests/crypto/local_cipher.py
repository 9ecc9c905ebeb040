"""A block cipher in this process, for tests of what is composed over one. It counts its calls as a token would."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB, Mode

PLAIN = ECB()  # noqa: S305 (the primitive that modes are composed of)


def run(algorithm: BlockCipherAlgorithm, mode: Mode, data: bytes, *, backwards: bool = False) -> bytes:
    """`cryptography`'s own mode, for comparison."""
    cipher: Cipher[Any] = Cipher(algorithm, mode)
    context: CipherContext = cipher.decryptor() if backwards else cipher.encryptor()
    return context.update(data) + context.finalize()


class LocalCipher:
    """``DecipheringBlockCipher`` with `cryptography`."""

    def __init__(self, algorithm: BlockCipherAlgorithm) -> None:
        self._algorithm = algorithm
        self.block = algorithm.block_size // 8
        self.calls = 0

    def ecb(self, data: bytes) -> bytes:
        return self._run(PLAIN, data, backwards=False)

    def cbc(self, iv: bytes, data: bytes) -> bytes:
        return self._run(CBC(iv), data, backwards=False)

    def ecb_decrypt(self, data: bytes) -> bytes:
        return self._run(PLAIN, data, backwards=True)

    def cbc_decrypt(self, iv: bytes, data: bytes) -> bytes:
        return self._run(CBC(iv), data, backwards=True)

    def _run(self, mode: Mode, data: bytes, *, backwards: bool) -> bytes:
        self.calls += 1
        return run(self._algorithm, mode, data, backwards=backwards)


def aes(key: bytes) -> LocalCipher:
    return LocalCipher(AES(key))


def tdea(key: bytes) -> LocalCipher:
    return LocalCipher(TripleDES(key))
