"""One provider process for all tests of SAML, and whoever logs in through it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.kit.http import serving
from tests.sso.saml.peer import SamlPeer


@pytest.fixture(scope="session")
def client(installation: None) -> Iterator[httpx.Client]:
    from kms.config.asgi import application

    with serving(application) as opened:
        yield opened


@pytest.fixture(scope="session")
def peer(client: httpx.Client, tmp_path_factory: Any) -> Iterator[SamlPeer]:
    """pysaml2's identity provider, told of us by our own metadata."""
    folder = tmp_path_factory.mktemp("saml")
    command = [sys.executable, "-m", "tests.sso.saml.identity_provider", str(folder)]
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
