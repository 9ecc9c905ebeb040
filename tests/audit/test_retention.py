"""A month leaves the database once it is in a bundle that an auditor's program found good, and not a moment before."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from psycopg.types.json import Jsonb

from accounts.clock import clock
from accounts.models import FactVersion
from accounts.row_seals import Moved
from kms.audit import bundle, fact_moves, keystead_verify, months, retention, tree
from kms.audit.checkpoint import verifier_key
from kms.audit.models import AuditLeaf, AuditRecord, LogSink, LogSinkKind
from kms.audit.sealer import SWEEP, Sealer
from kms.objects import keystore
from kms.operations import retention as retaining
from kms.operations.executor import execute
from kms.operations.fact_sweep import Swept, sweep
from kms.operations.facts_host import AcceptFacts
from kms.operations.record_host import RetainMonth
from kms.operations.record_key import record_signer
from kms.operations.rescue import host
from tests.audit.helpers import Root, owner_connection, unseen
from tests.audit.test_fact_sweep import put_in_order
from tests.audit.test_partitions import written_at
from tests.kit.tenants import Tenant

# Each test has a month of its own, after those of tests before it: the oldest goes first.
_year = iter(range(2006, 2025))


@pytest.fixture(scope="module", autouse=True)
def _alone(installation: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Months, sinks and forged rows that other tests have left are out of the way."""
    with django_db_blocker.unblock():
        put_in_order()
        LogSink.objects.update(enabled=False)
        months.prepare()
        sealed()
        retain(tmp_path_factory.mktemp("others"))


def sealed() -> None:
    Sealer(keystore.deployment_id(), record_signer).turn(clock.now())


def key() -> keystead_verify.Key:
    signer = record_signer()
    return keystead_verify.Key.parse(verifier_key(signer.name, signer.spki))


def old_month(count: int = 12, *, account: UUID | None = None) -> tuple[str, UUID]:
    """A month long ago with entries that are not sealed; its name, and whose they are."""
    year = next(_year)
    account = written_at(datetime(year, 5, 6, tzinfo=UTC), count, account=account)
    months.prepare()
    return f"audit_entry_{year}_05", account


def there(name: str) -> bool:
    return any(month.name == name for month in months.months())


def retain(folder: Path, **options: Any) -> None:
    call_command("retain_record", folder, **options)


