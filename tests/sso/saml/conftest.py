"""One provider process of each make for all tests of SAML, and whoever logs in through it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.http import serving
from tests.sso.saml.peer import SamlPeer

GO_PROGRAM = Path(__file__).with_name("go")


@pytest.fixture(scope="session")
def client(installation: None) -> Iterator[httpx.Client]:
    from kms.config.asgi import application

    with serving(application) as opened:
        yield opened


@pytest.fixture(scope="session")
def peer(client: httpx.Client, tmp_path_factory: Any) -> Iterator[SamlPeer]:
    """pysaml2's identity provider, told of us by our own metadata."""
    folder = tmp_path_factory.mktemp("saml")
    with _running([sys.executable, "-m", "tests.sso.saml.identity_provider", str(folder)], client) as opened:
        yield opened


@pytest.fixture(scope="session")
def go_peer(client: httpx.Client, tmp_path_factory: Any) -> Iterator[SamlPeer]:
    """crewjam/saml's. Skipped where there is no Go, but never in continuous integration."""
    if shutil.which("go") is None:
        reason = "go is not on the PATH, so the second identity provider cannot be built"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    program = tmp_path_factory.mktemp("saml-go") / "provider"
    command = ["go", "build", "-buildvcs=false", "-trimpath", "-o", str(program), "."]
    without_c = {**os.environ, "CGO_ENABLED": "0"}
    subprocess.run(command, cwd=GO_PROGRAM, env=without_c, capture_output=True, timeout=110, check=True)
    with _running([str(program)], client) as opened:
        yield opened


@contextlib.contextmanager
def _running(command: list[str], client: httpx.Client) -> Iterator[SamlPeer]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            with httpx.Client(base_url=address, timeout=30) as to_provider:
                opened = SamlPeer(to_provider, client)
                opened.introduce()
                yield opened
        finally:
            process.terminate()
