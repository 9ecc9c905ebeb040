"""A group's policies on its objects, as forms: which keys may be in it, and what has to be said of them. And in words.

A form keeps what it does not show: a policy that was set by a client with more in it does not lose that here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.forms import Form
from kms.console.quorums.sentences import listed
from kms.console.words import word_of

# The API's words: what a policy can allow, with what each can be narrowed by.
KINDS = (
    "aes",
    "rsa",
    "ec",
    "hmac",
    "des3",
    "mldsa",
    "mlkem",
    "secret",
    "opaque",
    "certificate",
    "lms",
    "aria",
    "seed",
    "dsa",
    "des",
)
SIZES = ("128", "192", "256")
CURVES = ("NistP256", "NistP384", "NistP521", "SecP256K1", "Ed25519", "X25519")
OPERATIONS = (
    "ENCRYPT", "DECRYPT", "SIGN", "VERIFY", "MACGENERATE", "MACVERIFY", "WRAPKEY", "UNWRAPKEY", "DERIVEKEY", "AGREEKEY",
    "TRANSFORM", "ENCAPSULATE", "DECAPSULATE", "EXPORT", "APPMANAGEABLE", "HIGHVOLUME",
)  # fmt: skip
LEGACY: tuple[tuple[str, str | Promise], ...] = (
    ("allowed", _("May still be used")),
    ("unprotect_only", _("May only decrypt, verify and unwrap")),
    ("prohibited", _("May not be used")),
)
_OTHERS = frozenset({"digests", "key_ops", "legacy_policy", "protection"})
_BOXES = forms.CheckboxSelectMultiple


class CryptographicForm(Form):
    wire = {"sizes": "key_sizes", "curves": "elliptic_curves", "operations": "key_ops", "legacy": "legacy_policy"}

    kinds = forms.MultipleChoiceField(label=_("Kinds of objects that are allowed"), widget=_BOXES)
    sizes = forms.MultipleChoiceField(
        label=_("Sizes of AES keys, in bits"), required=False, widget=_BOXES, choices=[(s, s) for s in SIZES],
        help_text=_("None marked: any size."),
    )  # fmt: skip
    rsa = forms.IntegerField(
        label=_("Least size of RSA keys, in bits"), required=False, min_value=1024, max_value=16384
    )
    hmac = forms.IntegerField(
        label=_("Least size of HMAC keys, in bits"), required=False, min_value=112, max_value=8192
    )
    curves = forms.MultipleChoiceField(
        label=_("Elliptic curves"), required=False, widget=_BOXES, choices=[(c, c) for c in CURVES],
        help_text=_("None marked: any curve."),
    )  # fmt: skip
    operations = forms.MultipleChoiceField(
        label=_("Operations that keys may permit"),
        required=False,
        widget=_BOXES,
        help_text=_("None marked: all of them."),
    )
    legacy = forms.ChoiceField(label=_("Objects that are there already and break the policy"), choices=LEGACY)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kinds"].choices = [(kind, word_of(kind.upper())) for kind in KINDS]  # type: ignore[attr-defined]  # a choice field
        self.fields["operations"].choices = [(name, word_of(name)) for name in OPERATIONS]  # type: ignore[attr-defined]  # a choice field


def cryptographic_initial(policy: Mapping[str, Any] | None) -> dict[str, Any]:
    if policy is None:
        return {
            "kinds": ["aes", "rsa", "ec", "hmac", "secret", "certificate"],
            "sizes": ["256"],
            "rsa": 3072,
            "legacy": "allowed",
        }
    return {
        "kinds": [kind for kind in policy if kind not in _OTHERS],
        "sizes": [str(size) for size in (policy.get("aes") or {}).get("key_sizes") or ()],
        "rsa": (policy.get("rsa") or {}).get("minimum_key_length"),
        "hmac": (policy.get("hmac") or {}).get("minimum_key_length"),
        "curves": (policy.get("ec") or {}).get("elliptic_curves") or [],
        "operations": policy.get("key_ops") or [],
        "legacy": policy.get("legacy_policy") or "allowed",
    }


def cryptographic_body(said: Mapping[str, Any], policy: Mapping[str, Any] | None) -> dict[str, Any]:
    before = copy.deepcopy(dict(policy or {}))
    kept = {name: value for name, value in before.items() if name in said["kinds"] or name in ("digests", "protection")}
    found: dict[str, Any] = {**{kind: {} for kind in said["kinds"]}, **kept}
    limits = {
        "aes": ("key_sizes", [int(size) for size in said["sizes"]]),
        "rsa": ("minimum_key_length", said["rsa"]),
        "hmac": ("minimum_key_length", said["hmac"]),
        "ec": ("elliptic_curves", said["curves"]),
    }
    for kind, (name, value) in limits.items():
        if kind in found:
            found[kind].pop(name, None)
            found[kind] |= {name: value} if value else {}
    found |= {"key_ops": said["operations"]} if said["operations"] else {}
    return found | {"legacy_policy": said["legacy"]}


def cryptographic_words(policy: Mapping[str, Any] | None) -> list[str]:
    if not policy:
        return []
    kinds = [_kind_told(kind, rule or {}) for kind, rule in policy.items() if kind not in _OTHERS]
    told = [_t("Allowed: %(kinds)s.") % {"kinds": listed(kinds) or _t("nothing")}]
    if policy.get("key_ops") is not None:
        told.append(
            _t("Keys may permit: %(what)s.") % {"what": listed([word_of(op).lower() for op in policy["key_ops"]])}
        )
    legacy = dict(LEGACY).get(policy.get("legacy_policy") or "allowed", "")
    return [*told, _t("Objects that break it already: %(what)s.") % {"what": str(legacy).lower()}]


def _kind_told(kind: str, rule: Mapping[str, Any]) -> str:
    name = word_of(kind.upper())
    if rule.get("key_sizes"):
        return _t("%(kind)s (%(sizes)s bits)") % {"kind": name, "sizes": listed([str(s) for s in rule["key_sizes"]])}
    if rule.get("minimum_key_length"):
        return _t("%(kind)s (from %(bits)s bits)") % {"kind": name, "bits": rule["minimum_key_length"]}
    if rule.get("elliptic_curves"):
        return f"{name} ({listed(rule['elliptic_curves'])})"
    return name


# -- what is to be said of objects ---------------------------------------------------------------------------------

_ASKED: tuple[tuple[str, str | Promise], ...] = (
    ("", _("As one likes")),
    ("required", _("Required")),
    ("forbidden", _("Not allowed")),
)


class MetadataForm(Form):
    wire = {"activation": "activation_date", "deactivation": "deactivation_date", "custom": "custom_metadata"}

    description = forms.ChoiceField(label=_("Description"), choices=_ASKED, required=False)
    activation = forms.ChoiceField(label=_("Activation date"), choices=_ASKED, required=False)
    deactivation = forms.ChoiceField(label=_("Deactivation date"), choices=_ASKED, required=False)
    most = forms.IntegerField(
        label=_("Deactivated at the latest after so many days"), required=False, min_value=1, max_value=36500,
        help_text=_("Counts where a deactivation date is required: the longest cryptoperiod."),
    )  # fmt: skip
    custom = forms.CharField(
        label=_("Custom metadata that is required"), required=False, widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("One name to a line, such as “owner”."),
    )  # fmt: skip
    legacy = forms.ChoiceField(label=_("Objects that are there already and break the policy"), choices=LEGACY)

    def clean_custom(self) -> list[str]:
        return [line.strip() for line in self.cleaned_data["custom"].splitlines() if line.strip()]


def metadata_initial(policy: Mapping[str, Any] | None) -> dict[str, Any]:
    base: Mapping[str, Any] = (policy or {}).get("base", {})
    required = [name for name, rule in (base.get("custom_metadata") or {}).items() if "required" in rule]
    limits = ((base.get("deactivation_date") or {}).get("required") or {}).get("allowed_values") or {}
    return {
        "description": _asked(base.get("description")),
        "activation": _asked(base.get("activation_date")),
        "deactivation": _asked(base.get("deactivation_date")),
        "most": (limits.get("max") or {}).get("days"),
        "custom": "\n".join(required),
        "legacy": (policy or {}).get("legacy_objects", "allowed"),
    }


def _asked(rule: Mapping[str, Any] | None) -> str:
    return next(iter(rule), "") if rule else ""


def metadata_body(said: Mapping[str, Any], policy: Mapping[str, Any] | None) -> dict[str, Any]:
    before: Mapping[str, Any] = (policy or {}).get("base", {})
    custom = before.get("custom_metadata") or {}
    kept = {name: rule for name, rule in custom.items() if "required" not in rule or name in said["custom"]}
    names = {"description": "description", "activation": "activation_date", "deactivation": "deactivation_date"}
    base: dict[str, Any] = {"custom_metadata": {**{name: {"required": {}} for name in said["custom"]}, **kept}}
    for field, name in names.items():
        if said[field]:
            same = _asked(before.get(name)) == said[field]
            base[name] = copy.deepcopy(before[name]) if same else {said[field]: {}}
    if said["most"] and said["deactivation"] == "required":
        limits = base["deactivation_date"]["required"].setdefault("allowed_values", {})
        limits["max"] = {"days": said["most"]}
    return {"base": base, "for_obj_type": (policy or {}).get("for_obj_type", {}), "legacy_objects": said["legacy"]}


def metadata_words(policy: Mapping[str, Any] | None) -> list[str]:
    return list(_metadata_told(policy)) if policy else []


def _metadata_told(policy: Mapping[str, Any]) -> Iterator[str]:
    base = policy["base"]
    labels = {
        "description": _t("description"),
        "activation_date": _t("activation date"),
        "deactivation_date": _t("deactivation date"),
    }
    required = [label for name, label in labels.items() if _asked(base.get(name)) == "required"]
    required += [f"“{name}”" for name, rule in (base.get("custom_metadata") or {}).items() if "required" in rule]
    forbidden = [label for name, label in labels.items() if _asked(base.get(name)) == "forbidden"]
    if required:
        yield _t("Each object needs: %(what)s.") % {"what": listed(required)}
    if forbidden:
        yield _t("No object may have: %(what)s.") % {"what": listed(forbidden)}
    days = metadata_initial(policy)["most"]
    if days:
        yield _t("Keys are deactivated after at most %(days)s days.") % {"days": days}
    if policy.get("for_obj_type"):
        kinds = listed([word_of(kind) for kind in policy["for_obj_type"]])
        yield _t("With rules of their own for %(kinds)s.") % {"kinds": kinds}
    legacy = dict(LEGACY).get(policy["legacy_objects"], "")
    yield _t("Objects that break it already: %(what)s.") % {"what": str(legacy).lower()}
