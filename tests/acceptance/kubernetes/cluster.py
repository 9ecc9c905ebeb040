"""A control plane of real parts: etcd and API servers, each a process that tests start, stop and kill."""

from __future__ import annotations

import base64
import json
import secrets
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.acceptance.server import free_port
from tests.kit.kms_plugin import RunningPlugin, private

READY_SECONDS = 60.0
SECRETS = "/registry/secrets/"
PATH = "/api/v1/namespaces/default/secrets"


class Process:
    """A program with a log."""

    name = "program"
    ready_seconds = READY_SECONDS

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def ready(self) -> bool:
        raise NotImplementedError

    def start(self, *, wait: bool = True) -> None:
        assert self.process is None, f"{self.name} runs already"
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        def up() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.said()
            return self.ready()

        within(self.ready_seconds, up, self.said)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        if self.process is not None:
            self.kill()

    def said(self) -> str:
        """The end of its log."""
        return f"{self.name} said:\n{(self.folder / 'log').read_text(errors='replace')[-4000:]}"

    def _end(self, number: int) -> None:
        process, self.process = self.process, None
        assert process is not None, f"{self.name} does not run"
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Etcd(Process):
    name = "etcd"

    def __init__(self, program: str, folder: Path) -> None:
        super().__init__(folder)
        self.program, self.data = program, folder / "data"
        self.url, self._peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))

    def command(self) -> list[str]:
        urls = {"client": self.url, "peer": self._peers}
        listen = [f"--listen-{kind}-urls={url}" for kind, url in urls.items()]
        return [
            self.program,
            f"--data-dir={self.data}",
            *listen,
            f"--advertise-client-urls={self.url}",
            f"--initial-advertise-peer-urls={self._peers}",
            f"--initial-cluster=default={self._peers}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def raw(self, prefix: str = SECRETS) -> dict[str, bytes]:
        """What lies there, as its administrator sees it."""
        first = prefix.encode()
        past = first[:-1] + bytes([first[-1] + 1])
        asked = {"key": _b64(first), "range_end": _b64(past)}
        found = httpx.post(f"{self.url}/v3/kv/range", json=asked, timeout=30).json().get("kvs", [])
        return {base64.b64decode(each["key"]).decode(): base64.b64decode(each["value"]) for each in found}

    def put(self, key: str, value: bytes) -> None:
        asked = {"key": _b64(key.encode()), "value": _b64(value)}
        httpx.post(f"{self.url}/v3/kv/put", json=asked, timeout=30).raise_for_status()


class ApiServer(Process):
    """One kube-apiserver, with a plugin of its own where it is to encrypt."""

    name = "kube-apiserver"

    def __init__(self, binaries: Path, folder: Path, etcd: Etcd, keys: Path, *options: str) -> None:
        super().__init__(folder)
        self.binaries, self._etcd, self._keys, self._options = binaries, etcd, keys, options
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self._token = secrets.token_hex(16)
        private(folder / "tokens.csv", f'{self._token},admin,admin,"system:masters"\n')

    def encrypt(self, providers: list[dict[str, Any]]) -> None:
        """The providers for secrets, the first for writing; from the next start on, or a reload."""
        configuration = {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": [{"resources": ["secrets"], "providers": providers}],
        }
        private(self.folder / "encryption.json", json.dumps(configuration))

    def command(self) -> list[str]:
        encryption = self.folder / "encryption.json"
        return [
            str(self.binaries / "kube-apiserver"),
            f"--etcd-servers={self._etcd.url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={self.folder / 'tls'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self._keys}",
            f"--service-account-signing-key-file={self._keys}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",  # endpoints may not be loopback
            *([f"--encryption-provider-config={encryption}"] if encryption.exists() else []),
            *self._options,
        ]

    def ready(self) -> bool:
        return self.status("/readyz") == 200

    def status(self, path: str) -> int:
        """0: nobody answers."""
        try:
            return self.get(path).status_code
        except httpx.TransportError:
            return 0

    def healthz(self) -> str:
        """Also makes it ask the plugin, if it has not for 20 seconds, or for 3 in trouble."""
        try:
            return self.get("/healthz/kms-providers").text
        except httpx.TransportError:
            return ""

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """Its certificate is one that it made for itself at the first start."""
        made = self.folder / "tls" / "apiserver.crt"
        if not made.exists():
            raise httpx.ConnectError("it has no certificate yet")
        tls = ssl.create_default_context(cafile=str(made))
        headers = {"Authorization": f"Bearer {self._token}"}
        with httpx.Client(base_url=self.url, headers=headers, verify=tls, timeout=30) as opened:
            yield opened

    def get(self, path: str) -> httpx.Response:
        with self.client() as client:
            return client.get(path)

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        done = subprocess.run(
            [
                str(self.binaries / "kubectl"),
                f"--server={self.url}",
                f"--token={self._token}",
                f"--certificate-authority={self.folder / 'tls' / 'apiserver.crt'}",
                f"--cache-dir={self.folder / 'kubectl'}",
                *arguments,
            ],
            env={"HOME": str(self.folder), "PATH": "/usr/bin:/bin"},
            input=given,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {arguments[0]}: {done.stderr}"
        return done.stdout

    def kubeconfig(self) -> dict[str, Any]:
        """Its administrator's, for programs that take a file."""
        here = {"server": self.url, "certificate-authority": str(self.folder / "tls" / "apiserver.crt")}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "cluster", "cluster": here}],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [{"name": "admin", "context": {"cluster": "cluster", "user": "admin"}}],
            "current-context": "admin",
        }

    # -- secrets ---------------------------------------------------------------------------------------------------

    def create(self, name: str, value: str) -> httpx.Response:
        with self.client() as client:
            return _create(client, name, value)

    def create_many(self, values: dict[str, str]) -> None:
        with self.client() as client, ThreadPoolExecutor(8) as pool:
            for answer in pool.map(lambda item: _create(client, *item), values.items()):
                assert answer.status_code == 201, answer.text

    def read(self, name: str) -> str:
        answer = self.get(f"{PATH}/{name}")
        assert answer.status_code == 200, answer.text
        return base64.b64decode(answer.json()["data"]["value"]).decode()

    def read_all(self) -> dict[str, str]:
        # From etcd and not from the watch cache: without a resourceVersion a list is served by quorum.
        answer = self.get(PATH)
        assert answer.status_code == 200, answer.text
        return {
            item["metadata"]["name"]: base64.b64decode(item["data"]["value"]).decode()
            for item in answer.json()["items"]
        }


def _create(client: httpx.Client, name: str, value: str) -> httpx.Response:
    secret = {"metadata": {"name": name}, "stringData": {"value": value}}
    return client.post(PATH, json=secret)


def service_account_key(path: Path) -> Path:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return private(path, pem.decode())


def kms(plugin: RunningPlugin, *, name: str = "keystead", version: str = "v2", **more: Any) -> dict[str, Any]:
    """A provider in an EncryptionConfiguration."""
    return {
        "kms": {"apiVersion": version, "name": name, "endpoint": f"unix://{plugin.socket}", "timeout": "3s", **more}
    }


def within(seconds: float, happened: Callable[[], bool], otherwise: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.1)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
