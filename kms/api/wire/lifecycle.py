"""/crypto/v1/keys: what moves an object through its life, on the wire."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from kms.api.wire.base import Descriptor, Endpoint, Request, WireCall, WireError, nothing, path_id, ref_of, unsupported
from kms.api.wire.object_history import WireRevocation, revocation
from kms.api.wire.object_options import CIPHER_FIELDS
from kms.api.wire.objects import SobjectRequest, checked_name, refuse_unsupported, template_of
from kms.api.wire.sobject import sobject
from kms.operations.command import ObjectRef
from kms.operations.history import RevertObject
from kms.operations.lifecycle import ActivateObject, DeleteObject, DestroyObject, RemovePrivateKey, RevokeObject
from kms.operations.rotating import ReplaceObject, RotateObject
from kms.secret import SecretBytes


class RevertRequest(Request):
    ids: list[UUID]


class RekeyRequest(SobjectRequest):
    deactivate_rotated_key: bool | None = None


class ReplaceRequest(Request):
    replaced: Descriptor
    replaced_new_name: str
    replacement: Descriptor


def _by_path(command: Any) -> Any:
    def to_command(call: WireCall) -> Any:
        return command(ObjectRef(id=path_id(call, "key_id")))

    return to_command


def _revoke(call: WireCall) -> RevokeObject:
    return RevokeObject(ObjectRef(id=path_id(call, "key_id")), revocation(call.body))


def _revert(call: WireCall) -> RevertObject:
    if not call.body.ids:
        raise WireError("Invalid request: ids names the history items to go back to")
    return RevertObject(ObjectRef(id=path_id(call, "key_id")), tuple(call.body.ids))


def _rekey(call: WireCall) -> RotateObject:
    """The key to rotate is named by ``name``; what the request leaves open, the new key takes from it."""
    body: RekeyRequest = call.body
    refuse_unsupported(body)
    unsupported(transient=body.transient or None, aria=body.aria)
    if not body.name:
        raise WireError("Invalid request: name is needed: that of the object to rotate")
    if body.kcv is not None and body.value is None:
        raise WireError("Invalid request: kcv goes with a value")
    stated = {
        "enabled": body.enabled is not None,
        "state": body.state is not None,
        "rotation": body.rotation_policy is not msgspec.UNSET,
    }
    return RotateObject(
        key=ObjectRef(name=body.name),
        changes=template_of(body, kind=body.obj_type or _implied_kind(body)),
        material=None if body.value is None else SecretBytes(body.value),
        deactivate=bool(body.deactivate_rotated_key),
        stated=frozenset(name for name, said in stated.items() if said),
    )


def _implied_kind(body: RekeyRequest) -> str:
    """Options of one cipher say what kind the key is; the corridor compares it with the key's own."""
    given = [kind for kind, field in CIPHER_FIELDS.items() if getattr(body, field) is not None]
    return given[0] if len(given) == 1 else ""


def _replace(call: WireCall) -> ReplaceObject:
    new_name = checked_name(call.body.replaced_new_name) or ""
    return ReplaceObject(ref_of(call.body.replaced), new_name, ref_of(call.body.replacement))


_KEYS = "/crypto/v1/keys"
_ONE = _KEYS + "/{key_id}"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("DeleteSobject", "DELETE", _ONE, _by_path(DeleteObject), nothing, status=204),
    Endpoint("ActivateSobject", "POST", f"{_ONE}/activate", _by_path(ActivateObject), nothing, status=204),
    Endpoint("RevokeSobject", "POST", f"{_ONE}/revoke", _revoke, nothing, body=WireRevocation, status=204),
    Endpoint("DestroySobject", "POST", f"{_ONE}/destroy", _by_path(DestroyObject), nothing, status=204),
    Endpoint("RemovePrivate", "DELETE", f"{_ONE}/private", _by_path(RemovePrivateKey), nothing, status=204),
    Endpoint("RevertPrevKeyOp", "PUT", f"{_ONE}/revert", _revert, nothing, body=RevertRequest, status=204),
    Endpoint("RotateSobject", "POST", f"{_KEYS}/rekey", _rekey, sobject, body=RekeyRequest, status=201),
    Endpoint("ReplaceSobject", "POST", f"{_KEYS}/replace", _replace, nothing, body=ReplaceRequest, status=204),
)
