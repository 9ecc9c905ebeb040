"""A real object store in a process of its own (versitygw over a folder), and the vendor's SDK that reads from it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config

from tests.kit.tls import Authority

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER, BUILD = ROOT / ".versitygw", ROOT / "tests" / "kit" / "versitygw" / "build.sh"
CANNOT_BUILD = 3
ACCESS_KEY, SECRET_KEY = "keystead-tests", "canary-secret-access-key-5b1f"
BUCKET, LOCKED_BUCKET, NAME = "logs", "locked-logs", "store.example.org"


@dataclass(frozen=True)
class ObjectStore:
    """``client`` is the vendor's SDK, with the store's own rights."""

    port: int
    client: Any

    def keys(self, bucket: str = BUCKET) -> list[str]:
        listed = self.client.list_objects_v2(Bucket=bucket)
        return [each["Key"] for each in listed.get("Contents", ())]

    def body(self, key: str, bucket: str = BUCKET) -> bytes:
        """The SDK compares it with the digest that came with it."""
        got = self.client.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        read: bytes = got["Body"].read()
        return read


def program() -> Path:
    """Built on first use, which `make test` does before any test's time runs."""
    built = subprocess.run(["sh", BUILD, FOLDER], capture_output=True, text=True, check=False)
    if built.returncode == CANNOT_BUILD and os.environ.get("CI", "").lower() != "true":
        pytest.skip(built.stderr.strip())
    assert built.returncode == 0, built.stderr
    return FOLDER / "versitygw"


@contextmanager
def object_store(folder: Path, authority: Authority) -> Iterator[ObjectStore]:
    """With TLS, two buckets (one locks its objects), and a name under which buckets are hosts."""
    certificate, key = authority.server(folder, "127.0.0.1", NAME, f"{BUCKET}.{NAME}")
    ca = folder / "store-ca.pem"
    ca.write_text(authority.pem)
    for name in ("objects", "versions", "metadata"):
        (folder / name).mkdir()
    port = _free_port()
    command: list[str | Path] = [
        program(),
        "--port",
        f"127.0.0.1:{port}",
        "--cert",
        certificate,
        "--key",
        key,
        "--quiet",
    ]
    command += ["--virtual-domain", NAME, "posix", "--sidecar", folder / "metadata"]
    command += ["--versioning-dir", folder / "versions", folder / "objects"]
    root = {"ROOT_ACCESS_KEY_ID": ACCESS_KEY, "ROOT_SECRET_ACCESS_KEY": SECRET_KEY}
    with (folder / "store.log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **root}, stdout=log, stderr=log)
    try:
        _wait_for(port, process, folder / "store.log")
        client = _client(port, ca)
        client.create_bucket(Bucket=BUCKET)
        client.create_bucket(Bucket=LOCKED_BUCKET, ObjectLockEnabledForBucket=True)
        yield ObjectStore(port, client)
        client.close()
    finally:
        process.terminate()
        process.wait(timeout=10)


def _client(port: int, ca: Path) -> Any:
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=f"https://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        verify=str(ca),
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())
