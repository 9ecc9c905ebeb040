"""What is taken away is gone for the next call on every worker, while calls keep coming."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.acceptance.server import RunningServer
from tests.bench.processes import family
from tests.faults.conftest import Client, Workplace, workplace

CONNECTIONS = 24


class Traffic:
    """Calls without pause on many connections; notes when each was sent and how it was answered."""

    def __init__(self, open_client: Callable[[], Client], call: Callable[[Client], int]) -> None:
        self._stop = threading.Event()
        self.seen: list[tuple[float, int]] = []
        self._threads = [
            threading.Thread(target=self._run, args=(open_client, call), daemon=True) for _ in range(CONNECTIONS)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, open_client: Callable[[], Client], call: Callable[[Client], int]) -> None:
        client = open_client()
        while not self._stop.is_set():
            sent = time.monotonic()
            self.seen.append((sent, call(client)))
        client.close()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)


def encrypt(place: Workplace) -> Callable[[Client], int]:
    body = {"key": {"kid": place.key}, "alg": "AES", "mode": "GCM", "plain": "YWJj"}
    return lambda client: client("POST", "/crypto/v1/encrypt", body).status


def workers_with_connections(server: RunningServer) -> int:
    assert server.process is not None
    busy = 0
    for pid in family(server.process.pid):
        try:
            connections = psutil.Process(pid).net_connections("tcp")
        except psutil.NoSuchProcess:
            continue  # a database backend that just ended
        busy += any(c.status == psutil.CONN_ESTABLISHED and c.laddr.port == server.port for c in connections)
    return busy


def refused_from_the_moment_of(traffic: Traffic, change: Callable[[], Any], server: RunningServer) -> None:
    """Warm up both workers, change, and demand that nothing sent after the change's answer still succeeded."""
    deadline = time.monotonic() + 30
    while len(traffic.seen) < 500 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers_with_connections(server) == 2
    assert change() < 300
    answered = time.monotonic()
    time.sleep(1)
    traffic.stop()
    before = [status for sent, status in traffic.seen if sent < answered]
    after = [status for sent, status in traffic.seen if sent >= answered]
    assert before.count(200) > 100
    assert after
    assert not {status for status in after} & {200, 500, 503}


CHANGES: dict[str, Callable[[Workplace], tuple[str, str, Any]]] = {
    "app disabled": lambda p: ("PATCH", f"/sys/v1/apps/{p.app}", {"enabled": False}),
    "app deleted": lambda p: ("DELETE", f"/sys/v1/apps/{p.app}", None),
    "secret replaced": lambda p: ("POST", f"/sys/v1/apps/{p.app}/reset_secret", {}),
    "permission taken": lambda p: ("PATCH", f"/sys/v1/apps/{p.app}", {"mod_groups": {p.group: ["DECRYPT"]}}),
    "operation removed": lambda p: ("PATCH", f"/crypto/v1/keys/{p.key}", {"key_ops": ["DECRYPT"]}),
    "key disabled": lambda p: ("PATCH", f"/crypto/v1/keys/{p.key}", {"enabled": False}),
    "key deleted": lambda p: ("DELETE", f"/crypto/v1/keys/{p.key}", None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_nothing_sent_after_the_change_succeeds(server: RunningServer, name: str) -> None:
    place = workplace(server, name)
    administrator = place.administrator()
    method, path, body = CHANGES[name](place)
    traffic = Traffic(place.client, encrypt(place))
    refused_from_the_moment_of(traffic, lambda: administrator(method, path, body).status, server)


def test_an_ended_session_is_refused_on_every_worker(server: RunningServer) -> None:
    place = workplace(server, "session")
    answer = server.request("POST", "/sys/v1/session/auth", authorization=place.authorization)
    bearer = f"Bearer {answer.json['access_token']}"
    traffic = Traffic(lambda: Client(server, bearer), encrypt(place))
    end = Client(server, bearer)
    refused_from_the_moment_of(traffic, lambda: end("POST", "/sys/v1/session/terminate").status, server)


def test_a_disabled_user_is_refused_on_every_worker(server: RunningServer) -> None:
    place = workplace(server, "user")
    administrator, password = place.administrator(), "correct horse battery staple 9"
    invited = administrator(
        "POST",
        "/sys/v1/users/invite",
        {"user_email": "erin@example.org", "user_password": password, "account_role": ["ACCOUNTADMINISTRATOR"]},
    ).json
    from tests.acceptance.server import basic

    login = server.request("POST", "/sys/v1/session/auth", authorization=basic("erin@example.org", password))
    bearer = f"Bearer {login.json['access_token']}"
    erin = Client(server, bearer)
    accounts = erin("GET", "/sys/v1/users/accounts").json
    account = next(iter(accounts))
    assert erin("POST", "/sys/v1/users/process_invite", {"accepts": [account]}).status == 204
    assert erin("POST", "/sys/v1/session/select_account", {"acct_id": account}).status == 200
    traffic = Traffic(lambda: Client(server, bearer), lambda client: client("GET", "/crypto/v1/keys?limit=1").status)
    disable = ("PATCH", f"/sys/v1/users/{invited['user_id']}", {"enable": False})
    refused_from_the_moment_of(traffic, lambda: administrator(*disable).status, server)
