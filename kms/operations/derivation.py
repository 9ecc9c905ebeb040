"""Keys made from one other key: by encryption or a derivation function, or as its child in a tree (BIP32, SLIP-0010).

Control plane. The other key is opened or lent by its grant and never leaves. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import msgspec

from accounts.models import Group
from kms.audit.entry import Category, Detail
from kms.crypto import kdf
from kms.crypto.algorithm import CipherParameters, Described, token_key
from kms.crypto.algorithms.tree_key import BITS, TreeKey
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.hierarchical import MAIN, MAX_SEED_BITS, MIN_SEED_BITS
from kms.crypto.operation import KeyOperation
from kms.crypto.registry import algorithm_of
from kms.hsm.module import Usage
from kms.objects import keystore
from kms.objects.snapshot import ObjectSnapshot
from kms.operations import judging, making
from kms.operations.command import Call, Command, ObjectNeed, ObjectRef, Operation, Resolved, control
from kms.operations.cryptographic import mac_under
from kms.operations.errors import InvalidRequest
from kms.operations.making import ObjectTemplate, describe_template
from kms.operations.managed_object import ObjectView, destination
from kms.secret import SecretBytes
from policies.grant import Grant
from policies.permissions import Permission

# Kinds whose material is any bytes of a right length, so that derived bytes can be it.
BYTE_KINDS = ("AES", "DES", "DES3", "SEED", "HMAC", "SECRET", "OPAQUE")
# Of the DES kinds: what a size in bits, parity left out, is in bytes of material.
_DES_BYTES = {("DES", 56): 8, ("DES3", 112): 16, ("DES3", 168): 24}
# Tokenisation gives text, and key wrapping is another operation.
_NOT_FOR_DERIVATION = frozenset({"FF1", "KW", "KWP"})


@dataclass(frozen=True, slots=True)
class EncryptData:
    """The ciphertext is the new key's material, as PKCS #11 has it in CKM_AES_CBC_ENCRYPT_DATA and its like."""

    name = "encrypt-data"
    algorithm: str | None
    parameters: CipherParameters
    plaintext: bytes


@dataclass(frozen=True, slots=True)
class Hkdf:
    """RFC 5869."""

    name = "hkdf"
    hash: str
    salt: bytes = b""
    info: bytes = b""


@dataclass(frozen=True, slots=True)
class CounterKdf:
    """SP 800-108 in counter mode, over the key's HMAC with ``hash`` or, without one, its CMAC.

    ``fixed`` is the whole fixed input; without it, it is made of ``label`` and ``context``.
    """

    name = "sp800-108"
    hash: str | None = None
    label: bytes = b""
    context: bytes = b""
    fixed: bytes | None = None


@dataclass(frozen=True, slots=True)
class PasswordKdf:
    """PBKDF2: the key is a password, a SECRET."""

    name = "pbkdf2"
    hash: str
    salt: bytes
    iterations: int


@dataclass(frozen=True, slots=True)
class MasterKey:
    """The root of the tree that the key is the seed of."""

    name = "master-key"
    kind: str
    network: str = MAIN


@dataclass(frozen=True, slots=True)
class HardenedChild:
    name = "hardened-child"
    kind: str
    index: int


Mechanism = EncryptData | Hkdf | CounterKdf | PasswordKdf | MasterKey | HardenedChild


@dataclass(frozen=True, slots=True)
class DeriveKey(Command):
    key: ObjectRef
    mechanism: Mechanism
    template: ObjectTemplate


@dataclass(frozen=True, slots=True)
class TransformKey(Command):
    """The key's weak child: who holds it and the parent's extended public key can compute the parent."""

    key: ObjectRef
    kind: str
    index: int
    template: ObjectTemplate


def derive_key(call: Call, command: DeriveKey, key: ObjectSnapshot, group: Group) -> ObjectView:
    grant, template, mechanism = call.grants[0], command.template, command.mechanism
    call.details["parent"] = str(key.id)
    if isinstance(mechanism, MasterKey):
        found = _root(grant, key, mechanism, template)
        return _kept(call, _on_path(template, ()), group, found, key, how="derive")
    if isinstance(mechanism, HardenedChild):
        found = _child(grant, key, mechanism.kind, mechanism.index, template, hardened=True)
        template = _on_path(template, _path_below(key, mechanism.index))
        return _kept(call, template, group, found, key, how="derive")
    material = _derived_bytes(grant, key, mechanism, material_bytes(template))
    return _kept(call, template, group, as_described(template, material), key, how="derive")


