"""One request to the console: who it is, what they may be shown of themselves, and the API as they may call it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.loader import render_to_string
from django.urls import reverse

from accounts.lru import Lru
from kms.api.inside import ApiCall, Caller, Refused, run
from kms.api.proxy import peer_of
from kms.console import cookies
from kms.console.cookies import Kept
from kms.console.zones import zone_of

# Each reading of it is four calls on the record; what the viewer changes of it is shown at once all the same.
_SHELLS_KEPT, _SHELL_SECONDS = 4096, 300.0
_NAMED_AT_ONCE = 200
_NOBODY = str(UUID(int=0))


@dataclass(frozen=True, slots=True)
class Shell:
    """What stands around every page: who is signed in, and where. Only for show; the API decides on what it finds."""

    user: Mapping[str, Any]
    account: Mapping[str, Any] | None
    permissions: frozenset[str]
    read_at: float = field(default_factory=time.monotonic, compare=False)

    @property
    def fresh(self) -> bool:
        return time.monotonic() - self.read_at < _SHELL_SECONDS


_shells: Lru[bytes, Shell] = Lru(_SHELLS_KEPT)


class Visit:
    """A request, and what its view needs of it."""

    def __init__(self, request: HttpRequest, title: str = "") -> None:
        self.request = request
        self.title = title
        self._kept = cookies.session_of(request)
        self.token = None if self._kept is None else self._kept.token
        self.user_id = "" if self._kept is None else self._kept.user
        self.shell_changed = False
        peer = peer_of(request.scope)  # type: ignore[attr-defined]  # an ASGIRequest
        self._caller = Caller(
            None if self.token is None else f"Bearer {self.token}", peer.client_ip, uuid4(), peer.certificate
        )

    # -- what came in ----------------------------------------------------------------------------------------------

    @property
    def query(self) -> QueryDict:
        return self.request.GET

    @property
    def form(self) -> QueryDict:
        return self.request.POST

    @property
    def by_htmx(self) -> bool:
        """Whether a part of a page is wanted. It changes what is rendered and nothing else."""
        return self.request.headers.get("HX-Request") == "true"

    @property
    def zone(self) -> ZoneInfo:
        return zone_of(self.request.COOKIES.get(cookies.ZONE))

    # -- the API ---------------------------------------------------------------------------------------------------

    def call(
        self,
        operation: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        authorization: str | None = None,
        **path: str | UUID,
    ) -> Any:
        """What the API answers, as dicts and lists. Raises Refused, ApprovalNeeded.

        ``path`` names the endpoint's parameters; what is None in ``query`` and at the top of ``body`` is left out.
        ``authorization`` stands in for the session, for those who have none yet.
        """
        caller = self._caller
        if authorization is not None:
            caller = Caller(authorization, caller.client_ip, caller.request_id, caller.certificate)
        return run(_api_call(operation, query, body, path), caller)

    def names(self, ids: Iterable[Any]) -> dict[str, str]:
        """The names of what the viewer may see of these, by id as text; what is missing has none for them."""
        wanted = sorted({str(each) for each in ids if each} - {_NOBODY})
        found: dict[str, str] = {}
        for first in range(0, len(wanted), _NAMED_AT_ONCE):
            some = ",".join(wanted[first : first + _NAMED_AT_ONCE])
            found |= {thing["id"]: thing["name"] for thing in self.call("NameIds", query={"ids": some})}
        return found

    @property
    def shell(self) -> Shell | None:
        """Who is signed in; None for nobody. Raises Refused when the session is no good."""
        if self._kept is None:
            return None
        key = _key(self._kept)
        found = _shells.get(key)
        if found is None or not found.fresh:
            found = self._read_shell()
            _shells.put(key, found)
        return found

    @property
    def around(self) -> Shell | None:
        """The same for a page that has to be shown even so: None when it can't be read now."""
        try:
            return self.shell
        except Refused:
            return None

    def forget_shell(self) -> None:
        """After a change of what it shows. The browser's mark changes with the answer, for the other processes."""
        if self._kept is not None:
            _shells.drop(_key(self._kept))
            self.shell_changed = True

    def _read_shell(self) -> Shell:
        here = self.call("GetSession")
        account = here.get("acct_id")
        return Shell(
            user=self.call("GetUser", user_id=self.user_id),
            account=None if account is None else self.call("GetAccount", acct_id=account),
            permissions=frozenset() if account is None else _held(self.call("GetUserPermissions")),
        )

    # -- what goes out ---------------------------------------------------------------------------------------------

    def render(self, template: str, context: Mapping[str, Any] | None = None, *, status: int = 200) -> HttpResponse:
        """The page. ``template#partial`` is a part of one."""
        given = {"visit": self, "title": self.title, **(context or {})}
        return HttpResponse(render_to_string(template, given, self.request), status=status)

    def redirect(self, name: str, *, query: Mapping[str, Any] | None = None, **path: str | UUID) -> HttpResponse:
        """To another screen (303, so that a reload does not do it again)."""
        return self.go(reverse(name, kwargs=path) + (f"?{urlencode(query)}" if query else ""))

    def go(self, url: str) -> HttpResponse:
        response = HttpResponseRedirect(url)
        response.status_code = 303
        return response

    def say(self, text: str, *, level: int = messages.SUCCESS) -> None:
        """A toast on the next page. Never a secret: it travels in a cookie."""
        messages.add_message(self.request, level, text)


def _key(kept: Kept) -> bytes:
    """A credential is not kept in clear longer than its request lasts."""
    return sha256(f"{kept.token}.{kept.mark}".encode()).digest()


def _api_call(operation: str, query: Mapping[str, Any] | None, body: Any, path: Mapping[str, str | UUID]) -> ApiCall:
    asked = {name: _parameter(value) for name, value in (query or {}).items() if value is not None}
    if isinstance(body, Mapping):
        body = {name: value for name, value in body.items() if value is not None}
    return ApiCall(operation, {name: str(value) for name, value in path.items()}, asked, body)


def _parameter(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _held(permissions: Mapping[str, Any]) -> frozenset[str]:
    """Whatever is held anywhere: a menu shows where there may be something to do."""
    held = set(permissions.get("account", ())) | set(permissions.get("all_groups") or ())
    return frozenset(held.union(*permissions.get("groups", {}).values()))
