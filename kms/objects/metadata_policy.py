"""What an account or a group wants said of its objects: descriptions, custom metadata, dates.

It is kept as JSON and read back strictly: a policy that does not read, or not whole, is met by no object. Durations
count from the object's creation. Pure: no Django, no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from kms.crypto.operation import KeyOperation
from kms.objects.legacy import Legacy
from kms.objects.state import Cryptoperiod

# What timedelta can add to any date that the clock will show.
MAX_SECONDS = 200 * 366 * 86400
_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}


class TextRule(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A text must be there, or must not. ``allowed``: it is one of these, where any are named."""

    required: bool
    non_blank: bool = False
    allowed: frozenset[str] = frozenset()


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A duration as it was given."""

    unit: Literal["seconds", "minutes", "hours", "days"]
    number: Annotated[int, msgspec.Meta(ge=0)]

    @property
    def seconds(self) -> int:
        return self.number * _SECONDS[self.unit]

    @property
    def delta(self) -> timedelta:
        return timedelta(seconds=self.seconds)


class DateRule(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A date must be there, or must not; ``least`` and ``most`` after the creation. A new object gets ``default``."""

    required: bool
    least: Span | None = None
    most: Span | None = None
    default: Span | None = None


class MetadataRules(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """None, and custom metadata that is not named, is free."""

    description: TextRule | None = None
    custom: dict[str, TextRule] = {}
    activation: DateRule | None = None
    deactivation: DateRule | None = None


class MetadataPolicy(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The rules of a kind in ``kinds`` stand in place of ``base``, all of them."""

    base: MetadataRules
    kinds: dict[str, MetadataRules] = {}
    legacy: Legacy = Legacy.ALLOWED

    def rules_of(self, kind: str) -> MetadataRules:
        return self.kinds.get(kind, self.base)

    def stored(self) -> dict[str, Any]:
        """As the row keeps it: in one spelling, so that what reads back otherwise is damaged."""
        value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self, order="deterministic"))
        return value


class Metadata(msgspec.Struct, frozen=True):
    """What is said of an object."""

    kind: str
    description: str
    custom: Mapping[str, str]
    created_at: datetime
    period: Cryptoperiod


def policy_of(stored: Any) -> MetadataPolicy | None:
    """None: a damaged one, which nothing meets."""
    try:
        found = msgspec.convert(stored, MetadataPolicy)
        spans = [span for rule in _date_rules(found) for span in (rule.least, rule.most, rule.default) if span]
        readable = found.stored() == stored and all(span.seconds <= MAX_SECONDS for span in spans)
    except msgspec.ValidationError:
        return None
    return found if readable else None


def _date_rules(policy: MetadataPolicy) -> Iterator[DateRule]:
    for rules in (policy.base, *policy.kinds.values()):
        yield from (rule for rule in (rules.activation, rules.deactivation) if rule is not None)


def faults(policy: MetadataPolicy | None, metadata: Metadata, *, used: bool = False) -> frozenset[str]:
    """What the policy does not accept of the metadata, in words. Nothing: it complies.

    ``used``: judged long after. Keys have been activated and ended by hand since, so of the dates only those that are
    missing and an end that is too late count.
    """
    if policy is None:
        return frozenset({"the policy cannot be read"})
    rules, period, created = policy.rules_of(metadata.kind), metadata.period, metadata.created_at
    activation, deactivation = rules.activation, rules.deactivation
    if used:
        activation, deactivation = _lasting(activation, most=False), _lasting(deactivation, most=True)
    return frozenset(
        [
            *_of_text("description", rules.description, metadata.description),
            *(
                fault
                for name, rule in rules.custom.items()
                for fault in _of_text(f"custom_metadata {name}", rule, metadata.custom.get(name, ""))
            ),
            *_of_date("activation_date", activation, period.activation, created),
            *_of_date("deactivation_date", deactivation, period.deactivation, created),
        ]
    )


def _lasting(rule: DateRule | None, *, most: bool) -> DateRule | None:
    """What of a rule holds for an object that has been in use."""
    if rule is None or not rule.required:
        return None
    return DateRule(required=True, most=rule.most if most else None)


def _of_text(name: str, rule: TextRule | None, value: str) -> Iterator[str]:
    if rule is None:
        return
    if not rule.required:
        if value:
            yield f"{name} must not be set"
    elif not value or (rule.non_blank and not value.strip()):
        yield f"{name} is needed"
    elif rule.allowed and value not in rule.allowed:
        yield f"{name} is not one of the values that are allowed"


def _of_date(name: str, rule: DateRule | None, value: datetime | None, created: datetime) -> Iterator[str]:
    if rule is None:
        return
    if not rule.required:
        if value is not None:
            yield f"{name} must not be set"
    elif value is None:
        yield f"{name} is needed"
    elif rule.least is not None and value < created + rule.least.delta:
        yield f"{name} is less than {_named(rule.least)} after the creation"
    elif rule.most is not None and value > created + rule.most.delta:
        yield f"{name} is more than {_named(rule.most)} after the creation"


def _named(span: Span) -> str:
    return f"{span.number} {span.unit}"


def refused_use(policies: Iterable[MetadataPolicy | None], metadata: Metadata, operation: KeyOperation) -> str | None:
    """What about the object's metadata forbids this use; None when nothing does."""
    for policy in policies:
        legacy = Legacy.PROHIBITED if policy is None else policy.legacy
        if not legacy.permits(operation) and (broken := faults(policy, metadata, used=True)):
            return min(broken)
    return None


def with_defaults(
    policies: Iterable[MetadataPolicy | None], kind: str, period: Cryptoperiod, now: datetime
) -> Cryptoperiod:
    """A new object's dates: where none was given, the first that a policy has a default for."""
    for policy in policies:
        if policy is not None:
            rules = policy.rules_of(kind)
            period = Cryptoperiod(
                _or_default(period.activation, rules.activation, now),
                _or_default(period.deactivation, rules.deactivation, now),
            )
    return period


def _or_default(given: datetime | None, rule: DateRule | None, now: datetime) -> datetime | None:
    if given is not None or rule is None or not rule.required or rule.default is None:
        return given
    return now + rule.default.delta
