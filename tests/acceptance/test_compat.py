"""docs/compatibility.md against the clients' source and the running server: it neither boasts nor understates."""

from __future__ import annotations

import pytest

from tests.acceptance import compat
from tests.acceptance.server import Answer, RunningServer

NOBODY = "00000000-0000-4000-8000-000000000000"
# These end or trade the session they are called with.
ENDS_THE_SESSION = {"POST /sys/v1/session/terminate", "POST /sys/v1/session/reauth"}
UNKNOWN_PATH = "There is no such path on this server"


@pytest.fixture(scope="module")
def table(golang: None, clients: object) -> list[compat.Row]:
    return compat.rows()


def test_the_document_is_what_make_compat_writes(table: list[compat.Row]) -> None:
    assert compat.main(["--check"]) == 0


def test_every_operation_has_one_row(table: list[compat.Row]) -> None:
    keys = [row.operation.key for row in table]
    assert len(keys) == len(set(keys))
    assert len(keys) > 150, "the clients' source was not understood"
    assert any(row.operation.python and row.operation.go for row in table)


def test_every_refusal_gives_its_reason_and_every_reason_is_needed(table: list[compat.Row]) -> None:
    given = {row.reason for row in table if row.state == compat.REFUSED}
    assert given == {reason for _, reason in compat.PURPOSE}


def test_what_works_is_answered_by_the_server(table: list[compat.Row], server: RunningServer) -> None:
    wrong = []
    for row, answer in _asked(table, server, works=True):
        login = row.operation.path == "/sys/v1/session/auth"
        fine = answer.status < 400 or answer.status in (400, 403, 404, 409) or (login and answer.status == 401)
        if not fine or UNKNOWN_PATH in answer.text:
            wrong.append((row.operation.key, answer.status, answer.text))
    assert not wrong


def test_what_does_not_work_is_refused_and_breaks_nothing(table: list[compat.Row], server: RunningServer) -> None:
    wrong = []
    for row, answer in _asked(table, server, works=False):
        unknown = answer.status == 404 and UNKNOWN_PATH in answer.text
        if not (unknown or answer.status == 405):
            wrong.append((row.operation.key, answer.status, answer.text))
    assert not wrong


def _asked(table: list[compat.Row], server: RunningServer, *, works: bool) -> list[tuple[compat.Row, Answer]]:
    """Each row's route called by the administrator, with an id that is nobody's and an empty object."""
    session = server.administrator_session()
    asked = []
    for row in table:
        if (row.state == compat.WORKS) is not works:
            continue
        method, path = row.operation.method, compat.normalised(row.operation.path).replace("{}", NOBODY)
        body: dict[str, str] | None = None if method in ("GET", "DELETE") else {}
        asked.append((row, server.request(method, path, body, authorization=session)))
        if row.operation.key in ENDS_THE_SESSION:
            session = server.administrator_session()
    return asked
