# ruff: noqa: S608 - statements are built from the names of our own tables and columns, which is what this is for
"""A database's superuser against history: every statement on each table and column of the record, and their best plans.

The auditor has one old checkpoint and an export that the superuser's database gave. Whatever was done, either the
verifier says that it does not hold, or what the old checkpoint covers is there as it was, to the byte. Each attempt is
judged three times: by an export that checks nothing (as a forger's would), by the server's own, and by one after the
server went on sealing, with the token, on what it found.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.db import Error, transaction

from accounts.clock import clock
from kms.audit import bundle, keystead_verify
from kms.audit.checkpoint import verifier_key
from kms.audit.fact_moves import SumForged
from kms.audit.leaf import SELECTED, line_of
from kms.audit.models import AuditSignature
from kms.audit.sealer import Sealer
from kms.audit.tree import RecordDamaged
from kms.config.provision.schema import APPEND_ONLY
from kms.objects import keystore
from kms.operations.record_key import record_signer
from tests.audit import superuser as su
from tests.audit.superuser import Attempt, superuser
from tests.audit.test_sealing import newest, written

# Each attempt exports the whole record three times, and the record is as long as the tests before have made it.
pytestmark = pytest.mark.timeout(400)

NOT_WHAT_IS_SEALED = (keystead_verify.DoesNotHold, keystead_verify.Unreadable, RecordDamaged, bundle.NothingSealed)


@dataclass
class Visit:
    """What the auditor took home, and what the record was then."""

    key: keystead_verify.Key
    old: keystead_verify.Checkpoint
    lines: list[bytes]
    dumps: dict[str, bytes] = field(default_factory=dict)


@pytest.fixture(scope="module")
def visit(installation: None, django_db_blocker: Any) -> Iterator[Visit]:
    """A record of some hundred entries; dumps of its tables; as many again; the visit; and some more since."""
    with django_db_blocker.unblock():
        sealer, signer = Sealer(keystore.deployment_id(), record_signer), record_signer()
        written(260)
        sealer.turn(clock.now())
        with superuser():
            dumps = {table: su.dump(table) for table in su.TABLES}
        written(40)
        sealer.turn(clock.now())
        old = newest()
        written(20)
        sealer.turn(clock.now())
        lines = exported()[: old.size]
        yield Visit(keystead_verify.Key.parse(verifier_key(signer.name, signer.spki)), old, lines, dumps)


def exported() -> list[bytes]:
    """Leaf by leaf, whatever the hashes say."""
    return [
        line_of(row)
        for row in su.run(f"SELECT {SELECTED} FROM audit_leaf JOIN audit_entry USING (sequence) ORDER BY index")
    ]


def a_forgers(folder: Path) -> None:
    """Every entry there is, cut to the newest checkpoint that somebody signed."""
    found = AuditSignature.objects.order_by("-checkpoint").first()
    if found is None:
        raise bundle.NothingSealed
    folder.mkdir()
    (folder / "checkpoint").write_text(found.note)
    (folder / "before.json").write_text(json.dumps({"size": 0, "hashes": []}))
    lines = exported()[: max(0, found.checkpoint_id)]
    (folder / "entries.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def after_the_server_went_on(folder: Path) -> None:
    """It seals what is there, and the token signs. It may also find that it cannot."""
    try:
        with transaction.atomic():
            written(5)
            Sealer(keystore.deployment_id(), record_signer).turn(clock.now())
    except (Error, ValueError, SumForged):
        pass
    a_forgers(folder)


EXPORTS: dict[str, Callable[[Path], object]] = {
    "forger": a_forgers,
    "server": bundle.write,
    "later": after_the_server_went_on,
}


def judged(visit: Visit, folder: Path, export: Callable[[Path], object]) -> str:
    """ "found", or "unchanged" when the past is in it as it was; anything else is history rewritten."""
    try:
        with transaction.atomic():
            export(folder)
        keystead_verify.verify_bundle(folder, visit.key, visit.old)
    except NOT_WHAT_IS_SEALED:
        return "found"
    except Error:
        return "refused"
    lines = (folder / "entries.jsonl").read_bytes().splitlines()[: visit.old.size]
    return "unchanged" if lines == visit.lines else "REWRITTEN"


def verdicts(visit: Visit, attempt: Attempt, folder: Path) -> dict[str, str]:
    with superuser():
        try:
            with transaction.atomic():
                attempt.do()
        except Error as error:
            return {"statement": f"refused: {type(error).__name__}"}
        return {name: judged(visit, folder / name, export) for name, export in EXPORTS.items()}


def test_every_table_of_the_record_is_attacked() -> None:
    assert set(APPEND_ONLY) <= set(su.TABLES)


def test_nothing_done_is_nothing_found(visit: Visit, tmp_path: Path) -> None:
    found = verdicts(visit, Attempt("nothing", lambda: None), tmp_path)
    assert found == dict.fromkeys(EXPORTS, "unchanged")


@pytest.mark.parametrize("table", su.TABLES)
def test_no_statement_rewrites_history(visit: Visit, table: str, tmp_path: Path) -> None:
    """What an attempt changes of what the auditor saw is found; whatever is changed in an entry is."""
    columns = [column for column in su.columns() if column.table == table]
    attempts = [attempt for column in columns for attempt in su.updates(column)]
    attempts += su.whole_table(table, columns[0].key)
    attempts.append(Attempt("an old dump", lambda: su.restore({table: visit.dumps[table]})))
    found = {}
    for number, attempt in enumerate(attempts):
        (tmp_path / str(number)).mkdir()
        found[attempt.name] = verdicts(visit, attempt, tmp_path / str(number))
    assert {name: each for name, each in found.items() if "REWRITTEN" in each.values()} == {}
    assert len(found) == 3 * len(columns) + 8
    if table == "audit_entry":
        changes = {f"UPDATE {which} audit_entry.{column.name}" for which in ("first", "all") for column in columns}
        assert {name for name in changes if set(found[name].values()) != {"found"}} == set()
    if table in ("audit_entry", "audit_leaf"):
        losses = ("DELETE first of", "cut the tail of", "cut the head of", "TRUNCATE")
        assert {name for name in losses if set(found[f"{name} {table}"].values()) != {"found"}} == set()
        assert set(found["an old dump"].values()) == {"found"}


# -- the best plans ------------------------------------------------------------------------------------------------


def swap_entries() -> None:
    """Two entries change places, all but their numbers."""
    one, other = su.first_entries()
    names = ", ".join(
        f'"{column.name}"' for column in su.columns() if column.table == "audit_entry" and column.name != "sequence"
    )
    su.run(
        "CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM audit_entry WHERE sequence IN (%s, %s)", [one, other]
    )
    for here, there in ((one, other), (other, one)):
        su.run(
            f"UPDATE audit_entry SET ({names}) = (SELECT {names} FROM kept WHERE sequence = %s) WHERE sequence = %s",
            [there, here],
        )


def everything_back(visit: Visit) -> None:
    su.restore(visit.dumps)


PLANS: dict[str, Callable[[Visit], object]] = {
    "edited": lambda _: su.run("UPDATE audit_entry SET outcome = 'denied' WHERE sequence = %s", su.first_entries()[:1]),
    "deleted": lambda _: su.run("DELETE FROM audit_entry WHERE sequence = %s", su.first_entries()[:1]),
    "swapped": lambda _: swap_entries(),
    "inserted": lambda _: su.insert_into_the_past(),
    "emptied": lambda _: su.run("DELETE FROM audit_entry"),
    "set back": everything_back,
}


@pytest.mark.parametrize("plan", PLANS)
def test_a_new_past_with_every_hash_anew_is_found(visit: Visit, plan: str, tmp_path: Path) -> None:
    """As careful as somebody can be who has the code; and then the server itself signs what it finds."""

    def do() -> None:
        PLANS[plan](visit)
        su.rebuild()

    found = verdicts(visit, Attempt(plan, do), tmp_path)
    assert set(found.values()) == {"found"}, found


@pytest.mark.parametrize("plan", PLANS)
def test_a_new_past_without_the_signatures_is_found(visit: Visit, plan: str, tmp_path: Path) -> None:
    """They are taken away, so that the token signs everything again."""

    def do() -> None:
        PLANS[plan](visit)
        su.rebuild()
        su.run("DELETE FROM audit_signature")
        su.run("DELETE FROM audit_cosignature")

    found = verdicts(visit, Attempt(plan, do), tmp_path)
    assert set(found.values()) == {"found"}, found
