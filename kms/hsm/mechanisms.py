"""The door's mechanisms as PKCS#11 mechanism numbers and parameters.

It must not know sessions, handles or blobs: only names, parameters and the lengths they allow.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from pkcs11 import MGF, Mechanism, MechanismFlag
from pkcs11.mechanisms import GCMParams

from kms.hsm.errors import DataRejected, MechanismRefused
from kms.hsm.module import (
    AesCbc,
    AesCtr,
    AesEcb,
    AesGcm,
    AesKw,
    AesKwp,
    Cmac,
    Des3Cbc,
    Des3Ecb,
    Ecdsa,
    Hmac,
    KeySpec,
    RsaPkcs1v15,
    RsaPss,
    Usage,
)

BLOCK, DES_BLOCK = 16, 8
Call = tuple[Mechanism, Any]
"""A mechanism and its parameter, as python-pkcs11 takes them."""

_GCM_TAG_BITS = frozenset({96, 104, 112, 120, 128})
_GCM_IV_BYTES = range(1, 129)  # SP 800-38D §5.2.1.1 allows more; OpenSSL, which tokens stand on, does not

_RIGHTS = {
    Usage.ENCRYPT: MechanismFlag.ENCRYPT,
    Usage.DECRYPT: MechanismFlag.DECRYPT,
    Usage.SIGN: MechanismFlag.SIGN,
    Usage.MAC: MechanismFlag.SIGN,
    Usage.WRAP: MechanismFlag.WRAP,
    Usage.UNWRAP: MechanismFlag.UNWRAP,
    Usage.DERIVE: MechanismFlag.DERIVE,
}

_ALLOWED_USAGE = {
    "AES": Usage.ENCRYPT | Usage.DECRYPT | Usage.WRAP | Usage.UNWRAP | Usage.MAC,
    "DES3": Usage.ENCRYPT | Usage.DECRYPT | Usage.MAC,
    "HMAC": Usage.MAC,
    "RSA": Usage.SIGN | Usage.DECRYPT,
    "EC": Usage.SIGN | Usage.DERIVE,
}


# What a token must list before keys of a kind are kept in it.
_NEEDED: dict[str, frozenset[Mechanism]] = {
    "AES": frozenset({Mechanism.AES_ECB, Mechanism.AES_CBC, Mechanism.AES_CTR, Mechanism.AES_GCM, Mechanism.AES_CMAC}),
    "DES3": frozenset({Mechanism.DES3_ECB, Mechanism.DES3_CBC, Mechanism.DES3_CBC_PAD, Mechanism.DES3_CMAC}),
    "HMAC": frozenset({Mechanism.SHA_1_HMAC, Mechanism.SHA256_HMAC, Mechanism.SHA512_HMAC}),
    "RSA": frozenset({Mechanism.RSA_PKCS, Mechanism.RSA_PKCS_PSS, Mechanism.RSA_X_509}),
    "EC": frozenset({Mechanism.ECDSA, Mechanism.ECDH1_DERIVE}),
}


def offers(listed: frozenset[int], spec: KeySpec) -> bool:
    """Whether a token that lists these mechanisms can do with such a key all that its kind is for."""
    needed = _NEEDED.get(spec.kind)
    return needed is not None and all(int(mechanism) in listed for mechanism in needed)


def effective_usage(kind: str, usage: Usage) -> Usage:
    """What of ``usage`` a key of this kind can do through the door; the rest is refused when it is tried."""
    return usage & _ALLOWED_USAGE.get(kind, Usage.NONE)


def capabilities(usage: Usage) -> int:
    """The CKA_ rights of a session object, never the binding's generous default (docs/hsm.md 5)."""
    flags = 0
    for use, flag in _RIGHTS.items():
        if use in usage:
            flags |= flag
    return flags


# -- ciphers -------------------------------------------------------------------------------------------------------


def _gcm(m: AesGcm) -> Call:
    if len(m.iv) not in _GCM_IV_BYTES:
        raise MechanismRefused("GCM takes an IV of 1 to 128 bytes")
    if m.tag_bits not in _GCM_TAG_BITS:
        raise MechanismRefused(f"GCM tag of {m.tag_bits} bits")
    params = GCMParams(m.iv[:12], m.aad, m.tag_bits)
    params.nonce = m.iv  # python-pkcs11 0.10 refuses longer ones and passes them on well
    return Mechanism.AES_GCM, params


