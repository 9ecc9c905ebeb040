"""/crypto/v1: keys made from keys by derivation, transformation, agreement and encapsulation."""

from __future__ import annotations

from typing import Any

from kms.api.wire.base import Descriptor, Endpoint, Request, Response, WireCall, WireError, key_of, ref_of, unsupported
from kms.api.wire.objects import ObjectAttributes, attributes_of
from kms.api.wire.sobject import Sobject, sobject
from kms.crypto.algorithm import CipherParameters
from kms.operations.agreement import AgreeKey, DecapsulateKey, Encapsulated, EncapsulateKey, InlineKey
from kms.operations.command import ObjectRef
from kms.operations.derivation import (
    CounterKdf,
    DeriveKey,
    EncryptData,
    HardenedChild,
    Hkdf,
    MasterKey,
    Mechanism,
    PasswordKdf,
    TransformKey,
)
from kms.operations.making import ObjectTemplate


class WireEncryptData(Request):
    plain: bytes
    alg: str | None = None
    key: Descriptor | None = None
    mode: str | None = None
    iv: bytes | None = None
    ad: bytes | None = None
    tag_len: int | None = None
    label: bytes | None = None


class WireHkdf(Request):
    hash_alg: str
    salt: bytes | None = None
    info: bytes | None = None


class WireCounterKdf(Request):
    """SP 800-108 in counter mode: ours, no client of the vendor's names it."""

    hash_alg: str | None = None
    label: bytes | None = None
    context: bytes | None = None
    fixed_input: bytes | None = None


class WirePbkdf2(Request):
    """PBKDF2: ours, no client of the vendor's names it."""

    hash_alg: str
    salt: bytes
    iterations: int


class WireNetwork(Request):
    network: str


class WireIndex(Request):
    index: int


class WireNothing(Request):
    pass


class DeriveMechanism(Request):
    """One of these."""

    encrypt_data: WireEncryptData | None = None
    hkdf: WireHkdf | None = None
    sp800_108: WireCounterKdf | None = None
    pbkdf2: WirePbkdf2 | None = None
    bip32_master_key: WireNetwork | None = None
    bip32_hardened_child: WireIndex | None = None
    slip10_master_key: WireNothing | None = None
    slip10_hardened_child: WireIndex | None = None


class TransformMechanism(Request):
    """One of these."""

    bip32_weak_child: WireIndex | None = None
    slip10_weak_child: WireIndex | None = None


class DeriveKeyRequest(ObjectAttributes, kw_only=True):
    key_type: str
    mechanism: DeriveMechanism
    key: Descriptor | None = None
    key_size: int | None = None
    elliptic_curve: str | None = None


class TransformKeyRequest(ObjectAttributes, kw_only=True):
    """``key_size`` is older clients', who send a 0 that says nothing."""

    key_type: str
    mechanism: TransformMechanism
    key: Descriptor | None = None
    key_size: int | None = None


class AgreeKeyRequest(ObjectAttributes, kw_only=True):
    private_key: Descriptor
    public_key: Descriptor
    mechanism: str
    key_type: str
    key_size: int


class EncapsulateKeyRequest(ObjectAttributes, kw_only=True):
    key: Descriptor
    key_type: str
    key_size: int | None = None


class DecapsulateKeyRequest(ObjectAttributes, kw_only=True):
    key: Descriptor
    ciphertext: bytes
    key_type: str
    key_size: int | None = None


class EncapsulateKeyResponse(Response):
    key: Sobject
    ciphertext: bytes


def _derive(call: WireCall) -> DeriveKey:
    body: DeriveKeyRequest = call.body
    template = _template(body, curve=body.elliptic_curve)
    return DeriveKey(key_of(call, body.key), _mechanism(body.mechanism), template)


