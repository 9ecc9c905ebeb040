"""A record that was set back or rewritten is not served; a new epoch goes on, and every auditor sees it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kms.audit import keystead_verify
from kms.audit import trust as trusting
from kms.audit.checkpoint import Checkpoint
from kms.audit.errors import RecordUntrusted
from kms.audit.merkle import range_hash
from kms.audit.models import AuditRecord, Sealing
from kms.audit.sealer import origin
from kms.audit.tree import reader
from kms.audit.trust import packed, trust
from kms.objects import keystore
from kms.operations import health
from kms.operations.accounts import GetAccount
from kms.operations.epochs import Opened, OpenEpoch
from kms.operations.executor import execute
from kms.operations.rescue import host
from kms.operations.sealing import SealingTurns, remember
from tests.audit.test_sealing import written
from tests.kit.tenants import Tenant


@pytest.fixture(autouse=True)
def _trusted_again() -> Iterator[None]:
    yield
    keystore.module().keep(packed(here(Sealing.objects.get(id=1).size)))
    trust.reason = None


def here(size: int, epoch: int = 0) -> Checkpoint:
    """What the rows say of their first entries."""
    epoch = epoch or Sealing.objects.get(id=1).epoch
    return Checkpoint(origin(keystore.deployment_id(), epoch), size, range_hash(reader(), 0, size))


def sealed() -> int:
    turns = SealingTurns()
    trust.reason = None
    written(20)
    turns.turn()
    return Sealing.objects.get(id=1).size


def test_the_token_remembers_the_newest_and_nothing_older(tenant: Tenant) -> None:
    size = sealed()
    assert trusting.last_known(keystore.module().recall) == here(size)
    remember(here(size - 5))
    assert trusting.last_known(keystore.module().recall) == here(size)


def test_a_record_that_grew_is_ours() -> None:
    size = sealed()
    keystore.module().keep(packed(here(size - 7)))
    SealingTurns().turn()
    assert trust.reason is None


WRONG = {
    "more entries than there are": lambda size: Checkpoint(here(1).origin, size + 1, bytes(32)),
    "another past": lambda size: Checkpoint(here(1).origin, size - 3, bytes(32)),
    "a later epoch": lambda size: here(size - 3, epoch=Sealing.objects.get(id=1).epoch + 1),
}


@pytest.mark.parametrize("known", WRONG)
def test_another_record_is_not_served_until_an_epoch_is_opened(tenant: Tenant, known: str) -> None:
    size = sealed()
    keystore.module().keep(packed(WRONG[known](size)))
    turns = SealingTurns()
    turns.turn()
    before = AuditRecord.objects.count()
    for call in (lambda: execute(tenant.alice, GetAccount(tenant.account.id)), health.check):
        with pytest.raises(RecordUntrusted, match=r"set back|rewritten"):
            call()
    assert AuditRecord.objects.count() == before
    assert Sealing.objects.get(id=1).size == size

    trust.reason = None  # the host's commands run in a process of their own
    opened: Opened = execute(host(), OpenEpoch())
    trust.reason = "as the serving process has it"
    turns.turn()
    assert trust.reason is None
    execute(tenant.alice, GetAccount(tenant.account.id))
    assert Sealing.objects.get(id=1).epoch == opened.epoch > 1


def test_nothing_is_served_before_the_first_comparison(tenant: Tenant) -> None:
    SealingTurns()
    with pytest.raises(RecordUntrusted):
        execute(tenant.alice, GetAccount(tenant.account.id))


def test_an_auditor_sees_that_an_epoch_was_opened() -> None:
    size = sealed()
    old, new = here(size), here(size, epoch=7)
    with pytest.raises(keystead_verify.DoesNotHold, match="two logs"):
        keystead_verify.check_consistency(
            keystead_verify.Checkpoint(old.origin, old.size, old.root),
            keystead_verify.Checkpoint(new.origin, new.size, new.root),
            [],
        )
