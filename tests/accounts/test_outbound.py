"""What a setting may make the server call: what is public or allowed, resolved once, in bounds, and nothing else."""

from __future__ import annotations

import ast
import dataclasses
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from accounts import outbound
from accounts.outbound import OutboundFailed, OutboundRefused, check_url, fetch
from kms.config.values import Reachable
from tests.architecture.source import modules
from tests.kit.tls import Authority, new_authority
from tests.kit.urls import FORBIDDEN_URLS, NAMES, RESOLVED_URLS, forbidden_resolver

PUBLIC = "93.184.216.34"


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every connection that is tried; none is made."""
    tried: list[str] = []

    def connect(address: tuple[str, int], *_: Any) -> socket.socket:
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    return tried


# -- where ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", FORBIDDEN_URLS)
def test_what_must_not_be_called_is_refused_before_it_is_saved(url: str, connections: list[str]) -> None:
    with pytest.raises(OutboundRefused) as caught:
        check_url(url)
    with pytest.raises((OutboundRefused, OutboundFailed)):
        fetch(url)
    assert connections == []
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", RESOLVED_URLS)
def test_a_name_that_leads_inside_is_refused_when_it_is_called(
    url: str, connections: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", forbidden_resolver)
    with pytest.raises(OutboundRefused):
        fetch(url)
    assert connections == []


def test_a_name_is_resolved_once_and_called_at_the_address_that_was_judged(
    connections: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: the name means something else the second time it is asked for (CVE-2026-5052)."""
    answers = iter([PUBLIC, "127.0.0.1", "127.0.0.1"])

    def resolve(host: str, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(OutboundFailed):
        fetch("https://login.example.org/")
    assert connections == [PUBLIC]


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example.org/path?query=1",
        "https://LOGIN.Example.org:8443",
        f"https://{PUBLIC}/",
        "https://[2606:4700::1111]/",
        "https://login.example.org./",
        "https://3com.example.org/",
        "https://xn--bcher-kva.example/",
        "https://a.b-c_d.example.org/%2e",
    ],
)
def test_public_addresses_are_called(url: str) -> None:
    check_url(url)


def test_what_the_operator_of_the_server_allows_is_called(settings: Any, connections: list[str]) -> None:
    ranges = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/8"))
    allowed = Reachable(networks=ranges, hosts=frozenset({"localhost"}))
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, outbound_allow=allowed)
    for url in ("https://10.1.2.3/", "https://[fd00::1]/", "https://localhost/", "https://[::ffff:10.1.2.3]/"):
        check_url(url)
        with pytest.raises(OutboundFailed):
            fetch(url)
    assert connections
    for url in ("https://10.2.0.1/", "https://127.0.0.1/", "https://localhost.example.org@10.2.0.1/"):
        with pytest.raises(OutboundRefused):
            check_url(url)


def test_ldap_addresses_are_judged_alike() -> None:
    for url in ("ldap://10.0.0.1", "ldaps://169.254.169.254", "ldaps://2130706433", "ldap://user@example.org"):
        with pytest.raises(OutboundRefused):
            check_url(url, schemes=("ldap", "ldaps"))
    check_url("ldaps://directory.example.org", schemes=("ldap", "ldaps"))


def test_every_name_of_the_sweep_is_answered_by_its_resolver() -> None:
    for name, addresses in NAMES.items():
        assert [entry[4][0] for entry in forbidden_resolver(name, None)] == list(addresses)


def test_nothing_else_opens_connections_to_others() -> None:
    """Whoever calls out does so here, but for the directory, whose address is judged here; deliveries are handed a
    socket of ours."""
    callers = {"accounts/outbound.py", "accounts/sso/ldap_connection.py", "accounts/tls_delivery.py"}
    openers = {"socket", "http.client", "urllib.request", "urllib3", "requests", "httpx", "smtplib", "ftplib"}
    found = set()
    for path, tree in modules():
        if path.startswith("kms/config/"):
            continue  # the operator's own settings
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if openers & set(names):
                found.add(path)
    assert found <= callers, "calls out past accounts.outbound"
    assert "accounts/outbound.py" in found


# -- in bounds -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture
def trust(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.pem)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", 0.6)
    monkeypatch.setattr(outbound, "READ_SECONDS", 0.4)


@contextmanager
def answering(
    folder: Path, authority: Authority, answer: Callable[[socket.socket], None], *, tls: bool = True
) -> Iterator[str]:
    """A server on loopback that answers one connection after the other as the test says."""
    listening = socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server(folder, "127.0.0.1"))

    def serve() -> None:
        while True:
            try:
                raw, _ = listening.accept()
            except OSError:
                return
            with raw:
                raw.settimeout(5)
                try:
                    with context.wrap_socket(raw, server_side=True) if tls else raw as channel:
                        if tls:
                            channel.recv(65536)
                        answer(channel)
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(timeout=5)


@pytest.fixture
def _loopback_allowed(settings: Any) -> None:
    allowed = Reachable(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, outbound_allow=allowed)


def drip(start: bytes, piece: bytes, pause: float = 0.05) -> Callable[[socket.socket], None]:
    def answer(channel: socket.socket) -> None:
        channel.sendall(start)
        for _ in range(200):
            channel.sendall(piece)
            time.sleep(pause)

    return answer


