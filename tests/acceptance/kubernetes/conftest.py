"""Real etcd, API servers, plugins and a server. Where Kubernetes was not built, `make test` leaves these tests out."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.kubernetes.cluster import ApiServer, Etcd, kms, service_account_key
from tests.acceptance.server import RunningServer, server_for
from tests.kit.kms_plugin import KmsPlace, RunningPlugin

BUILD = Path(__file__).with_name("build.sh")


@pytest.fixture(scope="session")
def binaries() -> Path:
    """The folder with kube-apiserver and kubectl."""
    found = subprocess.run(["sh", str(BUILD), "--check"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip("Kubernetes is not built; `make test-kubernetes` does it, once")
    return Path(found.stdout.strip())


class ControlPlane:
    """Whatever of one cluster runs, beginning with etcd; each part is made once and may be started and ended often."""

    def __init__(self, binaries: Path, folder: Path, server: RunningServer) -> None:
        program = shutil.which("etcd")
        assert program is not None, "etcd is not installed; tests/tools.sh does it"
        self.binaries, self.folder, self.server = binaries, folder, server
        self.keys = service_account_key(folder / "service-accounts.key")
        self.etcd = Etcd(program, folder / "etcd")
        self.apis: list[ApiServer] = []
        self.plugins: list[RunningPlugin] = []

    def place(self, name: str = "etcd") -> KmsPlace:
        return KmsPlace(self.server, name)

    def plugin(self, place: KmsPlace, **settings: Any) -> RunningPlugin:
        self.plugins.append(RunningPlugin(self.folder / f"plugin{len(self.plugins)}", place, **settings))
        return self.plugins[-1]

    def api(self, *providers: dict[str, Any], options: tuple[str, ...] = ()) -> ApiServer:
        made = ApiServer(self.binaries, self.folder / f"api{len(self.apis)}", self.etcd, self.keys, *options)
        if providers:
            made.encrypt(list(providers))
        self.apis.append(made)
        return made

    def encrypted(self, place: KmsPlace) -> tuple[ApiServer, RunningPlugin]:
        """An API server whose secrets are encrypted under the place's key, and the plugin that does it. Both run."""
        plugin = self.plugin(place).start()
        api = self.api(kms(plugin))
        api.start()
        return api, plugin

    def remove(self) -> None:
        parts: list[ApiServer | RunningPlugin | Etcd] = [*self.apis, *self.plugins, self.etcd]
        for part in parts:
            part.remove()


@pytest.fixture(scope="session")
def keystead() -> Iterator[RunningServer]:
    """A server of the folder's own: tests may stop it, and start it again."""
    with server_for("kubernetes") as running:
        yield running


@pytest.fixture
def plane_of(binaries: Path, keystead: RunningServer) -> Iterator[Callable[[], ControlPlane]]:
    planes: list[ControlPlane] = []
    folder = Path(tempfile.mkdtemp(prefix="kube-"))

    def make() -> ControlPlane:
        (folder / str(len(planes))).mkdir()
        planes.append(ControlPlane(binaries, folder / str(len(planes)), keystead))
        planes[-1].etcd.start()
        return planes[-1]

    yield make
    for plane in planes:
        plane.remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def plane(plane_of: Callable[[], ControlPlane]) -> ControlPlane:
    return plane_of()
