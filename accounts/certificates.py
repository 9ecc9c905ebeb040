"""The certificate that a TLS client showed, as outside fact. Whether anybody trusts it is judged elsewhere. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PresentedCertificate:
    """DER (RFC 5280). The TLS layer has seen the leaf's private key used; ``others`` are whatever came along."""

    leaf: bytes
    others: tuple[bytes, ...] = ()

    @property
    def thumbprint(self) -> bytes:
        """SHA-256 of the leaf (RFC 8705 §3.1 calls it x5t#S256)."""
        return hashlib.sha256(self.leaf).digest()
