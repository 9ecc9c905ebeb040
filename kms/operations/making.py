"""How an object comes to be, whatever made its material: the template asked for, its row, its blob, its record.

Shared by creation, derivation, copies and rotation. It decides nothing and must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID, uuid4

import msgspec

from accounts.models import Group
from kms.audit.entry import Detail
from kms.crypto.algorithm import Algorithm, Described
from kms.crypto.errors import ParameterInvalid
from kms.crypto.key_formats import as_kept
from kms.crypto.operation import KeyOperation
from kms.crypto.options import NO_OPTIONS, CipherOptions, KeyOptions
from kms.crypto.registry import algorithm_of
from kms.hsm.module import KeySpec, StoredKey
from kms.objects import keystore
from kms.objects.models import SecurityObject
from kms.objects.publication import Publication
from kms.objects.rotation import RotationPolicy, next_rotation
from kms.objects.state import Cryptoperiod, KeyState, initial_state
from kms.operations import check_value, judging
from kms.operations.authority import object_target
from kms.operations.command import Call
from kms.operations.managed_object import ObjectView, check_period, checked_operations, row_binding, save, view_of
from kms.operations.quorum_policies import QuorumPolicy, stored_on_object
from kms.operations.transient import make_transient
from kms.secret import SecretBytes

# The ways of coming to be by which somebody else has, or had, the material.
BROUGHT_IN = frozenset({"import", "components", "unwrap"})


@dataclass(frozen=True, slots=True)
class ObjectTemplate:
    """The attributes a caller asks for; None leaves the choice to the server.

    ``curve`` may be a post-quantum parameter set. ``pre_active`` asks for an object that waits for its activation.
    ``check_value`` must come out as the new object's own.
    """

    name: str | None
    kind: str
    group: UUID | None = None
    size: int | None = None
    curve: str | None = None
    public_exponent: int | None = None
    operations: frozenset[KeyOperation] | None = None
    description: str = ""
    custom_metadata: Mapping[str, str] = field(default_factory=dict)
    enabled: bool = True
    period: Cryptoperiod = field(default_factory=Cryptoperiod)
    pre_active: bool = False
    transient: bool = False
    options: KeyOptions = NO_OPTIONS
    rotation: RotationPolicy | None = None
    publication: Publication | None = None
    quorum: QuorumPolicy | None = None
    check_value: str | None = None
    check_value_method: str | None = None


def generated(call: Call, template: ObjectTemplate, group: Group) -> ObjectView:
    """A new key, made in the token where it can be."""
    template = dated(call, template, group)
    algorithm = algorithm_of(template.kind)
    spec = algorithm.generation_spec(size=template.size, curve=template.curve, public_exponent=template.public_exponent)
    if template.transient:
        refuse_limits_of_transient(template)
    row = new_row(call, template, group, spec)
    row.creation = "generate"
    if template.transient:
        return _transient(call, row, spec)
    return kept(call, row, keystore.generate(spec, binding=row_binding(row), protection=row.protection), template)


def described(template: ObjectTemplate, material: SecretBytes) -> Described:
    """The material as the template's kind understands it, in whichever form it came."""
    kept_form = as_kept(template.kind, material)
    return algorithm_of(template.kind).describe(kept_form, size=template.size, curve=template.curve)


def from_material(
    call: Call,
    template: ObjectTemplate,
    group: Group,
    found: Described,
    *,
    how: str,
    links: Mapping[str, UUID] | None = None,
) -> ObjectView:
    """An object of material that the process holds. ``links`` are columns that name other objects."""
    template = dated(call, template, group)
    row = new_row(call, template, group, found.spec, public_only=found.public_only)
    row.creation, row.attributes = how, dict(found.attributes or {})
    for column, other in (links or {}).items():
        setattr(row, column, other)
    if template.transient:
        refuse_limits_of_transient(template)
        return _transient_of(call, row, found)
    stored = keystore.store(found.spec, found.material, binding=row_binding(row), protection=row.protection)
    return kept(call, row, StoredKey(stored.blob, found.public or stored.public), template)


def dated(call: Call, template: ObjectTemplate, group: Group) -> ObjectTemplate:
    """With the dates that a policy gives new objects whose caller gives none."""
    if template.transient:
        return template
    return replace(template, period=judging.dates_of_new(call, group.id, template.kind, template.period))


