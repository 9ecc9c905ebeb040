"""A block cipher under one key: in the token, where some modes are one call, or lent by it for the call at hand.

What the key's home does not offer in one call is composed of whole blocks (``block_modes``). It must not know the names
of algorithms or modes, options, rows, rights or the wire.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB, Mode

from kms.crypto import block_modes
from kms.crypto.block_chain import padded, unpadded
from kms.hsm.module import AesCbc, AesCtr, AesEcb, Cmac, Des3Cbc, Des3Ecb, OpenedKey


class KeyedCipher(ABC):
    """``DecipheringBlockCipher``, and the modes that some homes of a key have ready. ``block`` is in bytes."""

    __slots__ = ()

    @property
    @abstractmethod
    def block(self) -> int: ...

    @abstractmethod
    def ecb(self, data: bytes) -> bytes: ...

    @abstractmethod
    def ecb_decrypt(self, data: bytes) -> bytes: ...

    @abstractmethod
    def cbc(self, iv: bytes, data: bytes) -> bytes: ...

    @abstractmethod
    def cbc_decrypt(self, iv: bytes, data: bytes) -> bytes: ...

    def cbc_padded(self, iv: bytes, data: bytes) -> bytes:
        """CBC of data of any length, padded as PKCS#7 says."""
        return self.cbc(iv, padded(data, self.block))

    def cbc_unpadded(self, iv: bytes, data: bytes) -> bytes:
        """The inverse; DataRejected when there is no such padding."""
        return unpadded(self.cbc_decrypt(iv, data), self.block)

    def ctr(self, counter: bytes, data: bytes) -> bytes:
        return block_modes.ctr(self, counter, data)

    def cmac(self, data: bytes) -> bytes:
        return block_modes.cmac(self, data)


class TokenAes(KeyedCipher):
    """AES in the token, which pads, counts and authenticates by itself."""

    __slots__ = ("_key",)
    block = 16

    def __init__(self, key: OpenedKey) -> None:
        self._key = key

    def ecb(self, data: bytes) -> bytes:
        return self._key.encrypt(AesEcb(), data)

    def ecb_decrypt(self, data: bytes) -> bytes:
        return self._key.decrypt(AesEcb(), data)

    def cbc(self, iv: bytes, data: bytes) -> bytes:
        return self._key.encrypt(AesCbc(iv, padded=False), data)

    def cbc_decrypt(self, iv: bytes, data: bytes) -> bytes:
        return self._key.decrypt(AesCbc(iv, padded=False), data)

    def cbc_padded(self, iv: bytes, data: bytes) -> bytes:
        return self._key.encrypt(AesCbc(iv, padded=True), data)

    def cbc_unpadded(self, iv: bytes, data: bytes) -> bytes:
        return self._key.decrypt(AesCbc(iv, padded=True), data)

    def ctr(self, counter: bytes, data: bytes) -> bytes:
        return self._key.encrypt(AesCtr(counter), data)

    def cmac(self, data: bytes) -> bytes:
        return self._key.mac(Cmac(), data)


class TokenTdea(KeyedCipher):
    """TDEA in the token, which offers no counter mode for it."""

    __slots__ = ("_key",)
    block = 8

    def __init__(self, key: OpenedKey) -> None:
        self._key = key

    def ecb(self, data: bytes) -> bytes:
        return self._key.encrypt(Des3Ecb(), data)

    def ecb_decrypt(self, data: bytes) -> bytes:
        return self._key.decrypt(Des3Ecb(), data)

    def cbc(self, iv: bytes, data: bytes) -> bytes:
        return self._key.encrypt(Des3Cbc(iv, padded=False), data)

    def cbc_decrypt(self, iv: bytes, data: bytes) -> bytes:
        return self._key.decrypt(Des3Cbc(iv, padded=False), data)

    def cbc_padded(self, iv: bytes, data: bytes) -> bytes:
        return self._key.encrypt(Des3Cbc(iv, padded=True), data)

    def cbc_unpadded(self, iv: bytes, data: bytes) -> bytes:
        return self._key.decrypt(Des3Cbc(iv, padded=True), data)

    def cmac(self, data: bytes) -> bytes:
        return self._key.mac(Cmac(), data)


class LentCipher(KeyedCipher):
    """Any block cipher of `cryptography`, over material that lives for this call."""

    __slots__ = ("_algorithm",)

    def __init__(self, algorithm: BlockCipherAlgorithm) -> None:
        self._algorithm = algorithm

    @property
    def block(self) -> int:
        return self._algorithm.block_size // 8

    def ecb(self, data: bytes) -> bytes:
        return self._run(_EACH_BLOCK, data)

    def ecb_decrypt(self, data: bytes) -> bytes:
        return self._run(_EACH_BLOCK, data, backwards=True)

    def cbc(self, iv: bytes, data: bytes) -> bytes:
        return self._run(CBC(iv), data)

    def cbc_decrypt(self, iv: bytes, data: bytes) -> bytes:
        return self._run(CBC(iv), data, backwards=True)

    def _run(self, mode: Mode, data: bytes, *, backwards: bool = False) -> bytes:
        cipher: Cipher[Any] = Cipher(self._algorithm, mode)
        context: CipherContext = cipher.decryptor() if backwards else cipher.encryptor()
        return context.update(data) + context.finalize()


_EACH_BLOCK = ECB()  # noqa: S305 (the primitive that modes are composed of, and the mode when a caller asks for it)
