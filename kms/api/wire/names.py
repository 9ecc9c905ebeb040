"""The vendor's words beside the house's, as tables. Both ways are derived, so they cannot disagree."""

from __future__ import annotations

from kms.api.wire.base import WireError
from kms.crypto.operation import KeyOperation
from kms.objects.state import KeyState
from kms.operations.check_value import CMAC, ENCRYPT
from policies.permissions import Permission

OPERATIONS = {
    "SIGN": KeyOperation.SIGN,
    "VERIFY": KeyOperation.VERIFY,
    "ENCRYPT": KeyOperation.ENCRYPT,
    "DECRYPT": KeyOperation.DECRYPT,
    "WRAPKEY": KeyOperation.WRAP,
    "UNWRAPKEY": KeyOperation.UNWRAP,
    "DERIVEKEY": KeyOperation.DERIVE,
    "TRANSFORM": KeyOperation.TRANSFORM,
    "MACGENERATE": KeyOperation.MAC_GENERATE,
    "MACVERIFY": KeyOperation.MAC_VERIFY,
    "EXPORT": KeyOperation.EXPORT,
    "APPMANAGEABLE": KeyOperation.APP_MANAGEABLE,
    "HIGHVOLUME": KeyOperation.HIGH_VOLUME,
    "AGREEKEY": KeyOperation.AGREE,
    "ENCAPSULATE": KeyOperation.ENCAPSULATE,
    "DECAPSULATE": KeyOperation.DECAPSULATE,
}
STATES = {
    "PreActive": KeyState.PRE_ACTIVE,
    "Active": KeyState.ACTIVE,
    "Deactivated": KeyState.DEACTIVATED,
    "Compromised": KeyState.COMPROMISED,
    "Destroyed": KeyState.DESTROYED,
    "Deleted": KeyState.DELETED,
}
APP_PERMISSIONS = {
    "SIGN": Permission.OBJECT_SIGN,
    "VERIFY": Permission.OBJECT_VERIFY,
    "ENCRYPT": Permission.OBJECT_ENCRYPT,
    "DECRYPT": Permission.OBJECT_DECRYPT,
    "WRAPKEY": Permission.OBJECT_WRAP,
    "UNWRAPKEY": Permission.OBJECT_UNWRAP,
    "DERIVEKEY": Permission.OBJECT_DERIVE,
    "MACGENERATE": Permission.OBJECT_MAC_GENERATE,
    "MACVERIFY": Permission.OBJECT_MAC_VERIFY,
    "EXPORT": Permission.OBJECT_EXPORT,
    "MANAGE": Permission.OBJECT_MANAGE,
    "AGREEKEY": Permission.OBJECT_AGREE,
    "MASKDECRYPT": Permission.OBJECT_MASK_DECRYPT,
    "AUDIT": Permission.AUDIT_READ,
    "TRANSFORM": Permission.OBJECT_TRANSFORM,
    "CREATE_SOBJECTS": Permission.OBJECT_CREATE,
    "COPY_SOBJECTS": Permission.OBJECT_COPY,
    "ROTATE_SOBJECTS": Permission.OBJECT_ROTATE,
    "ACTIVATE_SOBJECTS": Permission.OBJECT_ACTIVATE,
    "REVOKE_SOBJECTS": Permission.OBJECT_REVOKE,
    "REVERT_SOBJECTS": Permission.OBJECT_REVERT,
    "MOVE_SOBJECTS": Permission.OBJECT_MOVE,
    "UPDATE_SOBJECTS_PROFILE": Permission.OBJECT_UPDATE,
    "UPDATE_SOBJECTS_ENABLED_STATE": Permission.OBJECT_UPDATE_STATE,
    "UPDATE_SOBJECT_POLICIES": Permission.OBJECT_UPDATE_POLICIES,
    "UPDATE_KEY_OPS": Permission.OBJECT_UPDATE_OPERATIONS,
    "DELETE_KEY_MATERIAL": Permission.OBJECT_DELETE_MATERIAL,
    "DELETE_SOBJECTS": Permission.OBJECT_DELETE,
    "DESTROY_SOBJECTS": Permission.OBJECT_DESTROY,
    "RESTORE_EXTERNAL_SOBJECTS": Permission.OBJECT_RESTORE,
    "CALCULATE_DIGEST": Permission.OBJECT_CALCULATE_DIGEST,
    "ENCAPSULATE": Permission.OBJECT_ENCAPSULATE,
    "DECAPSULATE": Permission.OBJECT_DECAPSULATE,
}
# What an app gets in a group when the client only names the group: the vendor's list from before fine permissions.
LEGACY_APP_PERMISSIONS = frozenset(
    APP_PERMISSIONS[name]
    for name in [
        "SIGN",
        "VERIFY",
        "ENCRYPT",
        "DECRYPT",
        "WRAPKEY",
        "UNWRAPKEY",
        "DERIVEKEY",
        "MACGENERATE",
        "MACVERIFY",
        "EXPORT",
        "MANAGE",
        "AGREEKEY",
        "AUDIT",
    ]
)
ACCOUNT_ROLES = {"ACCOUNTADMINISTRATOR": "administrator", "ACCOUNTMEMBER": "member", "ACCOUNTAUDITOR": "auditor"}
GROUP_ROLES = {"GROUPADMINISTRATOR": "administrator", "GROUPAUDITOR": "auditor"}
CHECK_VALUE_METHODS = {"Encrypt": ENCRYPT, "Cmac": CMAC}

WIRE_OPERATION = {operation: name for name, operation in OPERATIONS.items()}
WIRE_STATE = {state: name for name, state in STATES.items()}
WIRE_APP_PERMISSION = {permission: name for name, permission in APP_PERMISSIONS.items()}
WIRE_ACCOUNT_ROLE = {role: name for name, role in ACCOUNT_ROLES.items()}
WIRE_GROUP_ROLE = {role: name for name, role in GROUP_ROLES.items()}


def operations_of(names: list[str] | None) -> frozenset[KeyOperation] | None:
    if names is None:
        return None
    unknown = sorted(set(names) - OPERATIONS.keys())
    if unknown:
        raise WireError(f"Invalid request: unknown key_ops (known are {', '.join(OPERATIONS)})")
    return frozenset(OPERATIONS[name] for name in names)


def wire_operations(operations: list[str]) -> list[str]:
    """In the vendor's order, which clients print."""
    held = set(operations)
    return [name for name, operation in OPERATIONS.items() if operation in held]


def check_value_method(name: str | None) -> str | None:
    if name is None:
        return None
    if name not in CHECK_VALUE_METHODS:
        raise WireError(f"Invalid request: kcv_method is one of {', '.join(CHECK_VALUE_METHODS)}")
    return CHECK_VALUE_METHODS[name]
