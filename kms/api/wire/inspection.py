"""/crypto/v1/keys: check values and digests of keys."""

from __future__ import annotations

from uuid import UUID

from kms.api.wire.base import Descriptor, Endpoint, Request, Response, WireCall, ref_of
from kms.api.wire.names import check_value_method
from kms.operations.check_value import ENCRYPT
from kms.operations.cryptographic import Keyed
from kms.operations.inspection import DigestObject, GetCheckValue, VerifyCheckValue
from kms.secret import SecretBytes


class KeyCheckValueRequest(Descriptor):
    """A descriptor with one field more."""

    kcv_method: str | None = None


class VerifyKcvRequest(Request):
    kcv: str
    value: bytes
    obj_type: str
    kcv_method: str | None = None


class ObjectDigestRequest(Request):
    key: Descriptor
    alg: str


class KeyCheckValueResponse(Response):
    kcv: str
    kid: UUID | None = None


class VerifyKcvResponse(Response, omit_defaults=False):
    verified: bool


class ObjectDigestResponse(Response):
    digest: bytes
    kid: UUID | None = None


def _get_kcv(call: WireCall) -> GetCheckValue:
    return GetCheckValue(ref_of(call.body), check_value_method(call.body.kcv_method) or ENCRYPT)


def _verify_kcv(call: WireCall) -> VerifyCheckValue:
    body: VerifyKcvRequest = call.body
    return VerifyCheckValue(
        body.obj_type, SecretBytes(body.value), body.kcv, check_value_method(body.kcv_method) or ENCRYPT
    )


def _digest(call: WireCall) -> DigestObject:
    return DigestObject(ref_of(call.body.key), call.body.alg)


def _kid(result: Keyed) -> UUID | None:
    """A transient key has no id that anyone could look up; its name is empty and stays so."""
    return result.key.id if result.key.name else None


def _kcv(result: Keyed) -> KeyCheckValueResponse:
    return KeyCheckValueResponse(kcv=result.value, kid=_kid(result))


def _verified(valid: bool) -> VerifyKcvResponse:
    return VerifyKcvResponse(verified=valid)


def _digested(result: Keyed) -> ObjectDigestResponse:
    return ObjectDigestResponse(digest=result.value, kid=_kid(result))


_KEYS = "/crypto/v1/keys"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GetKcv", "POST", f"{_KEYS}/kcv", _get_kcv, _kcv, body=KeyCheckValueRequest),
    Endpoint("VerifyKcv", "POST", f"{_KEYS}/kcv/verify", _verify_kcv, _verified, body=VerifyKcvRequest),
    Endpoint("DigestSobject", "POST", f"{_KEYS}/digest", _digest, _digested, body=ObjectDigestRequest),
)
