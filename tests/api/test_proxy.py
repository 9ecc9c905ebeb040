"""Whom a header may speak for: only a proxy that the operator named, and only in one way (abuse cases 6 and 29)."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.certificates import PresentedCertificate
from kms.api.proxy import MAX_CERTIFICATE_HEADER, SCOPE_KEY, Peer, peer_of
from kms.config import values
from tests.kit.certificates import authority, leaf

PROXY, CLIENT = "10.1.0.1", "203.0.113.9"
HEADER = b"x-ssl-client-cert"
ROOT = authority()
MIDDLE = authority("Issuing", ROOT)
IDENTITY = leaf("worker", MIDDLE)
PEM = quote(IDENTITY.pem).encode()
CHAIN = quote(IDENTITY.pem + MIDDLE.pem).encode()
BYTES = b":" + base64.b64encode(IDENTITY.der) + b":"
SHOWN = PresentedCertificate(IDENTITY.der)
OWN = PresentedCertificate(b"the connection's")

Headers = list[tuple[bytes, bytes]]


@pytest.fixture
def behind(settings: Any) -> None:
    """A proxy on one address, another on a network behind it."""
    settings.KEYSTEAD = replace(
        settings.KEYSTEAD,
        trusted_proxies=values.networks("10.1.0.0/24, fd00::/64, 192.0.2.1"),
        client_certificate_header=values.header_name("X-SSL-Client-Cert"),
    )


def seen(headers: Headers, *, peer: str | None = PROXY, own: PresentedCertificate | None = OWN) -> Peer:
    scope: dict[str, Any] = {"client": None if peer is None else (peer, 40000), "headers": headers}
    return peer_of(scope | ({} if own is None else {SCOPE_KEY: own}))


# -- from anybody else ---------------------------------------------------------------------------------------------

SPOOFED: Headers = [
    (b"x-forwarded-for", CLIENT.encode()),
    (b"forwarded", b"for=203.0.113.9"),
    (b"x-real-ip", CLIENT.encode()),
    (HEADER, PEM),
    (b"client-cert", BYTES),
    (b"x-forwarded-client-cert", PEM),
    (b"x_ssl_client_cert", PEM),
    (b"ssl-client-cert", PEM),
    (b"remote-addr", CLIENT.encode()),
]


@pytest.mark.parametrize("header", SPOOFED, ids=lambda header: header[0].decode())
@pytest.mark.parametrize("peer", [CLIENT, "127.0.0.1", "10.1.1.1", "::1", "fd00:0:0:1::1", "::ffff:10.1.1.1", None])
def test_nobody_else_is_believed(behind: None, peer: str | None, header: tuple[bytes, bytes]) -> None:
    assert seen([header], peer=peer) == Peer(peer, OWN)
    assert seen([header], peer=peer, own=None) == Peer(peer, None)


@pytest.mark.parametrize("header", SPOOFED, ids=lambda header: header[0].decode())
def test_without_named_proxies_nobody_is(header: tuple[bytes, bytes]) -> None:
    assert seen([header]) == Peer(PROXY, OWN)


# -- addresses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ([], PROXY),
        ([CLIENT], CLIENT),
        ([f"8.8.8.8, {CLIENT}"], CLIENT),
        ([f"8.8.8.8, {CLIENT}, 10.1.0.7, 192.0.2.1"], CLIENT),
        (["8.8.8.8", CLIENT], CLIENT),
        ([CLIENT, "10.1.0.7"], CLIENT),
        ([f"10.1.0.8, {CLIENT}"], CLIENT),
        (["10.1.0.7, 10.1.0.8"], "10.1.0.7"),
        ([f" {CLIENT} "], CLIENT),
        ([f"{CLIENT}:51000"], CLIENT),
        (["[2001:db8::9]:51000"], "2001:db8::9"),
        (["2001:DB8::9"], "2001:db8::9"),
        ([f"::ffff:{CLIENT}"], CLIENT),
        ([f"8.8.8.8, ::ffff:10.1.0.9, {CLIENT}"], CLIENT),
        (["8.8.8.8, ::ffff:10.1.0.9"], "8.8.8.8"),
        (["8.8.8.8, unknown"], PROXY),
        (["8.8.8.8, "], PROXY),
        (["rubbish"], PROXY),
        (["8.8.8.8, 010.001.000.007"], PROXY),
        ([","], PROXY),
        (["8.8.8.8; 1"], PROXY),
        (["9" * 5000], PROXY),
        ([", ".join(["8.8.8.8"] + ["10.1.0.7"] * 100)], "10.1.0.7"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_last_address_that_no_proxy_has_counts(behind: None, lines: list[str], address: str) -> None:
    headers = [(b"x-forwarded-for", line.encode()) for line in lines]
    assert seen(headers).client_ip == address


@pytest.mark.parametrize("peer", ["10.1.0.1", "::ffff:10.1.0.1", "fd00::7", "192.0.2.1"])
def test_a_proxy_is_known_by_its_address_however_it_is_written(behind: None, peer: str) -> None:
    assert seen([(b"x-forwarded-for", CLIENT.encode())], peer=peer).client_ip == CLIENT


@hypothesis_settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(before=st.lists(st.sampled_from(["8.8.8.8", "10.1.0.7", "rubbish", "", "::1", "192.0.2.1"]), max_size=6))
def test_what_a_caller_writes_itself_changes_nothing(behind: None, before: list[str]) -> None:
    line = ", ".join([*before, CLIENT])
    assert seen([(b"x-forwarded-for", line.encode())]).client_ip == CLIENT


# -- certificates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (PEM, SHOWN),
        (CHAIN, PresentedCertificate(IDENTITY.der, (MIDDLE.der,))),
        (BYTES, SHOWN),
        (b"  " + PEM + b"  ", SHOWN),
        (quote(IDENTITY.pem.replace(b"\n", b"\r\n")).encode(), SHOWN),
        (quote(IDENTITY.pem, safe="").encode(), SHOWN),
    ],
    ids=["PEM", "chain", "RFC 9440", "blanks", "CRLF", "all encoded"],
)
def test_a_proxy_tells_the_certificate(behind: None, value: bytes, shown: PresentedCertificate) -> None:
    assert seen([(HEADER, value)]).certificate == shown


NONE_OF_THEM: dict[str, Headers] = {
    "nothing": [],
    "empty": [(HEADER, b"")],
    "two lines": [(HEADER, PEM), (HEADER, PEM)],
    "two lines, the second empty": [(HEADER, PEM), (HEADER, b"")],
    "underscores": [(b"x_ssl_client_cert", PEM)],
    "half underscores": [(b"x-ssl_client-cert", PEM)],
    "another header": [(b"client-cert", BYTES)],
    "a longer name": [(HEADER + b"-chain", PEM)],
    "rubbish": [(HEADER, b"rubbish")],
    "rubbish before": [(HEADER, b"x" + PEM)],
    "rubbish behind": [(HEADER, PEM + b"x")],
    "two in one line": [(HEADER, PEM + b"," + PEM)],
    "bare base64": [(HEADER, BYTES.strip(b":"))],
    "two byte sequences": [(HEADER, BYTES + b", " + BYTES)],
    "an empty byte sequence": [(HEADER, b"::")],
    "one colon": [(HEADER, b":")],
    "plus signs for blanks": [(HEADER, PEM.replace(b"%20", b"+"))],
    "no end": [(HEADER, PEM.partition(b"-----END")[0])],
    "no beginning": [(HEADER, PEM.partition(b"-----BEGIN%20CERTIFICATE-----")[2])],
    "a key": [(HEADER, quote(IDENTITY.key_pem).encode())],
    "too long": [(HEADER, b"%0A" * MAX_CERTIFICATE_HEADER + PEM)],
    "not ASCII": [(HEADER, b"\xff" + PEM)],
}


@pytest.mark.parametrize("case", NONE_OF_THEM)
def test_anything_else_is_no_certificate_and_neither_is_the_proxys_own(behind: None, case: str) -> None:
    assert seen(NONE_OF_THEM[case]).certificate is None


def test_the_underscore_twin_does_not_spoil_the_real_one(behind: None) -> None:
    other = quote(leaf("other", ROOT).pem).encode()
    for headers in ([(b"x_ssl_client_cert", other), (HEADER, PEM)], [(HEADER, PEM), (b"x_ssl_client_cert", other)]):
        assert seen(headers).certificate == SHOWN


def test_a_proxy_without_a_header_for_it_shows_no_certificate(settings: Any) -> None:
    settings.KEYSTEAD = replace(settings.KEYSTEAD, trusted_proxies=values.networks(PROXY))
    assert seen([(HEADER, PEM), (b"client-cert", BYTES)]) == Peer(PROXY, None)


@hypothesis_settings(
    max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(value=st.one_of(st.binary(max_size=200), st.builds(lambda cut, more: PEM[:cut] + more + PEM[cut:],
       st.integers(0, len(PEM)), st.binary(max_size=8))))  # fmt: skip
def test_no_value_breaks_it(behind: None, value: bytes) -> None:
    found = seen([(HEADER, value)]).certificate
    assert found is None or isinstance(found.leaf, bytes)
