"""The record of a server that is killed, or whose database is set back, judged by the auditor's verifier alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import pytest

from tests.acceptance.server import CHECKOUT, RunningServer
from tests.faults.conftest import Workplace, database, workplace
from tests.faults.test_sigkill import Writers
from tests.kit.witnesses import witnessing

VERIFIER = CHECKOUT / "kms" / "audit" / "keystead_verify.py"
KILLS = 3
# Several starts of a server, and commands of the host between: half a minute, minutes on a machine that is busy.
pytestmark = pytest.mark.timeout(400)


def sealed_now(server: RunningServer) -> int:
    """The size of the record once all that is there now is sealed and signed."""
    deadline = time.monotonic() + 30
    with database(server) as connection:
        newest = connection.execute("SELECT max(sequence) FROM audit_entry").fetchone()
        while time.monotonic() < deadline:
            signed = connection.execute(
                "SELECT max(checkpoint_id) FROM audit_signature WHERE checkpoint_id > "
                "(SELECT index FROM audit_leaf WHERE sequence = %s)",
                newest,
            ).fetchone()
            if signed is not None and signed[0] is not None:
                return int(signed[0])
            time.sleep(0.2)
    raise AssertionError(f"the record is not sealed; the server said:\n{server.output}")


def exported(server: RunningServer, folder: Path, *more: str) -> str:
    """The verifier key, which the auditor would have from elsewhere."""
    said = server.command("export_record", str(folder), *more)
    return said.partition("Verifier key: ")[2].strip()


def verified(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """As the auditor runs it: without anything of ours but the one file."""
    line = [sys.executable, "-I", str(VERIFIER), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)


def worked(place: Workplace, number: int) -> set[UUID]:
    """Calls until some were acknowledged, and the server killed in the middle of the next."""
    writers = Writers(place, number)
    writers.wait_for(11)
    place.server.kill()
    writers.wait()
    return set(writers.recorded)


def test_what_was_acknowledged_is_in_the_sealed_record_whenever_the_server_dies(
    server: RunningServer, tmp_path: Path
) -> None:
    place, recorded = workplace(server, "record"), set[UUID]()
    for number in range(KILLS):
        recorded |= worked(place, number)
        server.start()
    sealed_now(server)
    key = exported(server, tmp_path / "first")
    first = verified("bundle", tmp_path / "first", "--key", key)
    assert first.returncode == 0, first.stdout
    lines = (tmp_path / "first" / "entries.jsonl").read_bytes().splitlines()
    assert recorded <= {UUID(json.loads(line)["request"]) for line in lines}

    recorded = worked(place, KILLS)
    server.start()
    sealed_now(server)
    start = str(len(lines))
    exported(server, tmp_path / "second", "--start", start, "--old", start)
    second = verified("bundle", tmp_path / "second", "--key", key, "--old", tmp_path / "first" / "checkpoint")
    assert second.returncode == 0, second.stdout
    assert f"extends the {start} entries" in second.stdout
    later = (tmp_path / "second" / "entries.jsonl").read_bytes().splitlines()
    assert recorded <= {UUID(json.loads(line)["request"]) for line in later}


def _copy(source: Path, target: Path) -> None:
    """With owners: the database may run as somebody else."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


@pytest.fixture
def set_back(server: RunningServer, tmp_path: Path) -> str:
    """The database as it was some calls ago, under a token that has seen more. Returns the verifier key."""
    place = workplace(server, "set back")
    server.stop()
    _copy(server.data / "postgres", tmp_path / "postgres")
    server.start()
    for _ in range(20):
        place.administrator()("GET", "/sys/v1/groups")
    sealed_now(server)
    key = exported(server, tmp_path / "before")
    server.restart()  # a server remembers at its start, and each minute
    sealed_now(server)
    server.stop()
    shutil.rmtree(server.data / "postgres")
    _copy(tmp_path / "postgres", server.data / "postgres")
    return key


def _until_every_worker_serves(server: RunningServer) -> None:
    """Each notices by itself, a second or so later; a connection goes to any of them."""
    deadline, healthy = time.monotonic() + 60, 0
    while healthy < 30:
        assert time.monotonic() < deadline, server.output
        healthy = healthy + 1 if server.health() == 204 else 0
        time.sleep(0.1)


def test_a_database_that_was_set_back_is_not_served_until_an_epoch_is_opened(
    server: RunningServer, set_back: str, tmp_path: Path
) -> None:
    server.start(health=503)
    refused = server.request("GET", "/sys/v1/version", authorization="Basic eA==")
    assert refused.status == 200  # it touches nothing
    for _ in range(5):
        answer = server.request("POST", "/sys/v1/session/auth", authorization="Basic eDp5")
        assert answer.status == 503
        assert "sealed" in answer.text
    assert "set back" in server.output

    assert "Epoch 2" in server.command("open_epoch")
    _until_every_worker_serves(server)
    server.administrator_session()
    sealed_now(server)
    exported(server, tmp_path / "after")
    assert verified("bundle", tmp_path / "after", "--key", set_back).returncode == 0
    broken = verified("bundle", tmp_path / "after", "--key", set_back, "--old", tmp_path / "before" / "checkpoint")
    assert broken.returncode == 1
    assert "two logs" in broken.stdout


def test_a_host_that_was_set_back_token_and_all_is_found_by_its_witness(server: RunningServer, tmp_path: Path) -> None:
    """A snapshot of the whole machine, restored: nothing on it remembers, and the server would serve."""
    key = exported_key(server, tmp_path)
    with witnessing(tmp_path / "witness", key) as running:
        named = {"KEYSTEAD_WITNESSES": f"{running.key} {running.url}", "KEYSTEAD_WITNESS_SECONDS": "1"}
        server.stop()
        server.start(env=named)
        server.stop()
        for part in ("postgres", "token"):
            _copy(server.data / part, tmp_path / part)
        server.start()
        place = workplace(server, "witnessed")
        for _ in range(20):
            place.administrator()("GET", "/sys/v1/groups")
        size = sealed_now(server)
        _until_witnessed(server, size)
        server.stop()
        for part in ("postgres", "token"):
            shutil.rmtree(server.data / part)
            _copy(tmp_path / part, server.data / part)

        server.start(health=503)
        assert "set back" in server.output
        assert "witness.example/w1 has witnessed" in server.output
        assert "One person alone did this" in server.command("open_epoch")
        _until_every_worker_serves(server)


def exported_key(server: RunningServer, folder: Path) -> str:
    sealed_now(server)
    return exported(server, folder / "for its key")


def _until_witnessed(server: RunningServer, size: int) -> None:
    deadline = time.monotonic() + 30
    with database(server) as connection:
        while time.monotonic() < deadline:
            found = connection.execute("SELECT max(checkpoint_id) FROM audit_cosignature").fetchone()
            if found is not None and (found[0] or 0) >= size:
                return
            time.sleep(0.2)
    raise AssertionError(f"the record is not witnessed; the server said:\n{server.output}")
