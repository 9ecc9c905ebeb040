"""X.509 certificates (RFC 5280). Public by nature, kept whole; what they say is shown beside them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

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


def extensions_of(attributes: Mapping[str, Any]) -> Mapping[str, list[str]]:
    """Other names of the subject (RFC 5280 §4.2.1.6) and what its key is for (§4.2.1.3, §4.2.1.12); what is there."""
    try:
        found = _loaded(attributes).extensions
        read = {"alternative_names": _other_names, "key_usage": _key_usage, "extended_key_usage": _purposes}
        return {name: values for name, reader in read.items() if (values := reader(found))}
    except Exception:  # as above: an extension that can't be read says nothing
        return {}


def _other_names(found: x509.Extensions) -> list[str]:
    here = _extension(found, x509.SubjectAlternativeName)
    return [] if here is None else [_name_of(name) for name in here]


def _name_of(name: x509.GeneralName) -> str:
    value = name.value
    return value.rfc4514_string() if isinstance(value, x509.Name) else str(value)


def _key_usage(found: x509.Extensions) -> list[str]:
    usage = _extension(found, x509.KeyUsage)
    if usage is None:
        return []
    # The last two are defined for keys that agree on others, and can't be asked of the rest.
    asked = _USAGES if usage.key_agreement else _USAGES[:-2]
    return [name for name in asked if getattr(usage, name)]


def _purposes(found: x509.Extensions) -> list[str]:
    usages = _extension(found, x509.ExtendedKeyUsage)
    return [] if usages is None else [_PURPOSES.get(usage, usage.dotted_string) for usage in usages]


E = TypeVar("E", bound=x509.ExtensionType)


def _extension(found: x509.Extensions, kind: type[E]) -> E | None:
    try:
        return found.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
_PURPOSES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "server authentication",
    ExtendedKeyUsageOID.CLIENT_AUTH: "client authentication",
    ExtendedKeyUsageOID.CODE_SIGNING: "code signing",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "e-mail protection",
    ExtendedKeyUsageOID.TIME_STAMPING: "time stamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSP signing",
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
