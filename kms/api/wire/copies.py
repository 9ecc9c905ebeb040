"""/crypto/v1/keys/copy and /persist on the wire."""

from __future__ import annotations

from kms.api.wire.base import Descriptor, Endpoint, WireCall, WireError, ref_of, unsupported
from kms.api.wire.objects import ObjectAttributes, SobjectRequest, attributes_of, refuse_unsupported, template_of
from kms.api.wire.sobject import sobject
from kms.operations.command import ObjectRef
from kms.operations.copying import CopyObject, PersistKey


class CopySobjectRequest(SobjectRequest, kw_only=True):
    key: Descriptor


class PersistTransientKeyRequest(ObjectAttributes, kw_only=True):
    """``key_ops`` is the older clients': an operation may be given up, none is gained."""

    transient_key: bytes


def _copy(call: WireCall) -> CopyObject:
    body: CopySobjectRequest = call.body
    refuse_unsupported(body)
    unsupported(value=body.value)
    return CopyObject(ref_of(body.key), template_of(body, kind=body.obj_type or ""))


def _persist(call: WireCall) -> PersistKey:
    body: PersistTransientKeyRequest = call.body
    unsupported(transient=body.transient or None)
    if not body.transient_key:
        raise WireError("Invalid request: transient_key is empty")
    return PersistKey(ObjectRef(transient=body.transient_key), attributes_of(body, kind=""))


_KEYS = "/crypto/v1/keys"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("CopySobject", "POST", f"{_KEYS}/copy", _copy, sobject, body=CopySobjectRequest, status=201),
    Endpoint(
        "PersistTransientKey",
        "POST",
        f"{_KEYS}/persist",
        _persist,
        sobject,
        body=PersistTransientKeyRequest,
        status=201,
    ),
)
