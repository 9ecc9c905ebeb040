"""What the policies of an account and its groups say of an object: made, changed or used. They are facts of the call.

Budget of a use that was judged before: 5 us, whatever the policies ask. The first judgement under two policies of each
sort may take 100 us. It must not know how policies come to be, the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from accounts.lru import Lru
from accounts.principal import PrincipalKind
from kms.crypto.algorithm import CipherParameters, SignatureParameters
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.crypto.options import NO_OPTIONS, PaddingRule, options_of
from kms.crypto.registry import algorithm_of
from kms.objects import cryptographic_policy, metadata_policy
from kms.objects.cryptographic_policy import CryptographicPolicy, Shape, Use
from kms.objects.metadata_policy import Metadata, MetadataPolicy
from kms.objects.models import SecurityObject
from kms.objects.snapshot import ObjectSnapshot, metadata_of
from kms.objects.state import Cryptoperiod
from kms.operations.command import Call
from kms.operations.errors import AccessDenied
from policies.decision import Forbid
from policies.demand_rows import read_demands
from policies.demands import NO_DEMANDS, Demand, Demands

CRYPTOGRAPHIC, METADATA = "cryptographic-policy", "metadata-policy"
MAX_READ, MAX_VERDICTS = 2000, 10_000

T = TypeVar("T")


class _Reader(Generic[T]):
    """Policies by the stored mapping that they were read from, which is held so that no other takes its place."""

    def __init__(self, read: Callable[[Any], T]) -> None:
        self._read = read
        self._found: Lru[int, tuple[Mapping[str, Any], T]] = Lru(MAX_READ)

    def __call__(self, stored: Mapping[str, Any]) -> T:
        found = self._found.get(id(stored))
        if found is None:
            found = (stored, self._read(stored))
            self._found.put(id(stored), found)
        return found[1]


_cryptographic: _Reader[CryptographicPolicy] = _Reader(cryptographic_policy.policy_of)
_metadata: _Reader[MetadataPolicy | None] = _Reader(metadata_policy.policy_of)


def _demands(demands: Demands, groups: tuple[UUID, ...]) -> Iterator[Demand]:
    yield demands.account
    for group in groups:
        yield demands.of_group(group)


def _cryptographic_policies(demands: Demands, *groups: UUID) -> list[CryptographicPolicy]:
    stored = (each.cryptographic for each in _demands(demands, groups))
    return [_cryptographic(each) for each in stored if each is not None]


def _metadata_policies(demands: Demands, *groups: UUID) -> list[MetadataPolicy | None]:
    stored = (each.metadata for each in _demands(demands, groups))
    return [_metadata(each) for each in stored if each is not None]


# -- use -----------------------------------------------------------------------------------------------------------

_SIGNING = frozenset({KeyOperation.SIGN, KeyOperation.VERIFY})
_ENCRYPTING = frozenset({KeyOperation.ENCRYPT, KeyOperation.DECRYPT, KeyOperation.WRAP, KeyOperation.UNWRAP})
_NO_USE = Use()
# Each holds what it was found for, so that nothing else takes its place in memory.
_Verdict = tuple[Demands, ObjectSnapshot, tuple[Forbid, ...]]
_verdicts: Lru[tuple[int, int, KeyOperation, Use | None], _Verdict] = Lru(MAX_VERDICTS)


def use_of(parameters: CipherParameters | SignatureParameters) -> Use | None:
    """What of a request's parameters policies speak of; None when it names nothing of that."""
    hash_name = parameters.hash if isinstance(parameters, SignatureParameters) else None
    if parameters.padding is None and parameters.mgf_hash is None and hash_name is None:
        return None
    return Use(PaddingRule(parameters.padding, parameters.mgf_hash), hashes_of(hash_name))


def hashes_of(hash_name: str | None) -> frozenset[str]:
    return frozenset() if hash_name is None else frozenset({hash_name})


def use_of_hash(hash_name: str | None) -> Use | None:
    return None if hash_name is None else Use(hashes=hashes_of(hash_name))


def forbids_of_use(
    demands: Demands, found: ObjectSnapshot, operation: KeyOperation, use: Use | None
) -> tuple[Forbid, ...]:
    """What the policies over the object have against this use of it.

    The answer follows from these four and nothing else, no clock either, so it is found once for all calls that share
    them. A transient key is read anew for each call, and is judged anew.
    """
    if demands is NO_DEMANDS:
        return ()
    if found.metadata is None:
        return _judged(demands, found, operation, use)
    key = (id(demands), id(found), operation, use)
    known = _verdicts.get(key)
    if known is None:
        known = (demands, found, _judged(demands, found, operation, use))
        _verdicts.put(key, known)
    return known[2]


def _judged(demands: Demands, found: ObjectSnapshot, operation: KeyOperation, use: Use | None) -> tuple[Forbid, ...]:
    forbids: list[Forbid] = []
    policies = _cryptographic_policies(demands, found.group)
    if policies:
        way = _way(policies, found, operation, use)
        fault = cryptographic_policy.refused_use(policies, shape_of(found), operation, way)
        if fault is not None:
            forbids.append(Forbid(CRYPTOGRAPHIC, _not_allowed(fault)))
    if found.metadata is not None:
        missed = metadata_policy.refused_use(_metadata_policies(demands, found.group), found.metadata, operation)
        if missed is not None:
            forbids.append(Forbid(METADATA, _not_met(missed)))
    return tuple(forbids)


