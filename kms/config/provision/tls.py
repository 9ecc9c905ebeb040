"""A certificate authority of this installation's own, and the server's certificate under it.

For a first start and for closed networks; KEYSTEAD_TLS_CERT and KEYSTEAD_TLS_KEY replace both. Knows nothing of the
server that uses the files.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kms.config.provision.private_files import make_private_folder, write_file, write_private

CA_DAYS = 3650
SERVER_DAYS = 397  # what browsers still accept of any certificate
RENEW_WITHIN = datetime.timedelta(days=30)
CLOCK_SKEW = datetime.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Pair:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the four files are. Only `ca` is for others to read."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def ca_key(self) -> Path:
        return self.folder / "ca.key"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"


def ensure_certificates(files: TlsFiles, hosts: Sequence[str], *, now: datetime.datetime) -> str:
    """Leave a CA and a server certificate that hold for these hosts for another 30 days; says what was done."""
    make_private_folder(files.folder, mode=0o711)  # clients on this machine fetch ca.pem; they cannot list the rest
    authority = _load(files.ca, files.ca_key)
    if authority is None or _ends_within(authority.certificate, now, datetime.timedelta(days=SERVER_DAYS)):
        authority = _new_authority(now)
        _store(authority, files.ca, files.ca_key)
    server = _load(files.certificate, files.key)
    if server is None:
        reason = "made"
    elif not _issued_by(server.certificate, authority.certificate):
        reason = "renewed, the CA is new"
    elif _hosts_of(server.certificate) != set(hosts):
        reason = "renewed, the hosts have changed"
    elif _ends_within(server.certificate, now, RENEW_WITHIN):
        reason = "renewed, it was about to expire"
    else:
        return f"valid until {server.certificate.not_valid_after_utc:%Y-%m-%d}"
    _store(_new_server(authority, hosts, now), files.certificate, files.key)
    return reason


def _load(certificate: Path, key: Path) -> _Pair | None:
    """The pair, or None when it is missing, unreadable, or (after a crash between two writes) does not match."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != found.public_key():
        return None
    return _Pair(private, found)


def _store(pair: _Pair, certificate: Path, key: Path) -> None:
    pem = pair.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(key, pem)
    write_file(certificate, pair.certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _ends_within(certificate: x509.Certificate, now: datetime.datetime, span: datetime.timedelta) -> bool:
    return certificate.not_valid_after_utc < now + span


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _hosts_of(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _new_authority(now: datetime.datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # The serial in the name keeps two installations' authorities apart in one trust store.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Keystead CA {serial % 0x10000:04x}")])
    certificate = (
        _builder(name, name, key.public_key(), now, CA_DAYS, serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _Pair(key, certificate)


def _new_server(authority: _Pair, hosts: Sequence[str], now: datetime.datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Keystead")])
    issuer = authority.certificate
    certificate = (
        _builder(name, issuer.subject, key.public_key(), now, SERVER_DAYS, x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _Pair(key, certificate)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    days: int,
    serial: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
