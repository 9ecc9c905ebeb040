"""/crypto/v1: operations on data, by descriptor, by id in the path, and in batches."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from kms.api.errors import answer_of
from kms.api.wire.base import Descriptor, Endpoint, Request, Response, WireCall, WireError, key_of, ref_of
from kms.api.wire.modes import encryption_mode, signature_mode
from kms.api.wire.names import check_value_method
from kms.api.wire.object_options import WireRsaOptions, export_rule, rsa_options
from kms.api.wire.objects import ObjectAttributes, attributes_of
from kms.api.wire.sobject import sobject
from kms.crypto.algorithm import CipherParameters, Encrypted, SignatureParameters
from kms.crypto.options import KeyOptions
from kms.operations.command import ObjectRef
from kms.operations.creation import UnwrapKey
from kms.operations.cryptographic import (
    Batch,
    BatchItem,
    Decrypt,
    Digest,
    Encrypt,
    GenerateMac,
    Keyed,
    Sign,
    Verify,
    VerifyMac,
    WrapKey,
)

MAX_BATCH = 4096


class EncryptRequest(Request):
    plain: bytes
    alg: str | None = None
    key: Descriptor | None = None
    mode: Any = None
    iv: bytes | None = None
    ad: bytes | None = None
    tag_len: int | None = None
    label: bytes | None = None


class DecryptRequest(Request):
    cipher: bytes
    alg: str | None = None
    key: Descriptor | None = None
    mode: Any = None
    iv: bytes | None = None
    ad: bytes | None = None
    tag: bytes | None = None
    masked: bool | None = None
    label: bytes | None = None


class SignRequest(Request):
    key: Descriptor | None = None
    hash_alg: str | None = None
    hash: bytes | None = None
    data: bytes | None = None
    mode: Any = None
    deterministic_signature: bool | None = None
    context: bytes | None = None


class VerifyRequest(Request):
    signature: bytes
    key: Descriptor | None = None
    hash_alg: str | None = None
    hash: bytes | None = None
    data: bytes | None = None
    mode: Any = None
    context: bytes | None = None


class MacRequest(Request):
    data: bytes
    key: Descriptor | None = None
    alg: str | None = None


class VerifyMacRequest(Request):
    data: bytes
    key: Descriptor | None = None
    alg: str | None = None
    mac: bytes | None = None
    digest: bytes | None = None


class WrapRequest(Request):
    alg: str | None = None
    key: Descriptor | None = None
    subject: Descriptor | None = None
    kid: UUID | None = None
    mode: Any = None
    iv: bytes | None = None
    ad: bytes | None = None
    tag_len: int | None = None
    key_format: str | None = None


class UnwrapRequest(ObjectAttributes, kw_only=True):
    wrapped_key: bytes
    obj_type: str
    alg: str | None = None
    key: Descriptor | None = None
    mode: Any = None
    iv: bytes | None = None
    ad: bytes | None = None
    tag: bytes | None = None
    rsa: WireRsaOptions | None = None
    kcv: str | None = None
    kcv_method: str | None = None


class DigestRequest(Request):
    alg: str
    data: bytes


class BatchEncryptItem(Request):
    kid: UUID
    request: EncryptRequest


class BatchDecryptItem(Request):
    kid: UUID
    request: DecryptRequest


class EncryptResponse(Response):
    cipher: bytes
    kid: UUID | None = None
    iv: bytes | None = None
    tag: bytes | None = None


class DecryptResponse(Response):
    plain: bytes
    kid: UUID | None = None


class SignResponse(Response):
    signature: bytes
    kid: UUID | None = None


class VerifyResponse(Response, omit_defaults=False):
    kid: UUID | None
    result: bool


class MacResponse(Response):
    """Older clients read ``digest``, newer ones ``mac``."""

    mac: bytes
    digest: bytes
    kid: UUID | None = None


class WrapResponse(Response):
    wrapped_key: bytes
    iv: bytes | None = None
    tag: bytes | None = None


class DigestResponse(Response):
    digest: bytes


class BatchResponseItem(Response):
    status: int
    body: Any = None
    error: str | None = None


# -- requests ------------------------------------------------------------------------------------------------------


def _encrypt(body: EncryptRequest, key: ObjectRef) -> Encrypt:
    parameters = CipherParameters(
        iv=body.iv, aad=body.ad, tag_bits=body.tag_len, label=body.label, **encryption_mode(body.mode)
    )
    return Encrypt(key, body.alg, parameters, body.plain)


def _decrypt(body: DecryptRequest, key: ObjectRef) -> Decrypt:
    parameters = CipherParameters(
        iv=body.iv,
        aad=body.ad,
        tag=body.tag,
        label=body.label,
        masked=bool(body.masked),
        **encryption_mode(body.mode),
    )
    return Decrypt(key, body.alg, parameters, body.cipher)


def _sign(body: SignRequest, key: ObjectRef) -> Sign:
    parameters = SignatureParameters(
        hash=body.hash_alg,
        context=body.context,
        deterministic=body.deterministic_signature,
        **signature_mode(body.mode),
    )
    return Sign(key, parameters, body.hash, body.data)


def _verify(body: VerifyRequest, key: ObjectRef) -> Verify:
    parameters = SignatureParameters(hash=body.hash_alg, context=body.context, **signature_mode(body.mode))
    return Verify(key, parameters, body.signature, body.hash, body.data)


def _mac(body: MacRequest, key: ObjectRef) -> GenerateMac:
    return GenerateMac(key, body.alg, body.data)


def _verify_mac(body: VerifyMacRequest, key: ObjectRef) -> VerifyMac:
    mac = body.mac if body.mac is not None else body.digest
    if mac is None:
        raise WireError("Invalid request: mac is needed")
    return VerifyMac(key, body.alg, body.data, mac)


def _wrap(body: WrapRequest, key: ObjectRef) -> WrapKey:
    if body.key_format not in (None, "Default", "Pkcs8"):
        raise WireError("Invalid request: key_format is Default or Pkcs8")
    if (body.subject is None) == (body.kid is None):
        raise WireError("Invalid request: give the key to wrap as either subject or kid")
    subject = ObjectRef(id=body.kid) if body.kid is not None else ref_of(body.subject)
    parameters = CipherParameters(iv=body.iv, aad=body.ad, tag_bits=body.tag_len, **encryption_mode(body.mode))
    return WrapKey(key, subject, body.alg, parameters, traditional=body.key_format != "Pkcs8")


def _unwrap(body: UnwrapRequest, key: ObjectRef) -> UnwrapKey:
    parameters = CipherParameters(iv=body.iv, aad=body.ad, tag=body.tag, **encryption_mode(body.mode))
    template = attributes_of(
        body,
        kind=body.obj_type,
        size=None if body.rsa is None else body.rsa.key_size,
        options=KeyOptions(rsa=rsa_options(body.rsa), export=export_rule(body.export_policy)),
        check_value=body.kcv,
        check_value_method=check_value_method(body.kcv_method),
    )
    return UnwrapKey(key, body.alg, parameters, body.wrapped_key, template)


def _digest(call: WireCall) -> Digest:
    return Digest(call.body.alg, call.body.data)


def _keyed(make: Any) -> Any:
    def to_command(call: WireCall) -> Any:
        return make(call.body, key_of(call, call.body.key))

    return to_command


def _batch_by_kid(make: Any) -> Any:
    def to_command(call: WireCall) -> Batch:
        for item in call.body:
            if item.request.key is not None:
                raise WireError("Invalid request: a batch item names its key by kid")
        return _limited([make(item.request, ObjectRef(id=item.kid)) for item in call.body])

    return to_command


def _batch_by_key(make: Any) -> Any:
    def to_command(call: WireCall) -> Batch:
        return _limited([make(item, ref_of(item.key)) for item in call.body])

    return to_command


def _limited(items: list[Any]) -> Batch:
    if not 1 <= len(items) <= MAX_BATCH:
        raise WireError(f"Invalid request: a batch has 1 to {MAX_BATCH} items")
    return Batch(tuple(items))


# -- responses -----------------------------------------------------------------------------------------------------


def _kid(result: Keyed) -> UUID | None:
    """A transient key has no id that anyone could look up; its name is empty and stays so."""
    return result.key.id if result.key.name else None


def _encrypted(result: Keyed) -> EncryptResponse:
    value: Encrypted = result.value
    return EncryptResponse(kid=_kid(result), cipher=value.ciphertext, iv=value.iv, tag=value.tag)


def _decrypted(result: Keyed) -> DecryptResponse:
    return DecryptResponse(kid=_kid(result), plain=result.value)


def _signed(result: Keyed) -> SignResponse:
    return SignResponse(kid=_kid(result), signature=result.value)


def _verified(result: Keyed) -> VerifyResponse:
    return VerifyResponse(kid=_kid(result), result=result.value)


def _maced(result: Keyed) -> MacResponse:
    return MacResponse(kid=_kid(result), mac=result.value, digest=result.value)


def _wrapped(result: Encrypted) -> WrapResponse:
    return WrapResponse(wrapped_key=result.ciphertext, iv=result.iv, tag=result.tag)


def _digested(result: bytes) -> DigestResponse:
    return DigestResponse(digest=result)


def _batched(render: Any) -> Any:
    def from_result(items: list[BatchItem]) -> list[BatchResponseItem]:
        return [_batch_item(item, render) for item in items]

    return from_result


def _batch_item(item: BatchItem, render: Any) -> BatchResponseItem:
    if item.error is not None:
        answer = answer_of(item.error)
        return BatchResponseItem(status=answer.status, error=answer.message)
    return BatchResponseItem(status=200, body=render(item.result))


def _pair(operation: str, verb: str, body: Any, make: Any, render: Any, **parts: Any) -> tuple[Endpoint, Endpoint]:
    """The same operation by descriptor and by the id in the path (the form of older clients)."""
    return (
        Endpoint(operation, "POST", f"/crypto/v1/{verb}", _keyed(make), render, body=body, **parts),
        Endpoint(
            f"{operation}ById", "POST", f"/crypto/v1/keys/{{key_id}}/{verb}", _keyed(make), render, body=body, **parts
        ),
    )


def _batch(operation: str, verb: str, body: Any, to_command: Any, render: Any) -> Endpoint:
    path = f"/crypto/v1/keys/batch/{verb}"
    return Endpoint(operation, "POST", path, to_command, _batched(render), body=body, lean=True)


ENDPOINTS: tuple[Endpoint, ...] = (
    *_pair("Encrypt", "encrypt", EncryptRequest, _encrypt, _encrypted, lean=True),
    *_pair("Decrypt", "decrypt", DecryptRequest, _decrypt, _decrypted, lean=True),
    *_pair("Sign", "sign", SignRequest, _sign, _signed, lean=True),
    *_pair("Verify", "verify", VerifyRequest, _verify, _verified, lean=True),
    *_pair("Mac", "mac", MacRequest, _mac, _maced, lean=True),
    *_pair("MacVerify", "macverify", VerifyMacRequest, _verify_mac, _verified, lean=True),
    *_pair("Wrap", "wrapkey", WrapRequest, _wrap, _wrapped, lean=True),
    *_pair("Unwrap", "unwrapkey", UnwrapRequest, _unwrap, sobject, status=201),
    Endpoint("CreateDigest", "POST", "/crypto/v1/digest", _digest, _digested, body=DigestRequest),
    _batch("BatchEncrypt", "encrypt", list[BatchEncryptItem], _batch_by_kid(_encrypt), _encrypted),
    _batch("BatchDecrypt", "decrypt", list[BatchDecryptItem], _batch_by_kid(_decrypt), _decrypted),
    _batch("BatchSign", "sign", list[SignRequest], _batch_by_key(_sign), _signed),
    _batch("BatchVerify", "verify", list[VerifyRequest], _batch_by_key(_verify), _verified),
    _batch("BatchMac", "mac", list[MacRequest], _batch_by_key(_mac), _maced),
    _batch("BatchMacVerify", "macverify", list[VerifyMacRequest], _batch_by_key(_verify_mac), _verified),
)
