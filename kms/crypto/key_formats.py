"""The forms in which keys travel, to and from the one that is kept: DER of PKCS#8, SPKI or X.509, or bare bytes.

PEM (RFC 7468) and JWK (RFC 7517) are recognised by how they begin. Secrets and opaques are nobody's keys and are never
looked at. It must not know rows, rights or the wire.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from kms.crypto.asymmetric import PrivateKey, PublicKey, load_either, private_der, public_der
from kms.crypto.errors import ParameterInvalid
from kms.secret import SecretBytes

_PEM, _JSON = b"-----BEGIN ", b"{"
_SYMMETRIC = frozenset({"AES", "DES", "DES3", "SEED", "HMAC"})
_NOT_KEYS = frozenset({"SECRET", "OPAQUE"})
_JWK: Mapping[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}
# What an exported key can be written as; each takes the kind and the bytes that are kept.
DEFAULT = "default"
FORMATS = (DEFAULT, "pkcs8", "spki", "pem", "jwk")


def as_kept(kind: str, material: SecretBytes) -> SecretBytes:
    """Imported bytes in the form that the kind's algorithm reads; what is in no other form comes back as it is."""
    if kind in _NOT_KEYS:
        return material
    value = material.reveal().lstrip()
    if value.startswith(_PEM):
        return _of_pem(kind, value)
    if value.startswith(_JSON) and kind != "CERTIFICATE":
        return _of_jwk(kind, value, material)
    return material


def _of_pem(kind: str, pem: bytes) -> SecretBytes:
    try:
        if b"ENCRYPTED" in pem.split(b"\n\n", 1)[0]:
            raise ParameterInvalid("the PEM file is encrypted: decrypt it before the import")
        if kind == "CERTIFICATE":
            return SecretBytes(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))
        if b"PRIVATE KEY-----" in pem.split(b"\n", 1)[0]:
            private: Any = load_pem_private_key(pem, password=None)
            return private_der(private)
        public: Any = load_pem_public_key(pem)
        return SecretBytes(public_der(public))
    except ParameterInvalid:
        raise
    except Exception:  # the parsers raise more kinds than they document; each means the same to the caller
        raise ParameterInvalid(f"the value is not a {kind} object in PEM") from None


def _of_jwk(kind: str, text: bytes, material: SecretBytes) -> SecretBytes:
    """A JSON object with ``kty``. Anything else that begins with a brace is a key by chance, and stays as it is."""
    try:
        jwk = json.loads(text)
    except ValueError:
        return material
    if not isinstance(jwk, dict) or "kty" not in jwk:
        return material
    if jwk["kty"] == "oct" and kind in _SYMMETRIC:
        return _octets(jwk)
    family = _JWK.get(str(jwk["kty"]))
    if family is None or kind in _SYMMETRIC:
        raise ParameterInvalid(f"a JWK of this kty is no {kind} key")
    try:
        key: Any = family.from_jwk(jwk)
    except (InvalidKeyError, ValueError, TypeError, KeyError):
        raise ParameterInvalid("the value is not a well-formed JWK") from None
    return private_der(key) if isinstance(key, PrivateKey) else SecretBytes(public_der(key))


def _octets(jwk: Mapping[str, Any]) -> SecretBytes:
    try:
        value = str(jwk["k"])
        return SecretBytes(base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True))
    except (KeyError, ValueError, binascii.Error):
        raise ParameterInvalid("the value is not a well-formed JWK") from None


# -- export --------------------------------------------------------------------------------------------------------


def written(kind: str, material: SecretBytes, form: str) -> SecretBytes:
    """Exported bytes in one of FORMATS but the default, whose spelling is the wire's affair."""
    if kind in _NOT_KEYS:
        raise ParameterInvalid(f"{kind} objects are exported as they are")
    if kind == "CERTIFICATE":
        return _certificate(material, form)
    if kind in _SYMMETRIC:
        return _symmetric(kind, material, form)
    return _WRITERS[form](*load_either(material))


def _certificate(material: SecretBytes, form: str) -> SecretBytes:
    if form != "pem":
        raise ParameterInvalid("a certificate is exported in DER or as pem")
    return SecretBytes(x509.load_der_x509_certificate(material.reveal()).public_bytes(Encoding.PEM))


def _symmetric(kind: str, material: SecretBytes, form: str) -> SecretBytes:
    if form != "jwk":
        raise ParameterInvalid(f"an {kind} key is exported as bytes or as jwk")
    encoded = base64.urlsafe_b64encode(material.reveal()).rstrip(b"=").decode()
    return SecretBytes(json.dumps({"kty": "oct", "k": encoded}).encode())


def _pem(private: PrivateKey | None, public: PublicKey) -> SecretBytes:
    if private is None:
        return SecretBytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return SecretBytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _pkcs8(private: PrivateKey | None, _public: PublicKey) -> SecretBytes:
    if private is None:
        raise ParameterInvalid("a public key alone has no PKCS#8 form: use spki")
    return private_der(private)


def _spki(_private: PrivateKey | None, public: PublicKey) -> SecretBytes:
    return SecretBytes(public_der(public))


def _jwk(private: PrivateKey | None, public: PublicKey) -> SecretBytes:
    key: Any = public if private is None else private
    for family in _JWK.values():
        try:
            return SecretBytes(family.to_jwk(key).encode())
        except (InvalidKeyError, TypeError, AttributeError):
            continue
    raise ParameterInvalid("keys of this kind have no JWK form (RFC 7518, RFC 8037)")


_WRITERS: Mapping[str, Callable[[PrivateKey | None, PublicKey], SecretBytes]] = {
    "pkcs8": _pkcs8,
    "spki": _spki,
    "pem": _pem,
    "jwk": _jwk,
}
