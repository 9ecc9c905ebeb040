"""What keys an account or a group wants: kinds, sizes, curves, paddings, hashes, operations, protection.

It is kept as JSON and read back strictly: a policy that does not read, or not whole, forbids everything. It judges an
object by its shape and a use by its parameters; whoever asks says whose policies count.
Pure: no Django, no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from kms.crypto.operation import KeyOperation
from kms.crypto.options import NO_OPTIONS, KeyOptions, PaddingRule
from kms.objects.legacy import UNPROTECTING, Legacy

# Of a use: what pads and what hashes. Every other parameter is the key's own affair.
_SIGNING = frozenset({KeyOperation.SIGN, KeyOperation.VERIFY})


class KindRule(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What objects of one kind are allowed; None asks nothing. ``least`` bits, and ``sizes`` in bits.

    ``random_iv``: the object leaves its IVs to the server. ``fpe``: an object that tokenises has this format.
    ``encryption`` and ``signature``: a use is admitted by one of these, as by a key's own rules; no rules admit none.
    """

    sizes: tuple[int, ...] | None = None
    least: int | None = None
    curves: tuple[str, ...] | None = None
    random_iv: bool | None = None
    fpe: dict[str, Any] | None = None
    encryption: tuple[PaddingRule, ...] | None = None
    signature: tuple[PaddingRule, ...] | None = None


class CryptographicPolicy(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A kind that is not in ``kinds`` is not allowed; of the rest None asks nothing. ``legacy`` None is "allowed"."""

    kinds: dict[str, KindRule] = msgspec.field(default_factory=dict)
    operations: frozenset[KeyOperation] | None = None
    protection: frozenset[str] | None = None
    digests: frozenset[str] | None = None
    legacy: Legacy | None = None

    def stored(self) -> dict[str, Any]:
        """As the row keeps it: in one spelling, so that what reads back otherwise is damaged."""
        value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self, order="deterministic"))
        return {"kinds": {}, **value}

    def judges_use(self, kind: str) -> bool:
        rule = self.kinds.get(kind)
        paddings = rule is not None and (rule.encryption is not None or rule.signature is not None)
        return paddings or self.digests is not None


UNREADABLE = CryptographicPolicy(legacy=Legacy.PROHIBITED)


def policy_of(stored: Any) -> CryptographicPolicy:
    """A damaged part anywhere makes the whole policy forbid everything: it is never weaker than it was meant."""
    try:
        found = msgspec.convert(stored, CryptographicPolicy)
    except msgspec.ValidationError:
        return UNREADABLE
    return found if found.stored() == stored else UNREADABLE


class Shape(msgspec.Struct, frozen=True):
    """What of an object is judged. ``public_only``: it hides nothing, so that nothing needs to protect it."""

    kind: str
    size: int
    curve: str
    operations: frozenset[KeyOperation]
    protection: str
    options: KeyOptions = NO_OPTIONS
    public_only: bool = False


class Use(msgspec.Struct, frozen=True):
    """How a key is used. ``padding`` is the request's, or what comes out of the request and the key together."""

    padding: PaddingRule | None = None
    hashes: frozenset[str] = frozenset()


def faults(policy: CryptographicPolicy, shape: Shape) -> frozenset[str]:
    """What of the object is not allowed, in words. Nothing: it complies."""
    rule = policy.kinds.get(shape.kind)
    found = {f"{shape.kind} objects"} if rule is None else set(_faults_of_kind(rule, shape))
    if policy.operations is not None and not shape.operations <= policy.operations:
        found.update(f"the operation {extra.value}" for extra in shape.operations - policy.operations)
    if policy.protection is not None and not shape.public_only and shape.protection not in policy.protection:
        found.add(f"objects whose protection is {shape.protection}")
    return frozenset(found)


def _faults_of_kind(rule: KindRule, shape: Shape) -> Iterator[str]:
    kind, size = shape.kind, shape.size
    if (rule.sizes is not None and size not in rule.sizes) or (rule.least is not None and size < rule.least):
        yield f"{kind} objects of {size} bits"
    if rule.curves is not None and shape.curve not in rule.curves:
        yield f"{kind} objects on the curve {shape.curve}"
    cipher, rsa = shape.options.cipher, shape.options.rsa
    tokenises = shape.options.tokenises
    if rule.random_iv and not tokenises and (cipher is None or not cipher.random_iv):
        yield f"{kind} objects whose users choose IVs"
    if rule.fpe is not None and tokenises and cipher is not None and cipher.fpe != rule.fpe:
        yield "tokenisation in another format"
    if rsa is not None:
        yield from _unreachable("encryption", rule.encryption, rsa.encryption)
        yield from _unreachable("signatures", rule.signature, rsa.signature)


def _unreachable(
    what: str, allowed: tuple[PaddingRule, ...] | None, own: tuple[PaddingRule, ...] | None
) -> Iterator[str]:
    """Rules of the key's own by which it could only be used in ways that are not allowed."""
    for mine in own or ():
        if allowed is not None and not any(_meet(mine, each) for each in allowed):
            yield f"RSA {what} with {_named(mine)}"


def _meet(one: PaddingRule, other: PaddingRule) -> bool:
    """Whether some use is admitted by both."""
    return _agree(one.padding, other.padding) and _agree(one.mgf_hash, other.mgf_hash)


def _agree(one: str | None, other: str | None) -> bool:
    return None in (one, other) or one == other


def fault_of_use(policy: CryptographicPolicy, kind: str, operation: KeyOperation, use: Use) -> str | None:
    """What of the use is not allowed, in words."""
    rule, padding = policy.kinds.get(kind), use.padding
    if rule is not None and padding is not None:
        allowed = rule.signature if operation in _SIGNING else rule.encryption
        if allowed is not None and not any(each.admits(padding.padding or "", padding.mgf_hash) for each in allowed):
            return f"{kind} {'signatures' if operation in _SIGNING else 'encryption'} with {_named(padding)}"
    if policy.digests is not None and not use.hashes <= policy.digests:
        return f"the hash {min(use.hashes - policy.digests)}"
    return None


def refused_use(
    policies: Iterable[CryptographicPolicy], shape: Shape, operation: KeyOperation, use: Use | None
) -> str | None:
    """What all the policies together do not allow of this use; None when they allow it.

    An object that breaks a policy may what the policy leaves to such. Of one that complies, uses in other ways than the
    policy's are what it leaves too, but only to undo what is protected: nothing new is made in such a way.
    """
    for policy in policies:
        broken = faults(policy, shape)
        legacy = policy.legacy or Legacy.ALLOWED
        if broken:
            if not legacy.permits(operation):
                return min(broken)
        elif use is not None and (legacy is Legacy.PROHIBITED or operation not in UNPROTECTING):
            fault = fault_of_use(policy, shape.kind, operation, use)
            if fault is not None:
                return fault
    return None


def _named(rule: PaddingRule) -> str:
    name = rule.padding or "any padding"
    return name if rule.mgf_hash is None else f"{name} and MGF1 over {rule.mgf_hash}"
