"""What key metadata policies ask for, through the corridor: of new objects, of changes, of legacy objects in use."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.clock import clock
from kms.crypto.algorithm import CipherParameters
from kms.crypto.operation import KeyOperation
from kms.objects.legacy import Legacy
from kms.objects.metadata_policy import DateRule, MetadataPolicy, MetadataRules, Span, TextRule
from kms.objects.models import SecurityObject
from kms.objects.state import Cryptoperiod
from kms.operations.command import ObjectRef
from kms.operations.copying import CopyObject, PersistKey
from kms.operations.creation import CreateObject
from kms.operations.cryptographic import Decrypt, Encrypt
from kms.operations.errors import AccessDenied
from kms.operations.executor import execute
from kms.operations.making import ObjectTemplate
from kms.operations.rotating import ReplaceObject, RotateObject
from policies.models import GroupPolicy
from tests.kit.object_policies import app_in, police, police_account
from tests.kit.objects import GCM, encrypt, last_reason, row, update
from tests.kit.tenants import Tenant, unique

POLICY = "metadata-policy"
NEEDED = TextRule(required=True)
OWNED = MetadataPolicy(MetadataRules(custom={"owner": NEEDED}), legacy=Legacy.PROHIBITED)
OWNER = {"owner": "treasury"}
A_YEAR = DateRule(True, most=Span("days", 366), default=Span("days", 365))


def policy(rules: MetadataRules, legacy: Legacy = Legacy.ALLOWED) -> MetadataPolicy:
    return MetadataPolicy(rules, legacy=legacy)


def test_a_new_object_says_what_is_asked_or_is_not_made(tenant: Tenant) -> None:
    police(tenant, tenant.group.id, OWNED)
    with pytest.raises(AccessDenied, match="custom_metadata owner is needed"):
        tenant.key()
    assert last_reason(tenant, "object.create") == ("denied", POLICY)
    assert not SecurityObject.objects.filter(group=tenant.group).exists()
    with pytest.raises(AccessDenied):
        tenant.imported("AES", bytes(range(16)))
    tenant.key(custom_metadata=OWNER)


def test_copies_rotations_and_kept_keys_are_new_objects(tenant: Tenant) -> None:
    old = tenant.key()
    template = ObjectTemplate(None, "AES", tenant.group.id, 256, transient=True)
    police(tenant, tenant.group.id, OWNED)
    held = ObjectRef(transient=execute(tenant.alice, CreateObject(template)).transient)
    execute(tenant.app, Encrypt(held, "AES", GCM, b"data"))
    for refused in (
        CopyObject(old, ObjectTemplate(unique("copy"), "")),
        RotateObject(old, ObjectTemplate(None, "AES")),
        PersistKey(held, ObjectTemplate(unique("kept"), "AES", tenant.group.id)),
    ):
        with pytest.raises(AccessDenied):
            execute(tenant.alice, refused)
    execute(tenant.alice, CopyObject(old, ObjectTemplate(unique("copy"), "", custom_metadata=OWNER)))
    execute(tenant.alice, RotateObject(old, ObjectTemplate(None, "AES", custom_metadata=OWNER)))
    execute(
        tenant.alice, PersistKey(held, ObjectTemplate(unique("kept"), "AES", tenant.group.id, custom_metadata=OWNER))
    )


def test_a_date_nobody_gave_is_the_policys(tenant: Tenant) -> None:
    police(tenant, tenant.group.id, policy(MetadataRules(deactivation=A_YEAR)))
    made = row(tenant.key())
    assert made.deactivation_date is not None
    assert timedelta(days=364) < made.deactivation_date - made.created_at <= timedelta(days=365)
    late = Cryptoperiod(None, clock.now() + timedelta(days=400))
    with pytest.raises(AccessDenied, match="more than 366 days"):
        tenant.key(period=late)


def test_what_is_said_is_changed_only_so_that_it_complies(tenant: Tenant) -> None:
    key = tenant.key()
    police(tenant, tenant.group.id, OWNED)
    for refused in ({"description": "d"}, {"custom_metadata": {"other": "x"}}):
        with pytest.raises(AccessDenied):
            update(tenant, key, **refused)
    update(tenant, key, enabled=False, operations=frozenset({KeyOperation.ENCRYPT}))
    update(tenant, key, custom_metadata=OWNER)
    with pytest.raises(AccessDenied):
        update(tenant, key, custom_metadata={"owner": ""})
    assert row(key).custom_metadata == OWNER


def test_legacy_objects_are_used_as_the_policy_says_until_they_comply(tenant: Tenant) -> None:
    key = tenant.key()
    made = encrypt(tenant, key)
    decryption = Decrypt(key, "AES", CipherParameters("GCM", made.iv, tag=made.tag), made.ciphertext)
    encryption = Encrypt(key, "AES", GCM, b"data")
    may = {Legacy.ALLOWED: (True, True), Legacy.UNPROTECT_ONLY: (False, True), Legacy.PROHIBITED: (False, False)}
    for legacy, allowed in may.items():
        police(tenant, tenant.group.id, policy(MetadataRules(custom={"owner": NEEDED}), legacy))
        for command, expected in zip((encryption, decryption), allowed, strict=True):
            if expected:
                execute(tenant.app, command)
            else:
                with pytest.raises(AccessDenied, match="owner is needed"):
                    execute(tenant.app, command)
    update(tenant, key, custom_metadata=OWNER)
    execute(tenant.app, encryption)


def test_moving_and_taking_a_place_are_judged(tenant: Tenant) -> None:
    other = tenant.new_group()
    app = app_in(tenant, tenant.group, other)
    key, second = tenant.key(), tenant.key(custom_metadata={"owner": "x"})
    police(tenant, other.id, OWNED)
    with pytest.raises(AccessDenied):
        update(tenant, key, group=other.id)
    update(tenant, second, group=other.id)
    execute(app, Encrypt(second, "AES", GCM, b"data"))
    police(tenant, tenant.group.id, policy(MetadataRules(custom={"owner": TextRule(required=False)})))
    third = tenant.key()
    with pytest.raises(AccessDenied, match="owner must not be set"):
        execute(tenant.alice, ReplaceObject(second, unique("old"), third))


def test_the_account_and_the_group_both_ask(tenant: Tenant) -> None:
    police_account(tenant, policy(MetadataRules(description=NEEDED)))
    police(tenant, tenant.group.id, OWNED)
    for lacking in ({"description": "d"}, {"custom_metadata": OWNER}):
        with pytest.raises(AccessDenied):
            tenant.key(**lacking)
    tenant.key(description="d", custom_metadata=OWNER)


def test_a_row_that_does_not_read_is_met_by_nothing(tenant: Tenant) -> None:
    key = tenant.key()
    GroupPolicy.objects.create(group=tenant.group, account_id=tenant.account.id, metadata={"base": {"nonsense": 1}})
    with pytest.raises(AccessDenied):
        tenant.key()
    with pytest.raises(AccessDenied):
        execute(tenant.app, Encrypt(key, "AES", GCM, b"data"))
