"""The record takes INSERT and SELECT only, whoever asks."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from kms.audit import log
from kms.audit.entry import ALLOWED_DETAILS, AuditEntry, Outcome, Severity
from kms.audit.rows import COLUMNS, LONGEST_TEXT
from tests.audit.helpers import another_connection, entry, owner_connection, written

CHANGES = {
    "UPDATE": "UPDATE audit_entry SET reason = 'nothing happened'",
    "DELETE": "DELETE FROM audit_entry",
    "TRUNCATE": "TRUNCATE audit_entry",
}
# What takes the protection off needs the owner of the table, which the server is not.
DISARMING = {
    "trigger off": "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
    "trigger away": "DROP TRIGGER append_only ON audit_entry",
    "table away": "DROP TABLE audit_entry",
    "function replaced": "CREATE OR REPLACE FUNCTION keystead_refuse_change() RETURNS trigger LANGUAGE plpgsql "
    "AS 'BEGIN RETURN NEW; END'",
    "replica": "SET session_replication_role = replica",
    "owner": "SET ROLE keystead_owner",
}


@pytest.mark.parametrize("change", [*CHANGES.values(), *DISARMING.values()], ids=[*CHANGES, *DISARMING])
def test_the_servers_role_is_refused_by_its_rights(change: str) -> None:
    log.append(entry())
    with another_connection() as server, pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"denied|owner"):
        server.execute(change)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_owner_is_refused_by_triggers(change: str) -> None:
    log.append(entry())
    with owner_connection() as owner, pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        owner.execute(change)


def test_the_time_is_the_databases_and_not_the_transactions() -> None:
    """``now()`` stands still in a transaction; two entries of one transaction are still in order."""
    first, second = uuid4(), uuid4()
    with another_connection() as server:
        for request in (first, second):
            server.execute(
                "INSERT INTO audit_entry (actor_kind, actor_id, method, action, category, severity, outcome, reason, "
                "object_kind, groups, request_id, duration_us, details) "
                "VALUES ('', %s, '', '', '', '', '', '', '', '{}', %s, 0, '{}')",
                [uuid4(), request],
            )
        times = server.execute(
            "SELECT time FROM audit_entry WHERE request_id = ANY(%s) ORDER BY sequence", [[first, second]]
        ).fetchall()
        assert times[0] < times[1]


# -- what an entry may hold ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["password", "secret", "plain", "value", "token", "Algorithm", ""])
def test_an_entry_refuses_a_detail_that_is_not_on_the_list(name: str) -> None:
    with pytest.raises(ValueError, match="not allowed in the record"):
        entry(details={"algorithm": "AES", name: "x"})


def test_an_entry_takes_every_detail_on_the_list() -> None:
    request = uuid4()
    log.append(entry(request, details=dict.fromkeys(sorted(ALLOWED_DETAILS), "x")))
    assert written(request) == 1


def test_no_field_of_an_entry_could_hold_data_or_a_credential() -> None:
    assert {field for field in AuditEntry.__dataclass_fields__ if field not in {"account", "session", "details"}} < {
        name for name, _ in COLUMNS
    } | {"groups"}
    assert ALLOWED_DETAILS.isdisjoint({"password", "secret", "value", "plain", "cipher", "iv", "tag", "data", "key"})


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\0b", "a\ufffdb"),
        ("\0", "\ufffd"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
        ('"quoted" \\u0000 \\', '"quoted" \\u0000 \\'),
        ("é☃😀", "é☃😀"),
        ("x" * 100_000, "x" * LONGEST_TEXT),
        ("😀" * 100_000, "😀" * LONGEST_TEXT),
    ],
    ids=["NUL inside", "NUL alone", "surrogate", "quotes", "beyond ASCII", "long", "long beyond ASCII"],
)
def test_text_that_the_database_cannot_hold_is_recorded_all_the_same(text: str, kept: str) -> None:
    from kms.audit.models import AuditRecord

    request = uuid4()
    log.append(entry(request, details={"name": text}))
    assert AuditRecord.objects.get(request_id=request).details == {"name": kept}


@pytest.mark.parametrize(
    ("outcome", "severity"),
    [
        (Outcome.ANNOUNCED, Severity.INFO),
        (Outcome.DONE, Severity.INFO),
        (Outcome.PENDING, Severity.INFO),
        (Outcome.DENIED, Severity.WARNING),
        (Outcome.FAILED, Severity.ERROR),
    ],
)
def test_severity_follows_from_the_outcome(outcome: Any, severity: Severity) -> None:
    import dataclasses

    assert dataclasses.replace(entry(), outcome=outcome).severity is severity
