"""Making, importing and taking over keys: work that ends in a blob or in material the server may hold.

It must not know caches, retries or callers' objects; each function runs on one desk and destroys what it makes.
"""

from __future__ import annotations

import hashlib

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, exceptions

from kms.hsm import blob_keys
from kms.hsm.blob import Version
from kms.hsm.diagnosis import Finding, diagnose
from kms.hsm.errors import DataRejected
from kms.hsm.key_material import (
    DES3_TWO_KEYS,
    HMAC_FLOOR_BYTES,
    SECRET_KINDS,
    EcScalar,
    base_point,
    curve_of,
    ec_public,
    ec_verifies,
    material_bytes,
    parse_private_key,
    rsa_public,
    rsa_verifies,
    spki,
)
from kms.hsm.module import KeySpec, StoredKey
from kms.hsm.sessions import Desk
from kms.hsm.token_objects import (
    NO_RIGHTS,
    PASSING,
    READABLE,
    Key,
    Template,
    create,
    curve_parameters,
    generate_aes,
    generate_des3,
    generate_pair,
    passing,
    read_rsa,
    shared_secret,
    unwrap,
)
from kms.secret import SecretBytes

_TRIAL = hashlib.sha256(b"keystead pairwise consistency").digest()
_X962_OCTET_STRING = 0x04


def generate(desk: Desk, spec: KeySpec, binding: bytes) -> StoredKey:
    if spec.kind == "HMAC":
        return _generate_hmac(desk, spec, binding)
    if spec.kind == "DES3" and spec.size == DES3_TWO_KEYS:
        return import_key(desk, spec, _readable_des3(desk, spec), binding)
    if spec.kind in ("AES", "DES3"):
        with passing(_generate_secret(desk, spec, PASSING)) as key:
            return StoredKey(blob_keys.store(desk, key, binding))
    with passing(*generate_pair(desk.session, spec, PASSING)) as (public, private):
        return StoredKey(blob_keys.store(desk, private, binding), _public_of_pair(spec, public))


def _generate_secret(desk: Desk, spec: KeySpec, template: Template) -> Key:
    if spec.kind == "DES3":
        return generate_des3(desk.session, template=template)
    return generate_aes(desk.session, spec.size, template=template)


def _generate_hmac(desk: Desk, spec: KeySpec, binding: bytes) -> StoredKey:
    """In the token from 64 bytes on. A shorter one must be padded, which no token does: its bytes come from the token's
    generator through the process."""
    if spec.size // 8 < HMAC_FLOOR_BYTES or not blob_keys.kwp_keeps_length(spec):
        return import_key(desk, spec, _random(desk, spec), binding)
    key = desk.session.generate_key(KeyType.GENERIC_SECRET, spec.size, capabilities=NO_RIGHTS, template=PASSING)
    with passing(key):
        return StoredKey(blob_keys.store(desk, key, binding))


def _readable_des3(desk: Desk, spec: KeySpec) -> SecretBytes:
    """Made in the token with parity and all. K1 K2 K1 of two keys is nothing that a token makes: that passes here."""
    with passing(generate_des3(desk.session, template=READABLE)) as key:
        value: bytes = key[Attribute.VALUE]
    return SecretBytes(value[:16] + value[:8] if spec.size == DES3_TWO_KEYS else value)


def _random(desk: Desk, spec: KeySpec) -> SecretBytes:
    return SecretBytes(desk.session.generate_random(spec.size))


def _public_of_pair(spec: KeySpec, public: Key) -> bytes:
    if spec.kind == "RSA":
        return spki(rsa_public(public[Attribute.MODULUS], public[Attribute.PUBLIC_EXPONENT]))
    return spki(ec_public(curve_of(spec), _bare_point(public[Attribute.EC_POINT])))


def _bare_point(point: bytes) -> bytes:
    """CKA_EC_POINT is a DER OCTET STRING of the X9.62 point (PKCS#11 v2.40 §2.3.3), of at most 133 bytes here."""
    header = 3 if point[1] == 0x81 else 2
    if point[0] != _X962_OCTET_STRING or len(point) != header + point[header - 1]:
        raise DataRejected("the token gave no DER encoded EC point")
    return point[header:]


def generate_material(desk: Desk, spec: KeySpec) -> SecretBytes:
    """Raw bytes or PKCS#8 DER of a key whose policy lets the server hold it."""
    if spec.kind in ("AES", "HMAC"):
        return _random(desk, spec)
    if spec.kind == "DES3":
        return _readable_des3(desk, spec)
    with passing(*generate_pair(desk.session, spec, READABLE)) as (_, private):
        if spec.kind == "RSA":
            return SecretBytes(read_rsa(private).to_pkcs8())
        return SecretBytes(EcScalar(private[Attribute.VALUE]).to_pkcs8(curve_of(spec)))


def import_key(desk: Desk, spec: KeySpec, material: SecretBytes, binding: bytes) -> StoredKey:
    value, public = material.reveal(), None
    if spec.kind in SECRET_KINDS:
        if len(value) != material_bytes(spec):
            raise DataRejected(f"the material has {len(value)} bytes, not {material_bytes(spec)}")
    else:
        public = parse_private_key(spec, value).public
    if not blob_keys.kwp_keeps_length(spec):
        return StoredKey(blob_keys.seal(desk, Version.CONFINED, value, binding))
    with passing(create(desk.session, spec, value, template=PASSING, rights=0)) as key:
        return StoredKey(blob_keys.store(desk, key, binding), public)


