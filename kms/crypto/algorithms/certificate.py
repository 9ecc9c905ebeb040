"""X.509 certificates (RFC 5280). Public by nature, kept whole; what they say is shown beside them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kms.crypto.algorithm import Algorithm, Described
from kms.crypto.errors import ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes


class Certificate(Algorithm):
    kind = "CERTIFICATE"
    token_capable = False
    operations = frozenset({KeyOperation.EXPORT, KeyOperation.APP_MANAGEABLE})
    defaults = operations

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        try:
            parsed = x509.load_der_x509_certificate(material.reveal())
            public = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            attributes = _attributes(parsed)
        except Exception:  # the parser raises more kinds than it documents; each means the same to the caller
            raise ParameterInvalid("the value is not a DER-encoded X.509 certificate") from None
        return Described(KeySpec(self.kind, len(material) * 8), material, public, attributes=attributes)


def _attributes(parsed: x509.Certificate) -> Mapping[str, Any]:
    """Names in RFC 4514's form, times in RFC 3339's, the fingerprint in lower-case hex."""
    return {
        "subject": parsed.subject.rfc4514_string(),
        "issuer": parsed.issuer.rfc4514_string(),
        "serial_number": f"{parsed.serial_number:x}",
        "not_before": parsed.not_valid_before_utc.isoformat(),
        "not_after": parsed.not_valid_after_utc.isoformat(),
        "fingerprint_sha256": parsed.fingerprint(hashes.SHA256()).hex(),
        "self_signed": _issued(parsed, parsed),
        "der": base64.b64encode(parsed.public_bytes(Encoding.DER)).decode(),
    }


def issued_by(subject: Mapping[str, Any], issuer: Mapping[str, Any]) -> bool:
    """Whether the one certificate's attributes name the other as its issuer and its signature holds."""
    return _issued(_loaded(subject), _loaded(issuer))


def _loaded(attributes: Mapping[str, Any]) -> x509.Certificate:
    return x509.load_der_x509_certificate(base64.b64decode(attributes["der"]))


def _issued(subject: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        subject.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