def new_row(
    call: Call,
    template: ObjectTemplate,
    group: Group,
    spec: KeySpec,
    *,
    public_only: bool = False,
    source: UUID | None = None,
) -> SecurityObject:
    """The row, all but its blob: whatever the blob is bound to is settled here, and whether policies let it be.

    ``source`` is the group of the object that the material is taken over from.
    """
    if not template.name and not template.transient:
        raise ParameterInvalid("name is needed")
    algorithm = algorithm_of(spec.kind)
    check_period(template.period)
    options = _options_of_new(call, template, group)
    algorithm.check_options(options, spec)
    operations = checked_operations(
        algorithm, template.operations, spec=spec, options=template.options, public_only=public_only
    )
    if template.operations is None:
        operations = judging.allowed_operations(call, group.id, operations)
    exportable = KeyOperation.EXPORT in operations
    check_publication(spec.kind, template.publication)
    row = SecurityObject(
        id=uuid4(),
        account_id=call.account,
        group=group,
        name=template.name or "",
        description=template.description,
        kind=spec.kind,
        size=spec.size,
        curve=spec.curve or "",
        operations=sorted(operations),
        original_operations=sorted(operations),
        state=initial_state(template.period, call.now, pre_active=template.pre_active),
        enabled=template.enabled,
        activation_date=template.period.activation,
        deactivation_date=template.period.deactivation,
        protection=keystore.protection_for(spec, releasable=exportable or public_only),
        never_exportable=not exportable,
        public_only=public_only,
        custom_metadata=dict(template.custom_metadata),
        options=options.stored(),
        publication=None if template.publication is None else template.publication.stored(),
        quorum=None if template.quorum is None else stored_on_object(call, template.quorum),
        creator_kind=call.principal.kind,
        creator_id=call.principal.id,
    )
    if template.rotation is not None:
        schedule(row, template.rotation, call.now)
    judging.check_new(call, row, transient=template.transient, source=source)
    return row


def _options_of_new(call: Call, template: ObjectTemplate, group: Group) -> KeyOptions:
    """What is asked for; IVs are left to the server where that has to be and nobody said otherwise."""
    options = NO_OPTIONS.changed(template.options)
    cipher = options.cipher or CipherOptions()
    open_question = cipher.random_iv is None and not options.tokenises and not template.transient
    if not open_question or not judging.leaves_ivs_to_the_server(call, group.id, template.kind):
        return options
    return options.changed(KeyOptions(cipher=msgspec.structs.replace(cipher, random_iv=True)))


def schedule(row: SecurityObject, policy: RotationPolicy, now: datetime) -> None:
    """Give the row its rotation policy; the keeper acts on ``rotates_at``."""
    if needs_value(row.kind, public_only=row.public_only):
        raise ParameterInvalid(f"{_what(row)} are rotated to a value that somebody brings, not by a policy")
    begun = policy.checked().begun(now)
    row.rotation, row.rotates_at = begun.stored(), next_rotation(begun, now)


def needs_value(kind: str, *, public_only: bool) -> bool:
    """Whether the server cannot make a new one by itself. Kinds that are never generated keep the base's refusal."""
    return public_only or type(algorithm_of(kind)).generation_spec is Algorithm.generation_spec


def _what(row: SecurityObject) -> str:
    return f"{row.kind} public keys" if row.public_only else f"{row.kind} objects"


def kept(call: Call, row: SecurityObject, stored: StoredKey, template: ObjectTemplate | None = None) -> ObjectView:
    """The row with its blob, checked against the expected check value, saved and told to the record."""
    row.blob, row.public_key = stored.blob, stored.public
    row.kcv = check_value.of_row(row)
    if template is not None and template.check_value is not None:
        check_value.must_match(row, template.check_value, template.check_value_method)
    save(row, created=True)
    call.touched.insert(0, object_target(row))
    call.details.update(object_version=row.version, size=row.size, protection=row.protection)
    return view_of(row, call.now)


def _transient(call: Call, row: SecurityObject, spec: KeySpec) -> ObjectView:
    def make(binding: bytes) -> StoredKey:
        return keystore.generate(spec, binding=binding, protection=row.protection)

    return _handed_out(call, row, spec, make)


def _transient_of(call: Call, row: SecurityObject, found: Described) -> ObjectView:
    def make(binding: bytes) -> StoredKey:
        stored = keystore.store(found.spec, found.material, binding=binding, protection=row.protection)
        return StoredKey(stored.blob, found.public or stored.public)

    return _handed_out(call, row, found.spec, make)


def _handed_out(call: Call, row: SecurityObject, spec: KeySpec, make: Callable[[bytes], StoredKey]) -> ObjectView:
    row.id, blob, row.public_key = make_transient(
        spec,
        make,
        account=row.account_id,
        group=row.group_id,
        operations=frozenset(KeyOperation(value) for value in row.operations),
        protection=row.protection,
        now=call.now,
        made_here=row.creation not in BROUGHT_IN,
        public_only=row.public_only,
    )
    row.created_at = call.now
    return ObjectView(row, KeyState.ACTIVE, transient=blob)


def refuse_limits_of_transient(template: ObjectTemplate) -> None:
    """It carries none of these, and leaving one out would make a stronger key than was asked for."""
    if template.period != Cryptoperiod() or not template.enabled or template.pre_active:
        raise ParameterInvalid("a transient key is active for a day at most: it takes no dates and is not disabled")
    limited = NO_OPTIONS.changed(template.options) != NO_OPTIONS
    policies = (template.rotation, template.publication, template.quorum)
    if limited or any(policy is not None for policy in policies):
        raise ParameterInvalid("a transient key carries no options, rotation or approval policy, or publication")


def check_publication(kind: str, publication: Publication | None) -> None:
    if publication is not None and not algorithm_of(kind).asymmetric:
        raise ParameterInvalid(f"{kind} objects have no public key to publish")


def describe_template(template: ObjectTemplate) -> Mapping[str, Detail]:
    operations = None if template.operations is None else ",".join(sorted(template.operations))
    return {
        "kind": template.kind,
        "size": template.size,
        "curve": template.curve,
        "name": template.name,
        "operations": operations,
    }
