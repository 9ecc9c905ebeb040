"""The client among servers that are away, slow or wrong: it goes on where it can, and says why where it can't."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from k8s.client import Bad, Call, Client, CredentialSettings, Denied, Refused, ServerSettings, Unreachable
from k8s.client.trust import spki_digest, tls_context
from tests.acceptance.server import CHECKOUT, free_port
from tests.k8s.awkward import AwkwardServer, Behaviour, breaks_off, drips, hangs, says
from tests.kit.certificates import authority
from tests.kit.kms_plugin import private

HOUR = timedelta(hours=1)
GOOD = says(200, {"value": "yes"})
SECRET = base64.b64encode(b"00000000-0000-4000-8000-000000000000:the secret of the app").decode()


class Bench:
    """Servers, and clients of all of them, which are gone after the test."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, authority()
        self.servers: list[AwkwardServer] = []
        self.paused: list[float] = []
        self._clients: list[Client] = []

    def server(self, behaviour: Behaviour, **settings: Any) -> AwkwardServer:
        self.servers.append(AwkwardServer(self.folder, self.root, behaviour, **settings))
        return self.servers[-1]

    def client(self, *addresses: str, ca: bytes = b"", **settings: Any) -> Client:
        bundle = self.folder / "ca.pem"
        bundle.write_bytes(ca or self.root.pem)
        credential = settings.pop("credential", None)
        server = ServerSettings(
            addresses=addresses or tuple(server.url for server in self.servers),
            ca=settings.pop("ca_text", ""),
            **{"ca_file": str(bundle), "attempt_seconds": 0.5, "deadline_seconds": 2.0, **settings},
        )
        credential = credential or CredentialSettings(api_key_file=str(private(self.folder / "api.key", SECRET)))
        self._clients.append(Client(server, credential, pause=self.paused.append))
        return self._clients[-1]

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for server in self.servers:
            server.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def ask(client: Client, **settings: Any) -> dict[str, str]:
    return client.call("/anything", {"plain": b"\x00"}, dict[str, str], **settings)


def nobody() -> str:
    return f"https://127.0.0.1:{free_port()}"


def test_one_login_serves_many_calls(bench: Bench) -> None:
    server = bench.server(GOOD)
    client = bench.client()
    assert [ask(client) for _ in range(5)] == [{"value": "yes"}] * 5
    assert (server.logins, len(server.calls)) == (1, 5)
    assert server.asked[0][1]["authorization"] == f"Basic {SECRET}"
    assert {headers["authorization"] for _, headers in server.asked[1:]} == {"Bearer token"}


@pytest.mark.parametrize(
    "trouble",
    [says(503, b"sealed"), says(500), says(502), says(504), says(429, b"", Retry_After="1"), breaks_off, hangs, drips],
    ids=["503", "500", "502", "504", "429", "breaks off", "hangs", "drips"],
)
def test_where_one_server_is_in_trouble_the_next_answers(bench: Bench, trouble: Behaviour) -> None:
    first, second = bench.server(trouble), bench.server(GOOD)
    client = bench.client()
    assert ask(client) == {"value": "yes"}
    assert (len(first.calls), len(second.calls)) == (1, 1)
    assert not bench.paused
    # It rests: the next call does not wait for it.
    assert ask(client) == {"value": "yes"}
    assert (len(first.calls), len(second.calls)) == (1, 2)


def test_a_server_that_nobody_runs_is_passed_over_at_login_too(bench: Bench) -> None:
    server = bench.server(GOOD)
    assert ask(bench.client(nobody(), server.url)) == {"value": "yes"}
    assert server.logins == 1


def test_whatever_passes_is_tried_again_after_a_pause_and_not_for_ever(bench: Bench) -> None:
    server = bench.server(says(503, b"sealed"))
    with pytest.raises(Unreachable, match="503 sealed"):
        ask(bench.client())
    assert len(server.calls) == 3
    assert len(bench.paused) == 2
    assert 0 <= bench.paused[0] <= 0.2
    assert 0 <= bench.paused[1] <= 0.4


def test_a_call_ends_when_its_time_is_up(bench: Bench) -> None:
    bench.server(hangs)
    client, began = bench.client(attempt_seconds=0.3), time.monotonic()
    with pytest.raises(Unreachable):
        ask(client, call=Call.within(0.6))
    assert time.monotonic() - began < 5  # and not the server's twenty


def test_without_time_nothing_is_asked(bench: Bench) -> None:
    server = bench.server(GOOD)
    with pytest.raises(Unreachable, match="no time left"):
        ask(bench.client(), call=Call.within(0))
    assert not server.asked


@pytest.mark.parametrize(
    ("behaviour", "error", "words"),
    [
        (says(403, b"The key is disabled"), Refused, "The key is disabled"),
        (says(404, b"The object does not exist"), Refused, "does not exist"),
        (says(409, b"Another change came first"), Refused, "Another change"),
        (says(400, b"mode is not known"), Bad, "mode is not known"),
        (says(413, b"too long"), Bad, "too long"),
        (says(302, b"", Location="https://elsewhere.example/"), Bad, "302"),
        (says(200, b"<html>"), Bad, "not one of this API"),
        (says(200, {"value": 7}), Bad, "not one of this API"),
        (says(200, b" " * 5_000_000), Bad, "longer than"),
    ],
)
def test_an_answer_that_says_no_is_not_asked_for_again(
    bench: Bench, behaviour: Behaviour, error: type[Exception], words: str
) -> None:
    server = bench.server(behaviour)
    with pytest.raises(error, match=words):
        ask(bench.client(attempt_seconds=2.0))
    assert len(server.calls) == 1


