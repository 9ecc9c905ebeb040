"""What tests of derived, agreed and inspected keys share: templates, shorthands, the record's last entry."""

from __future__ import annotations

from typing import Any

from kms.audit.models import AuditRecord
from kms.crypto.operation import KeyOperation
from kms.objects.models import SecurityObject
from kms.operations.command import ObjectRef
from kms.operations.derivation import DeriveKey, Mechanism
from kms.operations.executor import execute
from kms.operations.lifecycle import ExportObject
from kms.operations.making import ObjectTemplate
from kms.operations.managed_object import ObjectView
from tests.kit.tenants import Tenant, unique


def template(tenant: Tenant, kind: str = "SECRET", **fields: Any) -> ObjectTemplate:
    operations = fields.pop("operations", ["export"])
    return ObjectTemplate(
        fields.pop("name", None) or unique("derived"),
        kind,
        fields.pop("group", tenant.group.id),
        operations=None if operations is None else frozenset(map(KeyOperation, operations)),
        **fields,
    )


def derive(tenant: Tenant, key: ObjectRef, mechanism: Mechanism, kind: str = "SECRET", **fields: Any) -> ObjectView:
    view: ObjectView = execute(tenant.app, DeriveKey(key, mechanism, template(tenant, kind, **fields)))
    return view


def value_of(tenant: Tenant, view: ObjectView) -> bytes:
    found = execute(tenant.app, ExportObject(ObjectRef(id=view.row.id)))
    value: bytes = found.value.reveal()
    return value


def row_of(ref: ObjectRef) -> SecurityObject:
    return SecurityObject.objects.get(id=str(ref.id))


def last_entry(tenant: Tenant, action: str) -> AuditRecord:
    found = AuditRecord.objects.filter(account_id=tenant.account.id, action=action).order_by("-sequence").first()
    assert found is not None
    return found


def ref(view: ObjectView) -> ObjectRef:
    return ObjectRef(id=view.row.id) if view.transient is None else ObjectRef(transient=view.transient)
