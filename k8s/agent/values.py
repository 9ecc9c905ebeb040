"""A secret's value as it came, and as text, base64, hex, PEM and JSON. It must not know files or how it was fetched."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

ASYMMETRIC = frozenset({"RSA", "EC", "DSA", "MLDSA", "MLKEM"})
_ARMOUR = b"-----BEGIN "
_COLUMNS = 64  # RFC 7468 §2

# Numbers stay as they are written: 1.10 is not 1.1.
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class ValueUnfit(Exception):
    """A sentence that goes on from the secret's or the file's name. It quotes nothing of a value."""


@dataclass(frozen=True, slots=True)
class Value:
    """``kind`` is the object's type on the server. Keys come as PKCS#8 or SubjectPublicKeyInfo, certificates as DER."""

    kind: str
    raw: bytes = field(repr=False)
    public: bool = False

    @property
    def text(self) -> str:
        """UTF-8; of certificates and asymmetric keys PEM, which is their text."""
        if self.armoured:
            return self.pem
        try:
            return self.raw.decode()
        except UnicodeDecodeError:
            raise ValueUnfit("is not text (UTF-8); take it as base64 or hex, or as a file") from None

    @property
    def base64(self) -> str:
        return base64.b64encode(self.raw).decode()

    @property
    def hex(self) -> str:
        return self.raw.hex()

    @property
    def armoured(self) -> bool:
        return self.kind == "CERTIFICATE" or self.kind in ASYMMETRIC

    @property
    def pem(self) -> str:
        """RFC 7468. A secret that was stored as PEM is that already."""
        if not self.armoured:
            return self._stored_pem()
        label = "CERTIFICATE" if self.kind == "CERTIFICATE" else "PUBLIC KEY" if self.public else "PRIVATE KEY"
        body = self.base64
        lines = [body[start : start + _COLUMNS] for start in range(0, len(body), _COLUMNS)]
        return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----")) + "\n"

    def _stored_pem(self) -> str:
        if not self.raw.lstrip().startswith(_ARMOUR):
            raise ValueUnfit(f"is {self.kind}, neither a certificate nor an asymmetric key, and not PEM already")
        if not self.raw.isascii():
            raise ValueUnfit("begins like PEM and is not ASCII")
        return self.raw.decode("ascii").strip() + "\n"

    @property
    def json(self) -> Any:
        try:
            return _decode(self.raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise ValueUnfit("is not JSON") from None

    def members(self) -> Mapping[str, Any] | None:
        """Of a value that is a JSON object."""
        if self.armoured or not self.raw.lstrip().startswith(b"{"):
            return None
        try:
            found = self.json
        except ValueUnfit:
            return None
        return found if isinstance(found, dict) else None

    def picked(self, name: str) -> Value:
        """One member of a JSON object as a value of its own."""
        members = self.members()
        if members is None:
            raise ValueUnfit(f"is not a JSON object, so it has no property {name!r}")
        if name not in members:
            raise ValueUnfit(f"has no property {name!r}")
        return Value("SECRET", text_of(members[name]).encode())


def text_of(member: Any) -> str:
    """A JSON value as the text of a file or a variable: strings bare, null nothing, the rest as JSON writes it."""
    if member is None:
        return ""
    return member if isinstance(member, str) else json_of(member)


def json_of(value: Any) -> str:
    return _encode(value).decode()
