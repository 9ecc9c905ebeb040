"""The editor of a cryptographic policy, of an account or of a group: the API's policy as a form, and back.

``CryptographicForm.of(policy)`` shows one, ``form.policy(before)`` is what to send ("remove" for none), ``in_words``
says what is in force. What the form cannot show (a tokenisation format, a mask's hash) stays while its part is not
touched. No call is made here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms import BoundField
from django.utils.functional import Promise
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.making.kinds import OPERATIONS
from kms.console.settings.forms import SettingsForm, ticks
from kms.console.words import word_of

Text = str | Promise
Policy = Mapping[str, Any]

CURVES = (
    *("NistP256", "NistP384", "NistP521", "NistP224", "NistP192", "SecP256K1", "SecP224K1", "SecP192K1"),
    *("Ed25519", "Ed448", "X25519", "X448", "Gost256A"),
)
HASHES = (
    *("SHA256", "SHA384", "SHA512", "SHA3_256", "SHA3_384", "SHA3_512", "SHA224", "SHA3_224"),
    *("BLAKE2B256", "BLAKE2B384", "BLAKE2B512", "BLAKE2S256", "RIPEMD160", "SHA1"),
)
_PADDINGS: Mapping[str, str] = {"OAEP": "OAEP", "PKCS1_V15": "PKCS #1 v1.5", "PSS": "PSS", "RAW_DECRYPT": "RSADP"}
_PROTECTION: Mapping[str, Text] = {
    "token": _("In the token: the key computes there and never leaves"),
    "sealed": _("Sealed: the server may hand it out to whoever may have it"),
    "software": _("Software: it computes in the server's process, for what the token lacks"),
}
LEGACY: Mapping[str, Text] = {
    "allowed": _("may be used as before"),
    "unprotect_only": _("may only undo what they protected: decrypt, unwrap, verify"),
    "prohibited": _("may not be used at all"),
}
# By the API's names, in the order in which they are looked for.
KINDS: Mapping[str, Text] = {
    "aes": "AES",
    "rsa": "RSA",
    "ec": _("Elliptic curve"),
    "hmac": "HMAC",
    "mldsa": "ML-DSA",
    "mlkem": "ML-KEM",
    "secret": _("Secret"),
    "certificate": _("Certificate"),
    "opaque": _("Opaque"),
    "des3": _("Triple DES"),
    "dsa": "DSA",
    "des": "DES",
    "seed": "SEED",
    "bip32": "BIP32",
    "slip10": "SLIP-0010",
}
_BITS = {"aes": (128, 192, 256), "des3": (112, 168)}
_LEAST = {"rsa": (1024, 2048, 3072, 4096), "hmac": (112, 128, 256, 384, 512)}
_RANDOM = ("aes", "des3", "des", "seed")
_RSA_USES = {"encryption": ("OAEP", "PKCS1_V15", "RAW_DECRYPT"), "signature": ("PSS", "PKCS1_V15")}
_LISTS = {"key_ops": tuple(OPERATIONS), "protection": tuple(_PROTECTION), "digests": HASHES}


def _limits() -> Iterator[tuple[str, forms.Field]]:
    """The fields that limit a kind, named ``<kind>_<limit>``."""
    for kind, sizes in _BITS.items():
        yield f"{kind}_sizes", ticks(_("Sizes"), [(str(bits), _t("%(bits)s bits") % {"bits": bits}) for bits in sizes])
    for kind, least in _LEAST.items():
        choices = [("", _("Any")), *((str(bits), _t("%(bits)s bits") % {"bits": bits}) for bits in least)]
        yield f"{kind}_least", forms.ChoiceField(label=_("At least"), choices=choices, required=False)
    yield "ec_curves", ticks(_("Curves"), [(curve, curve) for curve in CURVES])
    for use, paddings in _RSA_USES.items():
        label = _("Encryption paddings") if use == "encryption" else _("Signature paddings")
        yield f"rsa_{use}", ticks(label, [(name, _PADDINGS[name]) for name in paddings])
    for kind in _RANDOM:
        yield f"{kind}_random_iv", forms.BooleanField(label=_("IVs by the server only"), required=False)


class CryptographicForm(SettingsForm):
    """In a list everything ticked is no limit."""

    limited = forms.ChoiceField(
        label=_("What may be made and used"),
        choices=[("no", _("Everything the server offers")), ("yes", _("Only what is ticked below"))],
        widget=forms.RadioSelect,
    )
    key_ops = ticks(_("Operations"), [(name, label) for name, (label, _about) in OPERATIONS.items()])
    protection = ticks(_("Protection"), list(_PROTECTION.items()))
    digests = ticks(_("Hash functions"), [(name, name.replace("_", "-")) for name in HASHES])
    legacy_policy = forms.ChoiceField(
        label=_("Objects that are there already and break the policy"),
        choices=list(LEGACY.items()),
        widget=forms.RadioSelect,
        required=False,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for kind, label in KINDS.items():
            self.fields[f"kind_{kind}"] = forms.BooleanField(label=str(label), required=False)
        self.fields.update(dict(_limits()))

    @classmethod
    def of(cls, policy: Policy | None, *, seen: str = "") -> CryptographicForm:
        shown = dict(_shown(policy or {kind: {} for kind in KINDS}))
        return cls(initial={**shown, "limited": "no" if policy is None else "yes", "seen": seen})

    # -- for templates ---------------------------------------------------------------------------------------------

    @property
    def kinds(self) -> list[tuple[BoundField, list[BoundField]]]:
        """Each kind's tick, and the fields that limit it."""
        return [
            (self[f"kind_{kind}"], [self[name] for name in self.fields if name.startswith(f"{kind}_")])
            for kind in KINDS
        ]

    @property
    def lists(self) -> list[BoundField]:
        return [self[name] for name in ("key_ops", "protection", "digests", "legacy_policy")]

    # -- what to send ----------------------------------------------------------------------------------------------

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("limited") != "yes":
            return cleaned
        wanted = [name for name in self.fields if name in _LISTS or name.endswith(("_sizes", "_curves"))]
        for name in wanted:
            kind = name.partition("_")[0]
            if (name in _LISTS or cleaned.get(f"kind_{kind}")) and not cleaned.get(name):
                self.add_error(name, _t("Tick at least one."))
        return cleaned

    def policy(self, before: Policy | None) -> dict[str, Any] | str:
        cleaned = self.cleaned_data
        if cleaned["limited"] != "yes":
            return "remove"
        old = before or {}
        found: dict[str, Any] = {
            kind: self._rule(kind, old.get(kind) or {}) for kind in KINDS if cleaned[f"kind_{kind}"]
        }
        for name, every in _LISTS.items():
            chosen = [each for each in every if each in cleaned[name]]
            found |= {name: chosen} if len(chosen) < len(every) else {}
        return {**found, "legacy_policy": cleaned["legacy_policy"] or "allowed"}

    def _rule(self, kind: str, old: Policy) -> dict[str, Any]:
        cleaned = self.cleaned_data
        rule = {name: value for name, value in old.items() if name == "fpe"}
        if kind in _BITS:
            sizes = [bits for bits in _BITS[kind] if str(bits) in cleaned[f"{kind}_sizes"]]
            rule |= {"key_sizes": sizes} if len(sizes) < len(_BITS[kind]) else {}
        if kind in _LEAST and cleaned[f"{kind}_least"]:
            rule["minimum_key_length"] = int(cleaned[f"{kind}_least"])
        if kind in _RANDOM and cleaned[f"{kind}_random_iv"]:
            rule["random_iv"] = True
        if kind == "ec" and len(cleaned["ec_curves"]) < len(CURVES):
            rule["elliptic_curves"] = list(cleaned["ec_curves"])
        if kind == "rsa":
            rule |= dict(self._paddings(old))
        return rule

    def _paddings(self, old: Policy) -> Iterator[tuple[str, Any]]:
        """Rules as they were stay, with whatever they say of a mask's hash, while the paddings do."""
        for use, every in _RSA_USES.items():
            name, chosen = f"{use}_policy", list(self.cleaned_data[f"rsa_{use}"])
            there = old.get(name)
            if there is not None and set(chosen) == set(_named(there, every)):
                yield name, there
            elif len(chosen) < len(every):
                yield name, [{"padding": {padding: {}}} for padding in chosen]


