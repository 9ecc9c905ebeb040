"""Keys that speak for this server: EC pairs in the token, each for one kind of statement, each with a certificate.

One attests to other keys, one signs checkpoints of the record. Made together with the master keys, or at their first
use in an older token. It must not know what is signed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pkcs11
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, exceptions
from pkcs11.util.ec import encode_named_curve_parameters

from kms.hsm.errors import MechanismRefused, ModuleError
from kms.hsm.file_lock import exclusive
from kms.hsm.key_material import ec_public, ec_verifies
from kms.hsm.token_objects import LOCKED, Key, Template
from kms.hsm.token_signer import NO_END, TokenSigner

if TYPE_CHECKING:
    from kms.hsm.sessions import Attachment, Connection

_NEEDED = {Mechanism.EC_KEY_PAIR_GEN, Mechanism.ECDSA}
_POINT_BYTES = 65  # X9.62 uncompressed, on P-256
_TRIAL = hashlib.sha256(b"keystead attestation key").digest()

_PRIVATE: Template = {
    **LOCKED,
    Attribute.MODIFIABLE: False,
    Attribute.ALLOWED_MECHANISMS: [Mechanism.ECDSA],
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}
_PUBLIC: Template = {
    Attribute.MODIFIABLE: False,
    Attribute.VERIFY: True,
    Attribute.ENCRYPT: False,
    Attribute.WRAP: False,
}
# What would let a PIN holder take the key away or use it for something else.
_EXPECTED: Template = {
    Attribute.TOKEN: True,
    Attribute.SENSITIVE: True,
    Attribute.ALWAYS_SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.NEVER_EXTRACTABLE: True,
    Attribute.LOCAL: True,
    Attribute.MODIFIABLE: False,
    Attribute.SIGN: True,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
    Attribute.ALLOWED_MECHANISMS: frozenset({int(Mechanism.ECDSA)}),
}


class SigningPairDeviates(ModuleError):
    """The key or its certificate is not as we make them. Only what it signs stops; an operator has to look."""


@dataclass(frozen=True, slots=True)
class PairName:
    """What a pair is called in the token, and its certificate."""

    label: str
    common_name: str


ATTESTATION = PairName("attest-1", "Keystead key attestation")
RECORD = PairName("audit-1", "Keystead audit record")


@dataclass(frozen=True, slots=True, repr=False)
class _Held:
    private: Key
    certificate: bytes


class SigningPair:
    """Looked up once per attachment, and made when the token has none."""

    def __init__(self, connection: Connection, name: PairName) -> None:
        self._connection = connection
        self._name = name
        self._held: tuple[Attachment, _Held] | None = None

    def certificate(self) -> bytes:
        return self._connection.call(lambda at: self._at(at).certificate)

    def sign(self, digest: bytes) -> bytes:
        return self._connection.call(lambda at: _signature(self._at(at).private, digest), forget=self._forget)

    def _forget(self) -> None:
        self._held = None

    def _at(self, attachment: Attachment) -> _Held:
        if self._held is None or self._held[0] is not attachment:
            self._held = (attachment, self._found_or_made(attachment))
        return self._held[1]

    def _found_or_made(self, attachment: Attachment) -> _Held:
        session = attachment.main.session
        found = _find(session, self._name)
        if found is None:
            with exclusive(self._connection.lock_file):  # another process may be making it
                provision(session, self._name)
            os.sync()  # SoftHSM never calls fsync
            found = _find(session, self._name)
        if found is None:
            raise MechanismRefused("the token offers no EC keys, so it signs no statements")
        return found


def provision(session: pkcs11.Session, name: PairName) -> bool:
    """Make what is absent, and say whether anything was. Nothing where the token cannot. The caller holds the lock."""
    if not set(session.token.slot.get_mechanisms()) >= _NEEDED:
        return False
    privates = _objects(session, name, ObjectClass.PRIVATE_KEY)
    if not privates:
        _generate(session, name)
    if _objects(session, name, ObjectClass.CERTIFICATE):
        return not privates
    private, public = (_only(session, name, kind) for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY))
    _keep_certificate(session, name, _own_certificate(name, private, public[Attribute.EC_POINT][-_POINT_BYTES:]))
    return True


def _generate(session: pkcs11.Session, name: PairName) -> None:
    curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
    session.create_domain_parameters(KeyType.EC, curve, local=True).generate_keypair(
        id=name.label.encode(),
        label=name.label,
        store=True,
        capabilities=MechanismFlag.SIGN,
        public_template=_PUBLIC,
        private_template=_PRIVATE,
    )


def _keep_certificate(session: pkcs11.Session, name: PairName, certificate: x509.Certificate) -> None:
    """Beside the key, so that every server with this token shows the same one, and a backup of the token has it."""
    session.create_object(
        {
            Attribute.CLASS: ObjectClass.CERTIFICATE,
            Attribute.CERTIFICATE_TYPE: pkcs11.CertificateType.X_509,
            Attribute.TOKEN: True,
            Attribute.PRIVATE: False,
            Attribute.MODIFIABLE: False,
            Attribute.LABEL: name.label,
            Attribute.ID: name.label.encode(),
            Attribute.SUBJECT: certificate.subject.public_bytes(),
            Attribute.VALUE: certificate.public_bytes(Encoding.DER),
        }
    )


def _own_certificate(name: PairName, private: Key, point: bytes) -> x509.Certificate:
    public = ec_public(ec.SECP256R1(), point)
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name.common_name),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, identifier.digest.hex()),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder(subject, subject, public, x509.random_serial_number(), datetime.now(UTC), NO_END)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(TokenSigner(public, lambda digest: _signature(private, digest)), hashes.SHA256())
    )


def _signature(private: Key, digest: bytes) -> bytes:
    return bytes(private.sign(digest, mechanism=Mechanism.ECDSA))


# -- finding and checking ------------------------------------------------------------------------------------------


def _objects(session: pkcs11.Session, name: PairName, kind: ObjectClass) -> list[Key]:
    # list() ends the search before anything is read: PKCS#11 allows one active search per session.
    return list(session.get_objects({Attribute.CLASS: kind, Attribute.LABEL: name.label, Attribute.TOKEN: True}))


def _only(session: pkcs11.Session, name: PairName, kind: ObjectClass) -> Key:
    found = _objects(session, name, kind)
    if len(found) != 1:
        raise SigningPairDeviates(f"the token has {len(found)} objects {name.label} of {kind.name}, not one")
    return found[0]


def _find(session: pkcs11.Session, name: PairName) -> _Held | None:
    """The pair's private half and its certificate, checked; None when one of them is still to be made."""
    if not _objects(session, name, ObjectClass.PRIVATE_KEY) or not _objects(session, name, ObjectClass.CERTIFICATE):
        return None
    private, kept = _only(session, name, ObjectClass.PRIVATE_KEY), _only(session, name, ObjectClass.CERTIFICATE)
    for attribute, wanted in _EXPECTED.items():
        if _read(private, attribute) != wanted:
            raise SigningPairDeviates(f"{name.label}: {attribute.name} is not {wanted}")
    certificate: bytes = kept[Attribute.VALUE]
    _check_pair(name, certificate, lambda digest: _signature(private, digest))
    return _Held(private, certificate)


def _read(key: Key, attribute: Attribute) -> object:
    try:
        return key[attribute]
    except (exceptions.AttributeTypeInvalid, exceptions.FunctionFailed):
        return None


def _check_pair(name: PairName, certificate: bytes, sign: Callable[[bytes], bytes]) -> None:
    """A certificate that somebody put there in place of ours must not become the authority."""
    try:
        public = x509.load_der_x509_certificate(certificate).public_key()
    except ValueError:
        raise SigningPairDeviates(f"{name.label}: the certificate is none") from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or not ec_verifies(public, sign(_TRIAL), _TRIAL):
        raise SigningPairDeviates(f"{name.label}: the certificate is another key's")
