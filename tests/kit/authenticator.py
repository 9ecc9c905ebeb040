"""A security key in software: makes credentials and assertions as WebAuthn and U2F say, and forgeries where told to.

Written from the specifications, not with the library that the server checks with, but for its CBOR.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from fido2 import cbor

ORIGIN = "https://localhost:8443"
RP_ID = "localhost"
UP, UV, AT = 0x01, 0x04, 0x40
ES256, EDDSA, RS256 = -7, -8, -257

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sha256(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def _key(algorithm: int, size: int) -> PrivateKey:
    if algorithm == EDDSA:
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == RS256:
        return rsa.generate_private_key(65537, size)
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Authenticator:
    """One key for one relying party. ``flags``, ``origin`` and the rest are what a forger would change."""

    algorithm: int = ES256
    rp_id: str = RP_ID
    origin: str = ORIGIN
    counter: int = 0
    flags: int = UP | UV
    cross_origin: bool = False
    rsa_size: int = 2048
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def __post_init__(self) -> None:
        self.key = _key(self.algorithm, self.rsa_size)

    # -- WebAuthn ----------------------------------------------------------------------------------------------------

    def create(self, options: dict[str, Any], *, kind: str = "webauthn.create") -> dict[str, Any]:
        """The answer to ``PublicKeyCredentialCreationOptions``, in the vendor's JSON."""
        attested = bytes(16) + struct.pack(">H", len(self.credential_id)) + self.credential_id + self.encoded_cose()
        data = self.authenticator_data(self.flags | AT) + attested
        attestation = cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})
        response = {
            "clientDataJSON": b64(self.client_data(kind, options["challenge"])),
            "attestationObject": b64(attestation),
            "getTransports": ["usb"],
        }
        return {"id": b64(self.credential_id), "type": "public-key", "response": response}

    def get(self, options: dict[str, Any], *, kind: str = "webauthn.get", **changes: Any) -> dict[str, Any]:
        """The answer to ``PublicKeyCredentialRequestOptions``. The counter counts."""
        self.counter += changes.pop("counts", 1)
        client_data = self.client_data(kind, options["challenge"])
        data = self.authenticator_data(self.flags)
        response = {
            "clientDataJSON": b64(client_data),
            "authenticatorData": b64(data),
            "signature": b64(self.sign(data + sha256(client_data))),
        }
        return {"id": b64(self.credential_id), "type": "public-key", "response": response | changes}

    def client_data(self, kind: str, challenge: str) -> bytes:
        fields = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": self.cross_origin}
        return json.dumps(fields).encode()

    def authenticator_data(self, flags: int) -> bytes:
        return sha256(self.rp_id.encode()) + struct.pack(">BI", flags, self.counter)

    def cose(self) -> dict[int, Any]:
        public = self.key.public_key()
        if isinstance(public, ed25519.Ed25519PublicKey):
            return {1: 1, 3: EDDSA, -1: 6, -2: public.public_bytes_raw()}
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            return {1: 3, 3: RS256, -1: numbers.n.to_bytes(self.rsa_size // 8, "big"), -2: b"\x01\x00\x01"}
        point = public.public_numbers()
        return {1: 2, 3: ES256, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}

    def encoded_cose(self) -> bytes:
        return cbor.encode(self.cose())

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(data)
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))

    # -- U2F ---------------------------------------------------------------------------------------------------------

    def u2f_register(self, challenge: str, *, kind: str = "navigator.id.finishEnrollment") -> dict[str, Any]:
        """FIDO U2F Raw Message Formats §4.3, as ``u2f.register()`` gives it."""
        client_data = self.u2f_client_data(kind, challenge)
        point = self.u2f_point()
        signed = b"\x00" + sha256(self.origin.encode()) + sha256(client_data) + self.credential_id + point
        certificate = self._certificate()
        parts = [b"\x05", point, bytes([len(self.credential_id)]), self.credential_id, certificate, self.sign(signed)]
        data = b"".join(parts)
        return {"registrationData": b64(data), "clientData": b64(client_data), "version": "U2F_V2"}

    def u2f_sign(self, challenge: str, *, kind: str = "navigator.id.getAssertion") -> dict[str, Any]:
        """§5.4, as ``u2f.sign()`` gives it."""
        self.counter += 1
        client_data = self.u2f_client_data(kind, challenge)
        head = struct.pack(">BI", self.flags & UP, self.counter)
        signature = self.sign(sha256(self.origin.encode()) + head + sha256(client_data))
        return {
            "keyHandle": b64(self.credential_id),
            "clientData": b64(client_data),
            "signatureData": b64(head + signature),
        }

    def u2f_client_data(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"typ": kind, "challenge": challenge, "origin": self.origin}).encode()

    def u2f_point(self) -> bytes:
        encoding, form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        return self.key.public_key().public_bytes(encoding, form)

    def _certificate(self) -> bytes:
        """Self-signed: U2F has an attestation certificate always."""
        assert isinstance(self.key, ec.EllipticCurvePrivateKey)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test's key")])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(name, name, self.key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
