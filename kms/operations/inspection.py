"""What can be told of a key without using it: its check value, and the hash of its value. All on the data plane.

It must not know rows, the wire or HTTP.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kms.audit.entry import Category, Detail
from kms.crypto import digest as hashing
from kms.crypto import kdf
from kms.crypto.algorithm import LentKey, token_key
from kms.crypto.algorithms.block_cipher import CHECK_VALUE_BYTES
from kms.crypto.asymmetric import traditional_der
from kms.crypto.errors import ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.crypto.registry import algorithm_of
from kms.hsm.module import Usage
from kms.objects import keystore
from kms.objects.snapshot import ObjectSnapshot
from kms.objects.state import effective_state
from kms.objects.usage import Handling, handling_refusal
from kms.operations import check_value
from kms.operations.command import Call, Command, ObjectNeed, ObjectRef, Operation, Plane, Resolved
from kms.operations.cryptographic import Keyed
from kms.operations.errors import InvalidRequest
from kms.secret import SecretBytes
from policies.decision import Forbid, Target
from policies.permissions import Permission

# People choose these, and a hash lets anyone who has it try out what they chose.
_GUESSABLE = frozenset({"SECRET", "OPAQUE"})
_HEX = frozenset("0123456789ABCDEF")


@dataclass(frozen=True, slots=True)
class GetCheckValue(Command):
    """``method`` is one of check_value's."""

    key: ObjectRef
    method: str = check_value.ENCRYPT


@dataclass(frozen=True, slots=True)
class VerifyCheckValue(Command):
    """Whether material that the caller has is the key of this check value. Nothing of it is kept."""

    kind: str
    material: SecretBytes
    expected: str
    method: str = check_value.ENCRYPT


@dataclass(frozen=True, slots=True)
class DigestObject(Command):
    """The hash of the object's value, as an export would give it."""

    key: ObjectRef
    hash: str


def get_check_value(call: Call, command: GetCheckValue, key: ObjectSnapshot) -> Keyed:
    _check_has_value(key.kind)
    opened = keystore.open_key(call.grants[-1], key, check_value.USAGES[command.method])
    return Keyed(key, check_value.compute(key.kind, opened, command.method))


def verify_check_value(call: Call, command: VerifyCheckValue, _payload: None) -> bool:
    _check_has_value(command.kind)
    expected = command.expected.upper()
    if len(expected) != 2 * CHECK_VALUE_BYTES or not _HEX.issuperset(expected):
        raise ParameterInvalid(f"kcv is {2 * CHECK_VALUE_BYTES} hexadecimal digits")
    found = algorithm_of(command.kind).describe(command.material, size=None, curve=None)
    actual = check_value.compute(command.kind, LentKey(found.spec, found.material), command.method)
    valid = hmac.compare_digest(actual.encode(), expected.encode())
    call.details["result"] = valid
    return valid


def digest_object(call: Call, command: DigestObject, key: ObjectSnapshot) -> Keyed:
    """Of the value that an export gives, or in the token of a symmetric key that stays there.

    The vendor hashes exportable objects only. Keys in the token are no less safe for it: nobody finds a key of 112 bits
    and more from its hash.
    """
    grant, asymmetric = call.grants[-1], algorithm_of(key.kind).asymmetric
    if key.public_only or KeyOperation.EXPORT in key.usable.operations:
        return Keyed(key, _digest(command.hash, key.kind, keystore.lend(grant, key)))
    if asymmetric:
        raise InvalidRequest("A private key is hashed only if it may be exported, as its value is an encoding of many")
    if key.kind in _GUESSABLE:
        raise InvalidRequest(
            f"{key.kind} objects that may not be exported are not hashed: their value could be guessed"
        )
    if key.protection != keystore.TOKEN:
        return Keyed(key, _digest(command.hash, key.kind, keystore.lend(grant, key)))
    usage = Usage.MAC if key.kind == "HMAC" else Usage.ENCRYPT | Usage.DECRYPT
    return Keyed(key, kdf.digest_inside(command.hash, token_key(keystore.open_key(grant, key, usage))))


def _digest(hash_name: str, kind: str, material: SecretBytes) -> bytes:
    return hashing.digest(hash_name, (traditional_der(material) if kind in ("RSA", "EC") else material).reveal())


def _check_has_value(kind: str) -> None:
    if not check_value.has_check_value(kind):
        raise InvalidRequest(f"{kind} objects have no key check value")


def _resolve(permission: Permission) -> Any:
    """An object in a state in which it may be looked at."""

    def resolve(call: Call, command: GetCheckValue | DigestObject) -> Sequence[Resolved]:
        found = call.authority.resolve_object(call, ObjectNeed(command.key, permission))
        usable = found.payload.usable
        refused = handling_refusal(Handling.INSPECT, effective_state(usable.state, usable.period, call.now))
        if refused is None:
            return (found,)
        forbids = (Forbid(refused.code, refused.message),)
        return (replace(found, target=replace(found.target, forbids=forbids)),)

    return resolve


def _resolve_nothing(_call: Call, _command: VerifyCheckValue) -> Sequence[Resolved]:
    return (Resolved(Permission.CHECK_VALUE, Target("data")),)


def _describe_check_value(command: GetCheckValue) -> Mapping[str, Detail]:
    return {"mechanism": command.method}


def _describe_verification(command: VerifyCheckValue) -> Mapping[str, Detail]:
    return {"kind": command.kind, "mechanism": command.method, "input_bytes": len(command.material)}


def _describe_digest(command: DigestObject) -> Mapping[str, Detail]:
    return {"hash": command.hash}


def _operation(command: type[Command], action: str, resolve: Any, handle: Any, **parts: Any) -> Operation[Any]:
    return Operation(command, action, Category.CRYPTOGRAPHIC, Plane.DATA, resolve, handle, **parts)


OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(
        GetCheckValue,
        "object.check-value",
        resolve=_resolve(Permission.OBJECT_GET),
        handle=get_check_value,
        describe=_describe_check_value,
    ),
    _operation(
        VerifyCheckValue,
        "data.check-value",
        resolve=_resolve_nothing,
        handle=verify_check_value,
        describe=_describe_verification,
    ),
    _operation(
        DigestObject,
        "object.digest",
        resolve=_resolve(Permission.OBJECT_CALCULATE_DIGEST),
        handle=digest_object,
        describe=_describe_digest,
    ),
)
