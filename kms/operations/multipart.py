"""Encryption and decryption of data that comes in parts, as calls of their own: begin, continue, finish.

Each call is decided and recorded like any other, so a right that is taken away ends the operation at its next step.
Decryption in GCM answers with plaintext before the tag was seen, as the vendor's does: only after the last call has
agreed is any of it to be believed. They must not know rows, the wire or HTTP.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kms.audit.entry import Category, Detail
from kms.crypto import multipart
from kms.crypto.algorithm import CipherParameters
from kms.crypto.algorithms.block_cipher import BlockCipherKind
from kms.crypto.cipher_mode import cipher_options, given_iv, given_tag, new_iv, new_tag_bits
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.keyed_cipher import KeyedCipher
from kms.crypto.multipart import GCM
from kms.crypto.operation import KeyOperation
from kms.crypto.registry import algorithm_of
from kms.hsm.errors import DataRejected
from kms.hsm.module import Usage
from kms.objects import keystore
from kms.objects.snapshot import ObjectSnapshot
from kms.operations.cipher_state import OpenedState, first_state, open_state
from kms.operations.command import Call, Command, ObjectNeed, ObjectRef, Operation, Plane, Resolved
from kms.operations.errors import InvalidRequest
from policies.permissions import Permission

# GHASH runs in Python at some 20 MB/s, so that more than this would hold up an event loop.
SLOW_BYTES = 4 * 1024


@dataclass(frozen=True, slots=True)
class BeginEncryption(Command):
    """``held``: the state never leaves the server, so that nobody presents it twice."""

    key: ObjectRef
    algorithm: str | None
    parameters: CipherParameters
    held: bool = False


@dataclass(frozen=True, slots=True)
class BeginDecryption(Command):
    key: ObjectRef
    algorithm: str | None
    parameters: CipherParameters
    held: bool = False


@dataclass(frozen=True, slots=True)
class ContinueEncryption(Command):
    """``key`` may be left out: the state knows. ``aad`` comes before all data."""

    key: ObjectRef | None
    state: bytes
    data: bytes
    aad: bytes = b""


@dataclass(frozen=True, slots=True)
class ContinueDecryption(Command):
    key: ObjectRef | None
    state: bytes
    data: bytes
    aad: bytes = b""


@dataclass(frozen=True, slots=True)
class FinishEncryption(Command):
    key: ObjectRef | None
    state: bytes
    tag_bits: int | None = None


@dataclass(frozen=True, slots=True)
class FinishDecryption(Command):
    key: ObjectRef | None
    state: bytes
    tag: bytes | None = None


Begin = BeginEncryption | BeginDecryption
Continue = ContinueEncryption | ContinueDecryption
Finish = FinishEncryption | FinishDecryption
_ENCRYPTING = (BeginEncryption, ContinueEncryption, FinishEncryption)


@dataclass(frozen=True, slots=True)
class Begun:
    key: ObjectSnapshot
    iv: bytes | None
    state: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """What the data so far gives, and the state for the next call."""

    output: bytes
    state: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    output: bytes
    tag: bytes | None = None


# -- handlers ------------------------------------------------------------------------------------------------------


def begin(call: Call, command: Begin, key: ObjectSnapshot) -> Begun:
    encrypting = isinstance(command, BeginEncryption)
    algorithm, parameters, fixed = _algorithm(key, command.algorithm), command.parameters, cipher_options(key.options)
    mode = algorithm.mode_of(parameters, key.options)
    multipart.check_mode(mode.name)
    if encrypting and mode.name == GCM and fixed.random_iv and not command.held:
        # Whoever continues one state twice encrypts two messages under one IV (SP 800-38D appendix A).
        raise InvalidRequest("The key's options leave IVs to the server: in GCM mode, encrypt in one call or a stream")
    if encrypting and mode.tags and parameters.tag_bits is not None:
        new_tag_bits(mode, parameters, fixed)
    iv = new_iv(mode, parameters, fixed, keystore.random) if encrypting else given_iv(mode, parameters, fixed)
    call.details["mode"] = mode.name
    cipher = _cipher(call, algorithm, key)
    progress = multipart.begin(cipher, mode.name, encrypting=encrypting, iv=iv, aad=parameters.aad or b"")
    return Begun(key, iv, first_state(key, progress, call.now))


def advance(call: Call, command: Continue, key: ObjectSnapshot) -> Part:
    opened = _opened(call, command, key)
    progress = multipart.absorb_aad(opened.progress, command.aad) if command.aad else opened.progress
    output, progress = multipart.advance(_cipher(call, _algorithm(key), key), progress, command.data)
    return Part(output, opened.continued(progress))


def finish_encryption(call: Call, command: FinishEncryption, key: ObjectSnapshot) -> Finished:
    opened, algorithm = _opened(call, command, key), _algorithm(key)
    cipher, progress = _cipher(call, algorithm, key), opened.progress
    if progress.mode != GCM:
        _refuse("tag_len", command.tag_bits, progress.mode)
        return Finished(multipart.finish(cipher, progress))
    wanted = CipherParameters(tag_bits=command.tag_bits)
    bits = new_tag_bits(algorithm.modes[GCM], wanted, cipher_options(key.options))
    return Finished(multipart.finish(cipher, progress), multipart.tag(cipher, progress, bits))


def finish_decryption(call: Call, command: FinishDecryption, key: ObjectSnapshot) -> Finished:
    opened, algorithm = _opened(call, command, key), _algorithm(key)
    cipher, progress = _cipher(call, algorithm, key), opened.progress
    if progress.mode != GCM:
        _refuse("tag", command.tag, progress.mode)
        return Finished(multipart.finish(cipher, progress))
    tag = given_tag(algorithm.modes[GCM], CipherParameters(tag=command.tag), cipher_options(key.options))
    if not hmac.compare_digest(multipart.tag(cipher, progress, len(tag) * 8), tag):
        raise DataRejected("the tag does not match")
    return Finished(multipart.finish(cipher, progress))


# -- helpers -------------------------------------------------------------------------------------------------------


def _algorithm(key: ObjectSnapshot, named: str | None = None) -> BlockCipherKind:
    if named is not None and named != key.kind:
        raise InvalidRequest(f"alg is {named}, but the object's type is {key.kind}")
    algorithm = algorithm_of(key.kind)
    if not isinstance(algorithm, BlockCipherKind):
        raise AlgorithmUnsupported(f"{key.kind} objects take their data whole: use one call")
    return algorithm


def _cipher(call: Call, algorithm: BlockCipherKind, key: ObjectSnapshot) -> KeyedCipher:
    return algorithm.cipher(keystore.open_key(call.grants[-1], key, Usage.ENCRYPT | Usage.DECRYPT))


def _opened(call: Call, command: Continue | Finish, key: ObjectSnapshot) -> OpenedState:
    opened = open_state(command.state, call.account, call.now, encrypting=isinstance(command, _ENCRYPTING))
    opened.check_key(key)
    call.details["mode"] = opened.progress.mode
    return opened


def _refuse(name: str, value: object, mode: str) -> None:
    if value is not None:
        raise ParameterInvalid(f"{mode} mode takes no {name}")


def _need(command: Begin | Continue | Finish, ref: ObjectRef) -> ObjectNeed:
    if isinstance(command, _ENCRYPTING):
        return ObjectNeed(ref, Permission.OBJECT_ENCRYPT, KeyOperation.ENCRYPT)
    return ObjectNeed(ref, Permission.OBJECT_DECRYPT, KeyOperation.DECRYPT)


def _resolve_begin(call: Call, command: Begin) -> Sequence[Resolved]:
    return (call.authority.resolve_object(call, _need(command, command.key)),)


def _resolve_next(call: Call, command: Continue | Finish) -> Sequence[Resolved]:
    """Rights first: whether a state is good is told to those who may use its key."""
    ref = command.key
    if ref is None:
        ref = open_state(command.state, call.account, call.now, encrypting=isinstance(command, _ENCRYPTING)).key()
    return (call.authority.resolve_object(call, _need(command, ref)),)


def _describe_begin(command: Begin) -> Mapping[str, Detail]:
    return {"algorithm": command.algorithm, "mode": command.parameters.mode}


def _describe_part(command: Continue) -> Mapping[str, Detail]:
    return {"input_bytes": len(command.data)}


def _slow(command: Continue) -> bool:
    return len(command.data) + len(command.aad) > SLOW_BYTES


def _operation(command: type[Command], action: str, handle: Any, **parts: Any) -> Operation[Any]:
    resolve = parts.pop("resolve", _resolve_next)
    return Operation(command, action, Category.CRYPTOGRAPHIC, Plane.DATA, resolve, handle, **parts)


_FIRST = {"resolve": _resolve_begin, "describe": _describe_begin}
_NEXT = {"describe": _describe_part, "slow": _slow}
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(BeginEncryption, "object.encrypt-init", begin, **_FIRST),
    _operation(ContinueEncryption, "object.encrypt-update", advance, **_NEXT),
    _operation(FinishEncryption, "object.encrypt-final", finish_encryption),
    _operation(BeginDecryption, "object.decrypt-init", begin, **_FIRST),
    _operation(ContinueDecryption, "object.decrypt-update", advance, **_NEXT),
    _operation(FinishDecryption, "object.decrypt-final", finish_decryption),
)
