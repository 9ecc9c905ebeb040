"""The agent among servers that answer nonsense, and many agents at once: what is said, and when they come."""

from __future__ import annotations

import json
import logging
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from k8s.agent.fetching import Failed, Fetching
from k8s.agent.laying import Layer
from k8s.agent.objects import Objects
from k8s.agent.refreshing import Refreshing
from k8s.agent.settings import Settings
from k8s.client import Client
from k8s.delivery import Content, Credential, Delivery, File, Server, Source
from k8s.logs import JsonLines
from tests.k8s.awkward import AwkwardServer, says
from tests.kit.certificates import authority
from tests.kit.kms_plugin import private

CANARY = "canary-c04d"
KID = "00000000-0000-4000-8000-00000000000a"
INFO = {"kid": KID, "obj_type": "SECRET", "enabled": True, "state": "Active"}
ROOT = authority()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("keystead/api-key", "keystead/volumes/0"):
        (tmp_path / name).mkdir(parents=True)
    private(tmp_path / "keystead/api-key/api-key", "YXBpOmtleQ==")
    return tmp_path


def settings_for(folder: Path, address: str, **source: Any) -> Settings:
    delivery = Delivery(
        server=Server(addresses=(address,), ca=ROOT.pem.decode()),
        credential=Credential(),
        secrets={"db": Source(**({"name": "db"} | source))},
        files=(File(key="db", volume=0, name="db", content=Content(secret="db")),),
    )
    return Settings(delivery, folder, patience=0)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    caplog.handler.setFormatter(JsonLines())
    return caplog


BODIES: list[Any] = [
    CANARY.encode(),
    b"",
    b"\xff\xfe",
    {"value": CANARY},
    {"value": [CANARY]},
    {"value": {CANARY: CANARY}},
    {"value": None, CANARY: 1},
    [CANARY],
    CANARY,
    b'{"value": "' + CANARY.encode(),
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_nonsense_instead_of_a_value_is_told_without_it(folder: Path, log: pytest.LogCaptureFixture, body: Any) -> None:
    def behave(request: BaseHTTPRequestHandler) -> None:
        says(200, INFO if request.path.endswith("/info") else body)(request)

    server = AwkwardServer(folder, ROOT, behave)
    settings = settings_for(folder, server.url)
    client = Client(settings.server, settings.credential)
    try:
        with pytest.raises(Failed, match=r"the secret 'db' \(db\): ") as caught:
            Fetching(settings.delivery, Objects(client), Layer(settings, keeps=False), settings.patience).run()
    finally:
        client.close()
        server.close()
    assert server.calls == ["/crypto/v1/keys/info", "/crypto/v1/keys/export"]
    assert CANARY not in str(caught.value) + log.text
    assert not list((folder / "keystead/volumes/0").iterdir())


@pytest.mark.parametrize("version", [1, 2])
def test_versions_that_go_in_a_circle_end(folder: Path, version: int) -> None:
    other = str(UUID(int=7))

    def behave(request: BaseHTTPRequestHandler) -> None:
        asked = json.loads(server.bodies[-1])
        here, there = (other, KID) if asked.get("kid") == other else (KID, other)
        says(200, INFO | {"kid": here, "links": {"replaced": there}})(request)

    server = AwkwardServer(folder, ROOT, behave)
    settings = settings_for(folder, server.url, version=version)
    client = Client(settings.server, settings.credential)
    try:
        with pytest.raises(Failed, match="go in a circle"):
            Fetching(settings.delivery, Objects(client), Layer(settings, keeps=False), settings.patience).run()
    finally:
        client.close()
        server.close()


def test_many_pods_that_start_together_do_not_come_together(folder: Path) -> None:
    """Nor does any come later than its interval."""
    settings = settings_for(folder, "https://keystead.example", refresh_seconds=100)
    objects = Objects(Client(settings.server, settings.credential))
    pauses = [
        Refreshing(settings.delivery, objects, Layer(settings, keeps=True), clock=lambda: 0.0).step()
        for _ in range(500)
    ]
    assert 0 <= min(pauses) < 20
    assert 80 < max(pauses) <= 100
    assert 200 < sum(pause < 50 for pause in pauses) < 300
