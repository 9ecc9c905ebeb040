"""What tests do with security objects, through the corridor or, where it says so, behind its back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from kms.audit.models import AuditRecord
from kms.crypto.algorithm import CipherParameters, Encrypted
from kms.crypto.operation import KeyOperation
from kms.objects.models import HistoryItem, SecurityObject
from kms.objects.revocation import Revocation, RevocationCode
from kms.objects.state import KeyState
from kms.operations.command import ObjectRef
from kms.operations.cryptographic import Decrypt, Encrypt
from kms.operations.executor import execute
from kms.operations.groups import UpdateGroup
from kms.operations.history import RevertObject
from kms.operations.lifecycle import ActivateObject, DeleteObject, DestroyObject, ExportObject, RevokeObject
from kms.operations.managed_object import ObjectView, state_of
from kms.operations.queries import GetObject
from kms.operations.updating import UpdateObject
from tests.kit.tenants import Tenant

GCM = CipherParameters("GCM")
SUPERSEDED = Revocation(RevocationCode.SUPERSEDED)
COMPROMISED = Revocation(RevocationCode.KEY_COMPROMISE, "found on a laptop")
HOUR = 3600

# The commands that bring an object that was made pre-active to each state.
WAYS: dict[KeyState, tuple[Any, ...]] = {
    KeyState.PRE_ACTIVE: (),
    KeyState.ACTIVE: (ActivateObject,),
    KeyState.DEACTIVATED: (ActivateObject, SUPERSEDED),
    KeyState.COMPROMISED: (ActivateObject, COMPROMISED),
    KeyState.DESTROYED: (ActivateObject, SUPERSEDED, DestroyObject),
    KeyState.DELETED: (ActivateObject, DeleteObject),
}


def ops(*names: str) -> frozenset[KeyOperation]:
    return frozenset(map(KeyOperation, names))


def ref_of(view: ObjectView) -> ObjectRef:
    return ObjectRef(id=view.row.id)


def id_of(key: ObjectRef) -> UUID:
    assert key.id is not None
    return key.id


def row(key: ObjectRef) -> SecurityObject:
    return SecurityObject.objects.get(id=id_of(key))


def by_sql(key: ObjectRef, **fields: Any) -> None:
    """Behind the corridor's back."""
    assert SecurityObject.objects.filter(id=id_of(key)).update(**fields) == 1


def state(key: ObjectRef) -> KeyState:
    from accounts.clock import clock

    return state_of(row(key), clock.now())


def bring(tenant: Tenant, key: ObjectRef, to: KeyState) -> ObjectRef:
    """From pre-active to a state, by commands."""
    for step in WAYS[to]:
        execute(tenant.alice, RevokeObject(key, step) if isinstance(step, Revocation) else step(key))
    return key


def encrypt(tenant: Tenant, key: ObjectRef, data: bytes = b"data") -> Encrypted:
    result: Encrypted = execute(tenant.app, Encrypt(key, "AES", GCM, data)).value
    return result


def decrypt(tenant: Tenant, key: ObjectRef, made: Encrypted) -> bytes:
    parameters = CipherParameters("GCM", made.iv, tag=made.tag)
    result: bytes = execute(tenant.app, Decrypt(key, "AES", parameters, made.ciphertext)).value
    return result


def export(tenant: Tenant, key: ObjectRef) -> bytes:
    view: ObjectView = execute(tenant.app, ExportObject(key))
    assert view.value is not None
    return view.value.reveal()


def update(tenant: Tenant, key: ObjectRef, **fields: Any) -> ObjectView:
    view: ObjectView = execute(tenant.alice, UpdateObject(key, **fields))
    return view


def shown(tenant: Tenant, key: ObjectRef, *, deleted: bool = False) -> ObjectView:
    view: ObjectView = execute(tenant.alice, GetObject(key, deleted=deleted))
    return view


def undo_window(tenant: Tenant, seconds: int = HOUR) -> None:
    """An undo policy for the tenant's group."""
    execute(tenant.alice, UpdateGroup(tenant.group.id, undo_seconds=seconds))


def kept(key: ObjectRef) -> list[HistoryItem]:
    """Oldest first; what is in the table, in time or not."""
    return list(HistoryItem.objects.filter(object_id=id_of(key)).order_by("created_at"))


def revert(tenant: Tenant, key: ObjectRef, items: Iterable[HistoryItem]) -> None:
    execute(tenant.alice, RevertObject(key, tuple(item.id for item in items)))


def last_entry(tenant: Tenant, action: str) -> AuditRecord:
    return AuditRecord.objects.filter(account_id=tenant.account.id, action=action).latest("sequence")


def last_reason(tenant: Tenant, action: str) -> tuple[str, str]:
    found = last_entry(tenant, action)
    return found.outcome, found.reason
