"""A SAML identity provider in a process of its own: pysaml2's, behind HTTP on loopback.

    python -m tests.sso.saml.identity_provider FOLDER

It prints its address when it is ready. Its ways: GET /metadata; POST /service (our metadata), POST /people (JSON, by
login), POST /rotate (a new signing key); POST /sso is the form that a browser posts, with the login beside it, and
answers with the page that posts the response on. It knows nothing of the server but its metadata.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.serialization import Encoding
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT, saml
from saml2.authn_context import PASSWORD
from saml2.config import IdPConfig
from saml2.metadata import entity_descriptor
from saml2.saml import NAME_FORMAT_URI, NAMEID_FORMAT_EMAILADDRESS
from saml2.server import Server
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

from tests.sso.saml.keys import new_key


class IdentityProvider:
    """The provider's state, and what it answers."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder, self.address = folder, address
        self._service = ""
        self._people: dict[str, dict[str, Any]] = {}
        self.rotate()

    def rotate(self) -> None:
        key = new_key()
        (self._folder / "key.pem").write_bytes(key.pem)
        (self._folder / "certificate.pem").write_bytes(key.certificate.public_bytes(Encoding.PEM))
        self._configure()

    def serve_for(self, metadata: str) -> None:
        self._service = metadata
        self._configure()

    def know(self, people: dict[str, dict[str, Any]]) -> None:
        self._people = people

    def metadata(self) -> str:
        return str(entity_descriptor(self._config))

    def answer(self, form: dict[str, list[str]]) -> str:
        """The page with the response to a request, which pysaml2 has checked: schema, issuer, destination, audience."""
        request = self._server.parse_authn_request(form["SAMLRequest"][0], BINDING_HTTP_POST)
        where = self._server.response_args(request.message, [BINDING_HTTP_POST])
        person = self._people[form["login"][0]]
        ends = datetime.now(UTC) + timedelta(seconds=person.get("session", 3600))
        response = self._server.create_authn_response(
            person["attributes"],
            userid=form["login"][0],
            name_id=saml.NameID(format=person.get("format", NAMEID_FORMAT_EMAILADDRESS), text=person["name"]),
            authn={"class_ref": PASSWORD, "authn_auth": self.address},
            sign_assertion=True,
            sign_response=person.get("sign_response", False),
            sign_alg=SIG_RSA_SHA256,
            digest_alg=DIGEST_SHA256,
            session_not_on_or_after=ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
            in_response_to=where["in_response_to"],
            destination=where["destination"],
            sp_entity_id=where["sp_entity_id"],
            name_id_policy=where["name_id_policy"],
        )
        page = self._server.apply_binding(BINDING_HTTP_POST, str(response), where["destination"], response=True)
        return str(page["data"])

    def _configure(self) -> None:
        self._config = IdPConfig().load(
            {
                "entityid": f"{self.address}/metadata",
                "key_file": str(self._folder / "key.pem"),
                "cert_file": str(self._folder / "certificate.pem"),
                "metadata": {"inline": [self._service]} if self._service else {},
                "service": {
                    "idp": {
                        "endpoints": {
                            "single_sign_on_service": [
                                (f"{self.address}/sso", BINDING_HTTP_POST),
                                (f"{self.address}/redirect", BINDING_HTTP_REDIRECT),
                            ]
                        },
                        "policy": {"default": {"lifetime": {"minutes": 5}, "name_form": NAME_FORMAT_URI}},
                    }
                },
            }
        )
        self._server = Server(config=self._config)


def handler_of(provider: IdentityProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(200, provider.metadata()) if self.path == "/metadata" else self._say(404, "")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            try:
                self._say(200, self._done(body))
            except Exception as error:
                self._say(400, f"{type(error).__name__}: {error}")

        def _done(self, body: str) -> str:
            if self.path == "/sso":
                return provider.answer(parse_qs(body, strict_parsing=True))
            if self.path == "/service":
                provider.serve_for(body)
            elif self.path == "/people":
                provider.know(json.loads(body))
            elif self.path == "/rotate":
                provider.rotate()
            else:
                raise KeyError(self.path)
            return ""

        def _say(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet: whoever tests reads the answers."""

    return Handler


def main() -> None:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    provider = IdentityProvider(Path(sys.argv[1]), f"http://127.0.0.1:{listening.server_address[1]}")
    listening.RequestHandlerClass = handler_of(provider)
    print(provider.address, flush=True)
    listening.serve_forever()


if __name__ == "__main__":
    main()