# -- from the policy -----------------------------------------------------------------------------------------------


def _named(rules: Sequence[Policy], every: Sequence[str]) -> list[str]:
    """The paddings that rules speak of; a rule without one is any."""
    if any(not rule.get("padding") for rule in rules):
        return list(every)
    return [name for rule in rules for name in rule["padding"]]


def _shown(policy: Policy) -> Iterator[tuple[str, Any]]:
    for kind in KINDS:
        rule = policy.get(kind)
        yield f"kind_{kind}", rule is not None
        yield from _shown_rule(kind, rule or {})
    for name, every in _LISTS.items():
        yield name, list(policy.get(name) or every)
    yield "legacy_policy", policy.get("legacy_policy") or "allowed"


def _shown_rule(kind: str, rule: Policy) -> Iterator[tuple[str, Any]]:
    if kind in _BITS:
        yield f"{kind}_sizes", [str(bits) for bits in rule.get("key_sizes") or _BITS[kind]]
    if kind in _LEAST:
        yield f"{kind}_least", str(rule.get("minimum_key_length") or "")
    if kind in _RANDOM:
        yield f"{kind}_random_iv", bool(rule.get("random_iv"))
    if kind == "ec":
        yield "ec_curves", list(rule.get("elliptic_curves") or CURVES)
    if kind == "rsa":
        for use, every in _RSA_USES.items():
            there = rule.get(f"{use}_policy")
            yield f"rsa_{use}", list(every) if there is None else _named(there, every)


