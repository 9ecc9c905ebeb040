"""Requests for approval over HTTP: the vendor's fields and words, what others read of a body, and what is refused."""

from __future__ import annotations

import base64
import json
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from accounts.principal import Principal
from kms.api.replay import can_wait
from kms.api.routes import ENDPOINTS
from kms.api.wire.approvals import CLIS_OWN, canonical_json
from kms.api.wire.base import Endpoint
from kms.api.wire.redaction import HIDDEN, SHOWN, redacted
from policies.models import ApprovalRequest
from tests.api.test_bad_input import login
from tests.kit.approvals import Panel, new_panel
from tests.kit.tenants import unique

PATH = "/sys/v1/approval_requests"
SECRET = base64.b64encode(b"never to be seen").decode()


class Wire:
    """A panel over HTTP: the app asks with its API key, reviewers with sessions."""

    def __init__(self, client: httpx.Client, panel: Panel) -> None:
        self.client, self.panel = client, panel
        self._app = panel.tenant.api_key()
        self._sessions: dict[UUID, dict[str, str]] = {}

    def app(self, method: str, path: str = "", body: Any = None) -> httpx.Response:
        return self.client.request(method, PATH + path, json=body, auth=self._app)

    def user(self, who: Principal, method: str, path: str = "", body: Any = None) -> httpx.Response:
        if who.id not in self._sessions:
            self._sessions[who.id] = login(self.client, _email(who), self.panel.tenant)
        return self.client.request(method, PATH + path, json=body, headers=self._sessions[who.id])

    def ask(self, method: str, operation: str, body: Any = None, **more: Any) -> dict[str, Any]:
        answered = self.app("POST", body={"method": method, "operation": operation, "body": body, **more})
        assert answered.status_code == 201, answered.text
        asked: dict[str, Any] = answered.json()
        return asked

    def approve(self, asked: dict[str, Any], *numbers: int) -> httpx.Response:
        for number in numbers:
            answered = self.user(self.panel.reviewers[number], "POST", f"/{asked['request_id']}/approve", {})
            assert answered.status_code == 200, answered.text
        return answered


def _email(who: Principal) -> str:
    from accounts.models import User

    return User.objects.get(id=who.id).email


@pytest.fixture(scope="module")
def wire(client: httpx.Client) -> Wire:
    return Wire(client, new_panel())


def new_key(wire: Wire, **more: Any) -> dict[str, Any]:
    return {"name": unique("k"), "obj_type": "AES", "group_id": str(wire.panel.tenant.group.id), **more}


def test_the_way_of_a_request_in_the_vendors_words(wire: Wire) -> None:
    body, group = new_key(wire, key_size=256), str(wire.panel.tenant.group.id)
    direct = wire.client.post("/crypto/v1/keys", json=body, auth=wire.panel.tenant.api_key())
    assert (direct.status_code, direct.text) == (403, "This operation requires approval")
    asked = wire.ask("POST", "/crypto/v1/keys", body, description="for the new site")
    assert (asked["status"], asked["method"], asked["operation"]) == ("PENDING", "POST", "/crypto/v1/keys")
    assert (asked["requester"], asked["approvers"]) == ({"app": str(wire.panel.tenant.app.id)}, [])
    assert (asked["body"], asked["description"], asked["subjects"]) == (body, "for the new site", [{"group": group}])
    assert {each["user"] for each in asked["reviewers"]} == {str(each.id) for each in wire.panel.reviewers}
    assert {(each["requires_password"], each["requires_2fa"]) for each in asked["reviewers"]} == {(False, False)}
    assert asked["result_viewed"] is False
    assert asked["acct_id"] == str(wire.panel.tenant.account.id)
    early = wire.app("POST", f"/{asked['request_id']}/result")
    assert early.status_code == 409
    approved = wire.approve(asked, 0, 1).json()
    assert (approved["status"], len(approved["approvers"])) == ("APPROVED", 2)
    result = wire.app("POST", f"/{asked['request_id']}/result").json()
    assert (result["status"], result["body"]["name"]) == (201, body["name"])
    assert wire.app("GET", f"/{asked['request_id']}").json()["result_viewed"] is True


def test_no_content_is_a_null(wire: Wire) -> None:
    """Clients parse the body of every result."""
    panel = new_panel()
    own = Wire(wire.client, panel)
    asked = own.ask("DELETE", f"/crypto/v1/keys/{panel.key.id}")
    assert asked["subjects"] == [{"sobject": str(panel.key.id)}]
    own.approve(asked, 0, 1)
    assert own.app("POST", f"/{asked['request_id']}/result").json() == {"status": 204, "body": None}


