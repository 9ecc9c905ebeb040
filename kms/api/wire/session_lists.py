"""Lists of sessions on the wire. The vendor has no such routes: paths and fields are ours (docs/divergences.md)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from kms.api.wire.base import Endpoint, Response, nothing, path_id, wire_time
from kms.operations.session_lists import (
    EndSession,
    EndSessions,
    GetOwnSession,
    ListSessions,
    OwnSession,
    SessionView,
)


class WireSession(Response):
    """``client_ip`` is where the login came from. ``second_factor`` is the kind that was shown."""

    session_id: UUID
    method: str
    current: bool = False
    idp_id: UUID | None = None
    second_factor: str | None = None
    acct_id: UUID | None = None
    client_ip: str | None = None
    certificate_bound: bool = False
    created_at: str | None = None
    last_seen_at: str | None = None
    expires_at: str | None = None


class WireOwnSession(Response):
    """``lack`` is what the login still needs, and is left out when it is finished; ``owned`` the kinds of factor."""

    session_id: UUID
    method: str
    owned: list[str]
    lack: str | None = None
    second_factor: str | None = None
    idp_id: UUID | None = None
    acct_id: UUID | None = None
    created_at: str | None = None
    expires_at: str | None = None


class Ended(Response, omit_defaults=False):
    ended: int


def _ended(count: int) -> Ended:
    return Ended(ended=count)


def _session(view: SessionView) -> WireSession:
    row = view.row
    return WireSession(
        session_id=row.id,
        current=view.current,
        method=row.method,
        idp_id=row.provider_id,
        second_factor=row.second_factor or None,
        acct_id=row.account_id,
        client_ip=row.client_ip,
        certificate_bound=row.certificate is not None,
        created_at=wire_time(row.created_at),
        last_seen_at=wire_time(view.seen_at),
        expires_at=wire_time(row.expires_at),
    )


def _own_session(view: OwnSession) -> WireOwnSession:
    row = view.row
    return WireOwnSession(
        session_id=row.id,
        method=row.method,
        owned=sorted(view.owned),
        lack=view.lack,
        second_factor=row.second_factor or None,
        idp_id=row.provider_id,
        acct_id=row.account_id,
        created_at=wire_time(row.created_at),
        expires_at=wire_time(row.expires_at),
    )


def _sessions(views: Sequence[SessionView]) -> list[WireSession]:
    return [_session(view) for view in views]


_OWN, _MEMBERS = "/sys/v1/session", "/sys/v1/users/{user_id}/sessions"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GetSession", "GET", _OWN, lambda _call: GetOwnSession(), _own_session),
    Endpoint("ListSessions", "GET", f"{_OWN}/list", lambda _call: ListSessions(), _sessions),
    Endpoint(
        "EndSession",
        "POST",
        f"{_OWN}/{{session_id}}/terminate",
        lambda call: EndSession(path_id(call, "session_id")),
        nothing,
        status=204,
    ),
    Endpoint("EndOtherSessions", "POST", f"{_OWN}/terminate_others", lambda _call: EndSessions(), _ended),
    Endpoint("ListUserSessions", "GET", _MEMBERS, lambda call: ListSessions(user=path_id(call, "user_id")), _sessions),
    Endpoint(
        "EndUserSession",
        "POST",
        f"{_MEMBERS}/{{session_id}}/terminate",
        lambda call: EndSession(path_id(call, "session_id"), path_id(call, "user_id")),
        nothing,
        status=204,
    ),
    Endpoint(
        "EndUserSessions",
        "POST",
        f"{_MEMBERS}/terminate",
        lambda call: EndSessions(user=path_id(call, "user_id")),
        _ended,
    ),
)
