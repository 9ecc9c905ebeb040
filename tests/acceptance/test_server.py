"""The life of a server as `make run` starts it: first start, restart, SIGTERM, SIGKILL, and a second one beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.acceptance.server import RunningServer, basic


@pytest.fixture(scope="module")
def own() -> Iterator[RunningServer]:
    """A server that the tests of this file may stop and kill."""
    with TemporaryDirectory(prefix="keystead-life-", ignore_cleanup_errors=True) as folder:
        running = RunningServer(Path(folder))
        try:
            running.start()
            yield running
        finally:
            running.remove()


def _made(server: RunningServer, name: str) -> str:
    answer = server.request("POST", "/sys/v1/groups", {"name": name}, authorization=server.administrator_session())
    assert answer.status == 201, answer.text
    group: str = answer.json["group_id"]
    return group


def _seen(server: RunningServer, group: str) -> int:
    return server.request("GET", f"/sys/v1/groups/{group}", authorization=server.administrator_session()).status


def test_the_first_start_says_how_to_get_in(own: RunningServer) -> None:
    assert f"Serving on {own.url}" in own.output
    assert str(own.ca) in own.output
    assert "Shown this once and stored nowhere" in own.output
    login = own.request("POST", "/sys/v1/session/auth", authorization=basic(own.email, own.password))
    assert login.status == 200


def test_a_second_start_finds_everything_as_it_was_and_shows_no_password(own: RunningServer) -> None:
    group, ca, password = _made(own, "before the restart"), own.ca.read_bytes(), own.password
    assert own.stop() == 0
    own.start()
    assert own.password == password
    assert "Password" not in own.output
    assert own.ca.read_bytes() == ca
    assert _seen(own, group) == 200


def test_what_was_acknowledged_survives_sigkill(own: RunningServer) -> None:
    group = _made(own, "before the kill")
    own.kill()
    own.start()
    assert _seen(own, group) == 200


def test_a_second_server_on_the_same_data_does_not_start_and_does_no_harm(own: RunningServer) -> None:
    second = RunningServer(own.data)
    with pytest.raises(AssertionError, match="already runs"):
        second.start()
    assert own.request("GET", "/sys/v1/health").status == 204