def test_a_month_is_exported_verified_and_dropped(tmp_path: Path) -> None:
    name, account = old_month()
    sealed()
    sequences = list(
        AuditRecord.objects.filter(account_id=account).order_by("sequence").values_list("sequence", flat=True)
    )
    start, size = retention.kept_from(), bundle.newest().checkpoint_id
    retain(tmp_path)
    assert not there(name)
    assert not AuditRecord.objects.filter(account_id=account).exists()
    assert AuditLeaf.objects.filter(sequence__in=sequences).count() == len(sequences)

    folder = tmp_path / name.removeprefix("audit_entry_")
    found = keystead_verify.verify_bundle(folder, key(), None)
    assert (found.checkpoint.size - found.entries, found.checkpoint.size) == (start, retention.kept_from())
    lines = [json.loads(line) for line in (folder / "entries.jsonl").read_bytes().splitlines()]
    assert [line["sequence"] for line in lines if line["account"] == str(account)] == sequences

    entry = AuditRecord.objects.filter(action="record.retain", outcome="done").latest("sequence")
    said = subprocess.run(
        ["sh", "-c", "sha256sum * | sha256sum"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert entry.details["items_digest"] == said.stdout.split()[0]
    assert entry.details["name"] == name
    assert entry.details["items"] == len(sequences)
    assert entry.details["fields"] == f"first={sequences[0]}, last={sequences[-1]}"
    assert AuditRecord.objects.filter(action="record.retain", outcome="announced", details__name=name).count() == 1

    # What comes after goes on, and all of it still proves what it proved.
    sealed()
    keystead_verify.verify_consistency(bundle.consistency(size), key(), _checkpoint(size))
    kept = retention.kept_from()
    bundle.write(tmp_path / "rest", start=kept)
    keystead_verify.verify_bundle(
        tmp_path / "rest", key(), keystead_verify.opened((folder / "checkpoint").read_text(), key())
    )


def _checkpoint(size: int) -> keystead_verify.Checkpoint:
    return keystead_verify.opened(bundle.covering(size).note, key())


def test_entries_of_two_months_that_lie_mixed_are_in_one_bundle_each(tmp_path: Path) -> None:
    """The second month's first entry is sealed between two of the first month's."""
    first, account = old_month(1)
    second, _ = old_month(1, account=account)
    written_at(datetime(int(first[12:16]), 5, 7, tzinfo=UTC), 1, account=account)
    sealed()
    written_at(datetime(int(second[12:16]), 5, 8, tzinfo=UTC), 1, account=account)
    sealed()
    numbers = set(AuditRecord.objects.filter(account_id=account).values_list("sequence", flat=True))
    retain(tmp_path)
    assert not there(first)
    assert not there(second)
    found: list[int] = []
    for each in sorted(tmp_path.iterdir()):
        keystead_verify.verify_bundle(each, key(), None)
        found += [json.loads(line)["sequence"] for line in (each / "entries.jsonl").read_bytes().splitlines()]
    assert numbers <= set(found)
    assert len(found) == len(set(found))


def test_what_is_not_sealed_stays(tmp_path: Path) -> None:
    name, _ = old_month()
    with pytest.raises(CommandError, match=r"12 entries of .* are not sealed yet"):
        retain(tmp_path)
    assert there(name)
    sealed()
    retain(tmp_path)
    assert not there(name)


def test_what_a_sink_waits_for_stays(tmp_path: Path, tenant: Tenant) -> None:
    name, _ = old_month()
    sink = LogSink.objects.create(account=tenant.account, kind=LogSinkKind.WEBHOOK, position=0)
    sealed()
    with pytest.raises(CommandError, match=f"webhook sink {sink.id} of account {tenant.account.id} has not delivered"):
        retain(tmp_path)
    assert there(name)
    LogSink.objects.filter(id=sink.id).update(enabled=False)
    retain(tmp_path)
    assert not there(name)


@pytest.mark.parametrize("file", ["entries.jsonl", "before.json", "checkpoint"])
def test_a_bundle_that_does_not_verify_drops_nothing(
    tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes change between writing and reading back."""
    name, _ = old_month()
    sealed()
    sync = retaining._sync

    def spoil(path: Path) -> None:
        if path.name == file:
            content = path.read_bytes()
            path.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
        sync(path)

    monkeypatch.setattr(retaining, "_sync", spoil)
    with pytest.raises(CommandError, match="does not verify, nothing was dropped"):
        retain(tmp_path)
    assert there(name)
    monkeypatch.undo()
    with pytest.raises(CommandError, match="does not verify, nothing was dropped"):
        retain(tmp_path)
    retain(tmp_path / "elsewhere")
    assert not there(name)


@pytest.mark.parametrize("place", ["exported", "verified", "told"])
def test_interrupted_it_loses_nothing_and_can_be_run_again(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, account = old_month()
    sealed()

    class Interrupted(BaseException):
        pass

    def stop(*_: Any, **__: Any) -> None:
        raise Interrupted

    where: dict[str, tuple[Any, str]] = {
        "exported": (retaining, "_sync"),
        "verified": (retaining, "digest_of"),
        "told": (retention, "drop"),
    }
    monkeypatch.setattr(*where[place], stop)
    with pytest.raises(Interrupted):
        retain(tmp_path)
    assert AuditRecord.objects.filter(account_id=account).count() == 12
    monkeypatch.undo()
    retain(tmp_path)
    assert not there(name)
    assert not list(tmp_path.glob("*.draft"))


def test_what_came_into_a_month_after_its_export_stops_the_drop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, account = old_month()
    sealed()
    digest_of = retaining.digest_of

    def late(folder: Path) -> str:
        written_at(datetime(int(name[12:16]), 5, 20, tzinfo=UTC), account=account)
        return digest_of(folder)

    monkeypatch.setattr(retaining, "digest_of", late)
    with pytest.raises(CommandError, match=r"Nothing was dropped: 1 entries of .* are not sealed"):
        retain(tmp_path)
    monkeypatch.undo()
    sealed()
    with pytest.raises(CommandError, match="is of other entries; move it away"):
        retain(tmp_path)
    retain(tmp_path / "elsewhere")
    assert not there(name)


def test_the_months_of_the_last_year_stay(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="At least 12 months stay"):
        retain(tmp_path, months=11)
    old_month()
    kept = months.months()
    sealed()
    retain(tmp_path, months=12)
    year_ago = clock.now() - timedelta(days=400)
    assert {month for month in kept if not there(month.name)} == {month for month in kept if month.until <= year_ago}


def test_the_server_itself_can_drop_no_month(tmp_path: Path) -> None:
    name, _ = old_month()
    sealed()
    part = retention.part_of(next(month for month in months.months() if month.name == name))
    with pytest.raises(Exception, match=r"permission denied|must be owner|cannot be stored|not available"):
        execute(host(), RetainMonth(part, part.end, "0" * 64))
    assert there(name)
    retain(tmp_path)


def test_an_export_from_before_says_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old_month()
    sealed()
    retain(tmp_path / "months")
    kept = retention.kept_from()
    sealed()
    with pytest.raises(CommandError, match=f"The entries 0 to {kept} are not in the database any more"):
        call_command("export_record", tmp_path / "early", start=0)
    call_command("export_record", tmp_path / "kept")
    assert f"Entries 0 to {kept} are in the bundles of months that were dropped" in capsys.readouterr().out
    keystead_verify.verify_bundle(tmp_path / "kept", key(), None)
    assert len(list(tree.lines(kept, kept + 1))) == 1


def test_the_hourly_sweep_finds_what_is_new_after_a_month_is_gone(tmp_path: Path) -> None:
    old_month()
    sealed()
    retain(tmp_path)
    account = written_at(clock.now(), 3)
    Sealer(keystore.deployment_id(), record_signer).turn(clock.now() + SWEEP)
    numbers = AuditRecord.objects.filter(account_id=account).values_list("sequence", flat=True)
    assert AuditLeaf.objects.filter(sequence__in=list(numbers)).count() == 3


def test_what_a_month_says_of_subjects_is_said_anew_before_it_goes(tmp_path: Path, tenant: Tenant) -> None:
    """However long ago somebody changed: who it is that was set back is known from the record that is kept."""
    name, account = old_month(1)
    app = tenant.app.id
    state = FactVersion.objects.get(subject=app)
    said = Moved(app, (state.version, bytes(state.seal or b"")), (state.version, bytes(state.seal or b"")))
    (entry,) = fact_moves.entries_of([said])
    with owner_connection() as owner:
        owner.execute("ALTER TABLE audit_entry DISABLE TRIGGER USER")
        owner.execute(
            f"UPDATE {name} SET action = %s, details = %s WHERE account_id = %s",  # noqa: S608 - a test's own
            [fact_moves.ACTION, Jsonb(dict(entry.details)), account],
        )
        owner.execute("ALTER TABLE audit_entry ENABLE TRIGGER USER")
    sealed()
    before = AuditRecord.objects.order_by("-sequence").values_list("sequence", flat=True)[0]
    retain(tmp_path)
    assert not there(name)
    anew = AuditRecord.objects.filter(action=fact_moves.ACTION, sequence__gt=before)
    moves = [move for each in anew for move in fact_moves.moves_in(each.details["facts"]) if move.subject == app]
    assert [move.after for move in moves] == [(state.version, fact_moves.tag(bytes(state.seal or b"")))]
    assert sweep() == Swept(subjects=FactVersion.objects.count())


def test_nothing_goes_while_rows_are_forged(tmp_path: Path, tenant: Tenant, root: Root) -> None:
    name, _ = old_month(1)
    sealed()
    with unseen(root):
        root.execute("UPDATE accounts_app SET role = 'admin' WHERE id = %s", [tenant.app.id])
    with pytest.raises(CommandError, match="changed past the server"):
        retain(tmp_path)
    assert there(name)
    execute(host(), AcceptFacts((tenant.app.id,)))
    retain(tmp_path)
    assert not there(name)
