"""Use of keys on data: encrypt, decrypt, sign, verify, mac, wrap, digest, and batches of them. All on the data plane.

Handlers get granted snapshots and never ask who called. They must not know rows, the wire or HTTP.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kms.audit.entry import Category, Detail
from kms.crypto import digest as hashing
from kms.crypto.algorithm import Algorithm, CipherParameters, Encrypted, Key, LentKey, Message, SignatureParameters
from kms.crypto.asymmetric import traditional_der
from kms.crypto.operation import KeyOperation
from kms.crypto.registry import algorithm_of
from kms.hsm.module import Usage
from kms.objects import keystore
from kms.objects.snapshot import ObjectSnapshot
from kms.operations import judging, wrapping
from kms.operations.command import Call, Command, ObjectNeed, ObjectRef, Operation, Plane, Resolved
from kms.operations.errors import EXPECTED, InvalidRequest
from policies.decision import Target
from policies.grant import Grant
from policies.permissions import Permission

# Above this many bytes an operation takes long enough to hold up an event loop (64 KiB of GCM: about 80 us).
SLOW_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Encrypt(Command):
    key: ObjectRef
    algorithm: str | None
    parameters: CipherParameters
    plaintext: bytes


@dataclass(frozen=True, slots=True)
class Decrypt(Command):
    key: ObjectRef
    algorithm: str | None
    parameters: CipherParameters
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Sign(Command):
    """``digest`` is ready, or ``data`` is to be hashed."""

    key: ObjectRef
    parameters: SignatureParameters
    digest: bytes | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Verify(Command):
    key: ObjectRef
    parameters: SignatureParameters
    signature: bytes
    digest: bytes | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class GenerateMac(Command):
    key: ObjectRef
    hash: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class VerifyMac(Command):
    key: ObjectRef
    hash: str | None
    data: bytes
    mac: bytes


@dataclass(frozen=True, slots=True)
class WrapKey(Command):
    """Wrap ``subject``'s material under ``key``; a private key as PKCS#1 or SEC 1 when ``traditional``, else PKCS#8."""

    key: ObjectRef
    subject: ObjectRef
    algorithm: str | None
    parameters: CipherParameters
    traditional: bool = False


@dataclass(frozen=True, slots=True)
class Digest(Command):
    hash: str
    data: bytes


SingleItem = Encrypt | Decrypt | Sign | Verify | GenerateMac | VerifyMac


@dataclass(frozen=True, slots=True)
class Batch(Command):
    """Independent items; one that fails does not hold up the others."""

    items: tuple[SingleItem, ...]


# -- results -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Keyed:
    """A result with the object that made it (None for a transient key)."""

    key: ObjectSnapshot
    value: Any


@dataclass(frozen=True, slots=True)
class BatchItem:
    """Either a result or the error that this item ended in."""

    result: Keyed | None = None
    error: Exception | None = None


# -- handlers ------------------------------------------------------------------------------------------------------


def encrypt(call: Call, command: Encrypt, key: ObjectSnapshot) -> Keyed:
    algorithm = _algorithm(key, command.algorithm)
    if algorithm.asymmetric:
        public = _public_key(key, "encrypt")
        return Keyed(key, algorithm.public_encrypt(public, command.parameters, command.plaintext, options=key.options))
    _note_tokenising(call, key)
    opened = keystore.open_key(call.grants[-1], key, algorithm.cipher_usage(command.parameters, key.options))
    result = algorithm.encrypt(opened, command.parameters, command.plaintext, keystore.random, options=key.options)
    return Keyed(key, result)


def decrypt(call: Call, command: Decrypt, key: ObjectSnapshot) -> Keyed:
    algorithm, parameters = _algorithm(key, command.algorithm), command.parameters
    if call.grants[-1].permission is Permission.OBJECT_MASK_DECRYPT:
        parameters = replace(parameters, masked=True)
    if parameters.masked:
        call.details["masked"] = True
    _note_tokenising(call, key)
    opened = keystore.open_key(call.grants[-1], key, algorithm.cipher_usage(parameters, key.options))
    return Keyed(key, algorithm.decrypt(opened, parameters, command.ciphertext, options=key.options))


def _note_tokenising(call: Call, key: ObjectSnapshot) -> None:
    """A request need not name the one mode that such a key has; the record does."""
    if key.options.tokenises:
        call.details["mode"] = "FF1"


def sign(call: Call, command: Sign, key: ObjectSnapshot) -> Keyed:
    algorithm, message = algorithm_of(key.kind), Message(command.data, command.digest)
    if algorithm.sign_needs_material(command.parameters) and key.protection != keystore.TOKEN:
        opened: Key = LentKey(key.spec, keystore.lend(call.grants[-1], key))
    else:
        opened = keystore.open_key(call.grants[-1], key, Usage.SIGN)
    return Keyed(key, algorithm.sign(opened, command.parameters, message, options=key.options))


