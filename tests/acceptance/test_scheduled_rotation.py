"""A server as `make run` starts it rotates by itself what is due, also what became due while it was not running."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.acceptance.server import RunningServer

WAIT_SECONDS = 30.0


@pytest.fixture(scope="module")
def own() -> Iterator[RunningServer]:
    """A server that looks often and that this file may stop."""
    with TemporaryDirectory(prefix="keystead-keeper-", ignore_cleanup_errors=True) as folder:
        running = RunningServer(Path(folder), env={"KEYSTEAD_KEEPER_SECONDS": "1"})
        try:
            running.start()
            yield running
        finally:
            running.remove()


class Workplace:
    """The administrator's session, a group, and keys in it that are rotated on a date."""

    def __init__(self, server: RunningServer) -> None:
        self._server, self._session = server, server.administrator_session()
        self._group = self.ask("POST", "/sys/v1/groups", {"name": f"g{time.monotonic_ns()}"})["group_id"]

    def ask(self, method: str, path: str, body: Any = None, status: int = 201) -> Any:
        answer = self._server.request(method, path, body, authorization=self._session)
        assert answer.status == status, answer.text
        return answer.json

    def key(self, name: str, at: datetime) -> str:
        policy = {"interval_days": 1, "effective_at": f"{at:%Y%m%dT%H%M%SZ}", "deactivate_rotated_key": True}
        body = {"name": name, "obj_type": "AES", "key_size": 256, "group_id": self._group, "rotation_policy": policy}
        made = self.ask("POST", "/crypto/v1/keys", body)
        assert made["scheduled_rotation"] == policy["effective_at"]
        kid: str = made["kid"]
        return kid

    def shown(self, kid: str) -> Any:
        return self.ask("GET", f"/crypto/v1/keys/{kid}", status=200)

    def replacement(self, kid: str) -> str:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            links = self.shown(kid).get("links", {})
            if "replacement" in links:
                found: str = links["replacement"]
                return found
            time.sleep(0.2)
        raise AssertionError(f"not rotated within {WAIT_SECONDS:.0f} s; the server said:\n{self._server.output}")


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_a_key_is_rotated_when_its_policy_is_due(own: RunningServer) -> None:
    place = Workplace(own)
    kid = place.key("due", soon(2))
    assert "links" not in place.shown(kid)
    new = place.shown(place.replacement(kid))
    old = place.shown(kid)
    assert (new["name"], new["links"]["replaced"], new["state"]) == ("due", kid, "Active")
    assert old["name"].startswith("due (rotated at ")
    assert (old["state"], "rotation_policy" in old) == ("Deactivated", False)
    assert new["rotation_policy"]["interval_days"] == 1
    assert new["scheduled_rotation"] > old["deactivation_date"]
    assert new["creator"] == old["creator"]
    logs = place.ask("GET", "/sys/v1/logs?actor_type=System&size=50", status=200)
    assert kid in str(logs)


def test_what_became_due_while_the_server_was_down_is_rotated_once(own: RunningServer) -> None:
    place = Workplace(own)
    kids = [place.key(f"slept {number}", soon(2)) for number in range(3)]
    assert own.stop() == 0
    time.sleep(3)
    own.start()
    place = Workplace(own)
    for number, kid in enumerate(kids):
        new = place.shown(place.replacement(kid))
        assert (new["name"], new["links"]) == (f"slept {number}", {"replaced": kid})


def test_a_server_that_was_killed_goes_on_where_it_was(own: RunningServer) -> None:
    place = Workplace(own)
    kid = place.key("killed", soon(3))
    own.kill()
    own.start()
    place = Workplace(own)
    new = place.shown(place.replacement(kid))
    time.sleep(3)  # time for more turns, which find nothing to do
    assert place.shown(new["kid"])["links"] == {"replaced": kid}


def test_keys_wait_for_no_server_to_be_used(own: RunningServer) -> None:
    """The name leads to a key that encrypts before, while and after it is rotated."""
    place = Workplace(own)
    kid = place.key("used", soon(2))
    app = place.ask("POST", "/sys/v1/apps", {"name": f"a{time.monotonic_ns()}", "add_groups": [place._group]})
    secret = place.ask("GET", f"/sys/v1/apps/{app['app_id']}/credential", status=200)["credential"]["secret"]
    basic = "Basic " + b64encode(f"{app['app_id']}:{secret}".encode()).decode()
    made: list[Any] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and len({answer["kid"] for answer in made}) < 2:
        body = {"key": {"name": "used"}, "alg": "AES", "mode": "GCM", "plain": "YWJj"}
        answer = own.request("POST", "/crypto/v1/encrypt", body, authorization=basic)
        assert answer.status == 200, answer.text
        made.append(answer.json)
    assert {answer["kid"] for answer in made} == {kid, place.replacement(kid)}
    for one in (made[0], made[-1]):
        body = {name: one[name] for name in ("cipher", "iv", "tag")}
        body |= {"key": {"kid": one["kid"]}, "alg": "AES", "mode": "GCM"}
        opened = own.request("POST", "/crypto/v1/decrypt", body, authorization=basic)
        assert opened.json["plain"] == "YWJj"
