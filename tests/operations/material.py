"""Material to import: one of each kind, made once."""

from __future__ import annotations

import datetime
import functools
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from kms.crypto.asymmetric import PrivateKey, private_der, public_der


@functools.cache
def rsa_key(bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(exponent, bits)


@functools.cache
def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


def pkcs8(key: PrivateKey) -> bytes:
    return private_der(key).reveal()


def spki(key: PrivateKey) -> bytes:
    return public_der(key.public_key())


@functools.cache
def certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, ec_key().public_key(), 1, start, start + datetime.timedelta(days=1))
    return builder.sign(ec_key(), hashes.SHA256()).public_bytes(Encoding.DER)


@functools.cache
def one_of_each() -> dict[str, tuple[str, bytes]]:
    """Label -> kind and material."""
    return {
        "AES-128": ("AES", os.urandom(16)),
        "AES-256": ("AES", os.urandom(32)),
        "HMAC of 14 bytes": ("HMAC", os.urandom(14)),
        "HMAC of 100 bytes": ("HMAC", os.urandom(100)),
        "HMAC of 1024 bytes": ("HMAC", os.urandom(1024)),
        "RSA-2048": ("RSA", pkcs8(rsa_key())),
        "RSA-2048 with exponent 3": ("RSA", pkcs8(rsa_key(2048, 3))),
        "P-256": ("EC", pkcs8(ec_key())),
        "P-521": ("EC", pkcs8(ec_key(ec.SECP521R1))),
        "secp256k1": ("EC", pkcs8(ec_key(ec.SECP256K1))),
        "secret": ("SECRET", b"\0 not text \xff"),
        "opaque of 100 kB": ("OPAQUE", os.urandom(100_000)),
        "certificate": ("CERTIFICATE", certificate()),
    }