def _derived_bytes(
    grant: Grant, key: ObjectSnapshot, mechanism: EncryptData | Hkdf | CounterKdf | PasswordKdf, length: int
) -> SecretBytes:
    _check_symmetric(key)
    if isinstance(mechanism, Hkdf):
        prk = _extracted(grant, key, mechanism.hash, mechanism.salt)
        return kdf.expand(mechanism.hash, prk, mechanism.info, length)
    if isinstance(mechanism, CounterKdf):
        fixed = mechanism.fixed
        if fixed is None:
            fixed = kdf.fixed_input(mechanism.label, mechanism.context, length)
        return kdf.counter_mode(_prf(grant, key, mechanism.hash), fixed, length)
    if isinstance(mechanism, PasswordKdf):
        if key.kind != "SECRET":
            raise InvalidRequest(f"PBKDF2 starts from a password, a SECRET, not from {key.kind} objects")
        password = keystore.lend(grant, key)
        return kdf.from_password(mechanism.hash, password, mechanism.salt, mechanism.iterations, length)
    return _encrypted(grant, key, mechanism, length)


def transform_key(call: Call, command: TransformKey, key: ObjectSnapshot, group: Group) -> ObjectView:
    call.details["parent"] = str(key.id)
    _check_release(key, command.template)
    found = _child(call.grants[0], key, command.kind, command.index, command.template, hardened=False)
    template = _on_path(command.template, _path_below(key, command.index))
    return _kept(call, template, group, found, key, how="transform")


def _kept(
    call: Call, template: ObjectTemplate, group: Group, found: Described, key: ObjectSnapshot, *, how: str
) -> ObjectView:
    """A transient parent has no record that a link could lead to."""
    links: dict[str, UUID] = {"parent": key.id} if key.name else {}
    return making.from_material(call, template, group, found, how=how, links=links)


# -- bytes as keys, also for agreement -----------------------------------------------------------------------------


def material_bytes(template: ObjectTemplate, default_bits: int | None = None) -> int:
    """How many bytes the new key's material has."""
    if template.kind not in BYTE_KINDS:
        algorithm_of(template.kind)  # says more of a kind that is not there at all
        raise ParameterInvalid(f"key_type is one of {', '.join(BYTE_KINDS)}, not {template.kind}")
    size = template.size if template.size is not None else default_bits
    if size is None:
        raise ParameterInvalid("key_size is needed")
    length = _DES_BYTES.get((template.kind, size), 0) if template.kind in ("DES", "DES3") else size // 8
    if length * 8 < size or not length:
        raise ParameterInvalid(f"key_size is no size of {template.kind} keys in whole bytes: {size}")
    return length


def as_described(template: ObjectTemplate, material: SecretBytes) -> Described:
    """Derived bytes as the template's kind understands them."""
    if template.kind in ("DES", "DES3"):
        material = kdf.with_odd_parity(material)
    return making.described(template, material)


# -- symmetric mechanisms ------------------------------------------------------------------------------------------


def _encrypted(grant: Grant, key: ObjectSnapshot, mechanism: EncryptData, length: int) -> SecretBytes:
    _check_symmetric(key)
    if mechanism.algorithm not in (None, key.kind):
        raise InvalidRequest(f"alg is {mechanism.algorithm}, but the object's type is {key.kind}")
    cipher, parameters = key.options.cipher, mechanism.parameters
    mode = parameters.mode if parameters.mode is not None else (cipher.mode if cipher is not None else None)
    if mode in _NOT_FOR_DERIVATION or key.options.tokenises:
        raise AlgorithmUnsupported("encrypt_data takes a mode that encrypts data: not FF1, KW or KWP")
    algorithm = algorithm_of(key.kind)
    opened = keystore.open_key(grant, key, algorithm.cipher_usage(parameters, key.options))
    result = algorithm.encrypt(opened, parameters, mechanism.plaintext, keystore.random, options=key.options)
    if result.iv is not None and parameters.iv is None:
        raise ParameterInvalid("encrypt_data needs the iv: under one chosen here nobody could derive the key again")
    if len(result.ciphertext) < length:
        bits = len(result.ciphertext) * 8
        raise ParameterInvalid(f"the ciphertext has {bits} bits, fewer than the key needs: give a longer plain")
    return SecretBytes(result.ciphertext[:length])


def _extracted(grant: Grant, key: ObjectSnapshot, hash_name: str, salt: bytes) -> SecretBytes:
    """HMAC under the salt of the key's value, which stays in the token if that is where it is."""
    _check_symmetric(key)
    if key.protection != keystore.TOKEN:
        return kdf.extract(hash_name, salt, keystore.lend(grant, key))
    usage = Usage.MAC if key.kind == "HMAC" else Usage.ENCRYPT | Usage.DECRYPT
    return kdf.extract_inside(hash_name, salt, token_key(keystore.open_key(grant, key, usage)))