def test_a_session_that_was_ended_is_opened_anew_once(bench: Bench) -> None:
    server = bench.server(says(401, b"The session has ended"))
    with pytest.raises(Denied, match="The session has ended"):
        ask(bench.client())
    assert (server.logins, len(server.calls)) == (2, 2)


def test_a_login_that_is_refused_is_not_tried_again(bench: Bench) -> None:
    server = bench.server(GOOD, login=says(401, b"Unknown app or wrong secret"))
    with pytest.raises(Denied, match="wrong secret"):
        ask(bench.client())
    assert len(server.asked) == 1


def test_a_session_is_renewed_before_it_ends(bench: Bench) -> None:
    server = bench.server(GOOD, login=says(200, {"access_token": "token", "expires_in": 0}))
    client = bench.client()
    ask(client)
    ask(client)
    assert server.logins == 2


def test_another_api_key_is_used_from_the_next_call_on(bench: Bench) -> None:
    server, client = bench.server(GOOD), bench.client()
    ask(client)
    private(bench.folder / "api.key", "YW5vdGhlcjprZXk=")
    ask(client)
    assert server.asked[2][1]["authorization"] == "Basic YW5vdGhlcjprZXk="
    # A file that is away for a moment is being replaced: the session still holds.
    (bench.folder / "api.key").unlink()
    ask(client)
    assert server.logins == 2


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No such file"), (b"two\nlines\n", "one line"), (b"\xff", "text")]
)
def test_a_credential_that_cannot_be_read_is_said_so_without_its_content(
    bench: Bench, content: bytes | None, words: str
) -> None:
    bench.server(GOOD)
    client = bench.client()
    if content is None:
        (bench.folder / "api.key").unlink()
    else:
        (bench.folder / "api.key").write_bytes(content)
    with pytest.raises(Denied, match=words) as caught:
        ask(client)
    assert "two" not in str(caught.value)


def test_a_server_of_another_authority_is_nobody(bench: Bench) -> None:
    server = bench.server(GOOD)
    with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        ask(bench.client(ca=authority("Another").pem))
    assert not server.asked


@pytest.mark.parametrize(
    ("dates", "words"),
    [({"since": 2 * HOUR}, "not yet valid"), ({"until": -2 * HOUR}, "has expired")],
    ids=["our clock is slow", "our clock is fast"],
)
def test_a_clock_that_does_not_fit_the_servers_certificate_is_told_by_that(
    bench: Bench, dates: dict[str, timedelta], words: str
) -> None:
    bench.server(GOOD, **dates)
    with pytest.raises(Unreachable, match=words):
        ask(bench.client())


def test_a_pinned_key_is_asked_and_any_other_never_sees_the_credential(bench: Bench) -> None:
    server, impostor = bench.server(GOOD), bench.server(GOOD)
    pin = "sha256/" + base64.b64encode(spki_digest(server.identity.der)).decode()
    client = bench.client(impostor.url, server.url, pins=(pin,))
    assert ask(client) == {"value": "yes"}
    assert not impostor.asked
    assert len(server.asked) == 2


def test_another_authority_in_the_file_is_trusted_from_the_next_call_on(bench: Bench) -> None:
    bench.server(GOOD)
    client = bench.client(ca=authority("Another").pem)
    with pytest.raises(Unreachable):
        ask(client)
    private(bench.folder / "ca.pem", bench.root.pem.decode())
    assert ask(client) == {"value": "yes"}


def test_authorities_may_be_given_in_place(bench: Bench) -> None:
    bench.server(GOOD)
    client = bench.client(ca_file="", ca_text=bench.root.pem.decode())
    assert ask(client) == {"value": "yes"}
    with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        ask(bench.client(ca_file="", ca_text=authority("Another").pem.decode()))
    with pytest.raises(Denied, match="the authorities that were given"):
        ask(bench.client(ca_file="", ca_text="nothing of the kind"))


@pytest.mark.parametrize("app", ["", "00000000-0000-4000-8000-00000000000a"])
def test_a_clusters_token_is_shown_at_its_own_login_and_says_which_cluster(bench: Bench, app: str) -> None:
    server, cluster = bench.server(GOOD), "00000000-0000-4000-8000-00000000000c"
    token = private(bench.folder / "token", "header.payload.signature")
    client = bench.client(credential=CredentialSettings(token_file=str(token), cluster=cluster, app=app))
    client.log_in()
    assert (server.logins, server.calls) == (1, [])
    path, headers = server.asked[0]
    assert (path, headers["authorization"]) == ("/sys/v1/session/auth/kubernetes", "Bearer header.payload.signature")
    assert json.loads(server.bodies[0]) == {"cluster_id": cluster, **({"app_id": app} if app else {})}
    assert ask(client) == {"value": "yes"}
    assert server.logins == 1


def test_the_client_does_not_weigh_what_only_pins_need() -> None:
    """The agent, which imports it, has 40 MB for all."""
    program = "import sys, k8s.client; print([name for name in ('cryptography', 'httpx') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_file_of_authorities_that_is_none_is_said_so(bench: Bench) -> None:
    bench.server(GOOD)
    with pytest.raises(Denied, match=r"ca\.pem"):
        ask(bench.client(ca=b"nothing of the kind"))


def test_tls_is_no_older_than_pythons_own_default(bench: Bench) -> None:
    bundle = bench.folder / "ca.pem"
    bundle.write_bytes(bench.root.pem)
    settings = ServerSettings(addresses=("https://kms.example",), ca_file=str(bundle))
    context = tls_context(settings, CredentialSettings(api_key_file="api.key"))
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
