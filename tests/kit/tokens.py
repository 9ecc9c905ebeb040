"""An issuer of signed tokens: honest ones by PyJWT, and whatever else by hand."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

CLUSTER = "https://kubernetes.default.svc.cluster.local"
POD = "system:serviceaccount:shop:payments"


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def ec_key(curve: str = "secp256r1") -> ec.EllipticCurvePrivateKey:
    return _ec_key(curve)


@cache
def _ec_key(curve: str) -> ec.EllipticCurvePrivateKey:
    curves = {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1(), "secp521r1": ec.SECP521R1()}
    return ec.generate_private_key(curves[curve])


@cache
def ed_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def key_for(algorithm: str) -> Any:
    if algorithm.startswith("ES"):
        return ec_key({"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}[algorithm])
    return ed_key() if algorithm == "EdDSA" else rsa_key()


def spki(private: Any, encoding: Encoding = Encoding.DER) -> bytes:
    encoded: bytes = private.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def jwk(private: Any, **members: Any) -> dict[str, Any]:
    public = private.public_key()
    kind = {rsa.RSAPublicKey: RSAAlgorithm, ec.EllipticCurvePublicKey: ECAlgorithm}
    reader: Any = next((found for base, found in kind.items() if isinstance(public, base)), OKPAlgorithm)
    return {**reader.to_jwk(public, as_dict=True), **members}


def b64(data: bytes | str | dict[str, Any]) -> str:
    if isinstance(data, dict):
        data = json.dumps(data)
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def by_hand(header: str | dict[str, Any], payload: str | dict[str, Any], key: Any, algorithm: str) -> str:
    """A token with exactly this header and payload, signed all the same."""
    signed = f"{b64(header)}.{b64(payload)}"
    signer = get_default_algorithms()[algorithm]
    return f"{signed}.{b64(signer.sign(signed.encode(), signer.prepare_key(key)))}"


@dataclass
class Issuer:
    """Signs for a subject. ``kid`` and ``key`` can be exchanged, as an issuer's are."""

    subject: str
    audience: Any
    name: str = CLUSTER
    algorithm: str = "RS256"
    kid: str = "key-1"
    key: Any = None
    lifetime: int = 600
    more: dict[str, Any] = field(default_factory=dict)

    def private(self) -> Any:
        return self.key or key_for(self.algorithm)

    def claims(self, **changed: Any) -> dict[str, Any]:
        """A claim that is None is left out."""
        now = int(time.time())
        stated = {
            "iss": self.name,
            "sub": self.subject,
            "aud": self.audience,
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime,
            **self.more,
            **changed,
        }
        return {name: value for name, value in stated.items() if value is not None}

    def header(self, **changed: Any) -> dict[str, Any]:
        stated = {"alg": self.algorithm, "kid": self.kid, "typ": "JWT", **changed}
        return {name: value for name, value in stated.items() if value is not None}

    def token(self, **claims: Any) -> str:
        return jwt.encode(self.claims(**claims), self.private(), self.algorithm, headers={"kid": self.kid})
