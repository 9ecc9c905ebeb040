"""Keys come in and go out in the forms that people have them in, and are the same keys."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt.algorithms
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kms.crypto.asymmetric import load_public
from kms.crypto.errors import ParameterInvalid
from kms.objects.models import SecurityObject
from kms.operations.command import ObjectRef
from kms.operations.executor import execute
from kms.operations.lifecycle import ExportObject
from tests.kit.tenants import Tenant

PAIRS: dict[str, tuple[str, Any]] = {
    "RSA": ("RSA", rsa.generate_private_key(65537, 2048)),
    "P-256": ("EC", ec.generate_private_key(ec.SECP256R1())),
    "secp256k1": ("EC", ec.generate_private_key(ec.SECP256K1())),
    "Ed25519": ("EC", ed25519.Ed25519PrivateKey.generate()),
    "Ed448": ("EC", ed448.Ed448PrivateKey.generate()),
    "X25519": ("EC", x25519.X25519PrivateKey.generate()),
    "DSA": ("DSA", dsa.generate_private_key(2048)),
    "ML-DSA-44": ("MLDSA", mldsa.MLDSA44PrivateKey.generate()),
}
JWK = ("RSA", "P-256", "secp256k1", "Ed25519", "Ed448")
TRADITIONAL = ("RSA", "P-256", "DSA")


def spki(key: Any) -> bytes:
    encoded: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def jwk(key: Any) -> bytes:
    for family in (
        jwt.algorithms.RSAAlgorithm,
        jwt.algorithms.ECAlgorithm,
        jwt.algorithms.OKPAlgorithm,
    ):
        try:
            return family.to_jwk(key).encode()
        except (TypeError, AttributeError, jwt.InvalidKeyError):
            continue
    raise AssertionError("no JWK")


def kept(key: ObjectRef) -> SecurityObject:
    assert key.id is not None
    return SecurityObject.objects.get(id=key.id)


def exported(tenant: Tenant, key: ObjectRef, form: str) -> bytes:
    value: bytes = execute(tenant.app, ExportObject(key, form)).value.reveal()
    return value


def imported(tenant: Tenant, kind: str, value: bytes) -> ObjectRef:
    return tenant.imported(kind, value, operations=["export", "app-manageable"])


@pytest.mark.parametrize("name", PAIRS)
def test_a_private_key_is_imported_in_der_and_in_pem(tenant: Tenant, name: str) -> None:
    kind, key = PAIRS[name]
    forms = [(encoding, PrivateFormat.PKCS8) for encoding in (Encoding.DER, Encoding.PEM)]
    if name in TRADITIONAL:
        forms += [(encoding, PrivateFormat.TraditionalOpenSSL) for encoding in (Encoding.DER, Encoding.PEM)]
    for encoding, form in forms:
        row = kept(imported(tenant, kind, key.private_bytes(encoding, form, NoEncryption())))
        assert bytes(row.public_key or b"") == spki(key), (encoding, form)
        assert not row.public_only


@pytest.mark.parametrize("name", PAIRS)
def test_a_public_key_is_imported_in_pem(tenant: Tenant, name: str) -> None:
    kind, key = PAIRS[name]
    row = kept(imported(tenant, kind, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)))
    assert bytes(row.public_key or b"") == spki(key)
    assert row.public_only


@pytest.mark.parametrize("name", JWK)
def test_a_pair_and_its_public_key_are_imported_as_jwk(tenant: Tenant, name: str) -> None:
    kind, key = PAIRS[name]
    assert bytes(kept(imported(tenant, kind, jwk(key))).public_key or b"") == spki(key)
    public = kept(imported(tenant, kind, jwk(key.public_key())))
    assert bytes(public.public_key or b"") == spki(key)
    assert public.public_only


@pytest.mark.parametrize("name", PAIRS)
def test_an_exportable_pair_leaves_as_pkcs8_spki_and_pem(tenant: Tenant, name: str) -> None:
    kind, key = PAIRS[name]
    ref = imported(tenant, kind, key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    loaded = serialization.load_der_private_key(exported(tenant, ref, "pkcs8"), None)
    assert spki(loaded) == spki(key)
    assert spki(serialization.load_pem_private_key(exported(tenant, ref, "pem"), None)) == spki(key)
    assert exported(tenant, ref, "spki") == spki(key)


@pytest.mark.parametrize("name", JWK)
def test_an_exportable_pair_leaves_as_jwk_and_comes_back(tenant: Tenant, name: str) -> None:
    kind, key = PAIRS[name]
    ref = imported(tenant, kind, key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    again = imported(tenant, kind, exported(tenant, ref, "jwk"))
    assert bytes(kept(again).public_key or b"") == spki(key)
    assert not kept(again).public_only


@pytest.mark.parametrize("kind", ["AES", "HMAC"])
def test_a_symmetric_key_travels_as_jwk(tenant: Tenant, kind: str) -> None:
    value = bytes(range(0x7B, 0x7B + 32))  # it begins with a brace, which alone makes no JWK
    ref = imported(tenant, kind, value)
    assert exported(tenant, ref, "default") == value
    text = json.loads(exported(tenant, ref, "jwk"))
    assert text == {"kty": "oct", "k": base64.urlsafe_b64encode(value).rstrip(b"=").decode()}
    assert exported(tenant, imported(tenant, kind, json.dumps(text).encode()), "default") == value


def test_a_secret_is_never_taken_for_a_key(tenant: Tenant) -> None:
    pem = PAIRS["P-256"][1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for value in (pem, b'{"kty": "oct", "k": "AAAA"}'):
        assert exported(tenant, imported(tenant, "SECRET", value), "default") == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("RSA", b"-----BEGIN PRIVATE KEY-----\nbm8gZ29vZA==\n-----END PRIVATE KEY-----\n"),
        ("RSA", b"-----BEGIN RSA PRIVATE KEY-----"),
        ("EC", b'{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}'),
        ("EC", b'{"kty": "unknown"}'),
        ("RSA", b'{"kty": "oct", "k": "AAAA"}'),
        ("AES", b'{"kty": "oct", "k": "!"}'),
        ("AES", b'{"kty": "oct"}'),
        ("AES", b'{"kty": "RSA"}'),
        ("CERTIFICATE", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ],
)
def test_what_is_malformed_in_its_form_is_refused(tenant: Tenant, kind: str, value: bytes) -> None:
    with pytest.raises(ParameterInvalid) as refused:
        imported(tenant, kind, value)
    assert "AAAA" not in str(refused.value)


def test_an_encrypted_pem_is_refused_with_what_to_do(tenant: Tenant) -> None:
    locked = PAIRS["P-256"][1].private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"password")
    )
    with pytest.raises(ParameterInvalid, match="decrypt it before"):
        imported(tenant, "EC", locked)


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [("AES", bytes(32), "pem"), ("AES", bytes(16), "pkcs8"), ("SECRET", b"secret", "pem"), ("OPAQUE", b"{}", "jwk")],
)
def test_a_form_that_the_kind_does_not_have_is_refused(tenant: Tenant, kind: str, value: bytes, form: str) -> None:
    ref = imported(tenant, kind, value)
    with pytest.raises(ParameterInvalid):
        execute(tenant.app, ExportObject(ref, form))


def test_a_public_key_alone_has_no_pkcs8_form(tenant: Tenant) -> None:
    ref = imported(tenant, "EC", spki(PAIRS["P-256"][1]))
    with pytest.raises(ParameterInvalid, match="use spki"):
        execute(tenant.app, ExportObject(ref, "pkcs8"))
    assert load_public(exported(tenant, ref, "spki"))
