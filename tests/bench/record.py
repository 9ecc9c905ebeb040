"""``python -m tests.bench.record``: what the record and the seals on rows cost, beside ceilings of the same run.

In this process, over an embedded PostgreSQL and a software token of its own, with nothing else at work on them. Nothing
asserts a time: read the ratios. The database keeps its promises (fsync), as a server's does.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

if TYPE_CHECKING:
    from kms.audit.entry import AuditEntry
    from tests.kit.tenants import Tenant

ROOT = Path(__file__).parents[2]
Row = tuple[str, float, str, float, str]


@contextmanager
def installation() -> Iterator[None]:
    """Provisioned as `make run` does it; then only the database runs."""
    with tempfile.TemporaryDirectory(prefix="keystead-record-") as folder:
        os.environ["KEYSTEAD_DATA"] = folder
        os.environ["DJANGO_SETTINGS_MODULE"] = "kms.config.settings"
        provision = [sys.executable, "manage.py", "run", "--provision-only"]
        subprocess.run(provision, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        import django

        from kms.config.provision.postgres import EmbeddedPostgres

        django.setup()
        database = EmbeddedPostgres(Path(folder))
        database.start(lambda _: None)
        try:
            yield
        finally:
            from kms.config.connections import release_all

            release_all()
            database.stop()


def per_second(work: Callable[[], object], seconds: float) -> float:
    """How often in a second, after a warm-up."""
    for _ in range(10):
        work()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        work()
        done += 1
    return done / (time.perf_counter() - started)


def _entry() -> AuditEntry:
    from kms.audit.entry import AuditEntry, Category, Outcome

    return AuditEntry(
        action="object.encrypt",
        category=Category.CRYPTOGRAPHIC,
        outcome=Outcome.DONE,
        reason="granted",
        actor_kind="app",
        actor_id=UUID(int=5),
        method="api-key",
        account=UUID(int=7),
        object_kind="object",
        object_id=UUID(int=9),
        groups=(UUID(int=11),),
        client_ip="192.0.2.7",
        request_id=uuid4(),
        details={"algorithm": "AES", "mode": "GCM", "input_bytes": 32, "output_bytes": 32, "object_version": 1},
    )


# -- the record ----------------------------------------------------------------------------------------------------


def writing(seconds: float) -> Iterator[Row]:
    """One call that waits for its entry, then 32 at once; the ceiling is an empty durable commit, one after another."""
    from kms.audit.log import group_commit

    commits = _bare_commits(seconds)
    alone = per_second(lambda: group_commit().submit(_entry(), {}), seconds)
    yield "entries, one caller", alone, "bare commits", commits, "entries/s"
    yield "entries, 32 callers", _together(32, seconds), "bare commits", commits, "entries/s"


def _bare_commits(seconds: float) -> float:
    from accounts.connections import own_connection

    with own_connection() as apart:
        return per_second(lambda: apart.execute("SELECT pg_logical_emit_message(true, 'bench', 'x')"), seconds)


def _together(callers: int, seconds: float) -> float:
    from kms.audit.log import group_commit

    counts, until = [0] * callers, time.perf_counter() + seconds

    def call(number: int) -> None:
        while time.perf_counter() < until:
            group_commit().submit(_entry(), {})
            counts[number] += 1

    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def sealing(entries: int) -> Iterator[Row]:
    from accounts.clock import clock
    from kms.audit import log
    from kms.audit.sealer import Sealer
    from kms.objects import keystore
    from kms.operations.record_key import record_signer

    sealer = Sealer(keystore.deployment_id(), record_signer)
    sealer.turn(clock.now())
    for _ in range(entries // 500):
        log.append(*(_entry() for _ in range(500)))
    started = time.perf_counter()
    sealed = sealer.turn(clock.now())
    rate = sealed / (time.perf_counter() - started)
    line = b"x" * 600
    hashes = per_second(lambda: hashlib.sha256(b"\0" + line).digest(), 0.5)
    yield f"sealed, {sealed:,} entries", rate, "SHA-256 of a line", hashes, "entries/s"


def verifying(folder: Path) -> Iterator[Row]:
    from kms.audit import bundle, keystead_verify
    from kms.audit.checkpoint import verifier_key
    from kms.operations.record_key import record_signer

    started = time.perf_counter()
    written = bundle.write(folder)
    exported = written / (time.perf_counter() - started)
    signer = record_signer()
    (folder.parent / "verifier.key").write_text(verifier_key(signer.name, signer.spki) + "\n", encoding="utf-8")
    started = time.perf_counter()
    words = ["bundle", str(folder), "--key", str(folder.parent / "verifier.key")]
    if keystead_verify.main(words):
        raise SystemExit("the bundle does not hold")
    rate = written / (time.perf_counter() - started)
    hashes = per_second(lambda: hashlib.sha256(b"\0" + b"x" * 600).digest(), 0.5)
    yield f"exported, {written:,} entries", exported, "SHA-256 of a line", hashes, "entries/s"
    yield f"verified, {written:,} entries", rate, "SHA-256 of a line", hashes, "entries/s"


# -- the seals -----------------------------------------------------------------------------------------------------


def facts(seconds: float) -> Iterator[Row]:
    """Reading through the seal beside one look at a primary key; a sealed change beside the same without a seal."""
    from django.db import connection

    from accounts.models import App, User
    from accounts.row_seals import verified
    from kms.operations.executor import execute
    from kms.operations.facts_host import AcceptFacts
    from kms.operations.rescue import host
    from policies.facts import known_of
    from tests.kit.tenants import new_tenant

    tenant = new_tenant()
    subjects = [tenant.alice.id, tenant.account.id]
    lookup = per_second(lambda: User.objects.filter(id=tenant.alice.id).first(), seconds)
    read = per_second(lambda: verified(subjects), seconds)
    yield "a user and an account, verified", read, "one row by key", lookup, "reads/s"
    yield "facts of a user", per_second(lambda: known_of(tenant.alice), seconds), "one row by key", lookup, "reads/s"
    app = App.objects.filter(id=tenant.app.id)
    sealed = per_second(lambda: app.update(description="x"), seconds)
    other = App.objects.filter(id=new_tenant().app.id)
    connection.seals_facts = False  # type: ignore[attr-defined]  # kms.config.database_engine's
    plain = per_second(lambda: other.update(description="x"), seconds)
    connection.seals_facts = True  # type: ignore[attr-defined]  # kms.config.database_engine's
    execute(host(), AcceptFacts(tuple(other.values_list("id", flat=True))))
    yield "changes of an app, sealed", sealed, "without a seal", plain, "commits/s"


def swept(subjects: int) -> Iterator[Row]:

    from kms.operations.fact_sweep import sweep
    from tests.kit.tenants import new_tenant

    tenant = new_tenant()
    for _ in range(subjects // 200):
        _groups(tenant, 200)
    started = time.perf_counter()
    found = sweep()
    rate = found.subjects / (time.perf_counter() - started)
    yield f"swept, {found.subjects:,} subjects", rate, "", 0.0, "subjects/s"


def _groups(tenant: Tenant, count: int) -> None:
    from accounts.models import Group

    Group.objects.bulk_create(
        Group(account=tenant.account, name=f"g {uuid4()}", creator_kind="user", creator_id=uuid4())
        for _ in range(count)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000, help="to seal and verify (default: %(default)s)")
    parser.add_argument("--subjects", type=int, default=10_000, help="to sweep (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure (default: %(default)s)")
    options = parser.parse_args()
    with installation(), tempfile.TemporaryDirectory() as folder:
        print(f"{'':<42} {'figure':>12} {'':<11} {'ceiling':>12}  ratio")
        for rows in (
            writing(options.seconds),
            sealing(options.entries),
            verifying(Path(folder) / "bundle"),
            facts(options.seconds),
            swept(options.subjects),
        ):
            for name, rate, against, ceiling, unit in rows:
                beside = f"{ceiling:>12,.0f}  {rate / ceiling:.2f} of {against}" if ceiling else ""
                print(f"{name:<42} {rate:>12,.0f} {unit:<11} {beside}", flush=True)


if __name__ == "__main__":
    main()
