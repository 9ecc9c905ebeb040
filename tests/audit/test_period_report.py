"""The report of a period: what was done is in it, its figures are counted again, and no part of it can be changed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from accounts.clock import clock
from accounts.credentials import BasicCredential
from accounts.errors import NotAuthenticated
from accounts.principal import ANONYMOUS
from kms.audit import keystead_report, keystead_verify, log
from kms.audit.checkpoint import signed_note
from kms.audit.entry import AuditEntry, Category, Outcome
from kms.audit.models import AuditRecord, Sealing
from kms.audit.period import Period
from kms.audit.sealer import Sealer
from kms.crypto.algorithm import CipherParameters
from kms.objects import keystore
from kms.operations.cryptographic import Encrypt
from kms.operations.errors import AccessDenied, NotFound
from kms.operations.executor import execute
from kms.operations.lifecycle import DeleteObject
from kms.operations.making import ObjectTemplate
from kms.operations.period_report import ReportRecord
from kms.operations.record_key import record_signer
from kms.operations.registry import OPERATIONS
from kms.operations.rotating import RotateObject
from kms.operations.sessions import LogIn
from tests.audit.test_folding import stranger
from tests.kit.approvals import Panel, new_panel
from tests.kit.tenants import Tenant, new_tenant

NAME = '<script>alert("x")</script> & co'
REPORTER = Path(keystead_report.__file__)


@dataclass
class Reported:
    """A folder, and what whoever verifies it holds."""

    folder: Path
    key: str
    panel: Panel
    other: Tenant

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return found

    @property
    def own(self) -> dict[str, Any]:
        found: dict[str, Any] = self.summary["figures"]["accounts"][str(self.panel.tenant.account.id)]
        return found

    def verify(self) -> tuple[int, str]:
        with redirect_stdout(StringIO()) as said:
            status = keystead_report.main([str(self.folder), "--key", self.key])
        return status, said.getvalue()


def sealed() -> None:
    """With a heartbeat, however long ago the last one was."""
    Sealing.objects.update(heartbeat_at=None)
    Sealer(keystore.deployment_id(), record_signer).turn(clock.now())


def something_of_everything(panel: Panel) -> None:
    """Beside the guarded group one where no quorum is asked."""
    tenant = panel.tenant
    group = tenant.new_group()
    app = tenant.new_app(group=group)
    key = tenant.key(name=NAME, group=group)
    for _ in range(3):
        execute(app, Encrypt(key, "AES", CipherParameters("GCM"), b"data"))
    execute(tenant.alice, RotateObject(key, ObjectTemplate(name=None, kind="AES")))
    execute(tenant.alice, DeleteObject(tenant.key(group=group)))
    for _ in range(2):
        with pytest.raises((AccessDenied, NotFound)):
            execute(panel.reviewers[0], DeleteObject(key))
    panel.approve(panel.ask(), 0, 1)
    with pytest.raises(NotAuthenticated):
        execute(ANONYMOUS, LogIn(BasicCredential(str(tenant.app.id), "wrong")))


@pytest.fixture(scope="module")
def made(installation: None, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Reported:
    folder = tmp_path_factory.mktemp("report") / "report"
    with django_db_blocker.unblock():
        panel, other = new_panel(), new_tenant()
        sealed()
        start = just_after_the_last()
        something_of_everything(panel)
        other.key()
        log.append(*([folded_strangers()] * 2))
        end = just_after_the_last()
        sealed()
        key = reported(folder, start, end)
    return Reported(folder, key, panel, other)


def just_after_the_last() -> datetime:
    return AuditRecord.objects.order_by("-sequence")[0].time + timedelta(microseconds=1)


def folded_strangers() -> AuditEntry:
    found = stranger()
    return replace(found, details={**found.details, "repeats": 250})


def reported(folder: Path, start: datetime, end: datetime, *more: str) -> str:
    """By the command; the key that it prints."""
    said = StringIO()
    arguments = [str(folder), "--from", start.isoformat(), "--to", end.isoformat(), *more]
    call_command("report_record", *arguments, stdout=said, stderr=StringIO())
    return said.getvalue().partition("Verifier key: ")[2].strip()


# -- what it says --------------------------------------------------------------------------------------------------


def test_the_report_holds(made: Reported) -> None:
    status, said = made.verify()
    assert status == 0, said
    assert "and the figures are theirs" in said
    assert "note: " not in said


def test_a_period_that_was_not_over_is_told_as_such(made: Reported, tmp_path: Path) -> None:
    start = datetime.fromisoformat(made.summary["from"])
    reported(tmp_path / "report", start, clock.now() + timedelta(days=1))
    status, said = replace(made, folder=tmp_path / "report").verify()
    assert (status, "was not over" in said) == (0, True)
    assert "at the end of the period" in (tmp_path / "report" / "summary.html").read_text()
    assert "not of the end of the period" in (made.folder / "summary.html").read_text()


def test_it_says_what_was_done(made: Reported) -> None:
    own = made.own
    assert made.summary["figures"]["calls"]["object.encrypt"]["done"] == 3
    assert own["keys rotated"]["count"] == 1
    assert own["keys destroyed"]["count"] == 2  # one of them as two reviewers approved
    assert own["keys created"]["count"] == 2
    assert [each["action"] for each in own["approvals"]["first"]] == [
        *("approval.request", "approval.approve", "approval.approve", "object.delete")
    ]
    assert sum(own["denials by reason"].values()) == own["denials"]["count"] == 2
    ((_, principals),) = own["denials by principal"].items()
    assert principals == {f"user {made.panel.reviewers[0].id}": 2}
    strangers = made.summary["figures"]["accounts"][""]
    assert strangers["denials by reason"]["unknown-session"] == 500
    assert strangers["logins"]["session.create: denied (wrong-app-secret)"] == 1


def test_it_says_who_holds_which_rights(made: Reported) -> None:
    rights = made.summary["rights"][str(made.panel.tenant.account.id)]
    people = {each["id"]: each for each in rights["people"]}
    assert set(people) == {str(made.panel.tenant.alice.id), *(str(each.id) for each in made.panel.reviewers)}
    (role,) = (each for each in people[str(made.panel.tenant.alice.id)]["rights"] if each["where"] == "account")
    assert (role["by"], role["role"]) == ("system-role", "administrator")
    assert "user.invite" in role["permissions"]
    assert {each["where"] for each in rights["programs"][0]["rights"]} <= {
        group.name for group in made.panel.tenant.account.groups.all()
    }
    (quorum,) = rights["quorums"]
    assert quorum["quorum"].startswith("2 of (")
    assert quorum["where"] == made.panel.tenant.group.name


def test_the_page_is_one_file_without_a_script_and_shows_names_as_text(made: Reported) -> None:
    page = (made.folder / "summary.html").read_text()
    assert NAME not in page
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; co" in page
    assert not re.search(r"<script|<link|<img|<iframe|javascript:|url\(|https?://", page)
    assert "default-src 'none'" in page
    for number in (made.own["denials"]["count"], made.summary["record"]["size"]):
        assert f"{number:,}" in page
    assert made.summary["record"]["root"] in page


def test_every_change_by_an_operation_is_shown_in_some_section() -> None:
    """An operation that changes rights, keys or settings and is nowhere shown was forgotten in keystead_report.py."""
    quiet = {
        operation.action
        for operation in OPERATIONS
        if operation.category is Category.ADMINISTRATIVE
        and not keystead_report.sections_of(
            {"action": operation.action, "outcome": "done", "details": {}, "reason": "granted"}
        )
    }
    reading = re.compile(r"\.(get|list|search|show|read|test|result)")
    assert {action for action in quiet if not reading.search(action)} == set()


# -- what cannot be changed ----------------------------------------------------------------------------------------


@pytest.fixture
def copied(made: Reported, tmp_path: Path) -> Reported:
    shutil.copytree(made.folder, tmp_path / "report")
    return replace(made, folder=tmp_path / "report")


def rewritten(report: Reported, change: Callable[[dict[str, Any]], Any]) -> None:
    """By whoever gets the token to sign: the summary is another, and everything fits but the entries."""
    summary = report.summary
    change(summary)
    (report.folder / "summary.json").write_text(json.dumps(summary))
    signed_anew(report)


def signed_anew(report: Reported) -> None:
    signer, summary = record_signer(), report.summary
    (report.folder / "manifest").unlink()
    hashes = {path.name: keystead_report.file_hash(path) for path in report.folder.iterdir()}
    text = keystead_report.manifest_text(signer.name, summary["from"], summary["to"], hashes)
    (report.folder / "manifest").write_text(signed_note(text, signer.name, signer.spki, signer.sign))


@pytest.mark.parametrize(
    "name", ["summary.json", "summary.html", "entries.jsonl", "checkpoint", "before.json", "manifest"]
)
def test_no_file_may_be_changed(copied: Reported, name: str) -> None:
    path = copied.folder / name
    content = path.read_bytes()
    path.write_bytes(content.replace(b"0", b"1", 1) if name != "before.json" else content + b" ")
    status, _ = copied.verify()
    assert status != 0


@pytest.mark.parametrize("name", ["summary.html", "entries.jsonl", "manifest"])
def test_no_file_may_be_missing(copied: Reported, name: str) -> None:
    (copied.folder / name).unlink()
    assert copied.verify()[0] != 0


def test_no_file_may_be_added(copied: Reported) -> None:
    (copied.folder / "addendum.html").write_text("as agreed")
    status, said = copied.verify()
    assert (status, "addendum.html" in said) == (1, True)


ELSEWHERE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "entries": lambda figures: figures.update(entries=figures["entries"] + 1),
    "an action": lambda figures: figures["calls"]["object.encrypt"].update(done=2),
    "an account": lambda figures: figures["accounts"].pop(""),
    "silences": lambda figures: figures["silences"].update(count=7),
    "integrity": lambda figures: figures["integrity"].update(count=7),
}
OWN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a rotation left out": lambda own: own.pop("keys rotated"),
    "a destruction of something else": lambda own: own["keys destroyed"]["first"][0].update(object=str(uuid4())),
    "an approval left out": lambda own: own["approvals"]["first"].pop(1),
    "somebody else approved": lambda own: own["approvals"]["first"][1].update(actor=str(uuid4())),
    "a denial left out": lambda own: own["denials"]["first"].pop(),
    "fewer denials": lambda own: own["denials"].update(count=1),
    "another reason": lambda own: own.update({"denials by reason": {"clumsiness": 2}}),
    "somebody else was denied": lambda own: own.update({"denials by principal": {}}),
    "a quiet day": lambda own: own["calls by day"].clear(),
}


@pytest.mark.parametrize("change", [*ELSEWHERE, *OWN])
def test_figures_that_do_not_come_out_are_found_though_the_token_signed(copied: Reported, change: str) -> None:
    def changed(summary: dict[str, Any]) -> None:
        if change in ELSEWHERE:
            ELSEWHERE[change](summary["figures"])
        else:
            OWN[change](summary["figures"]["accounts"][str(copied.panel.tenant.account.id)])

    rewritten(copied, changed)
    status, said = copied.verify()
    assert (status, "figures are not those of the entries" in said) == (1, True)


def test_another_period_is_found_though_the_token_signed(copied: Reported) -> None:
    """Earlier than the first entry there is: what was before is left out."""
    rewritten(copied, lambda summary: summary.update({"from": "2020-01-01T00:00:00.000000Z"}))
    status, said = copied.verify()
    assert (status, "begins before the first" in said) == (1, True)


def test_another_part_of_the_record_is_found_though_the_token_signed(copied: Reported) -> None:
    rewritten(copied, lambda summary: summary["record"].update(start=0))
    status, said = copied.verify()
    assert (status, "another part" in said) == (1, True)


def test_a_checkpoint_is_no_manifest_and_a_manifest_no_checkpoint(copied: Reported) -> None:
    """One key signs both; neither can be taken for the other."""
    key = keystead_verify.Key.parse(copied.key)
    with pytest.raises(keystead_verify.Unreadable):
        keystead_verify.opened((copied.folder / "manifest").read_text(), key)
    (copied.folder / "manifest").write_bytes((copied.folder / "checkpoint").read_bytes())
    assert copied.verify()[0] == 2


def test_two_files_on_the_auditors_machine_are_enough(made: Reported, tmp_path: Path) -> None:
    for name in ("keystead_verify.py", "keystead_report.py"):
        shutil.copy(REPORTER.with_name(name), tmp_path)
    (tmp_path / "key").write_text(made.key)
    found = subprocess.run(
        [sys.executable, "keystead_report.py", made.folder, "--key", "key"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (found.returncode, found.stderr) == (0, "")


# -- of one account ------------------------------------------------------------------------------------------------


def test_of_one_account_the_others_are_hashes_alone(made: Reported, tmp_path: Path) -> None:
    account, summary = str(made.panel.tenant.account.id), made.summary
    start, end = (datetime.fromisoformat(summary[each]) for each in ("from", "to"))
    reported(tmp_path / "own", start, end, "--account", account)
    own = replace(made, folder=tmp_path / "own")
    status, said = own.verify()
    assert (status, "withheld from you" in said) == (0, True), said
    assert list(own.summary["figures"]["accounts"]) == [account]
    assert own.own == made.own
    everything = b"".join(path.read_bytes() for path in own.folder.iterdir())
    assert str(made.other.account.id).encode() not in everything
    assert made.other.account.name.encode() not in everything
    assert b"192.0.2.8" not in everything  # a stranger's address


def test_an_entry_that_is_withheld_cannot_be_another(made: Reported, tmp_path: Path) -> None:
    account, summary = str(made.panel.tenant.account.id), made.summary
    start, end = (datetime.fromisoformat(summary[each]) for each in ("from", "to"))
    reported(tmp_path / "own", start, end, "--account", account)
    own, entries = replace(made, folder=tmp_path / "own"), tmp_path / "own" / "entries.jsonl"
    good = entries.read_text()
    first = good.index('{"leaf":"') + len('{"leaf":"')
    entries.write_text(good[:first] + ("A" if good[first] != "A" else "B") + good[first + 1 :])
    signed_anew(own)
    assert own.verify()[0] == 1


# -- refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--from", "2026-10-01", "--to", "2026-07-01"), "ends before it begins"),
        (("--from", "2001-10-01", "--to", "2001-11-01"), "Nothing of this period"),
        (("--from", "yesterday", "--to", "2026-07-01"), "no day and no time"),
        (("--from", "2026-07-01", "--to", "2026-07-02", "--account", str(uuid4())), "does not exist"),
    ],
    ids=["backwards", "before there was anything", "in words", "of nobody"],
)
def test_what_makes_no_report_is_said(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("report_record", str(tmp_path / "report"), *arguments)
    assert not (tmp_path / "report").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "diary").write_text("private")
    with pytest.raises(CommandError, match="not empty"):
        call_command("report_record", str(tmp_path), "--from", "2026-07-01", "--to", "2026-10-01")


def test_that_a_report_was_made_is_recorded(made: Reported) -> None:
    row = AuditRecord.objects.filter(action="record.report", outcome=Outcome.DONE).order_by("sequence")[0]
    assert row.details["fields"] == f"from={made.summary['from']}, to={made.summary['to']}"


def test_nobody_on_the_network_makes_one(made: Reported, tmp_path: Path) -> None:
    period = Period(clock.now() - timedelta(days=1), clock.now())
    for who in (made.panel.tenant.alice, made.panel.tenant.app):
        with pytest.raises(AccessDenied):
            execute(who, ReportRecord(tmp_path / "mine", period))
    assert not (tmp_path / "mine").exists()
