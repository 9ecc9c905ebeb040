"""Rows changed behind our back: whatever shapes a key or its limits is bound to the blob, which then does not open."""

from __future__ import annotations

import base64
import contextlib
import itertools
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from kms.audit.models import AuditRecord
from kms.crypto.algorithm import CipherParameters, SignatureParameters
from kms.crypto.options import CipherOptions, ExportRule, KeyOptions, PaddingRule, RsaOptions
from kms.hsm.errors import BlobRejected, MechanismRefused
from kms.objects.state import KeyState
from kms.operations.command import Command, ObjectRef
from kms.operations.copying import CopyObject
from kms.operations.cryptographic import Encrypt, GenerateMac, Sign, WrapKey
from kms.operations.errors import EXPECTED
from kms.operations.executor import execute
from kms.operations.lifecycle import ExportObject
from kms.operations.making import ObjectTemplate
from tests.kit.http import serving
from tests.kit.objects import GCM, bring, by_sql, encrypt, last_entry, ops, row, update
from tests.kit.tenants import Tenant, new_tenant, unique

SHA256 = SignatureParameters("SHA256", "PKCS1_V15")
WRAPPED = KeyOptions(export=ExportRule(wrapped=True))
NAMED = KeyOptions(export=ExportRule(wrapped=True, by=(str(UUID(int=1)),)))
GCM_ONLY = KeyOptions(cipher=CipherOptions(mode="GCM", tag_bits=128))
PSS_ONLY = KeyOptions(rsa=RsaOptions(signature=(PaddingRule("PSS"),)))
FREE: dict[str, Any] = {"options": {}}
# What is edited -> the object, the edit, and a use that the edit would allow or spoil.
Edit = tuple[Callable[[Tenant], ObjectRef], dict[str, Any], Callable[[ObjectRef], Command]]
EDITS: dict[str, Edit] = {
    "export policy removed": (
        lambda t: t.key(operations=["encrypt", "export"], options=WRAPPED),
        FREE,
        ExportObject,
    ),
    "export policy widened": (
        lambda t: t.key(operations=["wrap", "export"], options=NAMED),
        {"options": WRAPPED.stored()},
        lambda key: WrapKey(key, key, "AES", CipherParameters("KWP")),
    ),
    "mode removed": (
        lambda t: t.key(operations=["encrypt"], options=GCM_ONLY),
        FREE,
        lambda key: Encrypt(key, "AES", CipherParameters("CBC"), b"data"),
    ),
    "padding rule removed": (
        lambda t: t.key("RSA", size=2048, operations=["sign"], options=PSS_ONLY),
        FREE,
        lambda key: Sign(key, SHA256, data=b"data"),
    ),
    "operation added": (
        lambda t: t.key(operations=["encrypt"]),
        {"operations": ["encrypt", "mac-generate"]},
        lambda key: GenerateMac(key, None, b"data"),
    ),
    "operation removed": (
        lambda t: t.key(operations=["encrypt", "decrypt"]),
        {"operations": ["encrypt"]},
        lambda key: Encrypt(key, "AES", GCM, b"data"),
    ),
    "version": (
        lambda t: t.key(operations=["encrypt"]),
        {"version": 2},
        lambda key: Encrypt(key, "AES", GCM, b"data"),
    ),
    "size": (
        lambda t: t.key(size=128, operations=["encrypt"]),
        {"size": 256},
        lambda key: Encrypt(key, "AES", GCM, b"data"),
    ),
    "kind": (
        lambda t: t.key(operations=["mac-generate"]),
        {"kind": "HMAC"},
        lambda key: GenerateMac(key, "SHA256", b"data"),
    ),
    "curve": (
        lambda t: t.key("EC", curve="NistP256", operations=["sign"]),
        {"curve": "SecP256K1"},
        lambda key: Sign(key, SignatureParameters("SHA256"), data=b"data"),
    ),
}


