"""AES (FIPS 197) in GCM, CBC, CTR and ECB (SP 800-38A, -38D), and as a wrapping key (SP 800-38F)."""

from __future__ import annotations

from kms.crypto.algorithm import Algorithm, CipherParameters, Described, Encrypted, Key, Random, token_key
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.crypto.options import KeyOptions
from kms.hsm.module import AesCbc, AesCtr, AesEcb, AesGcm, CipherMechanism, Cmac, KeySpec, OpenedKey
from kms.secret import SecretBytes

BLOCK = 16
GCM_IV = 12
SIZES = (128, 192, 256)
# SP 800-38D §5.2.1.2 without the short tags of its appendix C.
GCM_TAG_BITS = (96, 104, 112, 120, 128)
DEFAULT_MODE = "CBC"


class Aes(Algorithm):
    kind = "AES"
    check_values = True
    operations = MANAGEMENT | {
        KeyOperation.ENCRYPT,
        KeyOperation.DECRYPT,
        KeyOperation.WRAP,
        KeyOperation.UNWRAP,
        KeyOperation.DERIVE,
        KeyOperation.MAC_GENERATE,
        KeyOperation.MAC_VERIFY,
    }
    defaults = frozenset(
        {
            KeyOperation.ENCRYPT,
            KeyOperation.DECRYPT,
            KeyOperation.WRAP,
            KeyOperation.UNWRAP,
            KeyOperation.DERIVE,
            KeyOperation.MAC_GENERATE,
            KeyOperation.MAC_VERIFY,
            KeyOperation.APP_MANAGEABLE,
        }
    )

    def generation_spec(self, *, size: int | None, curve: str | None, public_exponent: int | None) -> KeySpec:
        if size is None:
            raise ParameterInvalid("an AES key needs key_size: 128, 192 or 256")
        return KeySpec(self.kind, _checked_size(size))

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        bits = _checked_size(len(material) * 8)
        if size is not None and size != bits:
            raise ParameterInvalid(f"key_size is {size}, but the value has {bits} bits")
        return Described(KeySpec(self.kind, bits), material)

    def encrypt(
        self, key: Key, parameters: CipherParameters, plaintext: bytes, random: Random, *, options: KeyOptions
    ) -> Encrypted:
        opened = token_key(key)
        mode = parameters.mode if parameters.mode is not None else DEFAULT_MODE
        if mode == "GCM":
            return _encrypt_gcm(opened, parameters, plaintext, random)
        _refuse_gcm_parameters(mode, parameters)
        iv = _new_iv(mode, parameters.iv, random)
        if mode in ("CBCNOPAD", "ECB"):
            _check_whole_blocks(mode, plaintext)
        return Encrypted(opened.encrypt(_mechanism(mode, iv), plaintext), iv)

    def decrypt(self, key: Key, parameters: CipherParameters, ciphertext: bytes, *, options: KeyOptions) -> bytes:
        opened = token_key(key)
        mode = parameters.mode if parameters.mode is not None else DEFAULT_MODE
        if mode == "GCM":
            return _decrypt_gcm(opened, parameters, ciphertext)
        _refuse_gcm_parameters(mode, parameters)
        iv = _given_iv(mode, parameters.iv)
        if mode != "CTR":
            _check_whole_blocks(mode, ciphertext)
        if mode == "CBC" and not ciphertext:
            raise ParameterInvalid("a padded CBC ciphertext has at least one block")
        return opened.decrypt(_mechanism(mode, iv), ciphertext)

    def mac(self, key: Key, hash_name: str | None, data: bytes) -> bytes:
        if hash_name is not None:
            raise ParameterInvalid("an AES key makes a CMAC, which takes no alg")
        return token_key(key).mac(Cmac(), data)

    def check_value(self, key: Key, *, cmac: bool) -> bytes:
        opened, zeros = token_key(key), bytes(BLOCK)
        return (opened.mac(Cmac(), zeros) if cmac else opened.encrypt(AesEcb(), zeros))[:3]


def _checked_size(bits: int) -> int:
    if bits not in SIZES:
        raise ParameterInvalid(f"an AES key has 128, 192 or 256 bits, not {bits}")
    return bits


def _encrypt_gcm(key: OpenedKey, parameters: CipherParameters, plaintext: bytes, random: Random) -> Encrypted:
    tag_bits = parameters.tag_bits if parameters.tag_bits is not None else 128
    if tag_bits not in GCM_TAG_BITS:
        raise ParameterInvalid(f"tag_len is in bits and one of {', '.join(map(str, GCM_TAG_BITS))}, not {tag_bits}")
    iv = parameters.iv if parameters.iv is not None else random(GCM_IV)
    _check_length("the IV in GCM mode", iv, GCM_IV)
    sealed = key.encrypt(AesGcm(iv, parameters.aad or b"", tag_bits), plaintext)
    split = len(sealed) - tag_bits // 8
    return Encrypted(sealed[:split], iv, sealed[split:])


def _decrypt_gcm(key: OpenedKey, parameters: CipherParameters, ciphertext: bytes) -> bytes:
    if parameters.iv is None:
        raise ParameterInvalid("GCM mode needs the iv")
    if parameters.tag is None:
        raise ParameterInvalid("GCM mode needs the tag")
    _check_length("the IV in GCM mode", parameters.iv, GCM_IV)
    tag_bits = len(parameters.tag) * 8
    if tag_bits not in GCM_TAG_BITS:
        raise ParameterInvalid(f"a GCM tag has 12 to 16 bytes, not {len(parameters.tag)}")
    return key.decrypt(AesGcm(parameters.iv, parameters.aad or b"", tag_bits), ciphertext + parameters.tag)


def _refuse_gcm_parameters(mode: str, parameters: CipherParameters) -> None:
    given = [
        name
        for name, value in (("ad", parameters.aad), ("tag_len", parameters.tag_bits), ("tag", parameters.tag))
        if value is not None
    ]
    if given:
        raise ParameterInvalid(f"{mode} mode takes no {' or '.join(given)}")


def _new_iv(mode: str, iv: bytes | None, random: Random) -> bytes | None:
    if mode == "ECB":
        return _given_iv(mode, iv)
    return _given_iv(mode, iv if iv is not None else random(BLOCK))


def _given_iv(mode: str, iv: bytes | None) -> bytes | None:
    if mode == "ECB":
        if iv is not None:
            raise ParameterInvalid("ECB mode takes no iv")
        return None
    if iv is None:
        raise ParameterInvalid(f"{mode} mode needs the iv")
    _check_length(f"the IV in {mode} mode", iv, BLOCK)
    return iv


def _check_length(what: str, value: bytes, expected: int) -> None:
    if len(value) != expected:
        raise ParameterInvalid(f"{what} has {expected} bytes, not {len(value)}")


def _check_whole_blocks(mode: str, data: bytes) -> None:
    if len(data) % BLOCK:
        raise ParameterInvalid(f"{mode} mode takes whole blocks of {BLOCK} bytes, not {len(data)} bytes")


def _mechanism(mode: str, iv: bytes | None) -> CipherMechanism:
    if mode == "ECB":
        return AesEcb()
    assert iv is not None
    if mode == "CBC":
        return AesCbc(iv, padded=True)
    if mode == "CBCNOPAD":
        return AesCbc(iv, padded=False)
    if mode == "CTR":
        return AesCtr(iv)
    raise AlgorithmUnsupported(f"AES in {mode} mode is not supported for encryption")
