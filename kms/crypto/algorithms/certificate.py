"""X.509 certificates (RFC 5280). Public by nature, kept whole; the subject's public key can verify."""

from __future__ import annotations

from cryptography import x509
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
        except Exception:  # the parser raises more kinds than it documents; each means the same to the caller
            raise ParameterInvalid("the value is not a DER-encoded X.509 certificate") from None
        return Described(KeySpec(self.kind, len(material) * 8), material, public)