def _cbc(m: AesCbc) -> Call:
    if len(m.iv) != BLOCK:
        raise MechanismRefused("CBC takes an IV of 16 bytes")
    return (Mechanism.AES_CBC_PAD if m.padded else Mechanism.AES_CBC), m.iv


def _ctr(m: AesCtr) -> Call:
    if len(m.iv) != BLOCK:
        raise MechanismRefused("CTR takes an initial counter block of 16 bytes")
    # CK_AES_CTR_PARAMS { CK_ULONG ulCounterBits; CK_BYTE cb[16]; }: python-pkcs11's CTRParams can't count 128 bits.
    return Mechanism.AES_CTR, struct.pack("<Q16s", 128, m.iv)


def _ecb(_: AesEcb) -> Call:
    return Mechanism.AES_ECB, None


def _des3_cbc(m: Des3Cbc) -> Call:
    if len(m.iv) != DES_BLOCK:
        raise MechanismRefused("CBC takes an IV of 8 bytes")
    return (Mechanism.DES3_CBC_PAD if m.padded else Mechanism.DES3_CBC), m.iv


def _des3_ecb(_: Des3Ecb) -> Call:
    return Mechanism.DES3_ECB, None


_CIPHERS: dict[type, Callable[[Any], Call]] = {
    AesGcm: _gcm,
    AesCbc: _cbc,
    AesCtr: _ctr,
    AesEcb: _ecb,
    Des3Cbc: _des3_cbc,
    Des3Ecb: _des3_ecb,
}
_BLOCKS: dict[type, int] = {AesCbc: BLOCK, AesEcb: BLOCK, Des3Cbc: DES_BLOCK, Des3Ecb: DES_BLOCK}


def cipher_call(mechanism: object) -> Call:
    build = _CIPHERS.get(type(mechanism))
    if build is None:
        raise MechanismRefused(f"{type(mechanism).__name__} is no cipher")
    return build(mechanism)


def check_plaintext(mechanism: object, data: bytes) -> None:
    block = _BLOCKS.get(type(mechanism))
    if block is not None and len(data) % block and not getattr(mechanism, "padded", False):
        raise DataRejected(f"the data is not a multiple of {block} bytes")


def check_ciphertext(mechanism: object, data: bytes) -> None:
    if isinstance(mechanism, AesGcm):
        if len(data) * 8 < mechanism.tag_bits:
            raise DataRejected("the ciphertext is shorter than its tag")
        return
    block = _BLOCKS.get(type(mechanism))
    if block is None:
        return
    if len(data) % block:
        raise DataRejected(f"the ciphertext is not a multiple of {block} bytes")
    if getattr(mechanism, "padded", False) and not data:
        raise DataRejected("a padded ciphertext has at least one block")


def split_at_counter_end(mechanism: AesCtr, data: bytes) -> list[tuple[AesCtr, bytes]]:
    """SoftHSM refuses a message whose counter would pass 2^128 (DataLenRange); SP 800-38A §B.1 lets it wrap to zero."""
    if len(mechanism.iv) != BLOCK:
        raise MechanismRefused("CTR takes an initial counter block of 16 bytes")
    room = ((1 << 128) - int.from_bytes(mechanism.iv, "big")) * BLOCK
    if len(data) <= room:
        return [(mechanism, data)]
    return [(mechanism, data[:room]), (AesCtr(bytes(BLOCK)), data[room:])]


# -- wrapping ------------------------------------------------------------------------------------------------------


def check_material(mechanism: object, length: int) -> None:
    """SoftHSM zero-pads what KW can't take instead of refusing it, so the length is checked here (RFC 3394 §2)."""
    if isinstance(mechanism, AesKw):
        if length < 16 or length % 8:
            raise DataRejected("KW takes at least 16 bytes, in multiples of 8")
    elif isinstance(mechanism, AesKwp):
        if length < 1:
            raise DataRejected("KWP takes at least 1 byte")
    else:
        raise MechanismRefused(f"{type(mechanism).__name__} wraps no key")