# -- unwrapping another object's wrapped key, never in the clear ---------------------------------------------------

_TRIAL_RIGHTS: dict[str, int] = {
    "AES": MechanismFlag.ENCRYPT,
    "DES3": MechanismFlag.ENCRYPT,
    "HMAC": MechanismFlag.SIGN,
    "RSA": MechanismFlag.SIGN,
    "EC": MechanismFlag.SIGN | MechanismFlag.DERIVE,
}


def take_over(
    desk: Desk, spec: KeySpec, wrapping: Key, mechanism: Mechanism, wrapped: bytes, binding: bytes
) -> StoredKey:
    """Unwrap under ``wrapping`` as a passing object, see that it is what ``spec`` says, and store it.

    Not every token tells the length of an unwrapped key (SoftHSM 2.6.1: CKA_VALUE_LEN is 0), so each kind is tried out.
    """
    another = DataRejected(f"the wrapped key is no {spec.kind} key of {spec.size} bits")
    if spec.kind in SECRET_KINDS and len(wrapped) != material_bytes(spec) + 8:
        raise another
    try:
        unwrapped = unwrap(wrapping, (mechanism, spec), wrapped, template=PASSING, rights=_TRIAL_RIGHTS[spec.kind])
    except exceptions.KeySizeRange:  # Kryoptic 1.5.4, for an AES key of 30 bytes
        raise another from None
    with passing(unwrapped) as key:
        if spec.kind in ("AES", "HMAC") and key[Attribute.VALUE_LEN] not in (0, material_bytes(spec)):
            raise another
        if spec.kind == "AES":
            _try_aes(key, spec)
        public = _derive_public(key, spec)
        stored = StoredKey(blob_keys.store(desk, key, binding), public)
        if spec.kind in ("HMAC", "DES3"):
            _compare(desk, key, spec, stored.blob, binding)
        return stored


def unwrapped_in_token(spec: KeySpec) -> bool:
    """HMAC keys up to 64 bytes need our padding, ragged ones would lose their length: both go through the process."""
    return spec.kind != "HMAC" or (spec.size // 8 > HMAC_FLOOR_BYTES and blob_keys.kwp_keeps_length(spec))


def _try_aes(key: Key, spec: KeySpec) -> None:
    """With the wrapped length known to 8 bytes, only one valid AES length is left, and the cipher takes no other."""
    try:
        key.encrypt(bytes(16), mechanism=Mechanism.AES_ECB)
    except pkcs11.PKCS11Error as error:
        if diagnose(error) is Finding.REFUSED:  # SoftHSM: MechanismInvalid for a key of 30 bytes
            raise DataRejected(f"the wrapped key is no AES key of {spec.size} bits") from None
        raise


def _compare(desk: Desk, key: Key, spec: KeySpec, blob: bytes, binding: bytes) -> None:
    """SoftHSM takes DES3 and HMAC keys of any length, and our own wrapping then pads them with zeros: that must show.

    HMAC: a key longer than SHA-256's block is hashed first. DES3: zeros fill the key up, so its value is hashed.
    """
    with passing(blob_keys.open_object(desk, spec, blob, binding, MechanismFlag.SIGN)) as stored:
        values = {_fingerprint(desk, each, spec) for each in (key, stored)}
    if len(values) > 1:
        raise DataRejected(f"the wrapped key is no {spec.kind} key of {spec.size} bits")


def _fingerprint(desk: Desk, key: Key, spec: KeySpec) -> bytes:
    if spec.kind == "HMAC":
        return bytes(key.sign(_TRIAL, mechanism=Mechanism.SHA256_HMAC))
    return bytes(desk.session.digest(iter((key,)), mechanism=Mechanism.SHA256))


def _derive_public(key: Key, spec: KeySpec) -> bytes | None:
    if spec.kind == "RSA":
        return _rsa_public(key, spec)
    return _ec_public(key, spec) if spec.kind == "EC" else None


def _rsa_public(key: Key, spec: KeySpec) -> bytes:
    """Modulus and exponent as the token read them, with a pairwise consistency test (FIPS 140-3 IG 10.3.A)."""
    public = rsa_public(key[Attribute.MODULUS], key[Attribute.PUBLIC_EXPONENT])
    if public.key_size != spec.size:
        raise DataRejected(f"the RSA key has {public.key_size} bits, not {spec.size}")
    prefix = bytes.fromhex("3031300d060960864801650304020105000420")  # DigestInfo of SHA-256, RFC 8017 §9.2
    if not rsa_verifies(public, key.sign(prefix + _TRIAL, mechanism=Mechanism.RSA_PKCS), _TRIAL):
        raise DataRejected("the RSA key's halves don't belong together")
    return spki(public)


def _ec_public(key: Key, spec: KeySpec) -> bytes:
    """SoftHSM gives no point for a private key, so it is worked out without seeing the scalar.

    ECDH with the base point yields the public point's x (SP 800-56A §5.7.1.2); of its two y, the right one verifies a
    signature made in the token.
    """
    curve = curve_of(spec)
    if key[Attribute.EC_PARAMS] != curve_parameters(spec):
        raise DataRejected(f"the EC key is not on {spec.curve}")
    x = shared_secret(key, spec, base_point(curve)).reveal()
    signature = key.sign(_TRIAL, mechanism=Mechanism.ECDSA)
    for sign in (b"\x02", b"\x03"):
        public = ec_public(curve, sign + x)
        if ec_verifies(public, signature, _TRIAL):
            return spki(public)
    raise DataRejected("the EC key's halves don't belong together")
