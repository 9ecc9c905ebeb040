"""One real server for the folder; each test's place on it is its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import RunningServer, server_for
from tests.kit.k8s_agent import Pod, Vault
from tests.kit.kms_plugin import KmsPlace, RunningPlugin


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    with server_for("k8s") as running:
        yield running


@pytest.fixture
def place(server: RunningServer) -> KmsPlace:
    return KmsPlace(server, "etcd")


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room for a socket's: pytest's own are too long for sun_path."""
    folder = Path(tempfile.mkdtemp(prefix="kms-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def plugin_of(short: Path, place: KmsPlace) -> Iterator[Callable[..., RunningPlugin]]:
    """Makes plugins, which are gone after the test."""
    made: list[RunningPlugin] = []

    def make(**settings: Any) -> RunningPlugin:
        made.append(RunningPlugin(short / f"p{len(made)}", settings.pop("place", place), **settings))
        return made[-1]

    yield make
    for plugin in made:
        plugin.remove()


@pytest.fixture
def plugin(plugin_of: Callable[..., RunningPlugin]) -> RunningPlugin:
    return plugin_of().start()


@pytest.fixture(scope="module")
def vault(server: RunningServer) -> Vault:
    return Vault(server)


@pytest.fixture
def pod_of(tmp_path: Path, vault: Vault) -> Iterator[Callable[..., Pod]]:
    made: list[Pod] = []

    def make(**settings: Any) -> Pod:
        made.append(Pod(tmp_path / f"pod{len(made)}", vault, **settings))
        return made[-1]

    yield make
    for pod in made:
        pod.stop()


@pytest.fixture
def pod(pod_of: Callable[..., Pod]) -> Pod:
    return pod_of()
