"""A server under test, started exactly as `make run` does it: own process, data folder, port, token and database.

Also for tests that hurt it: `kill` is SIGKILL for the parent and its workers, `start` takes up the same data folder.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kms.config.database import socket_directory
from kms.config.environment import PREFIX
from kms.config.provision.postgres import EmbeddedPostgres

CHECKOUT = Path(__file__).resolve().parents[2]
ADMINISTRATOR = "admin@localhost"
READY_SECONDS = 90.0
STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response, with the body as it came."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    @property
    def text(self) -> str:
        return self.body.decode()


class RunningServer:
    """One `manage.py run`. Start it, stop it, kill it, start it again: the data folder stays until `remove`."""

    def __init__(self, data: Path, *, env: Mapping[str, str] | None = None, arguments: tuple[str, ...] = ()) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.origin = f"https://localhost:{self.port}"  # security keys know no addresses
        self.ca = data / "tls" / "ca.pem"
        self.email = ADMINISTRATOR
        self.password = ""
        self.process: subprocess.Popen[str] | None = None
        self._environment = dict(env or {})
        self._arguments = arguments
        self._lines: list[str] = []
        self._reader: threading.Thread | None = None

    @classmethod
    def started(cls, data: Path, *, env: Mapping[str, str] | None = None) -> RunningServer:
        server = cls(data, env=env)
        server.start()
        return server

    # -- its life --------------------------------------------------------------------------------------------------

    def start(self, *, env: Mapping[str, str] | None = None, health: int = 204) -> None:
        """Start and wait until every step is done and a worker says it is healthy, or whatever ``health`` is."""
        assert self.process is None, "it runs already"
        self._environment.update(env or {})
        self._lines.clear()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "run", *self._arguments],
            cwd=CHECKOUT,
            env=self._variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a process group of its own, so that `kill` reaches the workers and nobody else
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        self._wait_until_ready(health)
        self.password = self._said("Password") or self.password

    def stop(self) -> int:
        """SIGTERM, as a service manager does. The exit status; the workers and the database are gone after it."""
        process = self._taken()
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill_group(process)
            raise AssertionError(
                f"the server did not stop within {STOP_SECONDS:.0f} s; it said:\n{self.output}"
            ) from None
        self._finish_reading(process)
        return status

    def kill(self) -> None:
        """SIGKILL for the parent and its workers, all at once. PostgreSQL has a session of its own and survives."""
        process = self._taken()
        self._kill_group(process)
        self._finish_reading(process)

    def restart(self) -> None:
        """On the same data folder and port; whoever connected before has to connect again."""
        if self.process is not None:
            self.stop()
        self.start()

    def remove(self) -> None:
        """Whatever a test left running is ended, the orphaned database included. The data folder is the caller's."""
        self._end()
        EmbeddedPostgres(self.data).stop()
        sockets = socket_directory(self.data)
        if not sockets.is_relative_to(self.data) and sockets.is_dir():
            for left in sockets.iterdir():
                left.unlink()
            sockets.rmdir()

    def command(self, *arguments: str) -> str:
        """What `manage.py` with these arguments says, beside the running server."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=CHECKOUT,
            env=self._variables(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # -- asking it -------------------------------------------------------------------------------------------------

    def health(self) -> int | None:
        """The status of the health check; None while nobody answers."""
        try:
            return self.request("GET", "/sys/v1/health").status
        except (OSError, http.client.HTTPException):
            return None

    @property
    def output(self) -> str:
        """Everything it printed since it was started."""
        return "".join(self._lines)

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def request(
        self, method: str, path: str, body: Any = None, *, authorization: str | None = None, raw: bytes | None = None
    ) -> Answer:
        """One plain HTTP request on a connection of its own; ``raw`` is sent as it is instead of JSON."""
        headers = {"Content-Type": "application/json"}
        if authorization is not None:
            headers["Authorization"] = authorization
        content = raw if raw is not None else None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self.tls)
        try:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def administrator_session(self) -> str:
        """An Authorization header of a fresh session of the administrator, with the first account selected."""
        answer = self.request("POST", "/sys/v1/session/auth", authorization=basic(self.email, self.password))
        assert answer.status == 200, answer.text
        bearer = f"Bearer {answer.json['access_token']}"
        accounts = self.request("GET", "/sys/v1/users/accounts", authorization=bearer).json
        chosen = self.request(
            "POST", "/sys/v1/session/select_account", {"acct_id": next(iter(accounts))}, authorization=bearer
        )
        assert chosen.status == 200, chosen.text
        return bearer

    # -- inside ----------------------------------------------------------------------------------------------------

    def _variables(self) -> dict[str, str]:
        """The caller's environment without what configures Keystead, the token or this test run."""
        ours = {"DATABASE_URL", "SOFTHSM2_CONF", "DJANGO_SETTINGS_MODULE"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX) and name not in ours}
        if "KEYSTEAD_PKCS11_MODULE" in os.environ:
            kept["KEYSTEAD_PKCS11_MODULE"] = os.environ["KEYSTEAD_PKCS11_MODULE"]
        return {
            **kept,
            "PYTHONUNBUFFERED": "1",
            "KEYSTEAD_DATA": str(self.data),
            "KEYSTEAD_LISTEN": self.url,
            "KEYSTEAD_PUBLIC_URL": self.origin,
            "KEYSTEAD_WORKERS": "2",
            **self._environment,
        }

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._lines.append(line)

    def _finish_reading(self, process: subprocess.Popen[str]) -> None:
        """Until the last writer is gone: workers that outlived their parent die a moment after it."""
        assert self._reader is not None
        assert process.stdout is not None
        self._reader.join(10)
        process.stdout.close()

    def _taken(self) -> subprocess.Popen[str]:
        process, self.process = self.process, None
        assert process is not None, "it does not run"
        return process

    def _end(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._kill_group(self.process)
            self._finish_reading(self.process)
            self.process = None

    @staticmethod
    def _kill_group(process: subprocess.Popen[str]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _wait_until_ready(self, health: int) -> None:
        deadline = time.monotonic() + READY_SECONDS
        process = self.process
        assert process is not None
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            if "Serving on" in self.output and self.health() == health:
                return
            time.sleep(0.05)
        self._end()
        raise AssertionError(f"the server did not become ready; it said:\n{self.output}")

    def _said(self, label: str) -> str | None:
        for line in self._lines:
            if line.startswith(label):
                return line.removeprefix(label).strip()
        return None


def basic(username: str, password: str) -> str:
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def server_for(purpose: str) -> Iterator[RunningServer]:
    """A server with a data folder of its own, which goes with it. Whoever uses it may stop it and start it again."""
    data = Path(tempfile.mkdtemp(prefix=f"keystead-{purpose}-"))
    running = RunningServer(data)
    try:
        running.start()
        yield running
        if running.process is not None:
            running.stop()
    finally:
        running.remove()
        shutil.rmtree(data, ignore_errors=True)