def test_what_failed_is_read_as_the_error_it_was(wire: Wire) -> None:
    body = new_key(wire, key_size=256)
    first, second = (wire.ask("POST", "/crypto/v1/keys", body) for _ in range(2))
    wire.approve(first, 0, 1)
    assert wire.approve(second, 0, 1).json()["status"] == "FAILED"
    result = wire.app("POST", f"/{second['request_id']}/result").json()
    assert result["status"] == 409
    assert isinstance(result["body"], str)


def test_a_denial_names_who_and_why(wire: Wire) -> None:
    asked = wire.ask("POST", "/crypto/v1/keys", new_key(wire, key_size=256))
    reviewer = wire.panel.reviewers[2]
    denied = wire.user(reviewer, "POST", f"/{asked['request_id']}/deny", {"reason": "not today"}).json()
    assert (denied["status"], denied["denial_reason"]) == ("DENIED", "not today")
    assert denied["denier"] == {"user": str(reviewer.id)}
    assert "reviewers" not in denied
    assert wire.app("DELETE", f"/{asked['request_id']}").status_code == 204
    assert wire.app("GET", f"/{asked['request_id']}").status_code == 404


def test_lists_are_filtered_by_what_the_vendor_filters_by(wire: Wire) -> None:
    asked = wire.ask("POST", "/crypto/v1/keys", new_key(wire, key_size=256))
    reviewer, app = wire.panel.reviewers[0], wire.panel.tenant.app
    group = wire.panel.tenant.group.id
    for query in (
        "",
        "?status=PENDING",
        f"?requester={app.id}",
        f"?reviewer={reviewer.id}&status=PENDING",
        f"?subject={group}",
        "?limit=1",
    ):
        found = wire.user(reviewer, "GET", query).json()
        assert found[0]["request_id"] == asked["request_id"], query
    assert wire.user(reviewer, "GET", f"?requester={uuid4()}").json() == []
    assert wire.user(reviewer, "GET", "?limit=1&offset=100").json() == []
    for wrong in ("?status=EXPIRED", "?reviewer=me", "?nonsense=1", "?limit=-1"):
        assert wire.user(reviewer, "GET", wrong).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"method": "POST"},
        {"operation": "/crypto/v1/keys"},
        {"method": "POST", "operation": "/crypto/v1/keys"},
        {"method": "POST", "operation": "/crypto/v1/keys", "body": {"obj_typ": "AES"}},
        {"method": "POST", "operation": "/crypto/v1/keys?a=%00", "body": {}},
        {"method": "POST", "operation": "/crypto/v1/keys?" + "&".join("a=1" for _ in range(99)), "body": {}},
        {"method": "POST", "operation": "/" + "x" * 5000, "body": {}},
        {"method": "POST", "operation": "/sys/v1/session/auth"},
        {"method": "POST", "operation": "/batch/v1", "body": {}},
        {"method": 7, "operation": []},
        {"method": "POST", "operation": "/crypto/v1/keys", "body": {"name": 1e999}},
        {"method": "POST", "operation": "\ud83d\ude00", "body": {}},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_a_400_in_plain_words(body: Any, wire: Wire) -> None:
    before = ApprovalRequest.objects.count()
    text = json.dumps(body).replace("Infinity", "1e999")
    answered = wire.client.post(PATH, content=text, auth=wire.panel.tenant.api_key())
    assert answered.status_code == 400, answered.text
    assert ApprovalRequest.objects.count() == before


def test_a_body_nested_without_end_is_refused(wire: Wire) -> None:
    deep = "[" * 3000 + "]" * 3000
    text = f'{{"method": "POST", "operation": "/crypto/v1/keys", "body": {deep}}}'
    assert wire.client.post(PATH, content=text, auth=wire.panel.tenant.api_key()).status_code == 400


def test_what_the_vendors_cli_sends_of_its_own_is_no_part_of_the_call(wire: Wire) -> None:
    body = new_key(wire, key_size=256)
    assert wire.ask("POST", "/crypto/v1/keys", {**body, CLIS_OWN: "signature.bin"})["body"] == body
    assert not [e for e in WAITING if CLIS_OWN in getattr(e.body, "__struct_encode_fields__", ())]


def test_components_with_a_vote_are_refused(wire: Wire) -> None:
    asked = wire.ask("POST", "/crypto/v1/keys", new_key(wire, key_size=256))
    answered = wire.user(wire.panel.reviewers[0], "POST", f"/{asked['request_id']}/approve", {"body": {"x": 1}})
    assert answered.status_code == 400


