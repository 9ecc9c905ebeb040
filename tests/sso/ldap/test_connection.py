"""The conversation with a directory: TLS, addresses, bounds, and others who pretend to be one."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from accounts.sso import ldap, ldap_connection
from accounts.sso.kind import ProviderFailed, SettingInvalid
from accounts.sso.ldap_settings import Directory
from tests.kit.tls import new_authority
from tests.sso.ldap.slapd import PASSWORD, SECRETS, SERVICE_PASSWORD, Slapd
from tests.sso.ldap.test_directory import asked, new_person


def test_tls_comes_with_the_connection_or_is_started_in_it(slapd: Slapd) -> None:
    _, address = new_person(slapd)
    for changes in ({}, {"url": slapd.url}, {"url": slapd.url, "tls": {"mode": "opportunistic"}}):
        assert ldap.person(asked(slapd, **changes), address, PASSWORD) is not None


def test_a_certificate_that_is_not_trusted_or_of_another_name_ends_it(slapd: Slapd) -> None:
    other = Slapd(slapd.folder).authority
    for url in (slapd.url, slapd.tls_url):
        for changes in (
            {"url": url, "tls": {"mode": "required", "authorities": [other.pem]}},
            {"url": url, "tls": {"mode": "required", "authorities": []}},
            {"url": url.replace("localhost", "127.0.0.1")},
        ):
            with pytest.raises(ProviderFailed):
                ldap.person(asked(slapd, **changes), "a@example.org", PASSWORD)


def test_a_directory_that_asks_for_a_client_certificate_gets_ours(tmp_path: Any) -> None:
    own = Slapd(tmp_path, more="TLSVerifyClient demand")
    certificate, key = (file.read_text() for file in own.authority.server(tmp_path, "keystead"))
    shown = {"mode": "required", "authorities": [own.authority.pem], "client_certificate": certificate}
    secrets = {**SECRETS, "client_key": key.encode()}
    own.start()
    try:
        own.populate()
        own.person("eve")
        for url in (own.url, own.tls_url):
            assert ldap.person(asked(own, secrets, url=url, tls=shown), "eve@example.org", PASSWORD) is not None
            with pytest.raises(ProviderFailed):
                ldap.person(asked(own, url=url), "eve@example.org", PASSWORD)
    finally:
        own.stop()
    other = {**secrets, "client_key": Path(new_authority().server(tmp_path, "x")[1]).read_bytes()}
    with pytest.raises(SettingInvalid, match="do not go together"):
        asked(own, other, tls=shown)
    for wrong in (asked_for(own, SECRETS, shown), asked_for(own, secrets, {"mode": "disabled"})):
        with pytest.raises(SettingInvalid):
            wrong()


def asked_for(slapd: Slapd, secrets: Mapping[str, bytes], tls: Mapping[str, Any]) -> Callable[[], Directory]:
    return lambda: asked(slapd, secrets, url=slapd.url, tls=tls)


REFUSED_URLS = [
    *(
        "http://localhost",
        "ldapi:///var/run/ldapi",
        "ldap://",
        "ldap://u:p@localhost",
        "localhost",
        "file:///etc/passwd",
    ),
    *("ldap://localhost/dc=example??sub?(x=*)", "ldap://localhost#x", "ldap://local host", "ldap://10.0.0.1"),
    *("ldaps://169.254.169.254", "ldaps://[::1]", "ldaps://[::ffff:10.0.0.1]", "ldap://a ldap://b"),
]


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_settings_with_an_address_that_is_never_called_are_refused(slapd: Slapd, url: str) -> None:
    with pytest.raises(SettingInvalid):
        asked(slapd, url=url)


def test_no_password_crosses_a_public_network_in_clear(slapd: Slapd) -> None:
    for mode in ("disabled", "opportunistic"):
        with pytest.raises(SettingInvalid, match="public network"):
            asked(slapd, url="ldap://93.184.215.14", tls={"mode": mode})
        with pytest.raises(SettingInvalid, match="its mode is required"):
            asked(slapd, tls={"mode": mode})


def test_a_name_is_judged_when_it_is_called(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name resolves to something else later: not one connection is made."""
    made: list[Any] = []
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: made.append(a))
    for address in ("10.1.2.3", "169.254.169.254", "192.168.0.1", "::1", "fe80::1", "::ffff:10.0.0.1"):
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 0))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *a, found=found, **k: found)
        with pytest.raises(SettingInvalid):
            ldap.person(asked(slapd), "a@example.org", PASSWORD)
    assert made == []


