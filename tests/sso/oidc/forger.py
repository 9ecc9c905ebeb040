"""An issuer that a test can make say anything: HTTPS on loopback in the test process, with keys and answers at will.

Everything it says is right until a test changes it, so that each refusal is about the one thing that was changed.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from accounts.models import IdentityProvider
from kms.operations.executor import execute
from kms.operations.providers import CreateProvider
from kms.secret import SecretBytes
from tests.kit.tenants import Tenant
from tests.kit.tls import Authority

CLIENT, SECRET, ACCESS = "keystead", "the client's secret", "an-access-token"


class Forger:
    def __init__(self, folder: Path, authority: Authority) -> None:
        self.authority = authority
        self.key = rsa.generate_private_key(65537, 2048)
        self.asked: list[tuple[str, dict[str, str], dict[str, list[str]]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.server(folder, "127.0.0.1", "localhost"))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.reset()

    def reset(self) -> None:
        self.nonce = ""
        self.asked.clear()
        self.metadata: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks",
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        }
        self.jwks: dict[str, Any] = {"keys": [self.public("one")]}
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {"sub": "subject"}
        self.sign: Callable[[dict[str, Any]], str | None] = lambda claims: self.signed(claims)
        self.token_status = 200

    @property
    def issuer(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def public(self, kid: str, key: rsa.RSAPrivateKey | None = None, **members: Any) -> dict[str, Any]:
        jwk = json.loads(RSAAlgorithm.to_jwk((key or self.key).public_key()))
        return {**jwk, "kid": kid, "use": "sig", **members}

    def signed(self, claims: dict[str, Any], *, key: Any = None, algorithm: str = "RS256", **header: Any) -> str:
        return jwt.encode(claims, key or self.key, algorithm, headers={"kid": "one", **header})

    def right_claims(self) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "subject",
            "exp": now + 60,
            "iat": now,
            "nonce": self.nonce,
            "email": "somebody@example.org",
            "email_verified": True,
        }

    def settings(self, **changed: Any) -> dict[str, Any]:
        pinned = [base64.b64encode(self.authority.der).decode()]
        tls = {"mode": "required", "ca": {"pinned": pinned}}
        return {"issuer": self.issuer, "client_id": CLIENT, "tls": tls, **changed}

    def add_to(self, tenant: Tenant, **changed: Any) -> IdentityProvider:
        secrets = {"client_secret": SecretBytes(SECRET.encode())}
        row: IdentityProvider = execute(
            tenant.alice, CreateProvider("oidc", "A forger", self.settings(**changed), secrets)
        )
        return row

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, path: str) -> tuple[int, Any]:
        if path == "/.well-known/openid-configuration":
            return 200, self.metadata
        if path == "/jwks":
            return 200, self.jwks
        if path == "/userinfo":
            return 200, self.userinfo
        if path == "/token":
            token = self.sign({**self.right_claims(), **self.claims})
            return self.token_status, {"access_token": ACCESS, "token_type": "Bearer", "id_token": token}
        return 404, {}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                form = parse_qs(self.rfile.read(length).decode())
                owner.asked.append((self.path, dict(self.headers), form))
                status, answer = owner._answer(self.path)
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                """Silent."""

        return Handler
