"""A browser between the server and a provider process: it carries forms and believes nobody."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import httpx

from accounts.models import IdentityProvider
from kms.operations.executor import execute
from kms.operations.providers import CreateProvider
from kms.operations.saml import entity_id
from tests.kit.tenants import Tenant

MAIL = "urn:oid:0.9.2342.19200300.100.1.3"
MEMBER_OF = "urn:oid:1.3.6.1.4.1.5923.1.5.1.1"
GIVEN, FAMILY = "urn:oid:2.5.4.42", "urn:oid:2.5.4.4"


class _Form(HTMLParser):
    """The page that a provider answers with: where it posts to, and what."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action, self.fields = "", dict[str, str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "form":
            self.action = found.get("action") or ""
        if tag == "input" and found.get("name"):
            self.fields[str(found["name"])] = found.get("value") or ""


@dataclass
class Way:
    """What discovery says of a SAML provider."""

    id: str
    idp_id: str
    name: str
    binding_url: str
    authn_request: str


@dataclass
class SamlPeer:
    provider: httpx.Client
    server: httpx.Client

    def introduce(self) -> None:
        ours = self.server.get("/saml/metadata.xml")
        assert ours.status_code == 200
        self._tell("/service", content=ours.content)

    def people(self, **people: dict[str, Any]) -> None:
        self._tell("/people", json=people)

    def rotate(self) -> None:
        self._tell("/rotate", content=b"")

    def metadata(self) -> str:
        return self.provider.get("/metadata").text

    def register(self, tenant: Tenant, **settings: Any) -> IdentityProvider:
        """The provider in an account, with the settings that its attributes ask for."""
        attributes = {
            "email_attribute": MAIL,
            "groups_attribute": MEMBER_OF,
            "first_name_attribute": GIVEN,
            "last_name_attribute": FAMILY,
        }
        config = {"metadata": self.metadata(), **attributes, **settings}
        row: IdentityProvider = execute(tenant.alice, CreateProvider("saml", "Directory", config))
        return row

    def discover(self, tenant: Tenant) -> Way:
        """What a client is told that names the account."""
        answer = self.server.post("/sys/v1/session/auth/discover", params={"acct_id": str(tenant.account.id)}, json={})
        assert answer.status_code == 200, answer.text
        (found,) = [way for way in answer.json() if way["method"] == "saml-post"]
        return Way(**{name: found[name] for name in Way.__dataclass_fields__})

    def response(self, way: Way, login: str) -> str:
        """What the provider gives the browser for us, after somebody has logged in there."""
        page = self.provider.post("/sso", data={"SAMLRequest": way.authn_request, "login": login})
        assert page.status_code == 200, page.text
        form = _Form(page.text)
        assert form.action == entity_id().replace("metadata.xml", "acs")
        return form.fields["SAMLResponse"]

    def log_in(self, response: str, request: str | None = None) -> httpx.Response:
        body = {"method": "saml-response", "response": response, **({} if request is None else {"id": request})}
        return self.server.post("/sys/v1/session/auth", json=body)

    def sign_on(self, tenant: Tenant, login: str) -> httpx.Response:
        way = self.discover(tenant)
        assert way.binding_url == f"{self.provider.base_url}/sso"
        return self.log_in(self.response(way, login), way.id)

    def _tell(self, path: str, **content: Any) -> None:
        answer = self.provider.post(path, **content)
        assert answer.status_code == 200, answer.text


def xml_of(encoded: str) -> str:
    return base64.b64decode(encoded).decode()