def verify(call: Call, command: Verify, key: ObjectSnapshot) -> Keyed:
    public, message = _public_key(key, "verify signatures"), Message(command.data, command.digest)
    valid = algorithm_of(key.kind).verify(public, command.parameters, message, command.signature, options=key.options)
    call.details["result"] = valid
    return Keyed(key, valid)


def generate_mac(call: Call, command: GenerateMac, key: ObjectSnapshot) -> Keyed:
    return Keyed(key, mac_under(call.grants[-1], key, command.hash, command.data))


def verify_mac(call: Call, command: VerifyMac, key: ObjectSnapshot) -> Keyed:
    expected = mac_under(call.grants[-1], key, command.hash, command.data)
    valid = hmac.compare_digest(expected, command.mac)
    call.details["result"] = valid
    return Keyed(key, valid)


def wrap_key(call: Call, command: WrapKey, key: ObjectSnapshot, subject: ObjectSnapshot) -> Encrypted:
    _algorithm(key, command.algorithm)
    call.details["subject"] = str(subject.id)
    wrapping.check_export_rule(key, subject)
    material = keystore.material(call.grants[1], subject)
    if command.traditional and subject.kind in ("RSA", "EC"):
        material = traditional_der(material)
    return wrapping.wrap(call.grants[0], key, command.parameters, material)


def digest(_call: Call, command: Digest, _payload: None) -> bytes:
    return hashing.digest(command.hash, command.data)


_Decided = dict[ObjectNeed, tuple[Grant, ObjectSnapshot] | Exception]


def batch(call: Call, command: Batch) -> list[BatchItem]:
    """One decision per distinct key, permission and way of use; each item ends on its own; one entry for all."""
    decided: _Decided = {}
    results = [_batch_item(call, item, decided) for item in command.items]
    call.details["failed_items"] = sum(1 for item in results if item.error is not None)
    return results


def _batch_item(
    call: Call,
    item: SingleItem,
    decided: _Decided,
) -> BatchItem:
    need: ObjectNeed = _NEEDS[type(item)](item)
    try:
        if need not in decided:
            decided[need] = _decide_once(call, need)
        outcome = decided[need]
        if isinstance(outcome, Exception):
            raise outcome
        grant, snapshot = outcome
        call.grants.append(grant)
        return BatchItem(result=_HANDLERS[type(item)](call, item, snapshot))
    except EXPECTED as error:
        return BatchItem(error=error)


def _decide_once(call: Call, need: ObjectNeed) -> tuple[Grant, ObjectSnapshot] | Exception:
    try:
        resolved = call.authority.resolve_object(call, need)
        return call.authority.authorise(call, resolved), resolved.payload
    except EXPECTED as error:
        return error


# -- helpers -------------------------------------------------------------------------------------------------------


def _algorithm(key: ObjectSnapshot, named: str | None) -> Algorithm:
    if named is not None and named != key.kind:
        raise InvalidRequest(f"alg is {named}, but the object's type is {key.kind}")
    return algorithm_of(key.kind)


def mac_under(grant: Grant, key: ObjectSnapshot, hash_name: str | None, data: bytes) -> bytes:
    """In the token where it can be, else over material that the key's protection lets out for this call."""
    algorithm = algorithm_of(key.kind)
    if algorithm.mac_needs_material(hash_name) and key.protection != keystore.TOKEN:
        return algorithm.mac(LentKey(key.spec, keystore.lend(grant, key)), hash_name, data)
    return algorithm.mac(keystore.open_key(grant, key, Usage.MAC), hash_name, data)


def _public_key(key: ObjectSnapshot, what_for: str) -> bytes:
    if key.public_key is None:
        raise InvalidRequest(f"{key.kind} objects cannot {what_for}")
    return key.public_key


def _needs_one(permission: Permission, operation: KeyOperation, *, masking: Permission | None = None) -> Any:
    def needs(command: Any) -> ObjectNeed:
        return ObjectNeed(command.key, permission, operation, masking, judging.use_of(command.parameters))

    return needs


def _needs_mac(permission: Permission, operation: KeyOperation) -> Any:
    def needs(command: Any) -> ObjectNeed:
        return ObjectNeed(command.key, permission, operation, use=judging.use_of_hash(command.hash))

    return needs


def _resolve_one(call: Call, command: Any) -> Sequence[Resolved]:
    return (call.authority.resolve_object(call, _NEEDS[type(command)](command)),)


def _resolve_wrap(call: Call, command: WrapKey) -> Sequence[Resolved]:
    use = judging.use_of(command.parameters)
    key = ObjectNeed(command.key, Permission.OBJECT_WRAP, KeyOperation.WRAP, use=use)
    subject = ObjectNeed(command.subject, Permission.OBJECT_EXPORT, KeyOperation.EXPORT)
    return (call.authority.resolve_object(call, key), call.authority.resolve_object(call, subject))


