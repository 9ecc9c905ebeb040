"""The server as a vector meets it: JSON over HTTP with an app's API key. It must not know what a vector expects.

Every answer below 500 is an answer; 500 and above is a defect whatever was sent, and raises.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.kit.tenants import Tenant, unique

_KEYS = "/crypto/v1/keys"
# What one batch may have (kms.api.wire.crypto.MAX_BATCH and KEYSTEAD_MAX_BODY), with room for the rest of the body.
_MAX_ITEMS, _MAX_BODY = 1024, 3 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """``body`` is JSON when it worked, the error's text when not."""

    status: int
    body: Any

    @property
    def refused(self) -> bool:
        return self.status >= 400


class Edge:
    """One app's calls. Keys are imported once and found again by what was imported."""

    def __init__(self, client: httpx.Client, tenant: Tenant) -> None:
        self._client = client
        self._auth = tenant.api_key()
        self._group = str(tenant.group.id)
        self._keys: dict[tuple[str, bytes, str], Answer] = {}

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        response = self._client.request(method, path, json=body, auth=self._auth)
        assert response.status_code < 500, f"{method} {path}: {response.status_code} {response.text}"
        if response.status_code >= 400:
            return Answer(response.status_code, response.text)
        return Answer(response.status_code, response.json() if response.content else None)

    def imported(self, kind: str, material: bytes, **fields: Any) -> Answer:
        """A key of this material, by ``kid`` in the answer's body; or how it was refused."""
        slot = (kind, material, json.dumps(fields, sort_keys=True))
        if slot not in self._keys:
            self._keys[slot] = self.call("PUT", _KEYS, self.template(kind, value=encoded(material), **fields))
        return self._keys[slot]

    def template(self, kind: str, **fields: Any) -> dict[str, Any]:
        """What a new object takes, whichever way it comes."""
        return {"name": unique(kind.lower()), "obj_type": kind, "group_id": self._group, **fields}

    def derived(self, path: str, key_type: str, **fields: Any) -> Answer:
        """A new object from agreement, derivation or encapsulation, whose way of saying what it is differs."""
        body = {"name": unique("derived"), "key_type": key_type, "group_id": self._group, **fields}
        return self.call("POST", f"/crypto/v1/{path}", body)

    def described(self, kid: str) -> dict[str, Any]:
        answer = self.call("GET", f"{_KEYS}/{kid}")
        assert not answer.refused, answer
        found: dict[str, Any] = answer.body
        return found

    def exported(self, kid: str) -> bytes:
        answer = self.call("POST", f"{_KEYS}/export", {"kid": kid})
        assert not answer.refused, answer
        return decoded(answer.body["value"])

    def deleted(self, kid: str) -> None:
        answer = self.call("DELETE", f"{_KEYS}/{kid}")
        assert not answer.refused, answer

    def batch(self, verb: str, items: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """All items in as few requests as the server takes."""
        found: list[Answer] = []
        for part in _parts(items):
            answer = self.call("POST", f"{_KEYS}/batch/{verb}", part)
            assert not answer.refused, answer
            assert len(answer.body) == len(part)
            found.extend(Answer(item["status"], item.get("body", item.get("error"))) for item in answer.body)
        assert all(answer.status < 500 for answer in found), [answer for answer in found if answer.status >= 500][:5]
        return found


def _parts(items: Sequence[Mapping[str, Any]]) -> Iterable[list[Mapping[str, Any]]]:
    part: list[Mapping[str, Any]] = []
    size = 0
    for item in items:
        length = len(json.dumps(item))
        if part and (len(part) == _MAX_ITEMS or size + length > _MAX_BODY):
            yield part
            part, size = [], 0
        part.append(item)
        size += length
    if part:
        yield part


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
