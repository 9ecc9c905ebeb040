"""What a security object is, said for people: from the API's answer to what a template shows. No calls, no rules."""

from __future__ import annotations

import base64
import hashlib
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from kms.console.moments import moment_of
from kms.console.words import word_of

# Every state has a tone, an icon and a word: none is told by colour alone.
STATES: Mapping[str, tuple[str, str]] = {
    "PreActive": ("info", "circle-dashed"),
    "Active": ("ok", "circle-check"),
    "Deactivated": ("warn", "circle-pause"),
    "Compromised": ("danger", "shield-alert"),
    "Destroyed": ("danger", "skull"),
    "Deleted": ("", "trash-2"),
}
USES: Sequence[tuple[str | Promise, tuple[str, ...]]] = (
    (_("Protect data"), ("ENCRYPT", "DECRYPT", "TRANSFORM")),
    (_("Sign"), ("SIGN", "VERIFY")),
    (_("Authenticate messages"), ("MACGENERATE", "MACVERIFY")),
    (_("Protect keys"), ("WRAPKEY", "UNWRAPKEY")),
    (_("Make keys"), ("DERIVEKEY", "AGREEKEY", "ENCAPSULATE", "DECAPSULATE")),
    (_("Handling"), ("EXPORT", "APPMANAGEABLE", "HIGHVOLUME")),
)
_PROTECTIONS: Mapping[str, str | Promise] = {
    "token": _("HSM: the material never leaves it in the clear"),
    "sealed": _("Sealed by the HSM; may be released"),
    "software": _("Used in the server's memory, sealed by the HSM"),
}
_ORIGINS: Mapping[str, str | Promise] = {
    "FortanixHSM": _("Made here"),
    "External": _("Imported"),
    "Transient": _("From a transient key"),
}
_SOON = 30


@dataclass(frozen=True, slots=True)
class Badge:
    tone: str
    icon: str
    text: str


def state_badge(thing: Mapping[str, Any]) -> Badge:
    state = thing.get("state") or "Active"
    tone, icon = STATES.get(state, ("", "circle-off"))
    return Badge(tone, icon, word_of(state))


def size_of(thing: Mapping[str, Any]) -> str:
    """What stands beside the type: bits, a curve or a set of parameters."""
    named = thing.get("elliptic_curve")
    for family in ("mldsa", "mlkem"):
        named = named or (thing.get(family) or {}).get("param_set")
    if named:
        return str(named)
    bits = thing.get("key_size")
    return "" if not bits else f"{bits:,}" if thing["obj_type"] in ("SECRET", "OPAQUE") else str(bits)


def grouped_uses(operations: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Permitted operations by what they are for."""
    held = set(operations)
    groups = [(str(label), [name for name in names if name in held]) for label, names in USES]
    known = {name for _label, names in USES for name in names}
    rest = sorted(held - known)
    return [(label, names) for label, names in groups if names] + ([(str(_("Other")), rest)] if rest else [])


def short_uses(operations: Sequence[str]) -> str:
    """The first few, for a row of a table."""
    handling = {"EXPORT", "APPMANAGEABLE", "HIGHVOLUME"}
    shown = [word_of(name) for name in operations if name not in handling]
    return ", ".join(shown[:3]) + (f" +{len(shown) - 3}" if len(shown) > 3 else "")


def protection_of(thing: Mapping[str, Any]) -> str:
    return str(_PROTECTIONS.get(thing.get("protection", ""), ""))


def origin_of(thing: Mapping[str, Any]) -> str:
    return str(_ORIGINS.get(thing["origin"], thing["origin"]))


def fingerprint_of(thing: Mapping[str, Any]) -> str:
    """Of the public key (its SubjectPublicKeyInfo), by SHA-256."""
    if not thing.get("pub_key"):
        return ""
    return hashlib.sha256(base64.b64decode(thing["pub_key"])).hexdigest()


def pem(label: str, der: str) -> str:
    """``der`` is base64, as in the API's answers."""
    return "\n".join([f"-----BEGIN {label}-----", *textwrap.wrap(der, 64), f"-----END {label}-----"]) + "\n"


@dataclass(frozen=True, slots=True)
class Validity:
    """How far a certificate is through its life; ``percent`` is for the bar."""

    begins: datetime
    ends: datetime
    percent: int
    tone: str
    days_left: int


def validity_of(certificate: Mapping[str, Any], now: datetime | None = None) -> Validity | None:
    begins, ends = moment_of(certificate.get("not_before")), moment_of(certificate.get("not_after"))
    if begins is None or ends is None:
        return None
    at = now or datetime.now(UTC)
    whole = max((ends - begins).total_seconds(), 1)
    percent = round(min(max((at - begins).total_seconds() / whole, 0), 1) * 100)
    left = (ends - at).days
    tone = "danger" if at >= ends else "warn" if left < _SOON or at < begins else "ok"
    return Validity(begins, ends, percent, tone, left)


@dataclass(frozen=True, slots=True)
class Row:
    """One object in the table."""

    thing: Mapping[str, Any]
    group: str
    state: Badge
    size: str
    uses: str


def rows_of(things: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[Row]:
    return [
        Row(
            thing,
            names.get(str(thing.get("group_id")), ""),
            state_badge(thing),
            size_of(thing),
            short_uses(thing["key_ops"]),
        )
        for thing in things
    ]
