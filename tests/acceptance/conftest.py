"""One server for the whole folder, and the vendor's clients pointed at it."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.server import CHECKOUT, RunningServer, basic

CLIENTS = CHECKOUT / ".venv-clients" / "bin"


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """The server as `make run` starts it, on an empty data folder, with leave to call the providers of tests.

    Its end is tested too.
    """
    data = Path(tempfile.mkdtemp(prefix="keystead-acceptance-"))
    running = RunningServer(data, env={"KEYSTEAD_OUTBOUND_ALLOW": "127.0.0.0/8"})
    try:
        running.start()
        yield running
        status = running.stop()
        assert status == 0, f"the server ended with {status}; it said:\n{running.output}"
        assert not (data / "postgres" / "postmaster.pid").exists(), "the server left its database running"
    finally:
        running.remove()
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture(scope="session")
def clients() -> Path:
    """The folder with the programs of the vendor's clients."""
    if not (CLIENTS / "sdkms-cli").exists():
        pytest.fail("The vendor's clients are not installed; `make test` does it")
    return CLIENTS


@pytest.fixture(scope="session")
def golang() -> None:
    """What needs Go is skipped where there is none, but never in continuous integration."""
    if shutil.which("go") is None:
        reason = "go is not on the PATH, so the vendor's Go client cannot be used"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@dataclass(frozen=True, slots=True)
class Ran:
    """How one run of the CLI ended. ``out`` is what it wrote to standard output, as text."""

    status: int
    stdout: bytes
    err: str

    @property
    def out(self) -> str:
        return self.stdout.decode().strip()

    @property
    def last(self) -> str:
        """The last line: some commands print a warning first."""
        return self.out.splitlines()[-1] if self.out else ""


class Cli:
    """`sdkms-cli`, unmodified, with a token file of its own, started where its files are."""

    def __init__(self, program: Path, server: RunningServer, folder: Path) -> None:
        self.folder = folder
        self.server = server
        self._command = [str(program), "--api-endpoint", server.url, "--ssl-ca-cert", str(server.ca)]
        foreign = ("FORTANIX_", "SDKMS_")
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
            "SDKMS_CLI_TOKEN_FILE": str(folder / "token"),
        }

    def run(self, *arguments: str | Path) -> Ran:
        """Whatever comes of it."""
        done = subprocess.run(
            [*self._command, *map(str, arguments)],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr.decode())

    def __call__(self, *arguments: str | Path) -> Ran:
        """It must work."""
        ran = self.run(*arguments)
        assert ran.status == 0, f"sdkms-cli {arguments[0]} failed:\n{ran.err}\n{ran.out}"
        return ran

    def refused(self, *arguments: str | Path) -> str:
        """It must not; what it told the user, without a stack of Python calls."""
        ran = self.run(*arguments)
        assert ran.status == 1, f"sdkms-cli {arguments[0]} should have failed and ended with {ran.status}:\n{ran.out}"
        assert "Traceback" not in ran.err, ran.err
        return ran.err

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


@dataclass(frozen=True, slots=True)
class Place:
    """A group and an app with the vendor's usual rights in it."""

    group: str
    group_name: str
    app: str
    app_name: str
    api_key: str

    @property
    def secret(self) -> str:
        return base64.b64decode(self.api_key).decode().partition(":")[2]

    @property
    def basic(self) -> str:
        return basic(self.app, self.secret)


def unique(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(4)}"


def _cli(clients: Path, server: RunningServer, folder: Path) -> Cli:
    return Cli(clients / "sdkms-cli", server, folder)


def _administrator(cli: Cli, server: RunningServer) -> Cli:
    cli("user-login", "--username", server.email, "--password", server.password)
    return cli


@pytest.fixture
def cli(clients: Path, server: RunningServer, tmp_path: Path) -> Cli:
    """The CLI, not logged in."""
    return _cli(clients, server, tmp_path)


@pytest.fixture(scope="session")
def administrator(clients: Path, server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The CLI, logged in as the administrator of the first account."""
    return _administrator(_cli(clients, server, tmp_path_factory.mktemp("administrator")), server)


@pytest.fixture(scope="session")
def place(administrator: Cli) -> Place:
    """Made with the CLI, as the README does it."""
    group_name, app_name = unique("group"), unique("app")
    group = administrator("create-group", "--name", group_name).out
    app = administrator("create-app", "--name", app_name, "--groups", group_name, "--default-group", group_name).out
    api_key = administrator("get-app-api-key", "--name", app_name).out
    return Place(group, group_name, app, app_name, api_key)


@pytest.fixture(scope="session")
def app(clients: Path, server: RunningServer, place: Place, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The CLI, logged in as the app."""
    cli = _cli(clients, server, tmp_path_factory.mktemp("app"))
    cli("app-login", "--api-key", place.api_key)
    return cli
