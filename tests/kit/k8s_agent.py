"""The agent as a process of its own, over folders that stand for a pod's volumes, and secrets for it to fetch."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from k8s.delivery import (
    DELIVERY_VARIABLE,
    ENVIRONMENTS,
    VOLUMES,
    Content,
    Credential,
    Delivery,
    File,
    Format,
    Server,
    Source,
    Variable,
    encode,
)
from tests.acceptance.server import CHECKOUT, RunningServer
from tests.kit.kms_plugin import private


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


class Vault:
    """A group, objects in it, and an app that may export there and no more."""

    def __init__(self, server: RunningServer) -> None:
        self.server, self.prefix = server, secrets.token_hex(4)
        self._bearer = server.administrator_session()
        self.group = self.administrator("POST", "/sys/v1/groups", {"name": f"agent-{self.prefix}"})["group_id"]
        app = {
            "name": f"agent-{self.prefix}",
            "add_groups": {self.group: ["EXPORT"]},
            "default_group": self.group,
        }
        self.app = self.administrator("POST", "/sys/v1/apps", app)["app_id"]

    def administrator(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.server.request(method, path, body, authorization=self._bearer)
        assert answer.status < 300, answer.text
        return answer.json

    def api_key(self) -> str:
        secret = self.administrator("GET", f"/sys/v1/apps/{self.app}/credential")["credential"]["secret"]
        return base64.b64encode(f"{self.app}:{secret}".encode()).decode()

    def named(self, name: str) -> str:
        return f"{self.prefix}/{name}"

    def keep(self, name: str, value: bytes, kind: str = "SECRET", **changes: Any) -> str:
        """An imported object's id."""
        operations = [] if kind == "CERTIFICATE" else ["EXPORT", "APPMANAGEABLE"]
        body = {"name": self.named(name), "group_id": self.group, "obj_type": kind, "value": b64(value)}
        kid: str = self.administrator(
            "PUT", "/crypto/v1/keys", body | ({"key_ops": operations} if operations else {}) | changes
        )["kid"]
        return kid

    def make(self, name: str, kind: str, **changes: Any) -> str:
        body = {"name": self.named(name), "group_id": self.group, "obj_type": kind, "key_ops": ["EXPORT"], **changes}
        kid: str = self.administrator("POST", "/crypto/v1/keys", body)["kid"]
        return kid

    def rotate(self, name: str, value: bytes, *, deactivate: bool = False) -> str:
        body = {
            "name": self.named(name),
            "obj_type": "SECRET",
            "value": b64(value),
            "deactivate_rotated_key": deactivate,
        }
        kid: str = self.administrator("POST", "/crypto/v1/keys/rekey", body)["kid"]
        return kid

    def change(self, kid: str, **changes: Any) -> None:
        self.administrator("PATCH", f"/crypto/v1/keys/{kid}", changes)


class Pod:
    """``root`` stands for / in the agent's container. Volumes are made as the kubelet would."""

    def __init__(self, root: Path, vault: Vault, *, address: str = "") -> None:
        self.root, self.vault = root, vault
        self.address = address or vault.server.url
        self.sources: dict[str, Source] = {}
        self.files: list[File] = []
        self.variables: list[Variable] = []
        self.credential = Credential()
        self.launcher = False
        self.environment: dict[str, str] = {}
        self.running: list[subprocess.Popen[str]] = []
        for folder in ("keystead/api-key", "keystead/bin", "keystead/token", "dev"):
            (root / folder).mkdir(parents=True)
        private(root / "keystead/api-key/api-key", vault.api_key())
        (root / "dev/termination-log").touch()

    def secret(self, key: str, name: str = "", **fields: Any) -> None:
        named: dict[str, Any] = {} if "kid" in fields else {"name": self.vault.named(name or key)}
        self.sources[key] = Source(**named, **fields)

    def file(self, name: str, volume: int = 0, mode: int = 0o440, form: Format = Format.AUTO, **content: Any) -> None:
        made = content or {"secret": name}
        self.files.append(File(key=name, volume=volume, name=name, mode=mode, content=Content(format=form, **made)))

    def variable(self, name: str, container: str = "app", form: Format = Format.AUTO, **content: Any) -> None:
        made = Content(format=form, **content)
        self.variables.append(Variable(key=name.lower(), container=container, name=name, content=made))

    def delivery(self) -> Delivery:
        return Delivery(
            server=Server(addresses=(self.address,), ca=self.vault.server.ca.read_text()),
            credential=self.credential,
            secrets=self.sources,
            files=tuple(self.files),
            variables=tuple(self.variables),
            launcher=self.launcher,
        )

    def _environment(self, text: str | None) -> dict[str, str]:
        for file in self.files:
            (self.root / VOLUMES.lstrip("/") / str(file.volume)).mkdir(parents=True, exist_ok=True)
        for variable in self.variables:
            (self.root / ENVIRONMENTS.lstrip("/") / variable.container).mkdir(parents=True, exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            DELIVERY_VARIABLE: encode(self.delivery()) if text is None else text,
            "KEYSTEAD_AGENT_ROOT": str(self.root),
            "KEYSTEAD_AGENT_PATIENCE": "20",
            **self.environment,
        }

    def fetch(self, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "k8s.agent", "fetch"],
            cwd=CHECKOUT,
            env=self._environment(text),
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    def fetched(self) -> Pod:
        done = self.fetch()
        assert done.returncode == 0, done.stderr
        return self

    def start(self, what: str = "refresh") -> subprocess.Popen[str]:
        with (self.root / "log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "k8s.agent", what],
                cwd=CHECKOUT,
                env=self._environment(None),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
            )
        self.running.append(process)
        return process

    def stop(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(20)

    # -- what came of it -------------------------------------------------------------------------------------------

    @property
    def said(self) -> str:
        return (self.root / "log").read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.said.splitlines() if line.startswith("{")]

    def volume(self, number: int = 0) -> Path:
        return self.root / VOLUMES.lstrip("/") / str(number)

    def read(self, name: str, volume: int = 0) -> bytes:
        return (self.volume(volume) / name).read_bytes()

    def variables_of(self, container: str = "app") -> dict[str, str]:
        content = (self.root / ENVIRONMENTS.lstrip("/") / container / "variables").read_bytes()
        assert content == b"" or content.endswith(b"\0")
        pairs: Iterable[str] = content.decode().split("\0")[:-1]
        return dict(pair.split("=", 1) for pair in pairs)

    @property
    def termination_message(self) -> str:
        return (self.root / "dev/termination-log").read_text()


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.1)
