"""Where the servers are and who we are, as the programs' TOML files say it: the tables [server] and [credential]."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

PIN_PREFIX = "sha256/"
_PIN_BYTES = 32


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``addresses``: of one deployment, in order of preference. ``pins``: of public keys (RFC 7469 §2.4).

    The authorities are the system's, or those of ``ca_file`` or ``ca`` (the same PEM, in place).
    """

    addresses: tuple[str, ...]
    ca_file: str = ""
    ca: str = ""
    pins: tuple[str, ...] = ()
    attempt_seconds: float = 1.0
    deadline_seconds: float = 2.5

    def __post_init__(self) -> None:
        if not self.addresses:
            raise ValueError("addresses: name at least one server")
        for address in self.addresses:
            _check_address(address)
        if self.ca_file and self.ca:
            raise ValueError("ca: give the authorities in ca_file or in ca, not in both")
        for pin in self.pins:
            pin_digest(pin)
        if not 0 < self.attempt_seconds <= self.deadline_seconds <= 60:
            raise ValueError("attempt_seconds must be above 0 and at most deadline_seconds, and that at most 60")


class CredentialSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of three: an API key; a signed token, such as a service account's; a client certificate with its key.

    ``app`` is the app's id: needed with a certificate, and with a token whose claims do not tell which app it is for.
    ``cluster`` is the id of the Kubernetes cluster, as the server knows it, that the token is of.
    """

    api_key_file: str = ""
    token_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    app: str = ""
    cluster: str = ""

    def __post_init__(self) -> None:
        kinds = [self.api_key_file, self.token_file, self.certificate_file]
        if sum(map(bool, kinds)) != 1:
            raise ValueError("give exactly one of api_key_file, token_file and certificate_file")
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("certificate_file and key_file go together")
        if self.certificate_file and not self.app:
            raise ValueError("app: with a certificate, give the app's id")
        if self.app and self.api_key_file:
            raise ValueError("app: an API key names its app itself")
        if self.cluster and not self.token_file:
            raise ValueError("cluster: it goes with token_file")
        for name, text in (("app", self.app), ("cluster", self.cluster)):
            if text:
                _check_id(name, text)


def pin_digest(pin: str) -> bytes:
    """The SHA-256 of a SubjectPublicKeyInfo that a pin stands for."""
    try:
        digest = base64.b64decode(pin.removeprefix(PIN_PREFIX), validate=True)
    except binascii.Error:
        digest = b""
    if not pin.startswith(PIN_PREFIX) or len(digest) != _PIN_BYTES:
        raise ValueError(f"pins: {pin!r} is not {PIN_PREFIX} and the base64 of 32 bytes")
    return digest


def _check_address(address: str) -> None:
    parts = urlsplit(address)
    try:
        valid = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:  # a port that is none
        valid = False
    if not valid or not address.isascii() or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"addresses: {address!r} is not https://HOST[:PORT]")


def _check_id(name: str, text: str) -> None:
    try:
        UUID(text)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is not an id") from None
