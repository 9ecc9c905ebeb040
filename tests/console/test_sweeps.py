"""What holds on every screen, over the console's own list: a new screen joins it.

Nobody comes in without a session, nothing is done without a form of ours, nobody reaches what is another account's, a
look changes nothing, rubbish is refused, and every page says what a browser may do with it.
"""

from __future__ import annotations

import re
import ssl
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from accounts.principal import Principal
from kms.api.inside import ApiCall
from kms.console import visit as visiting
from kms.console.finding.screens import ACTIONS
from kms.console.navigation import MENU
from kms.console.screens import Screen
from kms.console.urls import SCREENS
from tests.console.conftest import Site
from tests.console.world import World
from tests.kit.cast import bearer
from tests.kit.tenants import new_tenant

SHOWN = [screen for screen in SCREENS if screen.show is not None]
ACTING = [screen for screen in SCREENS if screen.act is not None]
PRIVATE = [screen for screen in SCREENS if not screen.anonymous]
WITH_IDS = [screen for screen in PRIVATE if "<" in screen.route]
NOBODYS = uuid.UUID(int=7)
# Calls that change nothing though they are no GET: they ask with a body, or for what begins with the answer to it.
READING = frozenset(
    {
        "AuthDiscover",
        "GetSobject",
        "MfaAuthChallenge",
        "SimulateRole",
        "SimulateNewRole",
        "SimulateGroupPolicy",
        "ValidateToken",
    }
)


def name(screen: Screen) -> str:
    return screen.name


def address(screen: Screen, ids: dict[str, Any]) -> str:
    return "/" + re.sub(r"<\w+:(\w+)>", lambda found: str(ids[found[1]]), screen.route)


def nobodys(screen: Screen) -> str:
    return "/" + re.sub(r"<\w+:(\w+)>", str(NOBODYS), screen.route)


class Client:
    """A browser without a mind: cookies, and the token of whatever form it saw last."""

    def __init__(self, site: Site, who: Principal | None = None) -> None:
        trust = ssl.create_default_context(cafile=str(site.files.ca))
        cookies = {} if who is None else {"__Host-session": f"{bearer(who).removeprefix('Bearer ')}.{who.id}"}
        headers = {"Accept": "text/html", "Origin": site.origin}
        self._http = httpx.Client(base_url=site.origin, verify=trust, cookies=cookies, headers=headers, timeout=30)

    def get(self, path: str) -> httpx.Response:
        return self._http.get(path)

    def post(self, path: str, data: dict[str, Any] | None = None, *, content: bytes | None = None) -> httpx.Response:
        """With a token that fits the cookie, as a form of ours has it."""
        token = self._token()
        if content is not None:
            headers = {"X-CSRFToken": token, "Content-Type": "application/x-www-form-urlencoded"}
            return self._http.post(path, content=content, headers=headers)
        return self._http.post(path, data={"csrfmiddlewaretoken": token, **(data or {})})

    def post_bare(self, path: str, **headers: str) -> httpx.Response:
        return self._http.post(path, data={"name": "x"}, headers=headers)

    def _token(self) -> str:
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self._http.get("/sign-in").text)
        assert found is not None
        return found[1]

    def close(self) -> None:
        self._http.close()


@pytest.fixture(scope="module")
def clients(server: Site) -> Iterator[Callable[[Principal | None], Client]]:
    opened: list[Client] = []

    def client(who: Principal | None = None) -> Client:
        opened.append(Client(server, who))
        return opened[-1]

    yield client
    for each in opened:
        each.close()


@pytest.fixture(scope="module")
def alice(clients: Callable[..., Client], world: World) -> Client:
    return clients(world.alice)


@pytest.fixture(scope="module")
def stranger(clients: Callable[..., Client]) -> Client:
    """Administrator of another account."""
    return clients(new_tenant().alice)


@pytest.fixture(scope="module")
def nobody(clients: Callable[..., Client]) -> Client:
    return clients(None)


def test_names_and_routes_are_each_ones_own() -> None:
    assert len({screen.name for screen in SCREENS}) == len(SCREENS)
    assert len({screen.route for screen in SCREENS}) == len(SCREENS)


def test_every_entry_of_the_menu_leads_to_a_screen() -> None:
    hung = {screen.name for screen in SCREENS}
    offered = [*(entry for _heading, entries in MENU for entry in entries), *ACTIONS]
    assert [entry.screen for entry in offered if entry.screen not in hung] == []


@pytest.mark.parametrize("screen", PRIVATE, ids=name)
def test_nobody_comes_in_without_a_session(screen: Screen, world: World, nobody: Client) -> None:
    for answer in (
        *([nobody.get(address(screen, world.ids))] if screen.show else []),
        *([nobody.post(address(screen, world.ids))] if screen.act else []),
    ):
        assert answer.status_code == 303
        assert answer.headers["Location"].partition("?")[0] == "/sign-in"


