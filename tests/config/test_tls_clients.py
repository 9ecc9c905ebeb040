"""The handshake: who is asked for a certificate, which ones pass, and what reaches the application of them."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.models import AppCredential, CredentialKind
from kms.api.proxy import SCOPE_KEY
from kms.config.protocol import MAX_REMEMBERED, _Companions
from kms.config.serve import CIPHERS
from kms.config.tls_clients import Anchors, stated_by
from kms.config.tls_clients import anchors_of as anchors_stated
from tests.kit.certificates import SERVER, Identity, authority, leaf, trusted_ca
from tests.kit.tls_server import TlsServer, serving_tls

ROOT = authority("Root")
MIDDLE = authority("Issuing", ROOT)
PINNED = leaf("pinned", authority("Somebody"))
ISSUED, BELOW = leaf("issued", ROOT), leaf("below", MIDDLE)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def pinning(identity: Identity) -> AppCredential:
    return AppCredential(kind=CredentialKind.CERTIFICATE, config={"certificate": identity.encoded})


def trusting(*authorities: Identity) -> AppCredential:
    return AppCredential(kind=CredentialKind.TRUSTED_CA, config=trusted_ca(*authorities))


def anchors_of(rows: list[AppCredential]) -> Anchors:
    return anchors_stated(stated_by(rows))


async def application(scope: Any, _receive: Any, send: Any) -> None:
    """Says which certificate it was shown."""
    shown = scope.get(SCOPE_KEY)
    told = None if shown is None else [shown.leaf.hex(), *(other.hex() for other in shown.others)]
    body = json.dumps(told).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    with serving_tls(application, tmp_path_factory.mktemp("server")) as running:
        yield running


class Connection:
    """One connection; ``ask`` is one request on it."""

    def __init__(self, server: TlsServer, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        plain = socket.create_connection(server.address, timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = context.wrap_socket(plain, server_hostname="localhost", session=session)

    def ask(self) -> list[bytes] | None:
        self.tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = self.tls.recv(65536)
            if not more:
                raise ConnectionResetError("closed by the server")
            answer += more
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self.tls.recv(65536)
        told = json.loads(body)
        return None if told is None else [bytes.fromhex(each) for each in told]

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.tls.close()


def shown(
    server: TlsServer, identity: Identity | None, folder: Path, version: ssl.TLSVersion | None = None
) -> list[bytes] | None:
    context = server.context(identity, folder=folder)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    with Connection(server, context) as connection:
        first = connection.ask()
        assert connection.ask() == first, "the second request on a connection has the same certificate"
        return first


# -- who passes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_client_without_a_certificate_is_served_whoever_is_trusted(
    server: TlsServer, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    for rows in ([], [pinning(PINNED)], [trusting(ROOT)], [pinning(PINNED), trusting(ROOT)]):
        server.trust.trust(anchors_of(rows))
        assert shown(server, None, tmp_path, version) is None


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_when_no_app_has_certificates_nobody_is_asked(
    server: TlsServer, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    server.trust.trust(())
    assert shown(server, ISSUED, tmp_path, version) is None


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_what_an_app_trusts_passes_with_what_came_along(
    server: TlsServer, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    server.trust.trust(anchors_of([pinning(PINNED), trusting(ROOT)]))
    assert shown(server, PINNED, tmp_path, version) == [PINNED.der]
    assert shown(server, ISSUED, tmp_path, version) == [ISSUED.der]
    assert shown(server, BELOW, tmp_path, version) == [BELOW.der, MIDDLE.der]


STRANGERS: dict[str, Identity] = {
    "of another authority": leaf("issued", authority("Stranger")),
    "of one with our authority's name": leaf("issued", authority("Root")),
    "self-signed": leaf("issued", None),
    "the pinned one's twin": leaf("pinned", PINNED.issuers[0]),
    "issued by the pinned one": leaf("issued", PINNED),
    "without its intermediate": Identity(BELOW.certificate, BELOW.key),
    "for servers": leaf("issued", ROOT, usages=(SERVER,)),
}


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("case", STRANGERS)
def test_what_no_app_trusts_ends_the_handshake(
    server: TlsServer, tmp_path: Path, case: str, version: ssl.TLSVersion
) -> None:
    server.trust.trust(anchors_of([pinning(PINNED), trusting(ROOT)]))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shown(server, STRANGERS[case], tmp_path, version)


def test_trust_that_is_taken_away_is_gone_for_the_next_connection(server: TlsServer, tmp_path: Path) -> None:
    server.trust.trust(anchors_of([trusting(ROOT)]))
    context = server.context(ISSUED, folder=tmp_path)
    with Connection(server, context) as open_one:
        assert open_one.ask() == [ISSUED.der]
        server.trust.trust(anchors_of([pinning(PINNED)]))
        assert open_one.ask() == [ISSUED.der], "an open connection goes on; its sessions are judged elsewhere"
        session = open_one.tls.session
    with pytest.raises((ssl.SSLError, ConnectionError)), Connection(server, context) as anew:
        anew.ask()
    with pytest.raises((ssl.SSLError, ConnectionError)), Connection(server, context, session) as resumed:
        resumed.ask()


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_resumed_session_has_the_certificate_and_what_came_along(
    server: TlsServer, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    server.trust.trust(anchors_of([trusting(ROOT)]))
    context = server.context(BELOW, folder=tmp_path)
    context.maximum_version = version
    with Connection(server, context) as first:
        assert first.ask() == [BELOW.der, MIDDLE.der]
        session = first.tls.session
    with Connection(server, context, session) as resumed:
        assert resumed.ask() == [BELOW.der, MIDDLE.der]
        assert resumed.tls.session_reused


def test_the_old_suites_and_versions_stay_off(server: TlsServer, tmp_path: Path) -> None:
    for anchors in ((), anchors_of([trusting(ROOT)])):
        server.trust.trust(anchors)
        context = server.context(ISSUED, folder=tmp_path)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ALL:!ECDHE@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            Connection(server, context).ask()
        context.set_ciphers(CIPHERS)
        with Connection(server, context) as connection:
            assert connection.tls.version() == "TLSv1.2"


def test_what_came_along_is_remembered_of_a_bounded_number_of_certificates() -> None:
    from accounts.certificates import PresentedCertificate

    companions = _Companions()
    for number in range(MAX_REMEMBERED + 10):
        companions.put(PresentedCertificate(str(number).encode(), (b"other",)))
    assert companions.of(PresentedCertificate(b"0")) == ()
    assert companions.of(PresentedCertificate(str(MAX_REMEMBERED).encode())) == (b"other",)


# -- one app's trust in another's way ------------------------------------------------------------------------------


def twin(original: Identity, **fields: Any) -> Identity:
    """An authority with the same name and key identifier and another key, as anybody can make."""
    from cryptography import x509

    kept = original.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return authority(original.certificate.subject, key_identifiers=False, extensions=[(kept, False)], **fields)


@pytest.mark.parametrize(
    ("first", "imposter", "who"),
    [
        (trusting(ROOT), twin(ROOT), ISSUED),
        (trusting(ROOT), authority("Root", key_identifiers=False), ISSUED),
        (trusting(MIDDLE), twin(MIDDLE), Identity(BELOW.certificate, BELOW.key)),
        (pinning(PINNED), twin(PINNED.issuers[0]), PINNED),
        (pinning(leaf("self", None)), authority("Unrelated"), None),
    ],
    ids=["same identifier", "no identifier", "an intermediate", "a pinned one's issuer", "unrelated"],
)
def test_an_authority_that_passes_for_another_apps_does_not_end_its_handshakes(
    server: TlsServer, tmp_path: Path, first: AppCredential, imposter: Identity, who: Identity | None
) -> None:
    anchors = anchors_of([first, trusting(imposter)])
    assert (imposter.der in anchors) is (who is None)
    server.trust.trust(anchors)
    if who is not None:
        assert shown(server, who, tmp_path) == [who.der]


def test_without_that_rule_they_would_end(server: TlsServer, tmp_path: Path) -> None:
    """What the rule is for: OpenSSL takes the first of the name and looks no further."""
    server.trust.trust((twin(PINNED.issuers[0]).der, PINNED.der))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shown(server, PINNED, tmp_path)


def test_authorities_of_one_name_that_can_be_told_apart_live_side_by_side(server: TlsServer, tmp_path: Path) -> None:
    others = [authority("Root") for _ in range(3)]
    server.trust.trust(anchors_of([*(trusting(other) for other in others), trusting(ROOT)]))
    for issuer in (*others, ROOT):
        identity = leaf("issued", issuer)
        assert shown(server, identity, tmp_path) == [identity.der]


def test_an_authority_renewed_with_its_key_is_trusted_beside_the_old_one(server: TlsServer, tmp_path: Path) -> None:
    renewed = authority("Root", key=ROOT.key)
    server.trust.trust(anchors_of([trusting(ROOT), trusting(renewed)]))
    assert len(anchors_of([trusting(ROOT), trusting(renewed), trusting(ROOT)])) == 2
    assert shown(server, ISSUED, tmp_path) == [ISSUED.der]


def test_many_authorities_are_all_trusted(server: TlsServer, tmp_path: Path) -> None:
    """More than OpenSSL is given at once."""
    many = [authority(f"Authority {number}") for number in range(120)]
    server.trust.trust(anchors_of([trusting(*many[:60]), *(trusting(each) for each in many[60:])]))
    for number in (0, 49, 50, 119):
        identity = leaf("issued", many[number])
        assert shown(server, identity, tmp_path) == [identity.der]


@pytest.mark.parametrize("text", ["", "!", "AAAA", ROOT.encoded[:-8]])
def test_a_certificate_that_cannot_be_read_spoils_nothing(text: str, caplog: pytest.LogCaptureFixture) -> None:
    bad = AppCredential(kind=CredentialKind.CERTIFICATE, config={"certificate": text})
    assert anchors_of([bad, trusting(ROOT), AppCredential(kind=CredentialKind.CERTIFICATE)]) == (ROOT.der,)
    assert "cannot be read" in caplog.text