def say(content: bytes) -> Callable[[socket.socket], None]:
    return lambda channel: channel.sendall(content)


OK = b"HTTP/1.1 200 OK\r\n"
BOUNDLESS: dict[str, Callable[[socket.socket], None]] = {
    "silence": lambda _channel: time.sleep(1),
    "the status, byte by byte": drip(b"", b"H"),
    "headers without end": drip(OK, b"X-A: b\r\n"),
    "a body, byte by byte": drip(OK + b"Content-Length: 100000\r\n\r\n", b"x"),
    "a body without length or end": drip(OK + b"\r\n", b"x"),
    "pieces without end": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "continue, continue, continue": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "more than a megabyte": say(OK + b"Content-Length: 1048577\r\n\r\n" + bytes(1048577)),
    "more than it said, and more than a megabyte": say(OK + b"\r\n" + bytes(1048580)),
    "less than it said": say(OK + b"Content-Length: 100\r\n\r\nx"),
    "a length that is none": say(OK + b"Content-Length: -1\r\n\r\n" + bytes(1048580)),
    "too many headers": say(OK + b"X: y\r\n" * 200 + b"\r\n"),
    "a header too long": say(OK + b"X: " + b"y" * 70000 + b"\r\n\r\n"),
    "something else": say(b"220 mail.example.org ESMTP\r\n"),
    "nothing": lambda _channel: None,
}


@pytest.mark.usefixtures("_loopback_allowed")
@pytest.mark.parametrize("answer", BOUNDLESS.values(), ids=BOUNDLESS.keys())
def test_an_answer_out_of_bounds_is_no_answer_and_ends_in_time(
    answer: Callable[[socket.socket], None], tmp_path: Path, authority: Authority, trust: ssl.SSLContext
) -> None:
    with answering(tmp_path, authority, answer) as url:
        started = time.monotonic()
        with pytest.raises(OutboundFailed) as caught:
            fetch(url, trust=trust)
        assert time.monotonic() - started < 3
    assert "ESMTP" not in str(caught.value)


@pytest.mark.usefixtures("_loopback_allowed")
def test_a_handshake_without_end_ends(tmp_path: Path, authority: Authority, trust: ssl.SSLContext) -> None:
    with answering(tmp_path, authority, drip(b"\x16\x03\x03\x40\x00", b"x"), tls=False) as url:
        started = time.monotonic()
        with pytest.raises(OutboundFailed):
            fetch(url, trust=trust)
        assert time.monotonic() - started < 3


@pytest.mark.usefixtures("_loopback_allowed")
def test_an_answer_in_bounds_is_taken(tmp_path: Path, authority: Authority, trust: ssl.SSLContext) -> None:
    for answer, status, body in (
        (OK + b"Content-Length: 2\r\n\r\n{}", 200, b"{}"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, b"{}"),
        (OK + b"Content-Length: 1048576\r\n\r\n" + bytes(1 << 20), 200, bytes(1 << 20)),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", 302, b""),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b", 200, b"\x1f\x8b"),
    ):
        with answering(tmp_path, authority, say(answer)) as url:
            found = fetch(url, trust=trust)
        assert (found.status, found.body) == (status, body)


@pytest.mark.usefixtures("_loopback_allowed")
def test_another_authority_and_another_name_are_not_believed(
    tmp_path: Path, authority: Authority, trust: ssl.SSLContext
) -> None:
    with answering(tmp_path, authority, say(OK + b"Content-Length: 0\r\n\r\n")) as url:
        assert fetch(url, trust=trust).status == 200
        for other in (None, ssl.create_default_context(cadata=new_authority().pem)):
            with pytest.raises(OutboundFailed):
                fetch(url, trust=other)
        with pytest.raises(OutboundFailed):
            fetch(url.replace("127.0.0.1", "127.0.0.2"), trust=trust)


@pytest.mark.usefixtures("_loopback_allowed")
def test_no_thread_and_no_socket_is_left_behind(tmp_path: Path, authority: Authority, trust: ssl.SSLContext) -> None:
    with answering(tmp_path, authority, drip(OK, b"X-A: b\r\n")) as url:
        before = threading.active_count()
        for _ in range(3):
            with pytest.raises(OutboundFailed):
                fetch(url, trust=trust)
        assert threading.active_count() == before


@pytest.mark.usefixtures("_loopback_allowed")
def test_who_is_slow_takes_two_turns_and_leaves_the_others(
    tmp_path: Path, authority: Authority, trust: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(outbound, "READ_SECONDS", 1.0)
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", 1.0)
    silent = socket.create_server(("127.0.0.2", 0))
    slow = f"https://127.0.0.2:{silent.getsockname()[1]}/"
    failures: list[str] = []

    def call() -> None:
        try:
            fetch(slow, trust=trust)
        except OutboundFailed as failed:
            failures.append(str(failed))

    with silent, answering(tmp_path, authority, say(OK + b"Content-Length: 0\r\n\r\n")) as quick:
        callers = [threading.Thread(target=call) for _ in range(6)]
        for caller in callers:
            caller.start()
        time.sleep(0.3)
        assert len([text for text in failures if "at once" in text]) == 4
        assert fetch(quick, trust=trust).status == 200
        for caller in callers:
            caller.join()
    assert len(failures) == 6
    assert outbound._under_way == {}
