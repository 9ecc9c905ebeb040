"""The operator of the host lets a lost person in again, on the record; nobody on the network can."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command

from accounts.models import FidoCredential, RecoveryCode, Session, TotpDevice
from accounts.principal import ANONYMOUS
from kms.audit.models import AuditRecord
from kms.operations.errors import AccessDenied
from kms.operations.executor import execute
from kms.operations.rescue import ForgetFactors, UnblockUser
from policies.facts import factors_owned
from tests.kit.tenants import Tenant, unique


def enrol(tenant: Tenant) -> None:
    user = tenant.users["administrator"]
    TotpDevice.objects.create(user=user, name="phone", key_sealed=b"sealed", confirmed=True)
    FidoCredential.objects.create(
        user=user, name="key", protocol="fido2", credential_id=unique("id").encode(), public_key=b"cose"
    )
    RecoveryCode.objects.create(user=user, digest=unique("code").encode()[:32])


def test_all_factors_and_codes_go_sessions_end_and_it_is_on_the_record(tenant: Tenant) -> None:
    enrol(tenant)
    user, said = tenant.users["administrator"], io.StringIO()
    call_command("forget_factors", user.email.upper(), stdout=said)
    assert said.getvalue() == "Second factors removed: 2. The next login needs the password alone.\n"
    assert factors_owned(user.id) == frozenset()
    assert not RecoveryCode.objects.filter(user=user).exists()
    assert not Session.objects.filter(user=user, terminated_at__isnull=True).exists()
    entry = AuditRecord.objects.filter(action="user.forget-factors", object_id=user.id).get()
    assert (entry.actor_kind, entry.outcome, entry.details["items"]) == ("system", "done", 2)


def test_nobody_is_told_so() -> None:
    with pytest.raises(CommandError, match="No user has this"):
        call_command("forget_factors", "nobody-at-all@example.org")


@pytest.mark.parametrize("command", [ForgetFactors, UnblockUser])
def test_whoever_is_not_on_the_host_is_refused(tenant: Tenant, command: type[ForgetFactors | UnblockUser]) -> None:
    enrol(tenant)
    email = tenant.users["administrator"].email
    for who in (tenant.alice, tenant.app, ANONYMOUS, replace(tenant.alice, account=None)):
        with pytest.raises(AccessDenied):
            execute(who, command(email))
    assert factors_owned(tenant.alice.id)
