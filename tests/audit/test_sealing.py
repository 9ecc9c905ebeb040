"""The record sealed: order, exactly once, whoever seals; and exports that the auditor's verifier judges."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from accounts.clock import clock
from kms.audit import bundle, keystead_verify, log, rows, tree
from kms.audit.checkpoint import verifier_key
from kms.audit.merkle import folded, leaf_hash
from kms.audit.models import AuditCheckpoint, AuditLeaf, AuditRecord, Sealing
from kms.audit.sealer import SWEEP, Sealer
from kms.objects import keystore
from kms.operations.record_key import record_signer
from tests.audit.helpers import another_connection, entry
from tests.kit.threads import at_once


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(keystore.deployment_id(), record_signer)


@pytest.fixture
def key() -> keystead_verify.Key:
    signer = record_signer()
    return keystead_verify.Key.parse(verifier_key(signer.name, signer.spki))


def newest() -> keystead_verify.Checkpoint:
    row = AuditCheckpoint.objects.order_by("-size")[0]
    return keystead_verify.Checkpoint(row.origin, row.size, bytes(row.root))


def written(number: int) -> list[int]:
    request = uuid4()
    log.append(*(entry(request) for _ in range(number)))
    return list(AuditRecord.objects.filter(request_id=request).order_by("sequence").values_list("sequence", flat=True))


def test_entries_are_sealed_once_and_in_order(sealer: Sealer) -> None:
    sealer.turn(clock.now())
    sequences = written(7)
    assert sealer.turn(clock.now()) >= 7
    assert sealer.turn(clock.now()) in (0, 1)  # a heartbeat, at most
    places = dict(AuditLeaf.objects.filter(sequence__in=sequences).values_list("sequence", "index"))
    assert sorted(places, key=places.__getitem__) == sequences
    assert AuditLeaf.objects.count() == AuditLeaf.objects.order_by("-index")[0].index + 1


def test_who_commits_late_comes_later_and_is_not_lost(sealer: Sealer) -> None:
    sealer.turn(clock.now())
    request = uuid4()
    with another_connection() as slow:
        slow.execute(log._APPEND, rows.columns_of([entry(request)]))
        later = written(3)
        for _ in range(4):
            sealer.turn(clock.now())
        assert AuditLeaf.objects.filter(sequence__in=later).count() == 3
        slow.commit()
    late = AuditRecord.objects.get(request_id=request).sequence
    assert late < min(later)
    for _ in range(4):
        sealer.turn(clock.now())
    assert AuditLeaf.objects.get(sequence=late).index > AuditLeaf.objects.get(sequence=max(later)).index


def test_what_is_in_the_tree_is_left_out_of_the_search(sealer: Sealer) -> None:
    written(5)
    for _ in range(4):
        sealer.turn(clock.now())
    newest_sequence = AuditLeaf.objects.order_by("-index")[0].sequence
    assert newest_sequence - 2 <= Sealing.objects.get(id=1).complete_to <= newest_sequence


def test_marks_of_another_clusters_transactions_are_made_again(sealer: Sealer) -> None:
    """A dump that was restored elsewhere: the ids of transactions begin anew."""
    sealer.turn(clock.now())
    Sealing.objects.filter(id=1).update(mark=1, mark_xid=10**15)
    sequences = written(3)
    for _ in range(3):
        sealer.turn(clock.now())
    assert AuditLeaf.objects.filter(sequence__in=sequences).count() == 3
    state = Sealing.objects.get(id=1)
    assert state.mark_xid is None or state.mark_xid < 10**15


def test_once_an_hour_every_entry_is_looked_at(sealer: Sealer) -> None:
    sealer.turn(clock.now())
    (stray,) = written(1)
    Sealing.objects.filter(id=1).update(complete_to=stray + 5, mark=None)
    sealer.turn(clock.now())
    assert not AuditLeaf.objects.filter(sequence=stray).exists()
    sealer.turn(clock.now() + SWEEP)
    assert AuditLeaf.objects.filter(sequence=stray).exists()


def test_many_sealers_make_one_chain(sealer: Sealer) -> None:
    sequences = written(400)

    def seal(_number: int) -> None:
        for _ in range(5):
            Sealer(keystore.deployment_id(), record_signer).turn(clock.now())

    at_once(4, seal)
    sealer.turn(clock.now())
    assert AuditLeaf.objects.filter(sequence__in=sequences).count() == 400
    size = newest().size
    assert AuditLeaf.objects.filter(index__lt=size).count() == size


def test_a_bundle_holds_and_extends_what_was_seen(sealer: Sealer, key: keystead_verify.Key, tmp_path: Path) -> None:
    written(3)
    sealer.turn(clock.now())
    old = newest()
    written(300)
    sealer.turn(clock.now())
    bundle.write(tmp_path / "all")
    found = keystead_verify.verify_bundle(tmp_path / "all", key, old)
    assert found.entries == found.checkpoint.size == newest().size
    bundle.write(tmp_path / "since", start=old.size + 10, old=old.size)
    assert keystead_verify.verify_bundle(tmp_path / "since", key, old).entries == found.entries - old.size - 10


def test_an_entry_and_growth_are_proven(sealer: Sealer, key: keystead_verify.Key) -> None:
    sealer.turn(clock.now())
    old = newest()
    (sequence,) = written(1)
    sealer.turn(clock.now())
    leaf = AuditLeaf.objects.get(sequence=sequence)
    proof = bundle.entry_proof(leaf)
    keystead_verify.verify_entry(proof, key)
    assert json.loads(str(proof["entry"]))["sequence"] == sequence
    keystead_verify.verify_consistency(bundle.consistency(old.size), key, old)
    proof["entry"] = str(proof["entry"]).replace('"outcome":"done"', '"outcome":"failed"')
    with pytest.raises(keystead_verify.DoesNotHold):
        keystead_verify.verify_entry(proof, key)


def test_subtrees_are_the_folded_leaves_whichever_level_is_kept(sealer: Sealer) -> None:
    written(600)
    sealer.turn(clock.now())
    hashes = [leaf_hash(line) for line in tree.lines(0, 512)]
    read = tree.reader()
    for level in range(10):
        assert read(level, 0) == folded(hashes[: 1 << level])
