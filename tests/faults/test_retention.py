"""Retention that is killed, whenever: each entry is in the database or in a bundle that verifies, and it can go on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from tests.acceptance.server import CHECKOUT, RunningServer
from tests.audit.test_partitions import ENTRY
from tests.faults.conftest import database
from tests.faults.test_record import exported, sealed_now, verified

MONTHS = 2
ENTRIES = 2_000


def old_entries(server: RunningServer) -> set[UUID]:
    """Some months of a past, sealed; their requests."""
    account = uuid4()
    with database(server) as connection:
        for month in range(1, MONTHS + 1):
            connection.execute("SET ROLE keystead_owner")
            connection.execute("SELECT keystead_record_add(%s, %s)", [_first(month), _first(month + 1)])
            connection.execute("RESET ROLE")
            connection.execute(ENTRY, [datetime(2010, month, 9, tzinfo=UTC), account, uuid4(), ENTRIES])
        found = connection.execute("SELECT request_id FROM audit_entry WHERE account_id = %s", [account]).fetchall()
    sealed_now(server)
    return {row[0] for row in found}


def _first(month: int) -> datetime:
    return datetime(2010, month, 1, tzinfo=UTC)


def killed_when(server: RunningServer, folder: Path, there: str) -> None:
    """As soon as such a file is there; it must not be over before."""
    command = [sys.executable, "manage.py", "retain_record", str(folder)]
    process = subprocess.Popen(
        command, cwd=CHECKOUT, env=server._variables(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not list(folder.glob(there)):
            assert process.poll() is None, "it was over before it could be killed"
            time.sleep(0.0005)
    finally:
        process.kill()
        process.wait()


def requests_in(folder: Path) -> set[UUID]:
    lines = (folder / "entries.jsonl").read_bytes().splitlines()
    return {UUID(json.loads(line)["request"]) for line in lines}


def test_whenever_it_is_killed_no_entry_is_lost(server: RunningServer, tmp_path: Path) -> None:
    written = old_entries(server)
    key = exported(server, tmp_path / "all")
    for there in ("2010_01.draft/entries.jsonl", "2010_01", "2010_02.draft/checkpoint"):
        killed_when(server, tmp_path / "months", there)
        with database(server) as connection:
            rows = connection.execute("SELECT request_id FROM audit_entry").fetchall()
        kept = {row[0] for row in rows}
        for bundle in (each for each in (tmp_path / "months").iterdir() if each.suffix != ".draft"):
            assert verified("bundle", bundle, "--key", key).returncode == 0
            kept |= requests_in(bundle)
        assert written <= kept
    server.command("retain_record", str(tmp_path / "months"))
    bundles = sorted((tmp_path / "months").iterdir())
    assert [each.name for each in bundles] == [f"2010_0{month}" for month in range(1, MONTHS + 1)]
    assert written <= {request for each in bundles for request in requests_in(each)}
    with database(server) as connection:
        assert connection.execute(
            "SELECT count(*) FROM keystead_record_partitions() WHERE since < '2011-01-01'"
        ).fetchone() == (0,)
        done = connection.execute(
            "SELECT details ->> 'name' FROM audit_entry WHERE action = 'record.retain' AND outcome = 'done'"
        )
        assert len(done.fetchall()) == MONTHS
    assert "Entries 0 to" in server.command("export_record", str(tmp_path / "rest"))
    assert verified("bundle", tmp_path / "rest", "--key", key).returncode == 0
    server.restart()
    assert server.health() == 204