# -- in words ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sentence:
    about: Text
    text: str


def in_words(policy: Policy | None) -> list[Sentence]:
    """What is in force; nothing when everything is allowed."""
    if policy is None:
        return []
    kinds = {name: rule for name, rule in policy.items() if name not in (*_LISTS, "legacy_policy")}
    allowed = ", ".join(_kind_in_words(name, rule) for name, rule in _ordered(kinds))
    found = [Sentence(_("Types"), allowed or _t("none: nothing may be made"))]
    labels: Mapping[str, Text] = {
        "key_ops": _("Operations"),
        "protection": _("Protection"),
        "digests": _("Hash functions"),
    }
    for name, label in labels.items():
        if policy.get(name) is not None:
            words = ", ".join(_word(each) for each in policy[name])
            found.append(Sentence(label, words or _t("none")))
    legacy = LEGACY[policy.get("legacy_policy") or "allowed"]
    found.append(Sentence(_("Objects that break it"), _t("%(may)s") % {"may": legacy}))
    return found


def _ordered(kinds: Policy) -> Iterator[tuple[str, Policy]]:
    yield from ((kind, kinds[kind]) for kind in KINDS if kind in kinds)
    yield from ((kind, rule) for kind, rule in kinds.items() if kind not in KINDS)


def _word(name: str) -> str:
    operation = OPERATIONS.get(name)
    return str(operation[0]) if operation is not None else name.replace("_", "-")


def _kind_in_words(kind: str, rule: Policy) -> str:
    limits = list(_limits_in_words(rule))
    name = str(KINDS.get(kind) or word_of(kind.upper()))
    return f"{name} ({'; '.join(limits)})" if limits else name


def _limits_in_words(rule: Policy) -> Iterator[str]:
    if rule.get("key_sizes") is not None:
        yield _t("%(sizes)s bits") % {"sizes": "/".join(map(str, rule["key_sizes"]))}
    if rule.get("minimum_key_length"):
        yield _t("at least %(bits)s bits") % {"bits": rule["minimum_key_length"]}
    if rule.get("elliptic_curves") is not None:
        yield ", ".join(rule["elliptic_curves"])
    if rule.get("random_iv"):
        yield _t("IVs by the server")
    if rule.get("fpe"):
        yield _t("one tokenisation format")
    for use, every in _RSA_USES.items():
        if rule.get(f"{use}_policy") is not None:
            named = ", ".join(_PADDINGS[name] for name in _named(rule[f"{use}_policy"], every))
            words = _t("encryption with %(paddings)s") if use == "encryption" else _t("signatures with %(paddings)s")
            yield words % {"paddings": named or _t("nothing")}
