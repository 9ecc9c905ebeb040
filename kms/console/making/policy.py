"""What the policies of an account and a group say of an object that is not made yet, while its form is filled in.

They are read as the API writes them. The API decides; this only says beforehand what it will say. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from kms.console.making.kinds import OPERATIONS
from kms.console.words import word_of

_NO_KINDS = frozenset({"key_ops", "protection", "digests", "legacy_policy"})
_UNITS = ("seconds", "minutes", "hours", "days")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The object as the form has it so far. ``bits`` and ``curve`` where its kind has them."""

    kind: str
    bits: int | None = None
    curve: str = ""
    operations: frozenset[str] = frozenset()
    server_ivs: bool = False
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    activation: datetime | None = None
    deactivation: datetime | None = None


@dataclass(frozen=True, slots=True)
class Policies:
    """Of one place. ``place`` names it in sentences."""

    place: str
    cryptographic: Mapping[str, Any] | None
    metadata: Mapping[str, Any] | None

    @classmethod
    def of(cls, place: str, found: Mapping[str, Any]) -> Policies:
        return cls(place, found.get("cryptographic_policy"), found.get("key_metadata_policy"))

    @property
    def any(self) -> bool:
        return self.cryptographic is not None or self.metadata is not None


def faults(wanted: Wanted, policies: Iterable[Policies], now: datetime) -> list[str]:
    """What will be refused, as sentences; nothing when nothing will."""
    found: list[str] = []
    for each in policies:
        if each.cryptographic is not None:
            found += (_sentence(each.place, what) for what in _cryptographic(wanted, each.cryptographic))
        if each.metadata is not None:
            found += (_sentence(each.place, what) for what in _metadata(wanted, each.metadata, now))
    return found


def _sentence(place: str, what: str) -> str:
    return _("%(place)s: %(what)s") % {"place": place, "what": what}


def _cryptographic(wanted: Wanted, policy: Mapping[str, Any]) -> Iterator[str]:
    kinds = {name.upper(): rule for name, rule in policy.items() if name not in _NO_KINDS}
    rule = kinds.get(wanted.kind)
    if rule is None:
        allowed = ", ".join(word_of(name) for name in sorted(kinds)) or _("nothing")
        yield _("%(kind)s is not allowed. Allowed: %(allowed)s.") % {
            "kind": word_of(wanted.kind),
            "allowed": allowed,
        }
    else:
        yield from _of_kind(wanted, rule)
    ops = policy.get("key_ops")
    extra = [] if ops is None else sorted(wanted.operations - set(ops))
    if extra:
        yield _("these operations are not allowed: %(names)s.") % {
            "names": ", ".join(str(OPERATIONS[name][0]) for name in extra)
        }


def _of_kind(wanted: Wanted, rule: Mapping[str, Any]) -> Iterator[str]:
    kind, sizes, least = word_of(wanted.kind), rule.get("key_sizes"), rule.get("minimum_key_length")
    if wanted.bits is not None and sizes is not None and wanted.bits not in sizes:
        yield _("%(kind)s keys of %(bits)d bits are not allowed. Allowed: %(sizes)s bits.") % {
            "kind": kind,
            "bits": wanted.bits,
            "sizes": ", ".join(map(str, sizes)) or _("none"),
        }
    if wanted.bits is not None and least is not None and wanted.bits < least:
        yield _("%(kind)s keys have at least %(least)d bits.") % {"kind": kind, "least": least}
    curves = rule.get("elliptic_curves")
    if curves is not None and wanted.curve and wanted.curve not in curves:
        yield _("the curve %(curve)s is not allowed. Allowed: %(curves)s.") % {
            "curve": wanted.curve,
            "curves": ", ".join(curves) or _("none"),
        }
    if rule.get("random_iv") and not wanted.server_ivs:
        yield _("the server has to choose the initialisation vectors.")


# -- what is said of an object -------------------------------------------------------------------------------------


def _metadata(wanted: Wanted, policy: Mapping[str, Any], now: datetime) -> Iterator[str]:
    rules = policy["for_obj_type"].get(wanted.kind, policy["base"])
    yield from _text(_("the description"), rules.get("description"), wanted.description)
    for name, rule in rules["custom_metadata"].items():
        label = _("the metadata “%(name)s”") % {"name": name}
        yield from _text(label, rule, wanted.metadata.get(name, ""))
    yield from _date(_("the activation date"), rules.get("activation_date"), wanted.activation, now)
    yield from _date(_("the deactivation date"), rules.get("deactivation_date"), wanted.deactivation, now)


def _text(what: str, rule: Mapping[str, Any] | None, value: str) -> Iterator[str]:
    if rule is None:
        return
    if "forbidden" in rule:
        if value:
            yield _("%(what)s has to be empty.") % {"what": what}
        return
    values = rule["required"].get("allowed_values")
    if values and value not in values:
        yield _("%(what)s is one of: %(values)s.") % {"what": what, "values": ", ".join(values)}
    elif not value.strip():
        yield _("%(what)s is needed.") % {"what": what}


def _date(what: str, rule: Mapping[str, Any] | None, value: datetime | None, now: datetime) -> Iterator[str]:
    if rule is None:
        return
    if "forbidden" in rule:
        if value is not None:
            yield _("%(what)s has to be empty.") % {"what": what}
        return
    limits = rule["required"].get("allowed_values") or {}
    least, most = _span(limits.get("min")), _span(limits.get("max"))
    if value is None:
        if "default" not in limits:
            yield _("%(what)s is needed.") % {"what": what}
    elif least is not None and value < now + least:
        yield _("%(what)s is at least %(days)s away.") % {"what": what, "days": _days(least)}
    elif most is not None and value > now + most:
        yield _("%(what)s is at most %(days)s away.") % {"what": what, "days": _days(most)}


def _span(found: Mapping[str, int] | None) -> timedelta | None:
    if found is None:
        return None
    unit = next(name for name in _UNITS if name in found)
    return timedelta(**{unit: found[unit]})


def _days(span: timedelta) -> str:
    if span.days:
        return _("%(number)d days") % {"number": span.days}
    return _("%(number)d hours") % {"number": span.seconds // 3600}


def demanded(policies: Sequence[Policies], kind: str) -> dict[str, list[str]]:
    """The custom metadata that has to be given, with the values that are taken, so that a form can ask for it."""
    found: dict[str, list[str]] = {}
    for each in policies:
        if each.metadata is None:
            continue
        rules = each.metadata["for_obj_type"].get(kind, each.metadata["base"])
        for name, rule in rules["custom_metadata"].items():
            if "required" in rule:
                found[name] = rule["required"].get("allowed_values") or []
    return found
