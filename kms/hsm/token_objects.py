"""Templates: how keys are put into the token, and with which rights.

It must not know blobs, caches, locks or recovery; it is given a session and makes or unwraps one object.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pkcs11
from pkcs11 import KDF, Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.attributes import AttributeMapper
from pkcs11.constants import DEFAULT
from pkcs11.util.ec import encode_named_curve_parameters

from kms.hsm.errors import DataRejected
from kms.hsm.key_material import EcScalar, RsaParts, curve_of, ec_public, padded_hmac_key, parse_private_key
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes

Key = Any
"""A python-pkcs11 key: its class is built at run time from its rights, so no static type fits."""
Template = dict[Attribute, Any]

NO_RIGHTS = pkcs11.MechanismFlag(0)

LOCKED: Template = {Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
PASSING: Template = {Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: True}
"""For the moment between making a key and wrapping it."""
READABLE: Template = {Attribute.PRIVATE: True, Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True}
"""For material that the server may hold anyway."""

# python-pkcs11's unwrap template adds rights that tokens refuse on private keys; DEFAULT takes them out again.
_NOT_ON_PRIVATE: Template = {Attribute.ENCRYPT: DEFAULT, Attribute.WRAP: DEFAULT, Attribute.VERIFY: DEFAULT}

_OCTET_STRING = 0x04

_CLASSES: dict[str, tuple[ObjectClass, KeyType]] = {
    "AES": (ObjectClass.SECRET_KEY, KeyType.AES),
    "DES3": (ObjectClass.SECRET_KEY, KeyType.DES3),
    "HMAC": (ObjectClass.SECRET_KEY, KeyType.GENERIC_SECRET),
    "RSA": (ObjectClass.PRIVATE_KEY, KeyType.RSA),
    "EC": (ObjectClass.PRIVATE_KEY, KeyType.EC),
}
_RIGHTS = {
    Attribute.ENCRYPT: pkcs11.MechanismFlag.ENCRYPT,
    Attribute.DECRYPT: pkcs11.MechanismFlag.DECRYPT,
    Attribute.WRAP: pkcs11.MechanismFlag.WRAP,
    Attribute.UNWRAP: pkcs11.MechanismFlag.UNWRAP,
    Attribute.SIGN: pkcs11.MechanismFlag.SIGN,
    Attribute.DERIVE: pkcs11.MechanismFlag.DERIVE,
}
_PRIVATE_KEY_RIGHTS = (Attribute.SIGN, Attribute.DECRYPT, Attribute.UNWRAP, Attribute.DERIVE)

# -- attributes the binding can't pack -----------------------------------------------------------------------------

_true = ctypes.create_string_buffer(b"\x01", 1)
_false = ctypes.create_string_buffer(b"\x00", 1)


def _pack_boolean_template(template: dict[Attribute, bool]) -> bytes:
    """CKA_UNWRAP_TEMPLATE: an array of CK_ATTRIBUTE { type, pValue, ulValueLen } (PKCS#11 v2.40 §4.9).

    The two values live as long as the module, so the pointers stay good.
    """
    return b"".join(
        struct.pack("<QQQ", int(name), ctypes.addressof(_true if value else _false), 1)
        for name, value in template.items()
    )


def _unpack_mechanisms(value: bytes) -> frozenset[int]:
    return frozenset(struct.unpack(f"<{len(value) // 8}Q", value))


def attribute_mapper() -> AttributeMapper:
    mapper = AttributeMapper()
    mapper.register_handler(
        Attribute.ALLOWED_MECHANISMS, lambda value: struct.pack(f"<{len(value)}Q", *map(int, value)), _unpack_mechanisms
    )
    mapper.register_handler(Attribute.UNWRAP_TEMPLATE, _pack_boolean_template, bytes)
    return mapper


# -- making objects ------------------------------------------------------------------------------------------------


def curve_parameters(spec: KeySpec) -> bytes:
    return encode_named_curve_parameters(curve_of(spec).name)


def unwrap(wrapping: Key, call: tuple[Mechanism, KeySpec], wrapped: bytes, *, template: Template, rights: int) -> Key:
    """C_UnwrapKey as a session object."""
    mechanism, spec = call
    object_class, key_type = _CLASSES[spec.kind]
    private = _NOT_ON_PRIVATE if object_class is ObjectClass.PRIVATE_KEY else {}
    return wrapping.unwrap_key(
        object_class, key_type, wrapped, mechanism=mechanism, capabilities=rights, template={**template, **private}
    )


def create(session: pkcs11.Session, spec: KeySpec, material: bytes, *, template: Template, rights: int) -> Key:
    """C_CreateObject from bytes the process holds: a caller's import, or a sealed blob just opened."""
    object_class, key_type = _CLASSES[spec.kind]
    attributes: Template = {
        **template,
        Attribute.CLASS: object_class,
        Attribute.KEY_TYPE: key_type,
        Attribute.TOKEN: False,
    }
    private = object_class is ObjectClass.PRIVATE_KEY
    attributes |= {
        name: bool(rights & flag) for name, flag in _RIGHTS.items() if not private or name in _PRIVATE_KEY_RIGHTS
    }
    attributes |= _values(spec, material)
    return session.create_object(attributes)


def _values(spec: KeySpec, material: bytes) -> Template:
    if spec.kind in ("AES", "DES3"):
        return {Attribute.VALUE: material}
    if spec.kind == "HMAC":
        return {Attribute.VALUE: padded_hmac_key(material)}
    parts = parse_private_key(spec, material, authenticated=True).parts
    if isinstance(parts, EcScalar):
        return {Attribute.EC_PARAMS: curve_parameters(spec), Attribute.VALUE: parts.value}
    return {attribute: getattr(parts, name) for name, attribute in _RSA_ATTRIBUTES.items()}


_RSA_ATTRIBUTES = {
    "modulus": Attribute.MODULUS,
    "public_exponent": Attribute.PUBLIC_EXPONENT,
    "private_exponent": Attribute.PRIVATE_EXPONENT,
    "prime_1": Attribute.PRIME_1,
    "prime_2": Attribute.PRIME_2,
    "exponent_1": Attribute.EXPONENT_1,
    "exponent_2": Attribute.EXPONENT_2,
    "coefficient": Attribute.COEFFICIENT,
}


def read_rsa(key: Key) -> RsaParts:
    """The numbers of a READABLE private key."""
    return RsaParts(**{name: key[attribute] for name, attribute in _RSA_ATTRIBUTES.items()})


def generate_pair(session: pkcs11.Session, spec: KeySpec, template: Template) -> tuple[Key, Key]:
    """A public and a private session object, neither with any right."""
    if spec.kind == "EC":
        parameters = session.create_domain_parameters(
            KeyType.EC, {Attribute.EC_PARAMS: curve_parameters(spec)}, local=True
        )
        return parameters.generate_keypair(capabilities=NO_RIGHTS, private_template=template)
    exponent = spec.public_exponent.to_bytes((spec.public_exponent.bit_length() + 7) // 8, "big")
    return session.generate_keypair(
        KeyType.RSA,
        spec.size,
        capabilities=NO_RIGHTS,
        public_template={Attribute.PUBLIC_EXPONENT: exponent},
        private_template=template,
    )


def generate_aes(
    session: pkcs11.Session, bits: int, *, template: Template, rights: pkcs11.MechanismFlag = NO_RIGHTS
) -> Key:
    return session.generate_key(KeyType.AES, bits, capabilities=rights, template=template)


def generate_des3(session: pkcs11.Session, *, template: Template) -> Key:
    """Three-key TDEA; the token sets the parity bits (SP 800-67 §3.4)."""
    return session.generate_key(KeyType.DES3, capabilities=NO_RIGHTS, template=template)


def shared_secret(key: Key, spec: KeySpec, point: bytes) -> SecretBytes:
    """ECDH's Z, read out of the token and destroyed there.

    A peer's point must lie on the curve before the private key meets it (SP 800-56A §5.6.2.3.3).

    SoftHSM 2.6.1 takes a point whose x begins like a DER length that fits, short or long, for the DER OCTET STRING that
    PKCS#11 also allows (v2.40 §2.3.6), one in 256 on curves up to 384 bits, and fails. Those go there in DER.
    """
    if point[:1] != b"\x04":
        raise DataRejected("the EC point is not in the uncompressed form of X9.62")
    ec_public(curve_of(spec), point)
    try:
        return _shared_secret(key, spec, point)
    except pkcs11.PKCS11Error:
        if point[1] != len(point) - 2 and point[1:3] != bytes([0x81, len(point) - 3]):
            raise
        return _shared_secret(key, spec, bytes([_OCTET_STRING, len(point)]) + point)


def _shared_secret(key: Key, spec: KeySpec, point: bytes) -> SecretBytes:
    bits = (curve_of(spec).key_size + 7) // 8 * 8
    derived = key.derive_key(
        KeyType.GENERIC_SECRET,
        bits,
        capabilities=0,
        mechanism=Mechanism.ECDH1_DERIVE,
        mechanism_param=(KDF.NULL, None, point),
        template=READABLE,
    )
    with passing(derived):
        return SecretBytes(derived[Attribute.VALUE])


def wrap_held(wrapping: Key, mechanism: Mechanism, material: SecretBytes) -> bytes:
    """C_WrapKey of bytes the process holds, by way of a passing session object."""
    attributes = {
        **PASSING,
        Attribute.CLASS: ObjectClass.SECRET_KEY,
        Attribute.KEY_TYPE: KeyType.GENERIC_SECRET,
        Attribute.TOKEN: False,
        Attribute.VALUE: material.reveal(),
    }
    with passing(wrapping.session.create_object(attributes)) as key:
        return bytes(wrapping.wrap_key(key, mechanism=mechanism))


def unwrap_held(wrapping: Key, mechanism: Mechanism, wrapped: bytes) -> SecretBytes:
    """C_UnwrapKey of something that the caller may see."""
    unwrapped = wrapping.unwrap_key(
        ObjectClass.SECRET_KEY,
        KeyType.GENERIC_SECRET,
        wrapped,
        mechanism=mechanism,
        capabilities=0,
        template=READABLE,
    )
    with passing(unwrapped) as key:
        return SecretBytes(key[Attribute.VALUE])


@contextmanager
def passing(*keys: Key) -> Iterator[Any]:
    """Session objects that are destroyed whatever happens.

    A token that can't destroy one has lost its sessions and the object with them; the error that led here matters
    more.
    """
    try:
        yield keys[0] if len(keys) == 1 else keys
    finally:
        for key in keys:
            with suppress(pkcs11.PKCS11Error):
                key.destroy()
