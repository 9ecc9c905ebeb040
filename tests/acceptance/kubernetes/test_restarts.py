"""Parts end and come back, in every order and for a while: the cluster does what it can without them, then recovers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from itertools import permutations

import pytest

from tests.acceptance.kubernetes.cluster import within
from tests.acceptance.kubernetes.conftest import ControlPlane
from tests.acceptance.server import RunningServer

# Ten minutes without a server and all orders are for one who has the time (docs/kubernetes-kms.md says what was seen).
DEEP = os.environ.get("KUBERNETES_DEEP", "") == "1"
OUTAGE_SECONDS = 600.0 if DEEP else 5.0
COASTING_SECONDS = 180
PARTS = ("server", "plugin", "api")
# Of any two parts, each comes before the other in one of these.
BOTH_WAYS = (PARTS, PARTS[::-1])


@pytest.fixture
def back(keystead: RunningServer) -> Iterator[None]:
    """Whatever a test does to it, the server runs afterwards: others need it."""
    yield
    if keystead.process is None:
        keystead.start()


@pytest.mark.timeout(600)
def test_every_part_restarts_in_every_order(plane: ControlPlane, keystead: RunningServer, back: None) -> None:
    api, plugin = plane.encrypted(plane.place())
    api.create("first", "value 0")
    stop: dict[str, Callable[[], object]] = {"server": keystead.stop, "plugin": plugin.stop, "api": api.stop}
    start: dict[str, Callable[[], object]] = {
        "server": keystead.start,
        "plugin": plugin.start,
        "api": lambda: api.start(wait=False),
    }
    orders = tuple(permutations(PARTS)) if DEEP else BOTH_WAYS
    for number, order in enumerate(orders, 1):
        for part in reversed(order):
            stop[part]()
        for part in order:
            start[part]()
        api.wait_until_ready()
        assert api.read("first") == "value 0", order
        written = api.create(f"after-{number}", f"value {number}")
        assert written.status_code == 201, (order, written.text)
    assert api.read_all() == {"first": "value 0"} | {f"after-{n + 1}": f"value {n + 1}" for n in range(len(orders))}


@pytest.mark.timeout(200)
def test_killed_parts_come_back_as_stopped_ones_do(plane: ControlPlane, keystead: RunningServer, back: None) -> None:
    api, plugin = plane.encrypted(plane.place())
    api.create("secret", "value")
    for part in (api, plane.etcd, plugin, keystead):
        part.kill()
    keystead.start()
    for part in (plane.etcd, plugin, api):
        part.start()
    assert api.read("secret") == "value"


@pytest.mark.timeout(200 + OUTAGE_SECONDS)
def test_without_the_server_the_cluster_goes_on_by_the_seed_it_has(
    plane: ControlPlane, keystead: RunningServer, back: None
) -> None:
    api, _ = plane.encrypted(plane.place())
    api.create("before", "value")
    keystead.stop()
    stopped = time.monotonic()
    assert api.create("at-once", "value").status_code == 201
    within(60, lambda: api.healthz() != "ok", api.said)
    time.sleep(max(0.0, stopped + OUTAGE_SECONDS - time.monotonic()))
    late = api.create("late", "value")
    if OUTAGE_SECONDS > COASTING_SECONDS + 60:
        assert late.status_code == 500  # the seed's life is over
        assert "expired" in late.text
    else:
        assert late.status_code == 201
    assert api.read("before") == "value"
    keystead.start()
    within(60, lambda: api.healthz() == "ok", api.said)
    assert api.create("after", "value").status_code == 201
    assert api.read("at-once") == "value"
