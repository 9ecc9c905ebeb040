"""The host's tools read the whole record: every sealed entry in order, none lost however often it is begun again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from kms.audit.account_entries import end_of_record
from kms.audit.formats import CSV_COLUMNS, Format
from kms.audit.models import AuditLeaf, AuditRecord
from kms.management.commands import follow_record
from kms.management.commands.follow_record import Lines
from kms.operations import record_following
from tests.kit.tenants import Tenant, new_tenant
from tests.operations.test_log_shipping import seal, some_entries


@pytest.fixture
def tenant(installation: None) -> Tenant:
    seal()
    return new_tenant()


@pytest.fixture
def files(tmp_path: Path, tenant: Tenant) -> dict[str, Path]:
    """A cursor at the record's end, so that a test reads what it has made."""
    last = AuditLeaf.objects.order_by("-index").first()
    assert last is not None
    cursor = tmp_path / "cursor"
    cursor.write_text(json.dumps({"next": last.index + 1, "hash": bytes(last.hash).hex()}))
    return {"cursor": cursor, "output": tmp_path / "record"}


def follow(files: dict[str, Path], **options: Any) -> list[str]:
    seal()
    call_command("follow_record", **files, **options)
    return files["output"].read_text().splitlines()


def test_every_sealed_entry_is_written_once_in_order_and_is_what_was_hashed(
    files: dict[str, Path], tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_following, "AT_ONCE", 2)
    start = json.loads(files["cursor"].read_text())["next"]
    some_entries(tenant, 3)
    some_entries(new_tenant(), 2)
    follow(files)
    some_entries(tenant, 1)
    lines = follow(files)
    hashes = [hashlib.sha256(b"\x00" + line.encode()).digest() for line in lines]
    leaves = AuditLeaf.objects.filter(index__gte=start).order_by("index").values_list("hash", flat=True)
    assert hashes == [bytes(each) for each in leaves]
    assert json.loads(files["cursor"].read_text())["next"] == end_of_record()


def test_that_the_record_is_read_is_on_the_record(files: dict[str, Path], tenant: Tenant) -> None:
    follow(files)
    entry = AuditRecord.objects.filter(action="record.follow").latest("sequence")
    assert (entry.outcome, entry.actor_kind) == ("done", "system")


@pytest.mark.parametrize("form", list(Format))
def test_every_format_is_lines(files: dict[str, Path], tenant: Tenant, form: Format) -> None:
    some_entries(tenant, 2, text="a comma, a\nline")
    lines = follow(files, format=form)
    assert len(lines) >= 2
    if form in (Format.JSON, Format.OCSF):
        assert all(isinstance(json.loads(line), dict) for line in lines)


def test_a_file_of_csv_begins_with_its_columns(tmp_path: Path, tenant: Tenant) -> None:
    with Lines(tmp_path / "record", Format.CSV, tmp_path / "cursor"):
        pass
    (header,) = csv.reader(io.StringIO((tmp_path / "record").read_text()))
    assert tuple(header) == CSV_COLUMNS


def test_what_was_written_and_not_noted_is_written_again(
    files: dict[str, Path], tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine dies in the middle of a line, after some were written."""
    some_entries(tenant, 2)
    before = files["cursor"].read_bytes()
    written = follow(files)
    files["cursor"].write_bytes(before)
    files["output"].write_text("\n".join(written)[:-7])
    lines = follow(files)
    whole = [line for line in lines if line.endswith("}}")]
    assert len(whole) == len(lines) - 1
    assert set(written) <= set(whole)
    hashes = {hashlib.sha256(line.encode()).digest() for line in whole}
    assert len(hashes) == end_of_record() - json.loads(before)["next"]


def test_a_cursor_of_another_record_is_refused(files: dict[str, Path], tenant: Tenant) -> None:
    own = json.loads(files["cursor"].read_text())
    for other in ({**own, "hash": "00" * 32}, {**own, "next": own["next"] + 10**9}):
        files["cursor"].write_text(json.dumps(other))
        with pytest.raises(CommandError, match="another record"):
            follow(files)


@pytest.mark.parametrize("text", ["", "{}", '{"next": "x", "hash": ""}', '{"next": 1, "hash": "zz"}', "[]"])
def test_a_file_that_is_no_cursor_is_left_alone(files: dict[str, Path], text: str) -> None:
    files["cursor"].write_text(text)
    with pytest.raises(CommandError, match="is no cursor"):
        follow(files)
    assert files["cursor"].read_text() == text


def test_it_goes_on_as_entries_are_sealed(
    files: dict[str, Path], tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = iter((True, True, False))

    def again() -> bool:
        some_entries(tenant, 1)
        seal()
        return next(rounds)

    monkeypatch.setattr(follow_record, "_waits", again)
    lines = follow(files, follow=True)
    changed = [json.loads(line) for line in lines if json.loads(line)["action"] == "group.update"]
    assert len(changed) == 2


def test_a_place_that_cannot_be_written_is_said(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be used: No such file or directory"):
        follow({**files, "output": tmp_path / "nowhere" / "record"})
