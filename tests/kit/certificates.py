"""Certificates for tests: authorities of any length of chain, leaves with any defect, revocation lists."""

from __future__ import annotations

import base64
import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from accounts.certificates import PresentedCertificate

DAY = datetime.timedelta(days=1)
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
_SHA256_RSA, _SHA1_RSA = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
_DER, _PEM = serialization.Encoding.DER, serialization.Encoding.PEM


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def name(*attributes: tuple[x509.ObjectIdentifier, str] | str) -> x509.Name:
    pairs = [(NameOID.COMMON_NAME, each) if isinstance(each, str) else each for each in attributes]
    return x509.Name([x509.NameAttribute(*pair) for pair in pairs])


@dataclass(frozen=True)
class Identity:
    """A certificate with its key, and what it takes to get from it to a root."""

    certificate: x509.Certificate
    key: Any
    issuers: tuple[Identity, ...] = ()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(_DER)

    @property
    def encoded(self) -> str:
        return base64.b64encode(self.der).decode()

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(_PEM)

    @property
    def key_pem(self) -> bytes:
        private: bytes = self.key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return private

    @property
    def chain(self) -> tuple[Identity, ...]:
        """Itself and its intermediates, as a client sends them: without the root."""
        return (self, *self.issuers[:-1])

    def presented(self, *others: Identity) -> PresentedCertificate:
        along = others or self.chain[1:]
        return PresentedCertificate(self.der, tuple(other.der for other in along))

    def files(self, folder: Path, stem: str = "client") -> tuple[Path, Path]:
        """Chain and key, in PEM."""
        chain, key = folder / f"{stem}.pem", folder / f"{stem}.key"
        chain.write_bytes(b"".join(each.pem for each in self.chain))
        key.write_bytes(self.key_pem)
        return chain, key


def authority(
    subject: x509.Name | str = "Test authority",
    issuer: Identity | None = None,
    *,
    key: Any = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    usage: tuple[bool, bool] = (True, True),
    **fields: Any,
) -> Identity:
    """``usage``: may sign certificates, may sign revocation lists."""
    signs = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=usage[0],
        crl_sign=usage[1],
        encipher_only=False,
        decipher_only=False,
    )
    basic = (x509.BasicConstraints(ca=True, path_length=None), True)
    return made(subject, issuer, key=key, extensions=(basic, (signs, True), *extensions), ca=True, **fields)


def leaf(
    subject: x509.Name | str,
    issuer: Identity | None,
    *,
    key: Any = None,
    usages: Sequence[x509.ObjectIdentifier] | None = (CLIENT,),
    names: Sequence[x509.GeneralName] = (),
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    **fields: Any,
) -> Identity:
    """A client's certificate; self-signed without an issuer."""
    basic: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(ca=False, path_length=None), True)]
    if usages is not None:
        basic.append((x509.ExtendedKeyUsage(usages), False))
    if names:
        basic.append((x509.SubjectAlternativeName(names), False))
    return made(subject, issuer, key=key, extensions=(*basic, *extensions), **fields)


def made(
    subject: x509.Name | str,
    issuer: Identity | None,
    *,
    key: Any = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ca: bool = False,
    key_identifiers: bool = True,
    since: datetime.timedelta = -DAY,
    until: datetime.timedelta = 30 * DAY,
) -> Identity:
    private = key or ec.generate_private_key(ec.SECP256R1())
    title = name(subject) if isinstance(subject, str) else subject
    signer = private if issuer is None else issuer.key
    builder = x509.CertificateBuilder().subject_name(title).public_key(private.public_key())
    builder = builder.issuer_name(title if issuer is None else issuer.certificate.subject)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now() + since).not_valid_after(now() + until)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    if key_identifiers:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        if ca:
            builder = builder.add_extension(
                x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False
            )
    certificate = builder.sign(signer, hashes.SHA256())
    return Identity(certificate, private, () if issuer is None else (issuer, *issuer.issuers))


def server_identity() -> Identity:
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return leaf("localhost", None, usages=(SERVER,), names=names)


def signed_with_sha1(identity: Identity, signer: rsa.RSAPrivateKey) -> Identity:
    """The same certificate as an authority of old would have signed it. Its signature was RSA's with SHA-256."""
    before = identity.certificate
    tbs = before.tbs_certificate_bytes.replace(_SHA256_RSA, _SHA1_RSA)
    signature = signer.sign(tbs, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - the defect
    der = identity.der.replace(_SHA256_RSA, _SHA1_RSA).replace(before.signature, signature)
    return Identity(x509.load_der_x509_certificate(der), identity.key, identity.issuers)


def points(*urls: str) -> tuple[x509.ExtensionType, bool]:
    """Where the issuer's revocation list is."""
    names = [x509.UniformResourceIdentifier(url) for url in urls]
    return x509.CRLDistributionPoints([x509.DistributionPoint([each], None, None, None) for each in names]), False


def revocation_list(
    issuer: Identity,
    *revoked: Identity,
    signer: Any = None,
    since: datetime.timedelta = -DAY,
    until: datetime.timedelta = DAY,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    of_entries: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
    builder = builder.last_update(now() + since).next_update(now() + until)
    for identity in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(identity.certificate.serial_number)
        entry = entry.revocation_date(now() - DAY)
        for extension, critical in of_entries:
            entry = entry.add_extension(extension, critical)
        builder = builder.add_revoked_certificate(entry.build())
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer or issuer.key, hashes.SHA256()).public_bytes(_DER)


def trusted_ca(*authorities: Identity, subjects: Sequence[Any] = (), **more: Any) -> dict[str, Any]:
    """The configuration of a credential."""
    return {"ca_certificates": [each.encoded for each in authorities], "subjects": list(subjects), **more}


def common_name(text: str) -> dict[str, Any]:
    return {"directory_name": [["CN", text]]}