def _mechanism(wire: DeriveMechanism) -> Mechanism:
    name, found = _the_one_of(wire)
    if isinstance(found, WireEncryptData):
        unsupported(key=found.key, label=found.label)
        parameters = CipherParameters(found.mode, found.iv, found.ad, found.tag_len)
        return EncryptData(found.alg, parameters, found.plain)
    if isinstance(found, WireHkdf):
        return Hkdf(found.hash_alg, found.salt or b"", found.info or b"")
    if isinstance(found, WireCounterKdf):
        parts = [value for value in (found.label, found.context) if value is not None]
        if bool(parts) == (found.fixed_input is not None):
            raise WireError("Invalid request: sp800_108 takes label and context, or fixed_input in their place")
        return CounterKdf(found.hash_alg, found.label or b"", found.context or b"", found.fixed_input)
    if isinstance(found, WirePbkdf2):
        return PasswordKdf(found.hash_alg, found.salt, found.iterations)
    if isinstance(found, WireNetwork):
        return MasterKey("BIP32", found.network)
    if isinstance(found, WireIndex):
        return HardenedChild(_tree(name), found.index)
    return MasterKey(_tree(name))


def _transform(call: WireCall) -> TransformKey:
    body: TransformKeyRequest = call.body
    name, found = _the_one_of(body.mechanism)
    return TransformKey(ref_of(body.key), _tree(name), found.index, _template(body))


def _the_one_of(wire: DeriveMechanism | TransformMechanism) -> tuple[str, Any]:
    given = [(name, getattr(wire, name)) for name in wire.__struct_fields__ if getattr(wire, name) is not None]
    if len(given) != 1:
        raise WireError(f"Invalid request: mechanism takes exactly one of {', '.join(wire.__struct_fields__)}")
    return given[0]


def _tree(mechanism: str) -> str:
    """``bip32_hardened_child`` makes BIP32 keys."""
    return mechanism.partition("_")[0].upper()


def _agree(call: WireCall) -> AgreeKey:
    body: AgreeKeyRequest = call.body
    if body.mechanism != "diffie_hellman":
        raise WireError("Invalid request: mechanism is diffie_hellman")
    return AgreeKey(ref_of(body.private_key), _public(body.public_key), _template(body))


def _public(descriptor: Descriptor) -> ObjectRef | InlineKey:
    if descriptor.inline is None:
        return ref_of(descriptor)
    if descriptor != Descriptor(inline=descriptor.inline):
        raise WireError("Invalid request: key takes exactly one of kid, name, transient_key and inline")
    return InlineKey(descriptor.inline.obj_type, descriptor.inline.value)


def _encapsulate(call: WireCall) -> EncapsulateKey:
    return EncapsulateKey(ref_of(call.body.key), _template(call.body))


def _decapsulate(call: WireCall) -> DecapsulateKey:
    return DecapsulateKey(ref_of(call.body.key), call.body.ciphertext, _template(call.body))


def _template(body: Any, **fields: Any) -> ObjectTemplate:
    """Clients that must send a size for keys that have only one send 0."""
    return attributes_of(body, kind=body.key_type, size=body.key_size or None, **fields)


def _encapsulated(result: Encapsulated) -> EncapsulateKeyResponse:
    return EncapsulateKeyResponse(key=sobject(result.view), ciphertext=result.ciphertext)


def _endpoint(operation: str, path: str, to_command: Any, body: Any, render: Any = sobject) -> Endpoint:
    return Endpoint(operation, "POST", f"/crypto/v1/{path}", to_command, render, body=body, status=201)


ENDPOINTS: tuple[Endpoint, ...] = (
    _endpoint("Derive", "derive", _derive, DeriveKeyRequest),
    _endpoint("DeriveById", "keys/{key_id}/derive", _derive, DeriveKeyRequest),
    _endpoint("Transform", "transform", _transform, TransformKeyRequest),
    _endpoint("Agree", "agree", _agree, AgreeKeyRequest),
    _endpoint("Encapsulate", "encapsulate", _encapsulate, EncapsulateKeyRequest, _encapsulated),
    _endpoint("Decapsulate", "decapsulate", _decapsulate, DecapsulateKeyRequest),
)
