"""``key_metadata_policy`` on the wire: what is to be said of an account's or a group's objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from kms.api.wire.base import Request, WireError
from kms.api.wire.cryptographic_policies import LEGACY, WIRE_LEGACY, LegacyPolicy
from kms.api.wire.quorum_policies import Remove
from kms.crypto.registry import ALGORITHMS, WITHOUT
from kms.objects.legacy import Legacy
from kms.objects.metadata_policy import DateRule, MetadataPolicy, MetadataRules, Span, TextRule, policy_of
from kms.operations.object_policies import MetadataChange

# Those that are not offered among them: an old policy may speak of them.
KINDS = frozenset(algorithm.kind for algorithm in ALGORITHMS) | WITHOUT.keys()
_MAX_SPAN = 2**32 - 1


class Nothing(Request):
    """An empty object, as the vendor writes an enumeration's bare value."""


class WireSpan(Request):
    """One of these."""

    seconds: int | None = None
    minutes: int | None = None
    hours: int | None = None
    days: int | None = None


class WireDuration(Request):
    default: WireSpan | None = None
    max: WireSpan | None = None
    min: WireSpan | None = None


class RequiredDate(Request):
    allowed_values: WireDuration | None = None


class WireDateRule(Request):
    """One of these."""

    forbidden: Nothing | None = None
    required: RequiredDate | None = None


class RequiredText(Request):
    allowed_values: list[str] | None = None
    non_empty_after_trim: bool | None = None


class WireTextRule(Request):
    """One of these."""

    forbidden: Nothing | None = None
    required: RequiredText | None = None


class WireMetadataRules(Request):
    custom_metadata: dict[str, WireTextRule]
    activation_date: WireDateRule | None = None
    deactivation_date: WireDateRule | None = None
    description: WireTextRule | None = None


class WireMetadataPolicy(Request):
    base: WireMetadataRules
    for_obj_type: dict[str, WireMetadataRules]
    legacy_objects: LegacyPolicy


# -- requests ------------------------------------------------------------------------------------------------------


def metadata_change(body: WireMetadataPolicy | Remove | None) -> MetadataChange | None:
    if body is None:
        return None
    return MetadataChange(None if body == "remove" else _policy(body))


def _policy(body: WireMetadataPolicy) -> MetadataPolicy:
    if not KINDS.issuperset(body.for_obj_type):
        raise WireError(f"Invalid request: for_obj_type takes {', '.join(sorted(KINDS))}")
    return MetadataPolicy(
        base=_rules(body.base),
        kinds={kind: _rules(rules) for kind, rules in body.for_obj_type.items()},
        legacy=LEGACY[body.legacy_objects],
    )


def _rules(body: WireMetadataRules) -> MetadataRules:
    return MetadataRules(
        description=_text(body.description, "description"),
        custom={name: _of_custom(rule, name) for name, rule in body.custom_metadata.items()},
        activation=_date(body.activation_date, "activation_date"),
        deactivation=_date(body.deactivation_date, "deactivation_date"),
    )


def _of_custom(rule: WireTextRule, name: str) -> TextRule:
    found = _text(rule, "custom_metadata")
    assert found is not None
    if not name:
        raise WireError("Invalid request: custom_metadata has names")
    return found


def _text(rule: WireTextRule | None, what: str) -> TextRule | None:
    if rule is None:
        return None
    _check_one(rule.forbidden, rule.required, what)
    if rule.required is None:
        return TextRule(required=False)
    values = frozenset(rule.required.allowed_values or ())
    return TextRule(required=True, non_blank=bool(rule.required.non_empty_after_trim), allowed=values)


def _date(rule: WireDateRule | None, what: str) -> DateRule | None:
    if rule is None:
        return None
    _check_one(rule.forbidden, rule.required, what)
    if rule.required is None:
        return DateRule(required=False)
    limits = rule.required.allowed_values or WireDuration()
    return DateRule(True, _span(limits.min, what), _span(limits.max, what), _span(limits.default, what))


def _check_one(forbidden: Nothing | None, required: Request | None, what: str) -> None:
    if (forbidden is None) == (required is None):
        raise WireError(f"Invalid request: {what} takes either forbidden or required")


def _span(wire: WireSpan | None, what: str) -> Span | None:
    if wire is None:
        return None
    units: tuple[Literal["seconds", "minutes", "hours", "days"], ...] = ("seconds", "minutes", "hours", "days")
    given = [Span(unit, getattr(wire, unit)) for unit in units if getattr(wire, unit) is not None]
    if len(given) != 1 or not 0 <= given[0].number <= _MAX_SPAN:
        raise WireError(f"Invalid request: a duration of {what} is one of {', '.join(units)}")
    return given[0]


# -- responses -----------------------------------------------------------------------------------------------------


def wire_metadata_policy(stored: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """One that does not read is shown as what it comes to: no object may be used."""
    if stored is None:
        return None
    policy = policy_of(stored) or MetadataPolicy(MetadataRules(), legacy=Legacy.PROHIBITED)
    return {
        "base": _wire_rules(policy.base),
        "for_obj_type": {kind: _wire_rules(rules) for kind, rules in policy.kinds.items()},
        "legacy_objects": WIRE_LEGACY[policy.legacy],
    }


def _wire_rules(rules: MetadataRules) -> dict[str, Any]:
    found = {
        "description": _wire_text(rules.description),
        "custom_metadata": {name: _wire_text(rule) for name, rule in rules.custom.items()},
        "activation_date": _wire_date(rules.activation),
        "deactivation_date": _wire_date(rules.deactivation),
    }
    return _given(found)


def _wire_text(rule: TextRule | None) -> dict[str, Any] | None:
    if rule is None or not rule.required:
        return None if rule is None else {"forbidden": {}}
    values = sorted(rule.allowed) if rule.allowed else None
    return {"required": _given({"non_empty_after_trim": rule.non_blank or None, "allowed_values": values})}


def _wire_date(rule: DateRule | None) -> dict[str, Any] | None:
    if rule is None or not rule.required:
        return None if rule is None else {"forbidden": {}}
    limits = {"min": _wire_span(rule.least), "max": _wire_span(rule.most), "default": _wire_span(rule.default)}
    return {"required": _given({"allowed_values": _given(limits) or None})}


def _wire_span(span: Span | None) -> dict[str, int] | None:
    return None if span is None else {span.unit: span.number}


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
