"""Signatures that people make with their SSH keys (OpenSSH's PROTOCOL.sshsig, ``ssh-keygen -Y sign``). Pure.

Ed25519, ECDSA on the NIST curves, and both kinds of FIDO keys, whose touch is demanded (PROTOCOL.u2f). No RSA.
It must not know whose keys they are.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_MAGIC, _VERSION = b"SSHSIG", 1
_HASHES: dict[bytes, Callable[[bytes], bytes]] = {
    b"sha256": lambda data: hashlib.sha256(data).digest(),
    b"sha512": lambda data: hashlib.sha512(data).digest(),
}
_CURVES: dict[bytes, tuple[type[ec.EllipticCurve], HashAlgorithm]] = {
    b"nistp256": (ec.SECP256R1, SHA256()),
    b"nistp384": (ec.SECP384R1, SHA384()),
    b"nistp521": (ec.SECP521R1, SHA512()),
}
_ED25519, _ECDSA = b"ssh-ed25519", b"ecdsa-sha2-"
_SK_ED25519, _SK_ECDSA = b"sk-ssh-ed25519@openssh.com", b"sk-ecdsa-sha2-nistp256@openssh.com"
_USER_PRESENT = 0x01
_LONGEST = 1 << 14


class SignatureRejected(Exception):
    """Not a signature, or not over this. The message is for whoever brought it."""


@dataclass(frozen=True, slots=True)
class SshKey:
    """``blob`` is the key as SSH has it on the wire, its kind first; two keys are one when their blobs are."""

    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` shows it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")


def ssh_key(kind: str, encoded: str) -> SshKey:
    """A public key as in ``id_ed25519.pub``. SignatureRejected: none, or of a kind that is not taken."""
    blob = _decoded(encoded)
    key = SshKey(blob)
    if _Reader(blob).string() != kind.encode():
        raise SignatureRejected("the key is not of the kind that is written before it")
    _verifier(key)
    return key


def signer_of(armored: str, message: bytes, *, namespace: str) -> SshKey:
    """The key that signed the message for this purpose. SignatureRejected: none did."""
    lines = armored.strip().splitlines()
    if len(armored) > _LONGEST or len(lines) < 3 or (lines[0], lines[-1]) != (_BEGIN, _END):
        raise SignatureRejected("this is not a signature of ssh-keygen -Y sign")
    reader = _Reader(_decoded("".join(lines[1:-1])))
    if reader.take(len(_MAGIC)) != _MAGIC or reader.number() != _VERSION:
        raise SignatureRejected("this is not a signature of ssh-keygen -Y sign")
    key, purpose, reserved, name, signature = SshKey(reader.string()), *(reader.string() for _ in range(4))
    reader.demand_end()
    if purpose != namespace.encode():
        raise SignatureRejected(f"it was signed for another purpose: ssh-keygen -Y sign -n {namespace}")
    if name not in _HASHES:
        raise SignatureRejected("its hash is neither SHA-256 nor SHA-512")
    signed = _MAGIC + b"".join(map(_string, (purpose, reserved, name, _HASHES[name](message))))
    try:
        _verifier(key)(signature, signed)
    except (InvalidSignature, ValueError):
        raise SignatureRejected("it is not a signature over this text") from None
    return key


# -- kinds of keys -------------------------------------------------------------------------------------------------

Verify = Callable[[bytes, bytes], None]


def _verifier(key: SshKey) -> Verify:
    """Raises InvalidSignature when it is called on what the key has not signed."""
    reader = _Reader(key.blob)
    kind = reader.string()
    try:
        if kind == _ED25519:
            return _plain(kind, _ed25519(reader))
        if kind == _SK_ED25519:
            return _touched(kind, _ed25519(reader, more=True), reader)
        if kind == _SK_ECDSA:
            return _touched(kind, _ecdsa(reader, b"nistp256", more=True), reader)
        if kind.startswith(_ECDSA) and (curve := kind.removeprefix(_ECDSA)) in _CURVES:
            return _plain(kind, _ecdsa(reader, curve))
    except ValueError:
        raise SignatureRejected("the key is damaged") from None
    raise SignatureRejected(f"keys of this kind are not taken: {kind.decode(errors='replace')[:40]}")


def _ed25519(reader: _Reader, *, more: bool = False) -> Verify:
    public = Ed25519PublicKey.from_public_bytes(reader.string())
    if not more:
        reader.demand_end()
    return public.verify


def _ecdsa(reader: _Reader, name: bytes, *, more: bool = False) -> Verify:
    curve, algorithm = _CURVES[name]
    if reader.string() != name:
        raise ValueError("another curve")
    public = ec.EllipticCurvePublicKey.from_encoded_point(curve(), reader.string())
    if not more:
        reader.demand_end()

    def verify(signature: bytes, data: bytes) -> None:
        parts = _Reader(signature)
        r, s = parts.integer(), parts.integer()
        parts.demand_end()
        public.verify(encode_dss_signature(r, s), data, ec.ECDSA(algorithm))

    return verify


def _plain(kind: bytes, verify: Verify) -> Verify:
    def check(signature: bytes, data: bytes) -> None:
        parts = _Reader(signature)
        if parts.string() != kind:
            raise InvalidSignature
        made = parts.string()
        parts.demand_end()
        verify(made, data)

    return check


def _touched(kind: bytes, verify: Verify, key: _Reader) -> Verify:
    """The authenticator signs its application, what it saw of its user and a counter before the data's hash."""
    application = key.string()
    key.demand_end()

    def check(signature: bytes, data: bytes) -> None:
        parts = _Reader(signature)
        if parts.string() != kind:
            raise InvalidSignature
        made, seen = parts.string(), parts.take(5)
        parts.demand_end()
        if not seen[0] & _USER_PRESENT:
            raise SignatureRejected("the security key was not touched for it")
        verify(made, hashlib.sha256(application).digest() + seen + hashlib.sha256(data).digest())

    return check


# -- SSH's encoding (RFC 4251 §5) ----------------------------------------------------------------------------------


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, length: int) -> bytes:
        found = self._data[self._at : self._at + length]
        if len(found) < length:
            raise SignatureRejected("it is cut off")
        self._at += length
        return found

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def integer(self) -> int:
        """An mpint that is not negative."""
        raw = self.string()
        if raw[:1] >= b"\x80":
            raise ValueError("negative")
        return int.from_bytes(raw, "big")

    def demand_end(self) -> None:
        if self._at != len(self._data):
            raise SignatureRejected("there is more behind it")


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise SignatureRejected("it is not base64") from None
