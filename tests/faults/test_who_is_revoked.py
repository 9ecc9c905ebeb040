"""Whoever is disabled, removed or deleted comes in by no way, old or new, on any worker: each change by each way."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from tests.acceptance.server import RunningServer, basic
from tests.faults.conftest import Client, workplace

PASSWORD = "correct horse battery staple 9"
# Connections, so that both workers serve some: the kernel hands them out.
CONNECTIONS = 6
AUTH, SELECT = "/sys/v1/session/auth", "/sys/v1/session/select_account"
LISTING = "/crypto/v1/keys?limit=1"


@dataclass
class Insider:
    """A user of the account or an app in it, with sessions that are in use on every worker."""

    server: RunningServer
    account: str
    id: str
    credential: str
    bearer: str
    clients: list[Client]

    def warm(self) -> None:
        """Every worker has seen the session, and remembers."""
        for client in self.clients:
            for _ in range(3):
                assert client("GET", LISTING).status == 200


@cache
def administrator(server: RunningServer) -> str:
    return server.administrator_session()


def insider(server: RunningServer, kind: str) -> Insider:
    ask = Client(server, administrator(server))
    account = next(iter(ask("GET", "/sys/v1/users/accounts").json))
    who, credential = _user(server, ask, account) if kind == "user" else _app(server)
    token = _token(server, credential, account if kind == "user" else None)
    return Insider(server, account, who, credential, token, [Client(server, token) for _ in range(CONNECTIONS)])


def _user(server: RunningServer, ask: Client, account: str) -> tuple[str, str]:
    email = f"{secrets.token_hex(8)}@example.org"
    invitation = {"user_email": email, "user_password": PASSWORD, "account_role": ["ACCOUNTADMINISTRATOR"]}
    who = ask("POST", "/sys/v1/users/invite", invitation).json["user_id"]
    accept = Client(server, _token(server, basic(email, PASSWORD), None))
    assert accept("POST", "/sys/v1/users/process_invite", {"accepts": [account]}).status == 204
    return who, basic(email, PASSWORD)


def _app(server: RunningServer) -> tuple[str, str]:
    place = workplace(server, secrets.token_hex(8))
    return place.app, place.authorization


def _token(server: RunningServer, credential: str, account: str | None) -> str:
    answer = server.request("POST", AUTH, authorization=credential)
    assert answer.status == 200, answer.text
    bearer = f"Bearer {answer.json['access_token']}"
    if account is not None:
        assert server.request("POST", SELECT, {"acct_id": account}, authorization=bearer).status == 200
    return bearer


# -- what is taken away --------------------------------------------------------------------------------------------


def by_administrator(method: str, path: str, body: Any = None) -> Callable[[Insider], None]:
    def change(who: Insider) -> None:
        ask = Client(who.server, administrator(who.server))
        assert ask(method, path.format(id=who.id), body).status < 300

    return change


def delete_oneself(who: Insider) -> None:
    assert Client(who.server, who.bearer)("DELETE", "/sys/v1/users").status == 204


def enable_account(who: Insider, enabled: bool) -> None:
    """On the host, by the server's own code: rows that are changed past it are used by nobody."""
    change = (
        f"from accounts.models import Account; Account.objects.filter(id='{who.account}').update(enabled={enabled})"
    )
    who.server.command("shell", "--no-imports", "--command", change)


CHANGES: dict[str, tuple[str, Callable[[Insider], None]]] = {
    "the user disabled": ("user", by_administrator("PATCH", "/sys/v1/users/{id}", {"enable": False})),
    "the user removed": ("user", by_administrator("DELETE", "/sys/v1/users/{id}/accounts")),
    "the user deleted": ("user", delete_oneself),
    "the user's sessions ended": ("user", by_administrator("POST", "/sys/v1/users/{id}/sessions/terminate")),
    "the app disabled": ("app", by_administrator("PATCH", "/sys/v1/apps/{id}", {"enabled": False})),
    "the app deleted": ("app", by_administrator("DELETE", "/sys/v1/apps/{id}")),
    "the app's key replaced": ("app", by_administrator("POST", "/sys/v1/apps/{id}/reset_secret", {})),
}
# A person's password still opens a session after these: of the server, not of the account.
STILL_A_USER = {"the user disabled", "the user removed"}


@pytest.mark.parametrize("name", CHANGES)
def test_who_was_taken_away_comes_in_by_no_way(server: RunningServer, name: str) -> None:
    kind, change = CHANGES[name]
    who = insider(server, kind)
    who.warm()
    change(who)
    for client in who.clients:
        assert client("GET", LISTING).status in (401, 403), "a session that was in use"
        assert client("POST", "/sys/v1/session/reauth").status in (200, 401, 403)
    old = [client("GET", LISTING).status for client in who.clients]
    assert not set(old) - {401, 403}, "a session that was refreshed"
    if kind == "app":
        for _ in range(CONNECTIONS):
            answer = server.request("GET", LISTING, authorization=who.credential)
            assert answer.status in (401, 403), "the API key on a call"
    if name != "the user's sessions ended":
        _no_new_session_reaches_the_account(who, name)


def _no_new_session_reaches_the_account(who: Insider, name: str) -> None:
    for _ in range(CONNECTIONS):
        answer = who.server.request("POST", AUTH, authorization=who.credential)
        if name not in STILL_A_USER:
            assert answer.status in (401, 429)  # who is nobody is slowed down like a guesser
            continue
        fresh = Client(who.server, f"Bearer {answer.json['access_token']}")
        assert fresh("POST", SELECT, {"acct_id": who.account}).status in (403, 404)
        assert fresh("GET", LISTING).status in (401, 403)


def test_reauthentication_of_who_was_disabled_leads_nowhere(server: RunningServer) -> None:
    """The session itself is a person's, and may be traded; what it opens is nothing here."""
    who = insider(server, "user")
    who.warm()
    by_administrator("PATCH", "/sys/v1/users/{id}", {"enable": False})(who)
    traded = who.clients[0]("POST", "/sys/v1/session/reauth")
    if traded.status == 200:
        fresh = Client(server, f"Bearer {traded.json['access_token']}")
        assert fresh("GET", LISTING).status in (401, 403)


def test_a_disabled_account_lets_nobody_in(server: RunningServer) -> None:
    who = [insider(server, kind) for kind in ("user", "app")]
    for one in who:
        one.warm()
    enable_account(who[0], False)
    try:
        for one in who:
            assert {client("GET", LISTING).status for client in one.clients} <= {401, 403}
        answer = server.request("POST", AUTH, authorization=who[1].credential)
        assert answer.status == 401
    finally:
        enable_account(who[0], True)


def test_a_session_ended_on_one_worker_is_over_on_the_other_at_once_time_after_time(server: RunningServer) -> None:
    place = workplace(server, "in a loop")
    for _ in range(25):
        bearer = _token(server, place.authorization, None)
        clients = [Client(server, bearer) for _ in range(3)]
        assert [client("GET", LISTING).status for client in clients] == [200] * 3
        assert clients[0]("POST", "/sys/v1/session/terminate").status == 204
        assert [client("GET", LISTING).status for client in clients] == [401] * 3
