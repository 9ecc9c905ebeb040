"""Key custody: a key leaves in components for several custodians, and comes back from them.

Whoever may export the key gets all components in one answer and hands them out; a custodian who fetches or brings only
their own takes approvals, which this does not know. Control plane; it must not know the wire or HTTP.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accounts.models import Group
from kms.audit.entry import Category, Detail
from kms.crypto.algorithm import CipherParameters, LentKey
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.kdf import with_odd_parity
from kms.crypto.operation import KeyOperation
from kms.crypto.secret_sharing import combine, split
from kms.hsm.module import KeySpec
from kms.objects import keystore
from kms.objects.snapshot import ObjectSnapshot
from kms.operations import check_value, judging, making, wrapping
from kms.operations.command import Call, Command, ObjectNeed, ObjectRef, Operation, Resolved, control
from kms.operations.custodians import MAX_CUSTODIANS, Custodian, check_custodians
from kms.operations.errors import InvalidRequest
from kms.operations.making import ObjectTemplate
from kms.operations.managed_object import ObjectView, destination
from kms.secret import SecretBytes
from policies.grant import Grant
from policies.permissions import Permission

# Any bytes of the right length are a key of these kinds, so that components are keys themselves and have check values.
KINDS = ("AES", "DES", "DES3", "HMAC")
_WITH_PARITY = ("DES", "DES3")


@dataclass(frozen=True, slots=True)
class Wrapping:
    """The key that wraps each component, or unwraps it."""

    key: ObjectRef
    algorithm: str
    parameters: CipherParameters


@dataclass(frozen=True, slots=True)
class Component:
    """``value`` is wrapped when the request says with what. ``check_value`` is that of the bare component."""

    custodian: Custodian
    value: SecretBytes
    check_value: str | None = None


@dataclass(frozen=True, slots=True)
class ExportComponents(Command):
    key: ObjectRef
    custodians: tuple[Custodian, ...]
    wrapping: Wrapping | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class ImportComponents(Command):
    template: ObjectTemplate
    custodians: tuple[Custodian, ...]
    components: tuple[Component, ...]
    wrapping: Wrapping | None = None


@dataclass(frozen=True, slots=True)
class SplitKey:
    """Check values are None for kinds that have none."""

    components: tuple[Component, ...]
    check_value: str | None
    check_value_cmac: str | None
    description: str | None


# -- export --------------------------------------------------------------------------------------------------------


def export_components(call: Call, command: ExportComponents, key: ObjectSnapshot, *wrapping_keys: Any) -> SplitKey:
    _check_kind(key.kind)
    check_custodians(call, key.group, command.custodians)
    call.details["subject"] = str(key.id)
    rule = key.options.export
    if rule is not None and rule.wrapped and not wrapping_keys:
        raise InvalidRequest("The object's export policy lets it out wrapped only", "export-wrapped-only")
    material = keystore.material(call.grants[0], key)
    parts = split(material, len(command.custodians), keystore.module().random)
    values = parts
    if wrapping_keys:
        (wrapping_key,) = wrapping_keys
        wrapping.check_export_rule(wrapping_key, key)
        values = tuple(_wrapped(call.grants[1], wrapping_key, command.wrapping, part) for part in parts)
    return SplitKey(
        components=tuple(
            Component(custodian, value, _check_value_of(key.spec, part))
            for custodian, part, value in zip(command.custodians, parts, values, strict=True)
        ),
        check_value=_check_value_of(key.spec, material),
        check_value_cmac=_check_value_of(key.spec, material, check_value.CMAC),
        description=command.description,
    )


def _wrapped(grant: Grant, key: ObjectSnapshot, how: Wrapping | None, part: SecretBytes) -> SecretBytes:
    """One IV for all components would undo the split: keystreams cancel out as components do. So there is none."""
    assert how is not None
    _check_algorithm(key, how)
    made = wrapping.wrap(grant, key, how.parameters, part)
    if made.iv is not None or made.tag is not None:
        raise AlgorithmUnsupported("components are wrapped in a mode without an iv: KW, KWP, ECB, or RSA's")
    return SecretBytes(made.ciphertext)


def _check_value_of(spec: KeySpec, material: SecretBytes, method: str = check_value.ENCRYPT) -> str | None:
    if not check_value.has_check_value(spec.kind):
        return None
    return check_value.compute(spec.kind, LentKey(spec, material), method)


# -- import --------------------------------------------------------------------------------------------------------


def import_components(call: Call, command: ImportComponents, *others: Any) -> ObjectView:
    """``others``: the unwrapping key when there is one, and the group."""
    template = command.template
    _check_kind(template.kind)
    group: Group = others[-1]
    check_custodians(call, group.id, command.custodians)
    if {component.custodian for component in command.components} != set(command.custodians) or len(
        command.components
    ) != len(command.custodians):
        raise ParameterInvalid("every custodian brings exactly one component")
    parts = [component.value for component in command.components]
    if command.wrapping is not None:
        key: ObjectSnapshot = others[0]
        _check_algorithm(key, command.wrapping)
        parts = [wrapping.unwrap(call.grants[0], key, command.wrapping.parameters, part.reveal()) for part in parts]
    material = combine(parts)
    if template.kind in _WITH_PARITY:
        material = with_odd_parity(material)  # custodians' components each have it, and of two the sum has even
    found = making.described(template, material)
    for component, part in zip(command.components, parts, strict=True):
        _check_component(component, part, found.spec, template.check_value_method)
    return making.from_material(call, template, group, found, how="components")


def _check_component(component: Component, part: SecretBytes, spec: KeySpec, method: str | None) -> None:
    """So that a custodian's slip is told from another's."""
    if component.check_value is None:
        return
    actual = _check_value_of(spec, _whole(spec, part), method or check_value.ENCRYPT)
    if actual is None:
        raise ParameterInvalid(f"{spec.kind} components have no key check value to compare component_kcv with")
    if not hmac.compare_digest(actual.encode(), component.check_value.upper().encode()):
        raise ParameterInvalid(f"component_kcv does not match the component of {component.custodian}")


def _whole(spec: KeySpec, part: SecretBytes) -> SecretBytes:
    """Two TDEA keys of 8 bytes are K1 K2 K1, in a component too."""
    return SecretBytes(part.reveal() + part.reveal()[:8]) if spec.kind == "DES3" and len(part) == 16 else part


# -- both ----------------------------------------------------------------------------------------------------------


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ParameterInvalid(
            f"keys of the kinds {', '.join(KINDS)} are split into components, {kind} objects are not"
        )


def _check_algorithm(key: ObjectSnapshot, how: Wrapping) -> None:
    if how.algorithm != key.kind:
        raise InvalidRequest(f"alg is {how.algorithm}, but the object's type is {key.kind}")


def _resolve_export(call: Call, command: ExportComponents) -> Sequence[Resolved]:
    subject = ObjectNeed(command.key, Permission.OBJECT_EXPORT, KeyOperation.EXPORT)
    resolved = [call.authority.resolve_object(call, subject)]
    if command.wrapping is not None:
        use = judging.use_of(command.wrapping.parameters)
        need = ObjectNeed(command.wrapping.key, Permission.OBJECT_WRAP, KeyOperation.WRAP, use=use)
        resolved.append(call.authority.resolve_object(call, need))
    return resolved


def _resolve_import(call: Call, command: ImportComponents) -> Sequence[Resolved]:
    resolved = [destination(call, command.template.group)]
    if command.wrapping is not None:
        use = judging.use_of(command.wrapping.parameters)
        need = ObjectNeed(command.wrapping.key, Permission.OBJECT_UNWRAP, KeyOperation.UNWRAP, use=use)
        resolved.insert(0, call.authority.resolve_object(call, need))
    return resolved


def _describe_export(command: ExportComponents) -> Mapping[str, Detail]:
    return {
        "subject": str(command.key),
        "items": len(command.custodians),
        "custodians": _names(command.custodians),
        "wrapping_key": _wrapping_key(command.wrapping),
    }


def _describe_import(command: ImportComponents) -> Mapping[str, Detail]:
    return {
        "kind": command.template.kind,
        "name": command.template.name,
        "items": len(command.components),
        "custodians": _names(command.custodians),
        "wrapping_key": _wrapping_key(command.wrapping),
    }


def _names(custodians: Sequence[Custodian]) -> str:
    return ", ".join(map(str, custodians[:MAX_CUSTODIANS]))


def _wrapping_key(how: Wrapping | None) -> str | None:
    return None if how is None else str(how.key)


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(
        ExportComponents, "object.export-components", _resolve_export, export_components, describe=_describe_export
    ),
    _operation(
        ImportComponents, "object.import-components", _resolve_import, import_components, describe=_describe_import
    ),
)
