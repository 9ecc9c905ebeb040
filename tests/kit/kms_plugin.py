"""The Kubernetes KMS plugin as a process of its own, and the place on a server that it works in."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from k8s.kmsplugin.proto import kms_v1beta1_pb2 as v1
from k8s.kmsplugin.proto import kms_v2_pb2 as v2
from tests.acceptance.server import CHECKOUT, Answer, RunningServer
from tests.faults.conftest import database

READY_SECONDS = 30.0


class KmsPlace:
    """A group, a key in it, and an app that may do there what ``rights`` are and no more."""

    rights: tuple[str, ...] = ("ENCRYPT", "DECRYPT")

    def __init__(self, server: RunningServer, name: str) -> None:
        self.server, self.name = server, f"{name}-{secrets.token_hex(4)}"
        self._bearer = server.administrator_session()
        self.group = self.administrator("POST", "/sys/v1/groups", {"name": self.name})["group_id"]
        rights = {self.group: list(self.rights)}
        app = {"name": self.name, "add_groups": rights, "default_group": self.group}
        self.app = self.administrator("POST", "/sys/v1/apps", app)["app_id"]
        self.key = self.new_key()

    def administrator(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.ask(method, path, body)
        assert answer.status < 300, answer.text
        return answer.json

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        return self.server.request(method, path, body, authorization=self._bearer)

    def new_key(self, **changes: Any) -> str:
        body = {"name": self.name, "group_id": self.group, "obj_type": "AES", "key_size": 256, **changes}
        kid: str = self.administrator("POST", "/crypto/v1/keys", body)["kid"]
        return kid

    def rotate(self, *, deactivate: bool = False) -> str:
        """The new key's id; the old one goes on under another name."""
        body = {"name": self.name, "deactivate_rotated_key": deactivate}
        self.key = self.administrator("POST", "/crypto/v1/keys/rekey", body)["kid"]
        return self.key

    def change_key(self, key: str | None = None, **changes: Any) -> None:
        self.administrator("PATCH", f"/crypto/v1/keys/{key or self.key}", changes)

    def api_key(self) -> str:
        secret = self.administrator("GET", f"/sys/v1/apps/{self.app}/credential")["credential"]["secret"]
        return base64.b64encode(f"{self.app}:{secret}".encode()).decode()

    def new_api_key(self) -> str:
        """The one before is worth nothing from now on."""
        self.administrator("POST", f"/sys/v1/apps/{self.app}/reset_secret", {})
        return self.api_key()

    def entries_of(self, request_id: str) -> list[tuple[str, str]]:
        """What the record says was done under this name, and how it ended."""
        with database(self.server) as connection:
            rows = connection.execute(
                "SELECT action, outcome FROM audit_entry WHERE request_id = %s ORDER BY sequence", [request_id]
            )
            return [(action, outcome) for action, outcome in rows.fetchall()]


def private(path: Path, content: str) -> Path:
    """A file as a credential lies on a node; replaced as a whole, as Kubernetes does it."""
    made = path.with_name(f"{path.name}.new")
    made.touch(mode=0o600)
    made.write_text(content)
    made.replace(path)
    return path


class RunningPlugin:
    """``addresses`` default to the place's server; ``credential`` lines to its API key."""

    def __init__(
        self,
        folder: Path,
        place: KmsPlace,
        *,
        addresses: Sequence[str] = (),
        credential: str = "",
        server: str = "",
        listen: str = "",
        cluster: str = "test",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.folder, self.place = folder, place
        self.environment = {**os.environ, **(environment or {})}
        self.socket = folder / "kms.sock"
        self.config = folder / "kmsplugin.toml"
        self.log = folder / "log"
        self.api_key = folder / "api.key"
        self.process: subprocess.Popen[bytes] | None = None
        if not credential:
            private(self.api_key, place.api_key())
            credential = f'api_key_file = "{self.api_key}"'
        self.config.write_text(
            f'[listen]\nsocket = "{self.socket}"\n{listen}\n'
            f'[key]\nname = "{place.name}"\ncluster = "{cluster}"\n'
            f"[server]\naddresses = {json.dumps(list(addresses) or [place.server.url])}\n"
            f'ca_file = "{place.server.ca}"\n{server}\n'
            f"[credential]\n{credential}\n"
        )

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "k8s.kmsplugin", "--config", str(self.config)]

    def start(self) -> RunningPlugin:
        assert self.process is None, "it runs already"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=CHECKOUT, env=self.environment, stdin=subprocess.DEVNULL, stderr=log
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._serves():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)
        return self

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        return self._end(signal.SIGKILL)

    def remove(self) -> None:
        if self.process is not None:
            self.kill()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """To its end, for what does not serve."""
        command = [*self.command, *arguments]
        return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=False)

    @property
    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.said.splitlines()]

    def _serves(self) -> bool:
        """Somebody accepts connections. A socket that a killed plugin left behind refuses them."""
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(str(self.socket))
            return True
        return False

    def _end(self, number: int) -> int:
        process, self.process = self.process, None
        assert process is not None, "it does not run"
        process.send_signal(number)
        return process.wait(20)


class Stub:
    """The API server's side of the socket. Each stub has a connection of its own."""

    def __init__(self, socket: Path, *, timeout: float = 5.0) -> None:
        # Channels to one address share a connection otherwise, and with it how it was last refused.
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=[("grpc.use_local_subchannel_pool", 1)])
        self._timeout = timeout

    def __enter__(self) -> Stub:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def status(self) -> v2.StatusResponse:
        return self._call("v2", "Status", v2.StatusRequest(), v2.StatusResponse)

    def encrypt(self, plaintext: bytes, uid: str = "") -> v2.EncryptResponse:
        return self._call("v2", "Encrypt", v2.EncryptRequest(plaintext=plaintext, uid=uid), v2.EncryptResponse)

    def decrypt(self, ciphertext: bytes, key_id: str, uid: str = "") -> bytes:
        request = v2.DecryptRequest(ciphertext=ciphertext, key_id=key_id, uid=uid)
        return bytes(self._call("v2", "Decrypt", request, v2.DecryptResponse).plaintext)

    def version_1(self) -> v1.VersionResponse:
        return self._call("v1beta1", "Version", v1.VersionRequest(version="v1beta1"), v1.VersionResponse)

    def encrypt_1(self, plain: bytes) -> bytes:
        return bytes(self._call("v1beta1", "Encrypt", v1.EncryptRequest(plain=plain), v1.EncryptResponse).cipher)

    def decrypt_1(self, cipher: bytes) -> bytes:
        return bytes(self._call("v1beta1", "Decrypt", v1.DecryptRequest(cipher=cipher), v1.DecryptResponse).plain)

    def _call(self, package: str, method: str, request: Any, response: Any) -> Any:
        path = f"/{package}.KeyManagementService/{method}"
        call = self._channel.unary_unary(
            path, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
        )
        return call(request, timeout=self._timeout)
