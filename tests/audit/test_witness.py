"""Real witnesses on loopback: what they cosign and refuse, and what a server learns of them that its rows have lost."""

from __future__ import annotations

import base64
import dataclasses
import http.client
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.clock import clock
from kms.audit import bundle, keystead_verify
from kms.audit.checkpoint import Checkpoint, signed_note, verifier_key
from kms.audit.cosignature import Witness, submission, witness_key
from kms.audit.merkle import Frontier, consistency_proof, leaf_hash
from kms.audit.models import AuditCheckpoint, AuditCosignature, Sealing
from kms.audit.sealer import Sealer, origin
from kms.audit.tree import reader
from kms.audit.trust import packed, trust
from kms.objects import keystore
from kms.operations import witnesses
from kms.operations.record import GetCheckpoint, get_checkpoint
from kms.operations.record_key import record_signer
from kms.operations.sealing import SealingTurns
from kms.operations.witnesses import Contradicted, Unheard, WitnessCaller, show
from tests.audit.test_sealing import written
from tests.kit.threads import at_once
from tests.kit.tls import new_authority
from tests.kit.witnesses import PROGRAM, RunningWitness, new_witness, witnessing

pytestmark = pytest.mark.usefixtures("installation")


@pytest.fixture(autouse=True)
def _trusted_again() -> Iterator[None]:
    yield
    trust.reason = None


@pytest.fixture
def log_key() -> str:
    signer = record_signer()
    return verifier_key(signer.name, signer.spki)


@pytest.fixture
def running(tmp_path: Path, log_key: str, settings: Any) -> Iterator[RunningWitness]:
    with witnessing(tmp_path / "witness", log_key) as running:
        configured(settings, running.witness)
        yield running


def configured(settings: Any, *known: Witness, required: bool = False) -> None:
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, witnesses=known, witness_required=required)


def grown(number: int = 3) -> AuditCheckpoint:
    """The newest checkpoint, after some more entries."""
    written(number)
    Sealer(keystore.deployment_id(), record_signer).turn(clock.now())
    return AuditCheckpoint.objects.order_by("-size")[0]


def note_of(size: int, root: bytes, *, epoch: int = 0) -> str:
    """What only the server's key can sign: here, what it has signed and lost."""
    signer = record_signer()
    text = Checkpoint(origin(keystore.deployment_id(), epoch or this_epoch()), size, root).text()
    return signed_note(text, signer.name, signer.spki, signer.sign)


def this_epoch() -> int:
    return Sealing.objects.get(id=1).epoch


def future(lost: int, *, epoch: int = 0) -> str:
    """The note of our record with entries in it that its rows do not have."""
    state = Sealing.objects.get(id=1)
    tree = Frontier(state.size, map(bytes, state.frontier))
    for number in range(lost):
        list(tree.append(leaf_hash(f"lost {number}".encode())))
    return note_of(tree.size, tree.root(), epoch=epoch)


def asked(running: RunningWitness, body: bytes, path: str = "/kept/add-checkpoint") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    connection.request("POST", path, body)
    answer = connection.getresponse()
    try:
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def compared() -> str | None:
    turns = SealingTurns()
    turns.turn()
    return trust.reason


# -- cosigning -----------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_cosigned_once_and_the_next_extends_it(running: RunningWitness) -> None:
    for _ in range(3):
        newest = grown()
        for _ in range(2):
            WitnessCaller().turn()
        (row,) = AuditCosignature.objects.filter(witness=running.witness.key.label, checkpoint=newest)
        assert row.line.startswith("\N{EM DASH} witness.example/w1 ")
    assert AuditCosignature.objects.filter(witness=running.witness.key.label).count() == 3
    (told,) = witnesses.standing()
    assert (told["witness"], told["size"]) == ("witness.example/w1", newest.size)