def _prf(grant: Grant, key: ObjectSnapshot, hash_name: str | None) -> Callable[[bytes], bytes]:
    """The key's MAC, made in the token when the key is there; a secret has none of its own, so HMAC is made of it."""
    if key.kind not in ("SECRET", "OPAQUE"):
        return lambda data: mac_under(grant, key, hash_name, data)
    if hash_name is None:
        raise ParameterInvalid("hash_alg is needed: a secret is no block cipher's key")
    held, name = keystore.lend(grant, key), hash_name
    return lambda data: kdf.keyed_hash(name, held.reveal(), data)


def _check_symmetric(key: ObjectSnapshot) -> None:
    if algorithm_of(key.kind).asymmetric:
        raise InvalidRequest(f"This mechanism starts from a symmetric key or a secret, not from {key.kind} objects")


# -- trees of keys -------------------------------------------------------------------------------------------------


def _root(grant: Grant, key: ObjectSnapshot, mechanism: MasterKey, template: ObjectTemplate) -> Described:
    algorithm = _tree_key(mechanism.kind, template)
    if not MIN_SEED_BITS <= key.size <= MAX_SEED_BITS:
        raise InvalidRequest(f"A seed has {MIN_SEED_BITS} to {MAX_SEED_BITS} bits, not {key.size}")
    curve = algorithm.curve_of(template.curve)
    hashed = _extracted(grant, key, "SHA512", curve.seed_key)
    return algorithm.root(hashed, curve=template.curve, network=mechanism.network)


def _child(
    grant: Grant, key: ObjectSnapshot, kind: str, index: int, template: ObjectTemplate, *, hardened: bool
) -> Described:
    algorithm = _tree_key(kind, template)
    if key.kind != kind:
        raise InvalidRequest(f"The parent of a {kind} key is one, not an object of type {key.kind}")
    if template.curve not in (None, key.curve or None):
        raise ParameterInvalid("a child is on its parent's curve")
    return algorithm.child(key.spec, keystore.lend(grant, key), index, hardened=hardened)


def _tree_key(kind: str, template: ObjectTemplate) -> TreeKey:
    if template.kind != kind:
        raise ParameterInvalid(f"the mechanism makes {kind} keys, and key_type is {template.kind}")
    if template.size not in (None, BITS):
        raise ParameterInvalid(f"a {kind} key has {BITS} bits, not {template.size}")
    algorithm = algorithm_of(kind)
    assert isinstance(algorithm, TreeKey)
    return algorithm


def _check_release(key: ObjectSnapshot, template: ObjectTemplate) -> None:
    """A weak child in clear gives its parent away (BIP32 "Security"), so it leaves no more freely than that may."""
    if key.public_only or template.operations is None or KeyOperation.EXPORT not in template.operations:
        return
    rule = key.options.export
    if KeyOperation.EXPORT not in key.usable.operations or (rule is not None and rule != template.options.export):
        raise InvalidRequest("A weak child's private key gives its parent's away: it is exported only as the parent is")


def _path_below(key: ObjectSnapshot, index: int) -> tuple[int, ...] | None:
    path = key.options.derivation_path
    return None if path is None else (*path, index)


def _on_path(template: ObjectTemplate, path: tuple[int, ...] | None) -> ObjectTemplate:
    """A transient key carries no options; its depth is in the extended key all the same."""
    if path is None or template.transient:
        return template
    return replace(template, options=msgspec.structs.replace(template.options, derivation_path=path))


def _resolve_derivation(call: Call, command: DeriveKey) -> Sequence[Resolved]:
    use = judging.use_of_hash(getattr(command.mechanism, "hash", None))
    key = ObjectNeed(command.key, Permission.OBJECT_DERIVE, KeyOperation.DERIVE, use=use)
    return (call.authority.resolve_object(call, key), destination(call, command.template.group))


def _resolve_transformation(call: Call, command: TransformKey) -> Sequence[Resolved]:
    key = ObjectNeed(command.key, Permission.OBJECT_TRANSFORM, KeyOperation.TRANSFORM)
    return (call.authority.resolve_object(call, key), destination(call, command.template.group))


def _describe_derivation(command: DeriveKey) -> Mapping[str, Detail]:
    found = dict(describe_template(command.template))
    found.update({"parent": str(command.key), "mechanism": command.mechanism.name})
    return found


def _describe_transformation(command: TransformKey) -> Mapping[str, Detail]:
    found = dict(describe_template(command.template))
    found.update({"parent": str(command.key), "mechanism": "weak-child"})
    return found


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(DeriveKey, "object.derive", _resolve_derivation, derive_key, describe=_describe_derivation),
    _operation(
        TransformKey, "object.transform", _resolve_transformation, transform_key, describe=_describe_transformation
    ),
)