def _resolve_nothing(_call: Call, _command: Digest) -> Sequence[Resolved]:
    return (Resolved(Permission.DIGEST, Target("data")),)


def _resolve_batch(_call: Call, _command: Batch) -> Sequence[Resolved]:
    """Batches are decided item by item, in the handler, by the same authority."""
    return ()


_NEEDS: dict[type[Command], Any] = {
    Encrypt: _needs_one(Permission.OBJECT_ENCRYPT, KeyOperation.ENCRYPT),
    Decrypt: _needs_one(Permission.OBJECT_DECRYPT, KeyOperation.DECRYPT, masking=Permission.OBJECT_MASK_DECRYPT),
    Sign: _needs_one(Permission.OBJECT_SIGN, KeyOperation.SIGN),
    Verify: _needs_one(Permission.OBJECT_VERIFY, KeyOperation.VERIFY),
    GenerateMac: _needs_mac(Permission.OBJECT_MAC_GENERATE, KeyOperation.MAC_GENERATE),
    VerifyMac: _needs_mac(Permission.OBJECT_MAC_VERIFY, KeyOperation.MAC_VERIFY),
}
_HANDLERS: dict[type[Command], Any] = {
    Encrypt: encrypt,
    Decrypt: decrypt,
    Sign: sign,
    Verify: verify,
    GenerateMac: generate_mac,
    VerifyMac: verify_mac,
}


def _describe_cipher(command: Any) -> Mapping[str, Detail]:
    data = command.plaintext if isinstance(command, Encrypt) else command.ciphertext
    mode = command.parameters.mode or command.parameters.padding
    return {"algorithm": command.algorithm, "mode": mode, "input_bytes": len(data)}


def _describe_signature(command: Any) -> Mapping[str, Detail]:
    return {
        "hash": command.parameters.hash,
        "mode": command.parameters.padding or command.parameters.variant,
        "input_bytes": len(command.data or b""),
    }


def _describe_mac(command: Any) -> Mapping[str, Detail]:
    return {"hash": command.hash, "input_bytes": len(command.data)}


def _describe_wrap(command: WrapKey) -> Mapping[str, Detail]:
    mode = command.parameters.mode or command.parameters.padding
    return {"algorithm": command.algorithm, "mode": mode, "subject": str(command.subject)}


def _describe_digest(command: Digest) -> Mapping[str, Detail]:
    return {"hash": command.hash, "input_bytes": len(command.data)}


def _describe_batch(command: Batch) -> Mapping[str, Detail]:
    """How many items, and a digest of what they name, so that two records of one batch can be told to be the same."""
    seen = hashlib.sha256()
    for item in command.items:
        seen.update(f"{type(item).__name__} {item.key}\n".encode())
    return {"items": len(command.items), "items_digest": seen.hexdigest()}


def _slow_cipher(command: Any) -> bool:
    """FF1 is ten calls of the token a step; without a mode, the key's may be FF1, or the key RSA."""
    data = command.plaintext if isinstance(command, Encrypt) else command.ciphertext
    return len(data) > SLOW_BYTES or command.parameters.mode in (None, "FF1")


def _always_slow(_command: Command) -> bool:
    """Private-key operations take a millisecond and more."""
    return True


def _operation(command: type[Command], action: str, **parts: Any) -> Operation[Any]:
    return Operation(
        command=command,
        action=action,
        category=Category.CRYPTOGRAPHIC,
        plane=Plane.DATA,
        resolve=parts.pop("resolve", _resolve_one),
        handle=parts.pop("handle", _HANDLERS.get(command)),
        **parts,
    )


OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(Encrypt, "object.encrypt", describe=_describe_cipher, slow=_slow_cipher),
    _operation(Decrypt, "object.decrypt", describe=_describe_cipher, slow=_slow_cipher),
    _operation(Sign, "object.sign", describe=_describe_signature, slow=_always_slow),
    _operation(Verify, "object.verify", describe=_describe_signature, slow=_always_slow),
    _operation(GenerateMac, "object.mac-generate", describe=_describe_mac),
    _operation(VerifyMac, "object.mac-verify", describe=_describe_mac),
    _operation(
        WrapKey, "object.wrap", resolve=_resolve_wrap, handle=wrap_key, describe=_describe_wrap, slow=_always_slow
    ),
    _operation(Digest, "data.digest", resolve=_resolve_nothing, handle=digest, describe=_describe_digest),
    _operation(
        Batch, "object.batch", resolve=_resolve_batch, handle=batch, describe=_describe_batch, slow=_always_slow
    ),
)