@pytest.mark.parametrize("screen", PRIVATE, ids=name)
def test_a_token_that_is_none_is_no_session(screen: Screen, world: World, server: Site) -> None:
    client = Client(server)
    client._http.cookies.set("__Host-session", f"{'x' * 43}.{world.alice.id}")
    method = client.get if screen.show else client.post
    answer = method(address(screen, world.ids))
    client.close()
    assert answer.status_code == 303
    assert answer.headers["Location"].partition("?")[0] == "/sign-in"
    assert 'session=""' in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("screen", [screen for screen in ACTING if not screen.foreign], ids=name)
def test_nothing_is_done_without_a_form_of_ours(screen: Screen, world: World, alice: Client) -> None:
    for headers in ({}, {"Origin": "https://elsewhere.example.org"}, {"Origin": "null"}):
        assert alice.post_bare(address(screen, world.ids), **headers).status_code == 403


@pytest.mark.parametrize("screen", WITH_IDS, ids=name)
def test_what_is_another_accounts_is_not_there(screen: Screen, world: World, stranger: Client) -> None:
    if screen.show is not None:
        assert stranger.get(address(screen, world.ids)).status_code == 404
    if screen.act is not None:
        assert stranger.post(address(screen, world.ids)).status_code in (404, 422)


@pytest.mark.parametrize("screen", WITH_IDS, ids=name)
def test_what_is_nobodys_is_not_there(screen: Screen, alice: Client) -> None:
    if screen.show is not None:
        assert alice.get(nobodys(screen)).status_code == 404
    if screen.act is not None:
        assert alice.post(nobodys(screen)).status_code in (404, 422)


@pytest.mark.parametrize("screen", SHOWN, ids=name)
def test_a_look_changes_nothing(
    screen: Screen, world: World, clients: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[ApiCall] = []
    run = visiting.run

    def noted(call: ApiCall, caller: Any) -> Any:
        calls.append(call)
        return run(call, caller)

    monkeypatch.setattr(visiting, "run", noted)
    answer = clients(None if screen.anonymous else world.alice).get(address(screen, world.ids))
    assert answer.status_code in (200, 303)
    assert [call.operation for call in calls if call.method != "GET" and call.operation not in READING] == []


@pytest.mark.parametrize("screen", SHOWN, ids=name)
def test_every_page_says_what_may_run_in_it(screen: Screen, world: World, alice: Client, nobody: Client) -> None:
    answer = (nobody if screen.anonymous else alice).get(address(screen, world.ids))
    policy = answer.headers["Content-Security-Policy"]
    assert "'unsafe" not in policy
    assert "data:" not in policy
    for directive in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
        assert directive in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"
    assert not re.search(r"<script(?![^>]*(\bsrc=|application/json))|\son\w+=|style=", answer.text)


@pytest.mark.parametrize("screen", [screen for screen in ACTING if screen.anonymous], ids=name)
def test_who_may_be_anybody_has_little_to_say(screen: Screen, nobody: Client) -> None:
    assert nobody.post("/" + screen.route, content=b"a=" + b"b" * 65_536).status_code == 413


RUBBISH = (b"", b"\xff\xfe", b"name=%00", b"a=" + b"b" * 100_000, b"&" * 5000, b"name=" + "\u202e<script>".encode())


@pytest.mark.parametrize("screen", [screen for screen in ACTING if screen.name != "sign-out"], ids=name)
def test_rubbish_is_refused(screen: Screen, world: World, alice: Client, nobody: Client) -> None:
    client = nobody if screen.anonymous else alice
    for content in RUBBISH:
        answer = client.post(nobodys(screen), content=content)
        assert answer.status_code < 500, content[:40]
        assert "Traceback" not in answer.text


@pytest.mark.parametrize("screen", SHOWN, ids=name)
def test_a_query_of_rubbish_is_refused_or_ignored(screen: Screen, world: World, alice: Client, nobody: Client) -> None:
    client = nobody if screen.anonymous else alice
    query = "&".join(
        f"{word}=%00%ff<script>" for word in ("q", "sort", "start", "before", "search", "next", "tab", "id")
    )
    answer = client.get(f"{address(screen, world.ids)}?{query}")
    assert answer.status_code < 500
    assert "<script>" not in answer.text.replace("<script src", "")


def test_a_page_that_is_not_there_says_so(alice: Client) -> None:
    answer = alice.get("/no/such/page")
    assert answer.status_code == 404
    assert "There is no such page" in answer.text
    assert "Content-Security-Policy" in answer.headers


def test_another_account_is_shown_by_every_process_at_once(world: World, alice: Client) -> None:
    """Each process remembers what it shows of a viewer by the cookie, whose mark changes with the account."""
    marks = set()
    for _ in range(2):
        answer = alice.post("/accounts", {"account": str(world.tenant.account.id)})
        assert answer.status_code == 303
        found = re.search(r"__Host-session=[^.;]+\.[^.;]+\.(\w+);", answer.headers["Set-Cookie"])
        assert found is not None
        marks.add(found[1])
    assert len(marks) == 2
