"""Keys that two parties come to share: Diffie-Hellman, and encapsulation under a public key (FIPS 203).

Control plane. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accounts.models import Group
from kms.audit.entry import Category, Detail
from kms.crypto import kdf
from kms.crypto.errors import ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.crypto.registry import algorithm_of
from kms.hsm.module import Usage
from kms.objects import keystore
from kms.objects.snapshot import ObjectSnapshot
from kms.operations import making
from kms.operations.command import Call, Command, ObjectNeed, ObjectRef, Operation, Resolved, control
from kms.operations.derivation import as_described, material_bytes
from kms.operations.errors import InvalidRequest
from kms.operations.making import ObjectTemplate, describe_template
from kms.operations.managed_object import ObjectView, destination
from kms.secret import SecretBytes
from policies.permissions import Permission

# FIPS 203 §8, table 3: a shared secret key has 32 bytes under every parameter set.
ENCAPSULATED_BITS = 256


@dataclass(frozen=True, slots=True)
class InlineKey:
    """A public key that the caller brings along: SubjectPublicKeyInfo (DER)."""

    kind: str
    value: bytes

    def __str__(self) -> str:
        return "inline key"


@dataclass(frozen=True, slots=True)
class AgreeKey(Command):
    private: ObjectRef
    public: ObjectRef | InlineKey
    template: ObjectTemplate


@dataclass(frozen=True, slots=True)
class EncapsulateKey(Command):
    """A fresh key, and what its peer decapsulates to get the same."""

    key: ObjectRef
    template: ObjectTemplate


@dataclass(frozen=True, slots=True)
class DecapsulateKey(Command):
    key: ObjectRef
    ciphertext: bytes
    template: ObjectTemplate


@dataclass(frozen=True, slots=True)
class Encapsulated:
    view: ObjectView
    ciphertext: bytes


def agree_key(call: Call, command: AgreeKey, private: ObjectSnapshot, *others: Any) -> ObjectView:
    """The raw shared secret, or its end: truncation removes leading bytes, as PKCS #11 has it in CKM_ECDH1_DERIVE.

    The vendor says the same: "the secret's most-significant bits will be truncated".
    """
    *persisted, group = others
    call.details["private_key"] = str(private.id)
    if private.public_only:
        raise InvalidRequest("private_key is a public key alone")
    kind, peer = private.kind, _peer(call, command, persisted)
    if peer[0] != kind:
        raise InvalidRequest(f"private_key is of type {kind} and public_key of type {peer[0]}")
    length = material_bytes(command.template)
    opened = keystore.open_key(call.grants[0], private, Usage.DERIVE)
    shared = algorithm_of(kind).agree(opened, peer[1])
    _check_enough(shared, length)
    found = as_described(command.template, kdf.rightmost(shared, length))
    return making.from_material(call, command.template, group, found, how="agree")


def _peer(call: Call, command: AgreeKey, persisted: Sequence[ObjectSnapshot]) -> tuple[str, bytes]:
    """The peer's kind and public key (SubjectPublicKeyInfo, DER)."""
    if isinstance(command.public, InlineKey):
        algorithm = algorithm_of(command.public.kind)
        if not algorithm.asymmetric:
            raise InvalidRequest(f"public_key is of type {command.public.kind}, which has no public keys")
        found = algorithm.describe(SecretBytes(command.public.value), size=None, curve=None)
        if not found.public_only or found.public is None:
            raise ParameterInvalid("public_key holds a private key: send its public key alone")
        return command.public.kind, found.public
    (public,) = persisted
    call.details["public_key"] = str(public.id)
    if public.public_key is None:
        raise InvalidRequest(f"public_key is of type {public.kind}, which has no public keys")
    return public.kind, public.public_key


def encapsulate_key(call: Call, command: EncapsulateKey, key: ObjectSnapshot, group: Group) -> Encapsulated:
    call.details["public_key"] = str(key.id)
    length = _encapsulated_bytes(command.template)
    if key.public_key is None:
        raise InvalidRequest(f"{key.kind} objects cannot encapsulate keys")
    shared, ciphertext = algorithm_of(key.kind).encapsulate(key.public_key)
    _check_enough(shared, length)
    found = as_described(command.template, kdf.leftmost(shared, length))
    view = making.from_material(call, command.template, group, found, how="encapsulate")
    return Encapsulated(view, ciphertext)


def decapsulate_key(call: Call, command: DecapsulateKey, key: ObjectSnapshot, group: Group) -> ObjectView:
    call.details["private_key"] = str(key.id)
    length = _encapsulated_bytes(command.template)
    opened = keystore.open_key(call.grants[0], key, Usage.DERIVE)
    shared = algorithm_of(key.kind).decapsulate(opened, command.ciphertext)
    _check_enough(shared, length)
    found = as_described(command.template, kdf.leftmost(shared, length))
    return making.from_material(call, command.template, group, found, how="decapsulate")


def _encapsulated_bytes(template: ObjectTemplate) -> int:
    """The whole shared secret, where the kind's sizes are in whole bits; others must say which."""
    return material_bytes(template, None if template.kind in ("DES", "DES3") else ENCAPSULATED_BITS)


def _check_enough(shared: SecretBytes, length: int) -> None:
    if len(shared) < length:
        raise ParameterInvalid(f"the shared secret has {len(shared) * 8} bits, fewer than the key needs")


def _resolve_agreement(call: Call, command: AgreeKey) -> Sequence[Resolved]:
    """Both keys must allow it; a public key that the caller brings along is the caller's own affair."""
    refs = [ref for ref in (command.private, command.public) if isinstance(ref, ObjectRef)]
    needs = [ObjectNeed(ref, Permission.OBJECT_AGREE, KeyOperation.AGREE) for ref in refs]
    keys = [call.authority.resolve_object(call, need) for need in needs]
    return (*keys, destination(call, command.template.group))


def _resolve_encapsulation(call: Call, command: EncapsulateKey) -> Sequence[Resolved]:
    key = ObjectNeed(command.key, Permission.OBJECT_ENCAPSULATE, KeyOperation.ENCAPSULATE)
    return (call.authority.resolve_object(call, key), destination(call, command.template.group))


def _resolve_decapsulation(call: Call, command: DecapsulateKey) -> Sequence[Resolved]:
    key = ObjectNeed(command.key, Permission.OBJECT_DECAPSULATE, KeyOperation.DECAPSULATE)
    return (call.authority.resolve_object(call, key), destination(call, command.template.group))


def _describe_agreement(command: AgreeKey) -> Mapping[str, Detail]:
    found = dict(describe_template(command.template))
    found.update({"private_key": str(command.private), "public_key": str(command.public)})
    return found


def _describe_encapsulation(command: EncapsulateKey) -> Mapping[str, Detail]:
    found = dict(describe_template(command.template))
    found.update({"public_key": str(command.key)})
    return found


def _describe_decapsulation(command: DecapsulateKey) -> Mapping[str, Detail]:
    found = dict(describe_template(command.template))
    found.update({"private_key": str(command.key)})
    return found


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(AgreeKey, "object.agree", _resolve_agreement, agree_key, describe=_describe_agreement),
    _operation(
        EncapsulateKey, "object.encapsulate", _resolve_encapsulation, encapsulate_key, describe=_describe_encapsulation
    ),
    _operation(
        DecapsulateKey, "object.decapsulate", _resolve_decapsulation, decapsulate_key, describe=_describe_decapsulation
    ),
)
