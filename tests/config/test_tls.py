"""The certificates: made once, renewed when they must be, and good enough for a client that verifies."""

from __future__ import annotations

import datetime
import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest
from cryptography import x509

from kms.config.provision.tls import TlsFiles, ensure_certificates

NOW = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
HOSTS = ("localhost", "127.0.0.1", "::1", "kms.example.org")


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return TlsFiles(tmp_path / "tls")


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_second_start_changes_nothing(files: TlsFiles) -> None:
    ensure_certificates(files, HOSTS, now=NOW)
    before = {path: path.read_bytes() for path in files.folder.iterdir()}
    assert ensure_certificates(files, HOSTS, now=NOW) == "valid until 2027-04-02"
    assert {path: path.read_bytes() for path in files.folder.iterdir()} == before


def test_only_the_certificates_are_readable_for_others(files: TlsFiles) -> None:
    ensure_certificates(files, HOSTS, now=NOW)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files.folder.iterdir()}
    assert modes == {"ca.pem": 0o644, "ca.key": 0o600, "server.pem": 0o644, "server.key": 0o600}


def test_it_is_renewed_under_the_same_ca_when_30_days_are_left(files: TlsFiles) -> None:
    ensure_certificates(files, HOSTS, now=NOW)
    authority, server = files.ca.read_bytes(), files.certificate.read_bytes()
    assert "valid" in ensure_certificates(files, HOSTS, now=NOW + datetime.timedelta(days=366))
    assert files.certificate.read_bytes() == server
    assert "about to expire" in ensure_certificates(files, HOSTS, now=NOW + datetime.timedelta(days=368))
    assert files.certificate.read_bytes() != server
    assert files.ca.read_bytes() == authority


def test_it_is_renewed_when_the_hosts_change(files: TlsFiles) -> None:
    ensure_certificates(files, HOSTS, now=NOW)
    assert "hosts have changed" in ensure_certificates(files, (*HOSTS, "192.0.2.1"), now=NOW)
    names = _certificate(files.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "kms.example.org" in names.get_values_for_type(x509.DNSName)
    assert "192.0.2.1" in map(str, names.get_values_for_type(x509.IPAddress))


def test_a_ca_that_would_end_before_its_certificates_is_replaced_with_them(files: TlsFiles) -> None:
    ensure_certificates(files, HOSTS, now=NOW)
    assert "CA is new" in ensure_certificates(files, HOSTS, now=NOW + datetime.timedelta(days=3650 - 396))


@pytest.mark.parametrize("damaged", ["ca.pem", "ca.key", "server.pem", "server.key"])
@pytest.mark.parametrize("how", ["missing", "rubbish", "someone else's"])
def test_a_damaged_pair_is_made_again(files: TlsFiles, tmp_path: Path, damaged: str, how: str) -> None:
    ensure_certificates(files, HOSTS, now=NOW)
    path = files.folder / damaged
    if how == "missing":
        path.unlink()
    elif how == "rubbish":
        path.write_text("rubbish")
    else:
        other = TlsFiles(tmp_path / "other")
        ensure_certificates(other, HOSTS, now=NOW)
        path.write_bytes((other.folder / damaged).read_bytes())
    ensure_certificates(files, HOSTS, now=NOW)
    _certificate(files.certificate).verify_directly_issued_by(_certificate(files.ca))
    assert ensure_certificates(files, HOSTS, now=NOW).startswith("valid")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "kms.example.org"])
def test_a_verifying_client_accepts_every_host_and_no_other(files: TlsFiles, host: str) -> None:
    ensure_certificates(files, HOSTS, now=datetime.datetime.now(datetime.UTC))
    assert _handshake(files, host) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(files, "other.example.org")


def _handshake(files: TlsFiles, host: str) -> str | None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cafile=str(files.ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    ours, theirs = socket.socketpair()

    def answer() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=host) as tls:
            return tls.version()
    finally:
        ours.close()
        thread.join()