@contextmanager
def talker(*, say: bytes, repeat: bool = False, wait: float = 0) -> Iterator[tuple[int, list[bytes]]]:
    """Somebody who is no directory: accepts, hears, says something."""
    heard: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            peer, _ = listening.accept()
            with peer:
                heard.append(peer.recv(4096))
                time.sleep(wait)
                peer.sendall(say)
                while repeat:
                    peer.sendall(say)
                heard.append(peer.recv(4096))
        except OSError:
            return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1], heard
    finally:
        listening.close()
        thread.join(timeout=5)


def plain(slapd: Slapd, port: int) -> Directory:
    return asked(slapd, url=f"ldap://127.0.0.1:{port}", tls={"mode": "disabled"})


def test_somebody_who_never_stops_talking_is_cut_off(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search result of 2 GB begins; nothing of it is kept past the bound."""
    monkeypatch.setattr(ldap_connection, "MAX_BYTES", 1 << 20)
    endless = b"\x30\x84\x7f\xff\xff\xff\x02\x01\x01\x64" + bytes(1 << 16)
    with talker(say=endless, repeat=True) as (port, _), pytest.raises(ProviderFailed):
        ldap.person(plain(slapd, port), "a@example.org", PASSWORD)


def test_somebody_who_says_nothing_is_not_waited_for_long(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldap_connection, "CONVERSATION_SECONDS", 0.3)
    began = time.monotonic()
    with talker(say=b"", wait=0.8) as (port, _), pytest.raises(ProviderFailed):
        ldap.person(plain(slapd, port), "a@example.org", PASSWORD)
    assert time.monotonic() - began < 2


# A bind's and StartTLS's answers: success (RFC 4511 §4.2.2, §4.12).
BIND_ANSWERED = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
TLS_ANSWERED = BIND_ANSWERED.replace(b"\x61", b"\x78")


@pytest.mark.parametrize(
    "say",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\x30\x80",
        b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x0a\x04\x00\x04\x00",
        b"\xff" * 64,
        b"\x00",
    ],
    ids=["http", "indefinite length", "referral", "noise", "NUL"],
)
def test_what_is_not_an_answer_is_a_failure_and_never_a_login(
    slapd: Slapd, say: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ldap_connection, "CONVERSATION_SECONDS", 0.5)
    with talker(say=say) as (port, _), pytest.raises(ProviderFailed):
        ldap.person(plain(slapd, port), "a@example.org", PASSWORD)


def test_a_refused_or_forged_starttls_sends_nothing_in_clear(slapd: Slapd) -> None:
    """Refused, and accepted with an answer to the bind put behind it in clear."""
    refused = TLS_ANSWERED.replace(b"\x0a\x01\x00", b"\x0a\x01\x02")
    for say in (refused, TLS_ANSWERED + BIND_ANSWERED, b"\x30\x02\x02\x01"):
        with talker(say=say) as (port, heard), pytest.raises(ProviderFailed):
            ldap.person(asked(slapd, url=f"ldap://127.0.0.1:{port}"), "a@example.org", PASSWORD)
        assert all(SERVICE_PASSWORD.encode() not in text for text in heard)


def test_one_slow_directory_takes_few_places(slapd: Slapd) -> None:
    _, address = new_person(slapd)
    with ldap_connection._place("slow.example"), ldap_connection._place("slow.example"):
        with pytest.raises(ProviderFailed), ldap_connection._place("slow.example"):
            pass
        assert ldap.person(asked(slapd), address, PASSWORD) is not None
    with ldap_connection._place("slow.example"):
        pass


def test_a_directory_that_dies_fails_and_works_again_when_it_is_back(tmp_path: Any) -> None:
    own = Slapd(tmp_path)
    own.start()
    try:
        own.populate()
        own.person("eve")
        settings_ = asked(own)
        assert ldap.person(settings_, "eve@example.org", PASSWORD) is not None
        own.stop(kill=True)
        with pytest.raises(ProviderFailed):
            ldap.person(settings_, "eve@example.org", PASSWORD)
        own.start()
        assert ldap.person(settings_, "eve@example.org", PASSWORD) is not None
    finally:
        own.stop()
    assert [t for t in threading.enumerate() if t.name == "ldap"] == []


def test_a_service_account_that_is_refused_is_a_failure_not_a_wrong_password(slapd: Slapd) -> None:
    with pytest.raises(ProviderFailed):
        ldap.person(asked(slapd, {"service_password": b"old"}), "a@example.org", PASSWORD)


def test_trust_is_never_less_than_tls_1_2(slapd: Slapd) -> None:
    trust = asked(slapd).endpoint.trust
    assert trust is not None
    assert trust.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert trust.check_hostname
