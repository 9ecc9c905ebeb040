"""A registry that wants tokens and leads elsewhere, and one that lies: credentials stay where they belong."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from k8s.webhook.images.credentials import RegistryCredentials
from k8s.webhook.images.image import ImageUnknown
from k8s.webhook.images.reference import parse
from k8s.webhook.images.registry import Registry

CONFIG = json.dumps({"config": {"Cmd": ["run"]}}).encode()
DIGEST = f"sha256:{hashlib.sha256(CONFIG).hexdigest()}"

Answer = tuple[int, dict[str, str], bytes]
Answering = Callable[[str, str], Answer]


class Host:
    """One host on loopback; ``asked`` are the paths and the Authorization that came with each."""

    def __init__(self, answering: Answering) -> None:
        self.asked: list[tuple[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                authorization = self.headers.get("Authorization", "")
                outer.asked.append((self.path, authorization))
                status, headers, body = answering(self.path, authorization)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Tests look at ``asked``."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.name = f"127.0.0.1:{self.server.server_port}"


@contextlib.contextmanager
def host(answering: Answering) -> Iterator[Host]:
    made = Host(answering)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join()


def ask(registry: Host, *plain: str, credentials: str = "") -> tuple[str, ...]:
    async def asked() -> tuple[str, ...]:
        client = Registry(ssl.create_default_context(), RegistryCredentials(credentials), (), plain, 5)
        try:
            return (await client.image(parse(f"{registry.name}/app:1"), "amd64")).cmd
        finally:
            await client.close()

    return asyncio.run(asked())


def manifest(digest: str = DIGEST) -> bytes:
    return json.dumps({"schemaVersion": 2, "config": {"digest": digest}}).encode()


def test_credentials_go_for_a_token_and_the_token_to_the_registry_alone(tmp_path: Path) -> None:
    with host(lambda path, _: (200, {}, CONFIG)) as store:

        def answering(path: str, authorization: str) -> Answer:
            if path.startswith("/token"):
                return 200, {}, b'{"token": "a-token"}'
            if authorization != "Bearer a-token":
                challenge = f'Bearer realm="http://{registry.name}/token",service="s"'
                return 401, {"WWW-Authenticate": challenge}, b""
            if "/blobs/" in path:
                return 307, {"Location": f"http://{store.name}/elsewhere"}, b""
            return 200, {}, manifest()

        with host(answering) as registry:
            file = tmp_path / "config.json"
            file.write_text(json.dumps({"auths": {registry.name: {"username": "me", "password": "secret"}}}))
            assert ask(registry, registry.name, store.name, credentials=str(file)) == ("run",)
    basic = f"Basic {base64.b64encode(b'me:secret').decode()}"
    assert [each for each in registry.asked if each[1] == basic] == [
        ("/token?service=s&scope=repository%3Aapp%3Apull", basic)
    ]
    assert store.asked == [("/elsewhere", "")]


@pytest.mark.parametrize(
    ("body", "status", "headers", "sentence"),
    [
        (manifest("sha256:" + 64 * "0"), 200, {}, "is not what has the digest"),
        (manifest("md5:x"), 200, {}, "only sha256"),
        (manifest("../../x"), 200, {}, "only sha256"),
        (b"<html>", 200, {}, "no manifest"),
        (b" " * (5 << 20), 200, {}, "larger than"),
        (b"", 401, {}, "wants a credential"),
        (b"", 401, {"WWW-Authenticate": "Basic realm=x"}, "wants a credential"),
        (b"", 500, {}, "answers 500"),
        (b"", 302, {"Location": "http://other.example/x"}, "without TLS"),
        (b"", 302, {"Location": "https://169.254.169.254/latest"}, "does not ask"),
        (b"", 302, {"Location": "/again"}, "on and on"),
        (b"", 302, {"Location": "https://[::1/"}, "no address"),
    ],
)
def test_a_registry_that_lies_or_leads_astray_is_believed_nothing(
    body: bytes, status: int, headers: dict[str, str], sentence: str
) -> None:
    def answering(path: str, authorization: str) -> Answer:
        return (200, {}, CONFIG) if "/blobs/" in path else (status, headers, body)

    with host(answering) as registry, pytest.raises(ImageUnknown, match=sentence):
        ask(registry, registry.name)
