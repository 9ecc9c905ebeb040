"""A flood of strangers leaves few rows and loses no call: counts add up, and whoever is known is never folded."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.principal import ANONYMOUS
from kms.audit.entry import AuditEntry, Category, Outcome
from kms.audit.folding import foldable, folded
from kms.audit.formats import Format, rendered
from kms.audit.log import GroupCommit, Verdict
from kms.audit.models import AuditRecord
from tests.audit.helpers import entry
from tests.audit.test_formats import details_of, parsed_cef
from tests.kit.http import InProcessServer


def stranger(route: str = "GET /sys/v1/apps", reason: str = "unknown-session", ip: str = "192.0.2.8") -> AuditEntry:
    """As the executor records a credential that nobody knows."""
    return AuditEntry(
        action="session.authenticate",
        category=Category.AUTHENTICATION,
        outcome=Outcome.DENIED,
        reason=reason,
        actor_kind=ANONYMOUS.kind,
        actor_id=ANONYMOUS.id,
        method=ANONYMOUS.method,
        client_ip=ip,
        request_id=uuid4(),
        details={"route": route},
    )


def test_what_is_alike_is_one_entry_with_a_count_and_the_first_ones_request() -> None:
    first, second, elsewhere = stranger(), stranger(), stranger(ip="192.0.2.9")
    other_reason, other_route = stranger(reason="expired-session"), stranger("GET /sys/v1/users")
    found = folded([first, elsewhere, second, other_reason, other_route, first])
    assert found == [
        replace(first, details={**first.details, "repeats": 3}),
        *(elsewhere, other_reason, other_route),
    ]


KNOWN: dict[str, dict[str, Any]] = {
    "a known actor": {"actor_kind": "app", "actor_id": UUID(int=9)},
    "somebody's account": {"account": UUID(int=9)},
    "somebody's session": {"session": UUID(int=9)},
    "an object": {"object_id": UUID(int=9)},
    "done": {"outcome": Outcome.DONE},
    "failed": {"outcome": Outcome.FAILED},
    "announced": {"outcome": Outcome.ANNOUNCED},
    "counted before": {"details": {"items": 3}},
}


@pytest.mark.parametrize("parts", KNOWN.values(), ids=KNOWN)
def test_whoever_is_known_is_not_folded(parts: dict[str, Any]) -> None:
    known = replace(stranger(), **parts)
    assert not foldable(known)
    assert folded([known, known]) == [known, known]


ENTRIES = st.lists(
    st.builds(stranger, reason=st.sampled_from("ab"), ip=st.sampled_from(["192.0.2.1", "192.0.2.2"]))
    | st.builds(entry, client_ip=st.just("192.0.2.1"))
)


@given(ENTRIES)
def test_no_call_is_lost_and_none_is_counted_twice(entries: list[AuditEntry]) -> None:
    found = folded(entries)
    assert sum(int(each.details.get("repeats") or 1) for each in found) == len(entries)
    assert {each.request_id for each in found} <= {each.request_id for each in entries}
    known = [each for each in entries if each.actor_kind == "app"]
    assert [each for each in found if each.actor_kind == "app"] == known


def test_a_batch_of_strangers_is_a_row_and_every_caller_waits_for_it() -> None:
    """Coroutines hand in all of theirs before the thread has ended its first statement."""
    commit, route = GroupCommit(), f"GET /{uuid4()}"

    async def flood() -> list[Verdict]:
        return list(await asyncio.gather(*(commit.submit_async(stranger(route), {}) for _ in range(500))))

    try:
        assert asyncio.run(flood()) == [Verdict.COMMITTED] * 500
    finally:
        commit.close()
    rows = AuditRecord.objects.filter(details__route=route)
    assert sum(row.details.get("repeats", 1) for row in rows) == 500
    assert len(rows) < 100


def test_five_hundred_bad_calls_at_once_count_five_hundred(installation: None) -> None:
    """Over the wire; what was answered is recorded when the answers are there."""
    before = AuditRecord.objects.order_by("-sequence").values_list("sequence", flat=True).first() or 0

    from kms.config.asgi import application

    async def flood(url: str) -> list[int]:
        # A connection each: one that the server closes for having been idle may be the one that is used again.
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
            token = {"Authorization": "Bearer unknown"}
            login = {"Authorization": f"Basic {base64.b64encode(f'{uuid4()}:wrong'.encode()).decode()}"}
            calls = [client.get("/sys/v1/apps", headers=token) for _ in range(450)]
            logins = [client.post("/sys/v1/session/auth", headers=login) for _ in range(50)]
            return [answer.status_code for answer in await asyncio.gather(*calls, *logins)]

    server = InProcessServer(application)
    try:
        assert asyncio.run(flood(server.url)) == [401] * 500
    finally:
        server.close()
    rows = AuditRecord.objects.filter(sequence__gt=before, outcome=Outcome.DENIED, actor_kind="anonymous")
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.action] += row.details.get("repeats", 1)
    assert counts == {"session.authenticate": 450, "session.create": 50}
    assert len(rows) < 500


def test_readers_are_told_how_many() -> None:
    one, many = details_of(route="GET /x"), details_of(route="GET /x", repeats=500)
    assert json.loads(rendered(Format.OCSF, one))["count"] == 1
    assert json.loads(rendered(Format.OCSF, many))["count"] == 500
    assert "cnt" not in parsed_cef(rendered(Format.CEF, one))[1]
    assert parsed_cef(rendered(Format.CEF, many))[1]["cnt"] == "500"