def _way(
    policies: list[CryptographicPolicy], found: ObjectSnapshot, operation: KeyOperation, use: Use | None
) -> Use | None:
    """How the key comes to be used: what the request leaves open, the key's own options or its kind decide."""
    if not any(policy.judges_use(found.kind) for policy in policies):
        return None
    asked = use or _NO_USE
    padding = _padding(found, operation, asked)
    if padding is None:
        return Use(hashes=asked.hashes)
    return Use(padding, asked.hashes | hashes_of(padding.mgf_hash))


def _padding(found: ObjectSnapshot, operation: KeyOperation, asked: Use) -> PaddingRule | None:
    """None where there is none: also in a request that the key is going to refuse."""
    named = asked.padding or PaddingRule()
    parameters: CipherParameters | SignatureParameters
    if operation in _SIGNING:
        parameters = SignatureParameters(min(asked.hashes, default=None), named.padding, named.mgf_hash)
    elif operation in _ENCRYPTING:
        parameters = CipherParameters(padding=named.padding, mgf_hash=named.mgf_hash)
    else:
        return None
    try:
        return algorithm_of(found.kind).padding_of(parameters, found.options)
    except (ParameterInvalid, AlgorithmUnsupported):
        return None


def shape_of(found: ObjectSnapshot) -> Shape:
    return Shape(
        found.kind,
        found.size,
        found.curve,
        found.usable.operations,
        found.protection,
        found.options,
        found.public_only,
    )


# -- making and changing -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """An object as it is judged: in its group, of its shape, with what is said of it."""

    group: UUID
    shape: Shape
    metadata: Metadata


def standing_of(row: SecurityObject, created_at: datetime | None = None) -> Standing:
    shape = Shape(
        row.kind,
        row.size,
        row.curve,
        frozenset(map(KeyOperation, row.operations)),
        row.protection,
        options_of(row.options),
        row.public_only,
    )
    return Standing(row.group_id, shape, metadata_of(row, created_at or row.created_at))


def _demands_on(call: Call) -> Demands:
    """The server itself has none among its facts, as no quorum stands before it. What it makes complies anyway."""
    if call.principal.kind is PrincipalKind.SYSTEM:
        return read_demands(call.account)
    return call.facts.demands


def check_new(call: Call, row: SecurityObject, *, transient: bool = False, source: UUID | None = None) -> None:
    """An object that is to be: it complies, or is not made. ``source`` is the group that its material comes from."""
    demands = _demands_on(call)
    if demands is NO_DEMANDS:
        return
    standing = standing_of(row, call.now)
    groups = (standing.group,) if source in (None, standing.group) else (standing.group, source)
    if transient:
        # It carries no options, and nothing is said of it.
        _refuse_faults(demands, msgspec.structs.replace(standing.shape, options=NO_OPTIONS), *groups)
    else:
        _refuse_faults(demands, standing.shape, *groups)
        _refuse_unmet(demands, standing.metadata, *groups)


def check_changed(call: Call, row: SecurityObject, before: Standing) -> None:
    """A change breaks no policy that was kept. In another group, all of the object is judged as if it were new there.

    What is said of an object that breaks its metadata policy is changed only so that it complies, as in the vendor's.
    """
    demands = _demands_on(call)
    if demands is NO_DEMANDS:
        return
    now = standing_of(row)
    if now.group != before.group:
        _refuse_faults(demands, now.shape, now.group)
        _refuse_unmet(demands, now.metadata, now.group)
        return
    for policy in _cryptographic_policies(demands, now.group):
        gained = cryptographic_policy.faults(policy, now.shape) - cryptographic_policy.faults(policy, before.shape)
        if gained:
            raise AccessDenied(CRYPTOGRAPHIC, _not_allowed(min(gained)))
    if now.metadata != before.metadata:
        _refuse_unmet(demands, now.metadata, now.group)


def _refuse_faults(demands: Demands, shape: Shape, *groups: UUID) -> None:
    for policy in _cryptographic_policies(demands, *groups):
        faults = cryptographic_policy.faults(policy, shape)
        if faults:
            raise AccessDenied(CRYPTOGRAPHIC, _not_allowed(min(faults)))


def _refuse_unmet(demands: Demands, metadata: Metadata, *groups: UUID) -> None:
    for policy in _metadata_policies(demands, *groups):
        unmet = metadata_policy.faults(policy, metadata)
        if unmet:
            raise AccessDenied(METADATA, _not_met(min(unmet)))


def _not_allowed(fault: str) -> str:
    return f"The cryptographic policy does not allow {fault}"


def _not_met(fault: str) -> str:
    return f"The key metadata policy is not met: {fault}"


# -- what the server chooses when the caller does not --------------------------------------------------------------


def allowed_operations(call: Call, group: UUID, chosen: frozenset[KeyOperation]) -> frozenset[KeyOperation]:
    """Of the operations that a new object gets unasked, those that are allowed."""
    for policy in _cryptographic_policies(_demands_on(call), group):
        chosen = chosen if policy.operations is None else chosen & policy.operations
    return chosen


def leaves_ivs_to_the_server(call: Call, group: UUID, kind: str) -> bool:
    """Whether a new object of this kind has to."""
    rules = (policy.kinds.get(kind) for policy in _cryptographic_policies(_demands_on(call), group))
    return any(rule is not None and rule.random_iv for rule in rules)


def dates_of_new(call: Call, group: UUID, kind: str, period: Cryptoperiod) -> Cryptoperiod:
    """A new object's dates, with the group's or else the account's defaults where the caller gave none."""
    policies = reversed(_metadata_policies(_demands_on(call), group))
    return metadata_policy.with_defaults(policies, kind, period, call.now)
