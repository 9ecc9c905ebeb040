"""The editor of a key metadata policy, of an account or of a group: what objects have to say, as a form and back.

Rules that are for one type of object only are shown in words and kept. No call is made here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.settings.forms import LinesField, SettingsForm
from kms.console.settings.policies import LEGACY, Policy, Sentence
from kms.console.words import word_of

_FREE, _REQUIRED, _FORBIDDEN = "free", "required", "forbidden"
_TEXT_CHOICES = ((_FREE, _("May be given")), (_REQUIRED, _("Must be given")), (_FORBIDDEN, _("Must not be given")))
_DATES = ("activation_date", "deactivation_date")
_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}


def _days(label: Any) -> forms.IntegerField:
    return forms.IntegerField(label=label, required=False, min_value=0, max_value=36_500)


class MetadataForm(SettingsForm):
    limited = forms.ChoiceField(
        label=_("What has to be said of objects"),
        choices=[("no", _("Nothing: everything is free")), ("yes", _("What is chosen below"))],
        widget=forms.RadioSelect,
    )
    description = forms.ChoiceField(label=_("Description"), choices=_TEXT_CHOICES)
    custom = LinesField(
        label=_("Custom metadata that must be given"),
        required=False,
        help_text=_(
            "One name to a line; with the values that are allowed, if not any: “environment: test, production”."
        ),
    )
    activation_date = forms.ChoiceField(label=_("Activation date"), choices=_TEXT_CHOICES)
    deactivation_date = forms.ChoiceField(label=_("Deactivation date"), choices=_TEXT_CHOICES)
    deactivation_min = _days(_("At the earliest, days after creation"))
    deactivation_max = _days(_("At the latest, days after creation"))
    deactivation_default = _days(_("Days after creation where nobody says"))
    legacy_objects = forms.ChoiceField(
        label=_("Objects that are there already and break the policy"),
        choices=list(LEGACY.items()),
        widget=forms.RadioSelect,
        required=False,
    )

    @classmethod
    def of(cls, policy: Policy | None, *, seen: str = "") -> MetadataForm:
        base = (policy or {}).get("base") or {}
        limits = _limits(base.get("deactivation_date"))
        return cls(
            initial={
                "limited": "no" if policy is None else "yes",
                "description": _choice(base.get("description")),
                "custom": [_line(name, rule) for name, rule in (base.get("custom_metadata") or {}).items()],
                **{name: _choice(base.get(name)) for name in _DATES},
                **{f"deactivation_{name}": _in_days(limits.get(name)) for name in ("min", "max", "default")},
                "legacy_objects": (policy or {}).get("legacy_objects") or "allowed",
                "seen": seen,
            }
        )

    def policy(self, before: Policy | None) -> dict[str, Any] | str:
        cleaned = self.cleaned_data
        if cleaned["limited"] != "yes":
            return "remove"
        old = before or {}
        return {
            "base": self._base(old.get("base") or {}),
            "for_obj_type": old.get("for_obj_type") or {},
            "legacy_objects": cleaned["legacy_objects"] or "allowed",
        }

    def _base(self, old: Policy) -> dict[str, Any]:
        cleaned = self.cleaned_data
        rules: dict[str, Any] = {"custom_metadata": dict(self._custom(old.get("custom_metadata") or {}))}
        for name in ("description", *_DATES):
            rule = _rule(cleaned[name], old.get(name))
            rules |= {} if rule is None else {name: rule}
        if cleaned["deactivation_date"] == _REQUIRED:
            given = {name: cleaned[f"deactivation_{name}"] for name in ("min", "max", "default")}
            limits = {name: {"days": days} for name, days in given.items() if days is not None}
            rules["deactivation_date"] = {"required": {"allowed_values": limits} if limits else {}}
        return rules

    def _custom(self, old: Policy) -> Iterator[tuple[str, Any]]:
        """A line that says the same as before keeps all that the rule said."""
        for line in self.cleaned_data["custom"]:
            name, _colon, values = (part.strip() for part in line.partition(":"))
            rule = old.get(name)
            if rule is not None and _line(name, rule) == line:
                yield name, rule
            elif values == _t("forbidden"):
                yield name, {"forbidden": {}}
            else:
                allowed = [each.strip() for each in values.split(",") if each.strip()]
                yield (
                    name,
                    {"required": {"non_empty_after_trim": True, **({"allowed_values": allowed} if allowed else {})}},
                )


def _choice(rule: Policy | None) -> str:
    if rule is None:
        return _FREE
    return _REQUIRED if "required" in rule else _FORBIDDEN


def _rule(choice: str, old: Policy | None) -> Policy | None:
    if choice == _choice(old):
        return old
    return {choice: {}} if choice != _FREE else None


def _line(name: str, rule: Policy) -> str:
    if "required" not in rule:
        return f"{name}: {_t('forbidden')}"
    allowed = (rule["required"] or {}).get("allowed_values")
    return f"{name}: {', '.join(sorted(allowed))}" if allowed else name


def _limits(rule: Policy | None) -> Policy:
    return ((rule or {}).get("required") or {}).get("allowed_values") or {}


def _in_days(span: Policy | None) -> int | None:
    """Rounded down where it was given in a smaller unit."""
    return None if not span else sum(_SECONDS[unit] * number for unit, number in span.items()) // 86400


# -- in words ------------------------------------------------------------------------------------------------------


def in_words(policy: Policy | None) -> list[Sentence]:
    """What is in force; nothing when everything is free."""
    if policy is None:
        return []
    found = list(_rules_in_words(policy["base"]))
    for kind, rules in (policy.get("for_obj_type") or {}).items():
        told = "; ".join(f"{each.about}: {each.text}" for each in _rules_in_words(rules))
        found.append(Sentence(_t("Of %(kind)s instead") % {"kind": word_of(kind)}, told or _t("everything is free")))
    found.append(Sentence(_("Objects that break it"), str(LEGACY[policy["legacy_objects"]])))
    return found


def _rules_in_words(rules: Policy) -> Iterator[Sentence]:
    labels: Mapping[str, Any] = {
        "description": _("Description"),
        "activation_date": _("Activation date"),
        "deactivation_date": _("Deactivation date"),
    }
    words = {_REQUIRED: _t("must be given"), _FORBIDDEN: _t("must not be given")}
    for name, label in labels.items():
        choice = _choice(rules.get(name))
        if choice != _FREE:
            yield Sentence(label, words[choice] + _span_in_words(_limits(rules.get(name))))
    for name, rule in (rules.get("custom_metadata") or {}).items():
        allowed = (rule.get("required") or {}).get("allowed_values")
        listed = _t(", one of %(values)s") % {"values": ", ".join(sorted(allowed))} if allowed else ""
        yield Sentence(name, words[_choice(rule)] + listed)


def _span_in_words(limits: Any) -> str:
    if not isinstance(limits, Mapping):
        return ""
    labels = {"min": _t("%(days)s days at the earliest"), "max": _t("%(days)s days at the latest")}
    told = [text % {"days": _in_days(limits[name])} for name, text in labels.items() if limits.get(name)]
    return f" ({', '.join(told)})" if told else ""
