"""Revocation lists: what makes one count, and that nothing but a good one lets anybody in (abuse case 38)."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accounts import revocation
from accounts.errors import NotAuthenticated
from accounts.mtls import Chain
from kms.config.values import Reachable
from tests.kit.certificates import DAY, Identity, authority, leaf, now, points, revocation_list

ROOT = authority("Root")
MIDDLE = authority("Issuing", ROOT)
GOOD, LOST = leaf("good", ROOT), leaf("lost", ROOT)


def chain_of(identity: Identity) -> Chain:
    return tuple(each.certificate for each in (identity, *identity.issuers))


def check(identity: Identity, *lists: bytes, after: Any = 0 * DAY) -> Any:
    stored = [base64.b64encode(each).decode() for each in lists]
    return revocation.check(chain_of(identity), stored, now() + after)


def refusal(identity: Identity, *lists: bytes, after: Any = 0 * DAY) -> str:
    with pytest.raises(NotAuthenticated) as refused:
        check(identity, *lists, after=after)
    return refused.value.reason


# -- stored lists --------------------------------------------------------------------------------------------------


def test_who_is_not_on_the_list_is_good_until_it_ends() -> None:
    assert check(GOOD, revocation_list(ROOT, LOST)) == now() + DAY
    assert refusal(LOST, revocation_list(ROOT, LOST)) == "certificate-revoked"
    assert refusal(GOOD, revocation_list(ROOT, LOST), after=DAY) == "revocation-unknown"


def test_a_list_that_ended_counts_no_more_beside_a_good_one() -> None:
    old = revocation_list(ROOT, GOOD, since=-9 * DAY, until=-DAY)
    assert check(GOOD, old, revocation_list(ROOT)) == now() + DAY


def test_one_list_that_names_it_is_enough() -> None:
    lists = [revocation_list(ROOT, until=9 * DAY), revocation_list(ROOT, LOST), revocation_list(ROOT, until=5 * DAY)]
    assert refusal(LOST, *lists) == "certificate-revoked"
    assert refusal(LOST, *reversed(lists)) == "certificate-revoked"


def test_a_certificate_on_hold_is_refused() -> None:
    held = revocation_list(ROOT, LOST, of_entries=[(x509.CRLReason(x509.ReasonFlags.certificate_hold), False)])
    assert refusal(LOST, held) == "certificate-revoked"


def test_every_certificate_of_the_chain_needs_a_list() -> None:
    below = leaf("below", MIDDLE)
    assert check(below, revocation_list(ROOT, until=2 * DAY), revocation_list(MIDDLE)) == now() + DAY
    assert refusal(below, revocation_list(MIDDLE)) == "revocation-unknown"
    assert refusal(below, revocation_list(ROOT)) == "revocation-unknown"
    assert refusal(below, revocation_list(ROOT, MIDDLE), revocation_list(MIDDLE)) == "certificate-revoked"


def issuing(**parts: Any) -> list[tuple[x509.ExtensionType, bool]]:
    nothing: dict[str, Any] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return [(x509.IssuingDistributionPoint(**{**nothing, **parts}), True)]


NAMESAKE = authority(ROOT.certificate.subject)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
ELSEWHERE = [x509.UniformResourceIdentifier("http://elsewhere.example.org/list")]
OTHERS = x509.CertificateIssuer([x509.DirectoryName(ROOT.certificate.subject)])

# Lists that say nothing about the certificate; the first reason is that there is none.
SILENT: dict[str, Callable[[], tuple[bytes, ...]]] = {
    "no list": tuple,
    "ended": lambda: (revocation_list(ROOT, since=-9 * DAY, until=-DAY),),
    "not yet issued": lambda: (revocation_list(ROOT, since=DAY / 2),),
    "of another issuer": lambda: (revocation_list(MIDDLE),),
    "of another issuer with the same name": lambda: (revocation_list(NAMESAKE),),
    "signed by a leaf": lambda: (revocation_list(ROOT, signer=GOOD.key),),
    "a delta": lambda: (revocation_list(ROOT, extensions=[(x509.DeltaCRLIndicator(1), True)]),),
    "a delta that is not critical": lambda: (revocation_list(ROOT, extensions=[(x509.DeltaCRLIndicator(1), False)]),),
    "an unknown critical extension": lambda: (revocation_list(ROOT, extensions=[(UNKNOWN, True)]),),
    "indirect": lambda: (revocation_list(ROOT, extensions=issuing(indirect_crl=True)),),
    "for authorities": lambda: (revocation_list(ROOT, extensions=issuing(only_contains_ca_certs=True)),),
    "for attributes": lambda: (revocation_list(ROOT, extensions=issuing(only_contains_attribute_certs=True)),),
    "for some reasons": lambda: (
        revocation_list(ROOT, extensions=issuing(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise]))),
    ),
    "for another place": lambda: (revocation_list(ROOT, extensions=issuing(full_name=ELSEWHERE)),),
}


@pytest.mark.parametrize("case", SILENT)
def test_a_list_that_says_nothing_lets_nobody_in(case: str) -> None:
    assert refusal(GOOD, *SILENT[case]()) == "revocation-unknown"


def test_an_issuer_that_may_not_sign_lists_signs_none() -> None:
    issuer = authority("Issues only", usage=(True, False))
    assert refusal(leaf("x", issuer), revocation_list(issuer)) == "revocation-unknown"


def test_a_list_for_users_is_good_for_a_user_and_not_for_an_authority() -> None:
    users = revocation_list(ROOT, extensions=issuing(only_contains_user_certs=True))
    assert check(GOOD, users)
    assert refusal(leaf("below", MIDDLE), users, revocation_list(MIDDLE)) == "revocation-unknown"


@pytest.mark.parametrize("of_entries", [[(UNKNOWN, True)], [(OTHERS, True)]], ids=["unknown", "another issuer"])
def test_an_entry_that_says_more_than_is_understood_spoils_the_list(of_entries: Any) -> None:
    assert refusal(GOOD, revocation_list(ROOT, LOST, of_entries=of_entries)) == "credential-unreadable"


@pytest.mark.parametrize("content", [b"", b"rubbish", revocation_list(ROOT)[:-1], ROOT.der], ids=range(4))
def test_what_is_no_list_lets_nobody_in(content: bytes) -> None:
    assert refusal(GOOD, content) == "credential-unreadable"


def test_a_pinned_certificate_has_no_issuer_to_ask() -> None:
    with pytest.raises(NotAuthenticated, match="Invalid credentials"):
        revocation.check((GOOD.certificate,), [], now())


# -- fetched lists -------------------------------------------------------------------------------------------------


@dataclass
class Publisher:
    """An HTTP server with one answer for every path."""

    url: str = ""
    answer: bytes = b""
    status: int = 200
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def publisher(settings: Any) -> Iterator[Publisher]:
    """On loopback, which the operator has allowed."""
    settings.KEYSTEAD = replace(settings.KEYSTEAD, outbound_allow=Reachable((ip_network("127.0.0.1/32"),)))
    revocation.lists.clear()
    state = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            self.send_response(state.status)
            self.send_header("Location", f"{state.url}/elsewhere")
            self.send_header("Content-Length", str(len(state.answer)))
            self.end_headers()
            self.wfile.write(state.answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        revocation.lists.clear()


def at(publisher: Publisher, *paths: str) -> Identity:
    return leaf("fetched", ROOT, extensions=[points(*(f"{publisher.url}{path}" for path in paths or ("/list",)))])


def refresh(identity: Identity) -> None:
    revocation.lists.refresh(chain_of(identity))


def due_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(revocation, "RETRY_SECONDS", 0.0)


@pytest.mark.parametrize("form", [Encoding.DER, Encoding.PEM])
def test_a_list_is_fetched_where_the_certificate_says_and_kept(publisher: Publisher, form: Encoding) -> None:
    identity = at(publisher)
    publisher.answer = x509.load_der_x509_crl(revocation_list(ROOT, LOST)).public_bytes(form)
    assert refusal(identity) == "revocation-unknown"
    for _ in range(3):
        refresh(identity)
        assert check(identity) == now() + DAY
    assert publisher.asked == ["/list"]
    assert refusal(identity, after=DAY) == "revocation-unknown"


def test_a_newer_list_takes_its_place(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    due_again(monkeypatch)
    identity = at(publisher)
    publisher.answer = revocation_list(ROOT)
    refresh(identity)
    assert check(identity)
    publisher.answer = revocation_list(ROOT, identity, since=-DAY / 2)
    refresh(identity)
    assert refusal(identity) == "certificate-revoked"


@pytest.mark.parametrize("then", ["older", "gone", "rubbish", "redirected"])
def test_what_comes_after_a_good_list_does_not_undo_it(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    due_again(monkeypatch)
    identity = at(publisher)
    publisher.answer = revocation_list(ROOT, identity)
    refresh(identity)
    publisher.answer = revocation_list(ROOT, since=-2 * DAY, until=9 * DAY) if then == "older" else b"rubbish"
    publisher.status = {"gone": 404, "redirected": 302}.get(then, 200)
    refresh(identity)
    assert len(publisher.asked) == 2
    assert refusal(identity) == "certificate-revoked"


@pytest.mark.parametrize("case", ["500", "302", "rubbish", "too large", "another issuer's", "ended"])
def test_an_answer_that_is_no_good_list_lets_nobody_in(publisher: Publisher, case: str) -> None:
    identity = at(publisher)
    publisher.status = int(case) if case.isdigit() else 200
    publisher.answer = {
        "rubbish": b"<html>",
        "too large": revocation_list(ROOT) + bytes(1 << 20),
        "another issuer's": revocation_list(MIDDLE),
        "ended": revocation_list(ROOT, since=-9 * DAY, until=-DAY),
    }.get(case, revocation_list(ROOT))
    refresh(identity)
    assert publisher.asked == ["/list"]
    assert refusal(identity) == "revocation-unknown"


def test_a_server_that_is_down_lets_nobody_in_and_is_not_asked_again_at_once(publisher: Publisher) -> None:
    identity = at(publisher)
    publisher.status = 503
    for _ in range(3):
        refresh(identity)
    assert publisher.asked == ["/list"]
    assert refusal(identity) == "revocation-unknown"


def test_the_second_place_serves_when_the_first_does_not(publisher: Publisher) -> None:
    closed = "http://127.0.0.1:1/list"
    identity = leaf("fetched", ROOT, extensions=[points(closed, f"{publisher.url}/list")])
    publisher.answer = revocation_list(ROOT)
    refresh(identity)
    assert check(identity)


def test_a_list_counts_for_the_place_that_it_names_only(publisher: Publisher) -> None:
    mine = [x509.UniformResourceIdentifier(f"{publisher.url}/list")]
    publisher.answer = revocation_list(ROOT, extensions=issuing(full_name=mine))
    other = at(publisher, "/other")
    for identity in (at(publisher), other):
        refresh(identity)
    assert check(at(publisher))
    assert refusal(other) == "revocation-unknown"


@pytest.mark.parametrize(
    "url",
    ["ldap://127.0.0.1/cn=x", "file:///etc/passwd", "ftp://127.0.0.1/list", "http://169.254.169.254/latest",
     "http://10.0.0.1/list", "http://[::1]/list", "http://127.0.0.2/list", "http://0.0.0.0/list"],
)  # fmt: skip
def test_no_address_of_the_inside_is_called(publisher: Publisher, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    def connected(*_: Any, **__: Any) -> None:
        raise AssertionError("it connected")

    monkeypatch.setattr("socket.socket.connect", connected)
    identity = leaf("fetched", ROOT, extensions=[points(url)])
    refresh(identity)
    assert refusal(identity) == "revocation-unknown"


def test_points_for_some_reasons_or_of_another_issuer_are_not_asked(publisher: Publisher) -> None:
    place = [x509.UniformResourceIdentifier(f"{publisher.url}/list")]
    some = x509.DistributionPoint(place, None, frozenset([x509.ReasonFlags.key_compromise]), None)
    other = x509.DistributionPoint(place, None, None, [x509.DirectoryName(MIDDLE.certificate.subject)])
    identity = leaf("fetched", ROOT, extensions=[(x509.CRLDistributionPoints([some, other]), False)])
    publisher.answer = revocation_list(ROOT)
    refresh(identity)
    assert publisher.asked == []
    assert refusal(identity) == "revocation-unknown"


def test_the_lists_that_are_kept_are_few(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "MAX_LISTS", 3)
    publisher.answer = revocation_list(ROOT)
    for number in range(5):
        refresh(at(publisher, f"/{number}"))
    assert refusal(at(publisher, "/0")) == "revocation-unknown"
    assert check(at(publisher, "/4"))