def check_wrapped(mechanism: object, length: int) -> None:
    floor = {AesKw: 24, AesKwp: 16}.get(type(mechanism))
    if floor is None:
        raise MechanismRefused(f"{type(mechanism).__name__} unwraps no key")
    if length < floor or length % 8:
        raise DataRejected("a wrapped key is a multiple of 8 bytes")


# -- signatures and MACs -------------------------------------------------------------------------------------------

_HASHES: dict[str, tuple[int, bytes, Mechanism, MGF, Mechanism]] = {
    # name: digest length, DigestInfo prefix (RFC 8017 §9.2 note 1), hash, MGF, HMAC
    "SHA1": (20, bytes.fromhex("3021300906052b0e03021a05000414"), Mechanism.SHA_1, MGF.SHA1, Mechanism.SHA_1_HMAC),
    "SHA224": (
        28,
        bytes.fromhex("302d300d06096086480165030402040500041c"),
        Mechanism.SHA224,
        MGF.SHA224,
        Mechanism.SHA224_HMAC,
    ),
    "SHA256": (
        32,
        bytes.fromhex("3031300d060960864801650304020105000420"),
        Mechanism.SHA256,
        MGF.SHA256,
        Mechanism.SHA256_HMAC,
    ),
    "SHA384": (
        48,
        bytes.fromhex("3041300d060960864801650304020205000430"),
        Mechanism.SHA384,
        MGF.SHA384,
        Mechanism.SHA384_HMAC,
    ),
    "SHA512": (
        64,
        bytes.fromhex("3051300d060960864801650304020305000440"),
        Mechanism.SHA512,
        MGF.SHA512,
        Mechanism.SHA512_HMAC,
    ),
}


def _hash(name: str) -> tuple[int, bytes, Mechanism, MGF, Mechanism]:
    try:
        return _HASHES[name]
    except KeyError:
        raise MechanismRefused(f"hash {name}") from None


def _checked_digest(name: str, digest: bytes) -> bytes:
    if len(digest) != _hash(name)[0]:
        raise DataRejected(f"a {name} digest has {_hash(name)[0]} bytes")
    return digest


def sign_call(spec: KeySpec, mechanism: object, digest: bytes) -> tuple[Mechanism, Any, bytes]:
    """Mechanism, parameter and the bytes that C_Sign gets."""
    if spec.kind == "RSA" and isinstance(mechanism, RsaPkcs1v15):
        return Mechanism.RSA_PKCS, None, _hash(mechanism.hash)[1] + _checked_digest(mechanism.hash, digest)
    if spec.kind == "RSA" and isinstance(mechanism, RsaPss):
        # RFC 8017 §9.1.1 step 3; SoftHSM answers GeneralError, which would look like a broken token.
        room = (spec.size - 1 + 7) // 8 - _hash(mechanism.hash)[0] - 2
        if not 0 <= mechanism.salt_length <= room:
            raise MechanismRefused(f"a PSS salt of {mechanism.salt_length} bytes does not fit")
        param = (_hash(mechanism.hash)[2], _hash(mechanism.mgf_hash)[3], mechanism.salt_length)
        return Mechanism.RSA_PKCS_PSS, param, _checked_digest(mechanism.hash, digest)
    if spec.kind == "EC" and isinstance(mechanism, Ecdsa):
        if not digest:
            raise DataRejected("an empty digest")
        return Mechanism.ECDSA, None, digest
    raise MechanismRefused(f"{type(mechanism).__name__} with an {spec.kind} key")


_CMACS = {"AES": Mechanism.AES_CMAC, "DES3": Mechanism.DES3_CMAC}


def mac_call(spec: KeySpec, mechanism: object) -> Mechanism:
    if isinstance(mechanism, Hmac) and spec.kind == "HMAC":
        return _hash(mechanism.hash)[4]
    if isinstance(mechanism, Cmac) and spec.kind in _CMACS:
        return _CMACS[spec.kind]
    raise MechanismRefused(f"{type(mechanism).__name__} with an {spec.kind} key")


def digest_call(hash_name: str) -> Mechanism:
    return _hash(hash_name)[2]
