"""What every kind of block cipher shares: its sizes, the modes of SP 800-38A, CMAC and check values.

A kind says how long its keys are and where its cipher runs. It must not know rows, rights or the wire.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from os import urandom

from kms.crypto import cipher_mode
from kms.crypto.algorithm import Algorithm, CipherParameters, Described, Encrypted, Key, Random
from kms.crypto.block_modes import cfb_decrypt, cfb_encrypt, ofb
from kms.crypto.cipher_mode import Mode, check_parameters, cipher_options
from kms.crypto.errors import ParameterInvalid
from kms.crypto.keyed_cipher import KeyedCipher
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.crypto.options import KeyOptions
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes

DEFAULT_MODE = "CBC"
CHECK_VALUE_BYTES = 3
WHOLE_BLOCKS_IN, WHOLE_BLOCKS_OUT = frozenset({"ECB", "CBCNOPAD"}), frozenset({"ECB", "CBCNOPAD", "CBC"})

_USES = frozenset(
    {
        KeyOperation.ENCRYPT,
        KeyOperation.DECRYPT,
        KeyOperation.WRAP,
        KeyOperation.UNWRAP,
        KeyOperation.DERIVE,
        KeyOperation.MAC_GENERATE,
        KeyOperation.MAC_VERIFY,
    }
)
_Run = Callable[[KeyedCipher, bytes, bytes], bytes]
_ENCIPHER: dict[str, _Run] = {
    "ECB": lambda cipher, _iv, data: cipher.ecb(data),
    "CBC": lambda cipher, iv, data: cipher.cbc_padded(iv, data),
    "CBCNOPAD": lambda cipher, iv, data: cipher.cbc(iv, data),
    "CTR": lambda cipher, iv, data: cipher.ctr(iv, data),
    "OFB": ofb,
    "CFB": cfb_encrypt,
}
_DECIPHER: dict[str, _Run] = {
    "ECB": lambda cipher, _iv, data: cipher.ecb_decrypt(data),
    "CBC": lambda cipher, iv, data: cipher.cbc_unpadded(iv, data),
    "CBCNOPAD": lambda cipher, iv, data: cipher.cbc_decrypt(iv, data),
    "CTR": lambda cipher, iv, data: cipher.ctr(iv, data),
    "OFB": ofb,
    "CFB": cfb_decrypt,
}


class BlockCipherKind(Algorithm):
    """``sizes`` maps a key's size, as it is named, to the bytes of its material. The first mode is not the default."""

    check_values = True
    operations = MANAGEMENT | _USES
    defaults = _USES | {KeyOperation.APP_MANAGEABLE}
    sizes: Mapping[int, int]
    modes: Mapping[str, Mode]

    @abstractmethod
    def cipher(self, key: Key) -> KeyedCipher:
        """The cipher under this key."""

    # -- keys ------------------------------------------------------------------------------------------------------

    def generation_spec(self, *, size: int | None, curve: str | None, public_exponent: int | None) -> KeySpec:
        if size is None:
            raise ParameterInvalid(f"{_a(self.kind)} key needs key_size: {self._listed_sizes()}")
        if size not in self.sizes:
            raise ParameterInvalid(f"{_a(self.kind)} key has {self._listed_sizes()} bits, not {size}")
        return KeySpec(self.kind, size)

    def generate_material(self, spec: KeySpec) -> SecretBytes:
        return SecretBytes(urandom(self.sizes[spec.size]))

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        found = next((bits for bits, length in self.sizes.items() if length == len(material)), None)
        if found is None:
            lengths = ", ".join(str(length * 8) for length in self.sizes.values())
            raise ParameterInvalid(f"{_a(self.kind)} key is {lengths} bits of material, not {len(material) * 8}")
        if size is not None and size != found:
            raise ParameterInvalid(f"key_size is {size}, but the value is a key of {found} bits")
        return Described(KeySpec(self.kind, found), material)

    def check_options(self, options: KeyOptions, spec: KeySpec) -> None:
        options.refuse_specific(self.kind, cipher=True)
        chosen = cipher_options(options)
        if chosen.fpe is not None:
            raise ParameterInvalid(f"{self.kind} objects take no fpe: tokenisation is AES")
        cipher_mode.check_options(self.kind, self.modes, chosen)

    def _listed_sizes(self) -> str:
        *others, last = map(str, self.sizes)
        return f"{', '.join(others)} or {last}" if others else last

    # -- use -------------------------------------------------------------------------------------------------------

    def mode_of(self, parameters: CipherParameters, options: KeyOptions) -> Mode:
        """The mode named, else the key's, else CBC. What the mode takes no such thing as is refused."""
        named = parameters.mode
        if named is None:
            named = cipher_options(options).mode or DEFAULT_MODE
        mode = cipher_mode.chosen(self.kind, self.modes, named)
        check_parameters(mode, parameters)
        return mode

    def encrypt(
        self, key: Key, parameters: CipherParameters, plaintext: bytes, random: Random, *, options: KeyOptions
    ) -> Encrypted:
        mode = self.mode_of(parameters, options)
        iv = cipher_mode.new_iv(mode, parameters, cipher_options(options), random)
        if mode.name in WHOLE_BLOCKS_IN:
            self._check_whole_blocks(mode, plaintext)
        return Encrypted(_ENCIPHER[mode.name](self.cipher(key), iv or b"", plaintext), iv)

    def decrypt(self, key: Key, parameters: CipherParameters, ciphertext: bytes, *, options: KeyOptions) -> bytes:
        mode = self.mode_of(parameters, options)
        iv = cipher_mode.given_iv(mode, parameters, cipher_options(options))
        if mode.name in WHOLE_BLOCKS_OUT:
            self._check_whole_blocks(mode, ciphertext)
        if mode.name == "CBC" and not ciphertext:
            raise ParameterInvalid("a padded CBC ciphertext has at least one block")
        return _DECIPHER[mode.name](self.cipher(key), iv or b"", ciphertext)

    def mac(self, key: Key, hash_name: str | None, data: bytes) -> bytes:
        if hash_name is not None:
            raise ParameterInvalid(f"{_a(self.kind)} key makes a CMAC, which takes no alg")
        return self.cipher(key).cmac(data)

    def check_value(self, key: Key, *, cmac: bool) -> bytes:
        cipher = self.cipher(key)
        zeros = bytes(cipher.block)
        return (cipher.cmac(zeros) if cmac else cipher.ecb(zeros))[:CHECK_VALUE_BYTES]

    def _check_whole_blocks(self, mode: Mode, data: bytes) -> None:
        block = self.modes["CBC"].fresh_iv
        if len(data) % block:
            raise ParameterInvalid(f"{mode.name} mode takes whole blocks of {block} bytes, not {len(data)} bytes")


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'AEIO' else 'a'} {kind}"
