"""The provider process of the tests, a browser that logs in there, and how an account of ours is told about it."""

from __future__ import annotations

import base64
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from django.conf import settings

from accounts.models import IdentityProvider
from kms.operations.executor import execute
from kms.operations.providers import CreateProvider
from kms.secret import SecretBytes
from tests.kit.npm import installed
from tests.kit.tenants import Tenant
from tests.kit.tls import Authority

_HERE = Path(__file__).parent
CLIENT = "keystead"


def secret_of(client: str) -> str:
    return f"{client} secret: with + and %"


class OpenIdProvider:
    """The process, and the browser of whoever is logged in there. One browser a login: no cookie outlives it."""

    def __init__(self, issuer: str, authority: Authority) -> None:
        self.issuer = issuer
        self.authority = authority
        self._trust = ssl.create_default_context(cadata=authority.pem)

    def log_in(self, subject: str, **claims: Any) -> None:
        """From now on this person sits at the browser, and this is what the provider says of them."""
        self._post("/test/person", {"sub": subject, **claims})

    def rotate(self) -> None:
        """New keys, and nothing else that is remembered."""
        self._post("/test/rotate", {})

    def browse(self, url: str) -> dict[str, str]:
        """Open the URL, follow it to our callback, and give the callback's parameters."""
        with httpx.Client(verify=self._trust, timeout=20) as browser:
            for _ in range(10):
                answer = browser.get(url)
                assert answer.is_redirect, answer.text
                url = str(answer.next_request.url) if answer.next_request else ""
                if url.startswith(settings.KEYSTEAD.public_url):
                    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        raise AssertionError("the browser went in circles")

    def _post(self, path: str, body: dict[str, Any]) -> None:
        httpx.post(self.issuer + path, json=body, verify=self._trust, timeout=20).raise_for_status()

    def settings(self, **changed: Any) -> dict[str, Any]:
        pinned = [base64.b64encode(self.authority.der).decode()]
        tls = {"mode": "required", "ca": {"pinned": pinned}}
        return {"issuer": self.issuer, "client_id": CLIENT, "tls": tls, **changed}

    def add_to(self, tenant: Tenant, **changed: Any) -> IdentityProvider:
        config = self.settings(**changed)
        secrets = {"client_secret": SecretBytes(secret_of(config["client_id"]).encode())}
        row: IdentityProvider = execute(tenant.alice, CreateProvider("oidc", "The directory", config, secrets))
        return row


@contextmanager
def running_provider(folder: Path, authority: Authority) -> Iterator[OpenIdProvider]:
    certificate, key = authority.server(folder, "127.0.0.1", "localhost")
    callback = f"{settings.KEYSTEAD.public_url}/sign-on/oauth"
    script = _installed() / "provider.mjs"
    process = subprocess.Popen(
        ["node", "--no-warnings", script, certificate, key, callback], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        issuer = process.stdout.readline().strip()
        assert issuer.startswith("https://"), "the provider did not start"
        yield OpenIdProvider(issuer, authority)
    finally:
        process.terminate()
        process.wait(timeout=10)
        if process.stdout is not None:
            process.stdout.close()


def _installed() -> Path:
    """The provider's packages, and the provider beside them."""
    folder = installed(_HERE, "openid-provider")
    shutil.copy(_HERE / "provider.mjs", folder)
    return folder
