"""A server of its own for tests that hurt it, and a client that keeps its connection."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest

from kms.config.database import socket_directory
from tests.acceptance.server import RunningServer, basic, server_for


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with server_for("faults") as running:
        yield running


@dataclass
class Reply:
    status: int
    text: str
    request_id: UUID

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Client:
    """One keep-alive connection with one credential."""

    def __init__(self, server: RunningServer, authorization: str) -> None:
        self._connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=30, context=server.tls)
        self._headers = {"Authorization": authorization, "Content-Type": "application/json"}

    def __call__(self, method: str, path: str, body: Any = None) -> Reply:
        self._connection.request(method, path, None if body is None else json.dumps(body), self._headers)
        response = self._connection.getresponse()
        text, name = response.read().decode(), response.headers["X-Request-Id"]
        if name is None:
            raise http.client.BadStatusLine("the server died between its headers")
        return Reply(response.status, text, UUID(name))

    def close(self) -> None:
        self._connection.close()

    __del__ = close


@dataclass
class Workplace:
    """A group, an app in it and a key, made by the administrator."""

    server: RunningServer
    bearer: str
    group: str
    app: str
    secret: str
    key: str

    @property
    def authorization(self) -> str:
        return basic(self.app, self.secret)

    def administrator(self) -> Client:
        return Client(self.server, self.bearer)

    def client(self) -> Client:
        return Client(self.server, self.authorization)


def workplace(server: RunningServer, name: str) -> Workplace:
    bearer = server.administrator_session()
    ask = Client(server, bearer)
    group = ask("POST", "/sys/v1/groups", {"name": name}).json["group_id"]
    app = ask("POST", "/sys/v1/apps", {"name": name, "add_groups": [group], "default_group": group}).json["app_id"]
    secret = ask("GET", f"/sys/v1/apps/{app}/credential").json["credential"]["secret"]
    key = {"name": name, "group_id": group, "obj_type": "AES", "key_size": 256}
    kid = ask("POST", "/crypto/v1/keys", key).json["kid"]
    ask.close()
    return Workplace(server, bearer, group, app, secret, kid)


def database(server: RunningServer) -> psycopg.Connection[Any]:
    """As the cluster's superuser: what an intruder on the database's machine would see."""
    return psycopg.connect(host=str(socket_directory(server.data)), dbname="keystead", user="postgres", autocommit=True)
