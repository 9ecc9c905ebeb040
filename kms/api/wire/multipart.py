"""/crypto/v1/encrypt|decrypt/init|update|final: data in parts, by descriptor and by the id in the path.

The server keeps nothing between the calls: ``state`` goes out with one and comes back with the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from kms.api.wire.base import Descriptor, Endpoint, Request, Response, WireCall, key_of
from kms.crypto.algorithm import CipherParameters
from kms.objects.snapshot import ObjectSnapshot
from kms.operations.command import ObjectRef
from kms.operations.multipart import (
    BeginDecryption,
    BeginEncryption,
    Begun,
    ContinueDecryption,
    ContinueEncryption,
    FinishDecryption,
    Finished,
    FinishEncryption,
    Part,
)


class InitRequest(Request):
    key: Descriptor | None = None
    alg: str | None = None
    mode: str | None = None
    iv: bytes | None = None
    ad: bytes | None = None


class EncryptUpdateRequest(Request):
    plain: bytes
    state: bytes
    key: Descriptor | None = None


class DecryptUpdateRequest(Request):
    cipher: bytes
    state: bytes
    key: Descriptor | None = None


class EncryptFinalRequest(Request):
    state: bytes
    key: Descriptor | None = None
    tag_len: int | None = None


class DecryptFinalRequest(Request):
    state: bytes
    key: Descriptor | None = None
    tag: bytes | None = None


class EncryptInitResponse(Response):
    state: bytes
    kid: UUID | None = None
    iv: bytes | None = None


class DecryptInitResponse(Response):
    state: bytes
    kid: UUID | None = None


class EncryptUpdateResponse(Response):
    cipher: bytes
    state: bytes


class DecryptUpdateResponse(Response):
    plain: bytes
    state: bytes


class EncryptFinalResponse(Response):
    cipher: bytes
    tag: bytes | None = None


class DecryptFinalResponse(Response):
    plain: bytes


# -- requests ------------------------------------------------------------------------------------------------------


def _key(call: WireCall) -> ObjectRef | None:
    """After the first call the state says which, so the body need not."""
    return key_of(call, call.body.key) if "key_id" in call.path or call.body.key is not None else None


def _begin(command: type[BeginEncryption] | type[BeginDecryption]) -> Callable[[WireCall], Any]:
    def to_command(call: WireCall) -> BeginEncryption | BeginDecryption:
        body: InitRequest = call.body
        parameters = CipherParameters(mode=body.mode, iv=body.iv, aad=body.ad)
        return command(key_of(call, body.key), body.alg, parameters)

    return to_command


def _continue_encryption(call: WireCall) -> ContinueEncryption:
    return ContinueEncryption(_key(call), call.body.state, call.body.plain)


def _continue_decryption(call: WireCall) -> ContinueDecryption:
    return ContinueDecryption(_key(call), call.body.state, call.body.cipher)


def _finish_encryption(call: WireCall) -> FinishEncryption:
    return FinishEncryption(_key(call), call.body.state, call.body.tag_len)


def _finish_decryption(call: WireCall) -> FinishDecryption:
    return FinishDecryption(_key(call), call.body.state, call.body.tag)


# -- responses -----------------------------------------------------------------------------------------------------


def kid_of(key: ObjectSnapshot) -> UUID | None:
    """A transient key has no id that anyone could look up; its name is empty and stays so."""
    return key.id if key.name else None


def _begun_encryption(result: Begun) -> EncryptInitResponse:
    return EncryptInitResponse(kid=kid_of(result.key), iv=result.iv, state=result.state)


def _begun_decryption(result: Begun) -> DecryptInitResponse:
    return DecryptInitResponse(kid=kid_of(result.key), state=result.state)


def _encrypted(result: Part) -> EncryptUpdateResponse:
    return EncryptUpdateResponse(cipher=result.output, state=result.state)


def _decrypted(result: Part) -> DecryptUpdateResponse:
    return DecryptUpdateResponse(plain=result.output, state=result.state)


def _finished_encryption(result: Finished) -> EncryptFinalResponse:
    return EncryptFinalResponse(cipher=result.output, tag=result.tag)


def _finished_decryption(result: Finished) -> DecryptFinalResponse:
    return DecryptFinalResponse(plain=result.output)


def _pair(operation: str, verb: str, to_command: Any, from_result: Any, body: Any) -> tuple[Endpoint, Endpoint]:
    return (
        Endpoint(operation, "POST", f"/crypto/v1/{verb}", to_command, from_result, body=body, lean=True),
        Endpoint(
            f"{operation}ById",
            "POST",
            f"/crypto/v1/keys/{{key_id}}/{verb}",
            to_command,
            from_result,
            body=body,
            lean=True,
        ),
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    *_pair("EncryptInit", "encrypt/init", _begin(BeginEncryption), _begun_encryption, InitRequest),
    *_pair("EncryptUpdate", "encrypt/update", _continue_encryption, _encrypted, EncryptUpdateRequest),
    *_pair("EncryptFinal", "encrypt/final", _finish_encryption, _finished_encryption, EncryptFinalRequest),
    *_pair("DecryptInit", "decrypt/init", _begin(BeginDecryption), _begun_decryption, InitRequest),
    *_pair("DecryptUpdate", "decrypt/update", _continue_decryption, _decrypted, DecryptUpdateRequest),
    *_pair("DecryptFinal", "decrypt/final", _finish_decryption, _finished_decryption, DecryptFinalRequest),
)