def test_the_auditors_verifier_demands_the_witness_it_is_told_of(
    running: RunningWitness, log_key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = grown()
    WitnessCaller().turn()
    grown()  # a checkpoint that nobody has cosigned yet
    bundle.write(tmp_path / "bundle", start=newest.size - 2, witnessed=True)
    arguments = ["bundle", str(tmp_path / "bundle"), "--key", log_key]
    assert keystead_verify.main([*arguments, "--witness", running.key]) == 0
    assert "witnessed by witness.example/w1" in capsys.readouterr().out

    other = new_witness(tmp_path / "other", log_key)
    assert keystead_verify.main([*arguments, "--witness", running.key, "--witness", other.key]) == 1
    assert "no cosignature" in capsys.readouterr().out
    checkpoint = tmp_path / "bundle" / "checkpoint"
    note, _, line = checkpoint.read_text().rstrip("\n").rpartition("\n")
    start, _, encoded = line.rpartition(" ")
    blob = bytearray(base64.b64decode(encoded))
    for place in (4, 11, 12, 75):  # its time, its signature
        blob[place] ^= 1
        checkpoint.write_text(f"{note}\n{start} {base64.b64encode(blob).decode()}\n")
        assert keystead_verify.main([*arguments, "--witness", running.key]) == 1
        assert "cosignature is not" in capsys.readouterr().out
        blob[place] ^= 1
    assert keystead_verify.main([*arguments, "--witness", log_key]) == 2


def test_proofs_carry_cosignatures_where_the_server_has_witnesses(running: RunningWitness) -> None:
    newest = grown()
    WitnessCaller().turn()
    grown()
    told = get_checkpoint(None, GetCheckpoint(), None)  # type: ignore[arg-type]  # it asks nothing of the call
    assert told["checkpoint"].split("\n")[1] == str(newest.size)
    assert told["checkpoint"].count("\N{EM DASH}") == 2
    assert bundle.newest(covering=newest.size + 1, witnessed=True).checkpoint_id > newest.size


def test_a_witness_speaks_tls(tmp_path: Path, log_key: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = new_authority()
    certificate, key = authority.server(tmp_path, "127.0.0.1")
    (tmp_path / "ca.pem").write_text(authority.pem)
    grown()
    with witnessing(tmp_path / "w", log_key, "--cert", str(certificate), "--key", str(key)) as running:
        configured(settings, running.witness)
        with pytest.raises(Unheard, match="SSLCertVerificationError"):
            show(running.witness)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        show(running.witness)


def test_what_is_not_the_witnesss_signature_is_not_kept(running: RunningWitness, tmp_path: Path, log_key: str) -> None:
    newest = grown()
    other = new_witness(tmp_path / "other", log_key)  # its key; at its address is somebody else
    with pytest.raises(Unheard, match="no signature of its key"):
        show(Witness(other.witness.key, running.url))
    assert not AuditCosignature.objects.filter(witness=other.witness.key.label, checkpoint=newest).exists()


# -- another size, another history ---------------------------------------------------------------------------------


def test_a_witness_that_knows_another_size_is_told_from_there(running: RunningWitness) -> None:
    first = grown()
    asked(running, submission(0, (), note_of(first.size, bytes(first.root))))
    newest = grown()
    show(running.witness)  # nothing is kept of the first: it asks from 0, and is told
    assert AuditCosignature.objects.filter(witness=running.witness.key.label, checkpoint=newest).exists()


def test_a_witness_that_has_lost_its_memory_is_shown_the_record_anew(running: RunningWitness) -> None:
    grown()
    show(running.witness)
    running.stop()
    for kept in (running.folder / "logs").iterdir():
        kept.unlink()
    running.start()
    newest = grown()
    show(running.witness)
    assert AuditCosignature.objects.filter(witness=running.witness.key.label, checkpoint=newest).exists()


def test_a_witness_cosigns_neither_a_smaller_history_nor_another(running: RunningWitness) -> None:
    old, new = grown(), grown()
    read = reader()
    assert asked(running, submission(0, (), note_of(new.size, bytes(new.root))))[0] == 200
    smaller = note_of(old.size, bytes(old.root))
    split = note_of(new.size, bytes(32))
    longer = note_of(new.size + 2, bytes(32))
    for old_size, proof, note in (
        (0, [], smaller),
        (old.size, [], smaller),
        (old.size, consistency_proof(read, old.size, new.size), note_of(new.size, bytes(new.root))),
        (new.size, [], split),
    ):
        status, kind, body = asked(running, submission(old_size, proof, note))
        assert (status, kind, body) == (409, "text/x.tlog.size", f"{new.size}\n")
    assert asked(running, submission(new.size, [bytes(32)], longer))[0] == 422
    assert asked(running, submission(new.size, [], longer))[0] == 422
    # Stopped and started, it knows the same.
    running.stop()
    running.start()
    assert asked(running, submission(0, (), smaller))[0] == 409
    assert asked(running, submission(new.size, (), note_of(new.size, bytes(new.root))))[0] == 200


def test_of_many_histories_at_once_one_is_cosigned(running: RunningWitness) -> None:
    size = grown().size
    notes = [note_of(size, bytes([number]) * 32) for number in range(12)]
    answers = at_once(12, lambda number: asked(running, submission(0, (), notes[number])))
    assert sorted(status for status, _, _ in answers) == [200] + [409] * 11
    (kept,) = (running.folder / "logs").iterdir()
    cosigned = [status for status, _, _ in answers].index(200)
    assert kept.read_text().startswith(notes[cosigned])


def test_a_witness_answers_what_is_wrong_as_the_protocol_says(running: RunningWitness, tmp_path: Path) -> None:
    newest = grown()
    note = note_of(newest.size, bytes(newest.root))
    elsewhere = note.replace(f"keystead/{keystore.deployment_id()}", "keystead/elsewhere")
    foreign = note_of(newest.size, bytes(newest.root)).replace(f"\n{newest.size}\n", f"\n{newest.size + 1}\n")
    for expected, body in (
        (404, submission(0, (), elsewhere)),
        (403, submission(0, (), foreign)),
        (400, submission(newest.size + 1, (), note)),
        (400, submission(0, (), note).replace(b"old 0", b"old 00")),
        (400, submission(0, (), note).replace(b"old 0", b"old -1")),
        (400, submission(0, (), note).replace(b"old 0", b"new 0")),
        (400, submission(0, [bytes(31)], note)),
        (400, submission(0, [bytes(32)] * 64, note)),
        (400, b"old 0\n"),
        (400, b"\xff"),
        (400, b""),
        (400, b"x" * (1 << 16) + b"x"),
        (422, submission(0, [bytes(32)], note)),
    ):
        assert asked(running, body)[0] == expected, body[:80]
    assert asked(running, submission(0, (), note), path="/elsewhere")[0] == 404
    assert asked(running, submission(0, (), note))[0] == 200


def test_two_witnesses_with_one_memory_do_not_run(running: RunningWitness, log_key: str) -> None:
    line = [sys.executable, str(PROGRAM), "serve", str(running.folder), "--listen", "127.0.0.1:0", "--log", log_key]
    second = subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 2
    assert "Traceback" not in second.stderr


# -- a database that was set back ----------------------------------------------------------------------------------


def test_a_record_that_was_set_back_is_found_by_the_witness_alone(running: RunningWitness) -> None:
    """The token's memory was set back as well: it knows what the rows say."""
    newest = grown()
    asked(running, submission(0, (), future(7)))
    keystore.module().keep(packed(Checkpoint(newest.origin, newest.size, bytes(newest.root))))
    assert compared() == (
        f"The record was set back: {newest.size} entries are signed, and witness.example/w1 has witnessed"
        f" {newest.size + 7}"
    )
    written(3)
    SealingTurns().turn()
    assert Sealing.objects.get(id=1).size == newest.size


def test_a_record_that_was_rewritten_is_found_by_the_witness_alone(running: RunningWitness) -> None:
    newest = grown(5)
    tree = Frontier(0, ())
    for number in range(newest.size - 2):
        list(tree.append(leaf_hash(b"another" if number == newest.size - 3 else str(number).encode())))
    asked(running, submission(0, (), note_of(tree.size, tree.root())))
    reason = compared()
    assert reason is not None
    assert reason.startswith(f"The record was rewritten: its first {newest.size - 2} entries")


def test_another_root_for_the_same_size_is_found(running: RunningWitness) -> None:
    newest = grown()
    asked(running, submission(0, (), note_of(newest.size, bytes(32))))
    with pytest.raises(Contradicted, match="rewritten"):
        show(running.witness)


def test_an_epoch_that_the_database_has_forgotten_is_found(running: RunningWitness) -> None:
    newest = grown()
    asked(running, submission(0, (), note_of(newest.size, bytes(newest.root), epoch=this_epoch() + 2)))
    assert compared() == (
        f"The record was set back to epoch {this_epoch()}; witness.example/w1 has witnessed epoch {this_epoch() + 2}"
    )


def test_a_database_with_nothing_in_it_is_found(running: RunningWitness, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(running, submission(0, (), future(0)))
    monkeypatch.setattr(witnesses, "_newest", lambda _epoch: None)  # as in a database that was just made
    with pytest.raises(Contradicted, match="nothing is signed"):
        show(running.witness)


def test_a_server_that_finds_out_while_it_serves_seals_itself(
    running: RunningWitness, caplog: pytest.LogCaptureFixture
) -> None:
    grown()
    asked(running, submission(0, (), future(4)))
    with caplog.at_level(logging.CRITICAL):
        WitnessCaller().turn()
    assert trust.reason is not None
    assert "set back" in trust.reason
    assert "the server is sealed" in caplog.text


def test_a_record_that_another_process_seals_meanwhile_is_not_taken_for_one_set_back(
    running: RunningWitness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that starts holds the newest checkpoint; before it asks, the one that serves is a step ahead."""
    old, newest = grown(), grown()
    show(running.witness)
    signed, seen = witnesses._newest, list[int]()

    def late(epoch: int) -> Any:
        found = signed(epoch)
        assert found is not None
        if not seen:
            found.checkpoint_id, found.note = old.size, note_of(old.size, bytes(old.root))
        seen.append(found.checkpoint_id)
        return found

    monkeypatch.setattr(witnesses, "_newest", late)
    monkeypatch.setattr(witnesses, "_last_cosigned", lambda _witness, _epoch: 0)
    show(running.witness)
    assert seen == [old.size, newest.size]


# -- a witness that is away ----------------------------------------------------------------------------------------


def test_a_witness_that_is_away_holds_up_nothing_and_is_told(
    running: RunningWitness, caplog: pytest.LogCaptureFixture
) -> None:
    grown()
    running.stop()
    caller = WitnessCaller()
    caller.turn()
    newest = grown()
    caller.turn()
    assert caplog.text.count("did not cosign (never)") == 1
    assert compared() is None
    assert "remembers, and not with a witness: witness.example/w1: 127.0.0.1 did not answer" in caplog.text
    running.start()
    caller.turn()
    assert "is heard again" in caplog.text
    assert AuditCosignature.objects.filter(witness=running.witness.key.label, checkpoint=newest).exists()


def test_where_witnesses_are_required_the_server_waits_for_each(
    running: RunningWitness, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witnesses, "REPEAT_SECONDS", 0.0)
    configured(settings, running.witness, required=True)
    grown()
    running.stop()
    turns = SealingTurns()
    turns.turn()
    assert trust.reason is not None
    assert trust.reason.startswith("Every witness has to be heard before anything is served: witness.example/w1")
    running.start()
    turns.turn()
    assert trust.reason is None


def test_a_witness_that_does_not_know_the_log_says_so(running: RunningWitness) -> None:
    grown()
    running.stop()
    running.log = verifier_key("somebody/else", record_signer().spki)
    running.start()
    with pytest.raises(Unheard, match="does not know this log"):
        show(running.witness)


def test_what_a_witness_knows_is_asked_without_showing_it_anything(running: RunningWitness) -> None:
    newest = grown()
    assert witnesses.seen_by(running.witness, this_epoch()).size == 0
    show(running.witness)
    assert witnesses.seen_by(running.witness, this_epoch()).size == newest.size


# -- keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("", "verifier key"),
        ("a+b", "verifier key"),
        ("w+00000000+BA==", "type 4"),
        ("w+00000000+AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "type 4"),
        ("w+00000000+BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "id"),
    ],
)
def test_what_is_no_witnesss_key_is_refused(wrong: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        witness_key(wrong)
    with pytest.raises(keystead_verify.Unreadable):
        keystead_verify.Witness.parse(wrong)