@pytest.mark.parametrize("label", EDITS)
@pytest.mark.parametrize("used_before", [False, True])
def test_an_edited_row_does_not_open_and_the_attempt_is_recorded(tenant: Tenant, label: str, used_before: bool) -> None:
    """Also when the token holds the key open already."""
    make, edit, use = EDITS[label]
    key = make(tenant)
    if used_before:
        with contextlib.suppress(*EXPECTED):  # some of these are what the edit is to allow
            execute(tenant.app, use(key))
    by_sql(key, **edit)
    with pytest.raises(BlobRejected):
        execute(tenant.app, use(key))
    entry = AuditRecord.objects.filter(account_id=tenant.account.id).latest("sequence")
    assert (entry.outcome, entry.reason, entry.object_id) == ("failed", "integrity-failure", key.id)


@pytest.mark.parametrize(("made", "level"), [*itertools.permutations(["token", "sealed", "software"], 2)])
def test_the_protection_level_in_the_row_opens_nothing_that_the_blob_keeps_shut(
    tenant: Tenant, made: str, level: str
) -> None:
    """It is a label: the kind of blob says what may be done with it."""
    if made == "software":
        key = tenant.imported("SECRET", b"canary", operations=[])
    else:
        key = tenant.key(operations=["encrypt", *(["export"] if made == "sealed" else [])])
    assert row(key).protection == made
    by_sql(key, protection=level)
    if made != "sealed":
        by_sql(key, operations=sorted({*row(key).operations, "export"}))
    with pytest.raises((BlobRejected, MechanismRefused)):
        execute(tenant.app, ExportObject(key))


def test_a_row_moved_to_another_account_opens_neither_there_nor_for_a_copy(tenant: Tenant) -> None:
    other = new_tenant()
    key = other.key(operations=["encrypt", "export"])
    by_sql(key, account_id=tenant.account.id, group_id=tenant.group.id)
    for command in (Encrypt(key, "AES", GCM, b""), ExportObject(key)):
        with pytest.raises(BlobRejected):
            execute(tenant.app, command)
    with pytest.raises(BlobRejected):
        execute(tenant.app, CopyObject(key, ObjectTemplate(unique("copy"), "")))


def test_a_blob_that_was_put_back_does_not_open_in_the_row_as_it_is_now(tenant: Tenant) -> None:
    """The blob from before EXPORT was given up, as an old backup has it."""
    key = tenant.key(operations=["encrypt", "export"])
    before = bytes(row(key).blob)
    update(tenant, key, operations=ops("encrypt"))
    by_sql(key, blob=before)
    with pytest.raises(BlobRejected):
        encrypt(tenant, key)
    by_sql(key, operations=["encrypt", "export"], protection="sealed")
    with pytest.raises(BlobRejected):
        execute(tenant.app, ExportObject(key))


def test_a_destroyed_key_called_active_has_nothing_to_open(tenant: Tenant) -> None:
    key = tenant.key(pre_active=True)
    by_sql(key, state="active")
    encrypt(tenant, key)
    by_sql(key, state="pre-active")
    bring(tenant, key, KeyState.DESTROYED)
    by_sql(key, state="active", version=1, deactivation_date=None)
    with pytest.raises(BlobRejected):
        encrypt(tenant, key)


def test_an_edited_row_is_a_409_that_says_no_more(tenant: Tenant) -> None:
    from kms.config.asgi import application

    key = tenant.key(operations=["encrypt"])
    by_sql(key, operations=["decrypt", "encrypt"])
    body = {"key": {"kid": str(key.id)}, "alg": "AES", "mode": "GCM", "plain": base64.b64encode(b"x").decode()}
    with serving(application) as client:
        answer: httpx.Response = client.post("/crypto/v1/encrypt", json=body, auth=tenant.api_key())
    assert answer.status_code == 409
    assert answer.text == "The stored key does not match its record; it is not used"
    assert last_entry(tenant, "object.encrypt").reason == "integrity-failure"