# -- what is kept --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": [1.5, None]}, '{ "b":[1.50,null] , "a":1 }'),
        ({"a": "é"}, '{"a": "\\u00e9"}'),
        ({"big": 2**70}, f'{{"big": {2**70}}}'),
    ],
)
def test_a_body_has_one_spelling(one: Any, other: str) -> None:
    assert canonical_json(one) == canonical_json(json.loads(other))
    assert canonical_json(json.loads(canonical_json(one))) == canonical_json(one)


def test_key_material_is_read_by_who_sent_it_and_by_nobody_else(wire: Wire) -> None:
    body = new_key(wire, value=SECRET)
    asked = wire.ask("PUT", "/crypto/v1/keys", body)
    assert asked["body"]["value"] == SECRET
    alone, listed = f"/{asked['request_id']}", "?limit=1"
    for path in (alone, listed):
        shown = wire.user(wire.panel.reviewers[0], "GET", path)
        assert SECRET not in shown.text
        found = shown.json()[0] if path == listed else shown.json()
        assert found["body"] == {**body, "value": HIDDEN}
    row = ApprovalRequest.objects.get(id=asked["request_id"])
    kept = [str(getattr(row, field.attname)) for field in row._meta.concrete_fields]
    assert not [text for text in kept if SECRET in text or "never to be seen" in text]
    assert b"never to be seen" not in bytes(row.body_sealed)


# -- what others read, over every body there is --------------------------------------------------------------------

WAITING = [endpoint for endpoint in ENDPOINTS if can_wait(endpoint) and endpoint.body is not None]
# A field of one of these names holds what must not be seen, in whatever request it comes.
SECRETS = {
    "password",
    "user_password",
    "current_password",
    "new_password",
    "secret",
    "secrets",
    "client_secret",
    "client_key",
    "value",
    "code",
    "confirm_token",
    "component",
    "transient_key",
    "plain",
    "cipher",
    "data",
    "config",
}
Leaf = tuple[str, tuple[str, ...], bool]


class Filled:
    """A body with every field of a struct filled, and a sign of its own in each leaf."""

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []

    def of(self, kind: Any, path: tuple[str, ...] = ()) -> Any:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            fields = msgspec.structs.fields(kind)
            return {f.encode_name: self.of(f.type, (*path, f.encode_name)) for f in fields if f.encode_name not in path}
        origin, parts = get_origin(kind), [each for each in get_args(kind) if each is not type(None)]
        if origin in (Union, types.UnionType):
            return self.of(max(parts, key=_depth), path)
        if origin in (list, tuple, set, frozenset):
            return [self.of(parts[0], path)]
        if origin is not None and parts and issubclass(_class(origin), dict):
            return {"of any name": self.of(parts[1], (*path, "of any name"))}
        return self._sign(path, secret=kind is bytes)

    def _sign(self, path: tuple[str, ...], *, secret: bool) -> str:
        sign = f"canary-{len(self.leaves)}-"
        self.leaves.append((sign, path, secret))
        return sign


def _class(origin: Any) -> type:
    return origin if isinstance(origin, type) else object


def _depth(kind: Any) -> int:
    """Of a union's parts, the one with most in it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return 3
    return 2 if get_origin(kind) is not None else int(kind is bytes)


def leaves_of(endpoint: Endpoint) -> Iterator[tuple[Leaf, bool]]:
    """Every leaf of a body, and whether it is seen."""
    filled = Filled()
    text = json.dumps(redacted(filled.of(endpoint.body)))
    for leaf in filled.leaves:
        yield leaf, leaf[0] in text


@pytest.mark.parametrize("endpoint", WAITING, ids=lambda e: e.operation)
def test_what_others_read_of_a_body_is_what_is_listed_and_no_bytes(endpoint: Endpoint) -> None:
    for (_, path, secret), seen in leaves_of(endpoint):
        assert seen == bool(SHOWN & set(path)), path
        assert not (seen and secret), f"{path} carries bytes"
        assert not (seen and SECRETS & set(path)), f"{path} is shown"


def test_the_sweep_finds_what_it_looks_for() -> None:
    """Bytes, secrets, and what is shown, in many bodies."""
    found = [(leaf, seen) for endpoint in WAITING for leaf, seen in leaves_of(endpoint)]
    assert len(WAITING) > 40
    assert len([1 for leaf, _ in found if leaf[2]]) > 20
    assert {name for leaf, _ in found for name in leaf[1]} >= SECRETS
    assert len([1 for _, seen in found if seen]) > 200
    assert {name for name in SHOWN if not any(name in leaf[1] for leaf, _ in found)} == set()


def test_no_shown_name_is_a_secrets() -> None:
    assert not SHOWN & SECRETS
