"""Objects that come from elsewhere: keys and certificates, secrets, keys wrapped under one that is here, components.

What was pasted goes to the API and nowhere else: a page that is shown again does not have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django import forms
from django.http import HttpResponse, QueryDict
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.forms import said_plainly
from kms.console.making.creation import ObjectForm, group_choices, to_object
from kms.console.making.decoding import ENCODINGS, Undecodable, decoded, on_wire
from kms.console.making.fields import metadata_of, needed, rows_of
from kms.console.making.kinds import OPERATIONS
from kms.console.making.picking import chosen_or_typed, found, with_chosen
from kms.console.visit import Visit

WAYS = (
    ("key", _("Key or certificate")),
    ("secret", _("Secret")),
    ("wrapped", _("Wrapped key")),
    ("components", _("Components")),
)
KEY_KINDS = (
    ("AES", "AES"),
    ("RSA", "RSA"),
    ("EC", _("Elliptic curve")),
    ("HMAC", "HMAC"),
    ("CERTIFICATE", _("Certificate")),
    ("MLDSA", "ML-DSA"),
    ("MLKEM", "ML-KEM"),
    ("OPAQUE", _("Opaque data")),
    ("DES3", _("Triple DES (legacy)")),
    ("DES", _("DES (legacy)")),
    ("SEED", "SEED"),
    ("DSA", _("DSA (legacy)")),
    ("BIP32", "BIP32"),
)
# How the wrapping key is used, in the API's words: for AES a mode, for RSA a padding.
UNWRAPPING: Mapping[str, tuple[Any, Any]] = {
    "KWP": (_("AES key wrap with padding (RFC 5649)"), "KWP"),
    "KW": (_("AES key wrap (RFC 3394)"), "KW"),
    "GCM": (_("AES-GCM, with IV and tag"), "GCM"),
    "CBC": (_("AES-CBC, with IV"), "CBC"),
    "OAEP256": (_("RSA-OAEP with SHA-256"), {"OAEP": {"mgf": {"mgf1": {"hash": "SHA256"}}}}),
    "OAEP1": (_("RSA-OAEP with SHA-1 (legacy)"), {"OAEP": {"mgf": {"mgf1": {"hash": "SHA1"}}}}),
}
_SECRET = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", "class": "mono"}
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "key": ("value",),
    "secret": ("secret",),
    "wrapped": ("wrapped", "wrapper"),
    "components": ("component_1", "component_2"),
}
_ALWAYS_NEEDED = (*(name for names in _NEEDED.values() for name in names), "custodian_1", "custodian_2")
_HIDDEN_AGAIN = ("value", "secret", "wrapped", "component_1", "component_2", "component_3")


def _area(rows: int) -> forms.Textarea:
    return forms.Textarea(attrs={"rows": rows, **_SECRET})


def _component(number: int, *, required: bool) -> forms.CharField:
    label = _("Component %(number)d") % {"number": number}
    return forms.CharField(label=label, required=False, widget=_area(1), help_text="" if required else _("If any."))


def _custodian() -> forms.CharField:
    return forms.CharField(
        label=_("Its custodian"),
        required=False,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
        help_text=_("The e-mail address of who holds it."),
    )


class ImportForm(ObjectForm):
    wire = {**ObjectForm.wire, "wrapped": "wrapped_key", "kind": "obj_type", "check_value": "kcv"}

    way = forms.ChoiceField(choices=WAYS, widget=forms.RadioSelect, initial="key")
    kind = forms.ChoiceField(label=_("Type"), choices=KEY_KINDS, required=False)
    value = forms.CharField(label=_("Value"), required=False, strip=False, widget=_area(7))
    encoding = forms.ChoiceField(
        label=_("Written as"),
        choices=(("text", _("PEM or JWK")), *ENCODINGS[1:]),
        widget=forms.RadioSelect,
        initial="text",
    )
    secret = forms.CharField(
        label=_("Secret"), required=False, strip=False, widget=_area(3), help_text=_("A password, PIN, token or note.")
    )
    wrapped = forms.CharField(label=_("Wrapped key"), required=False, widget=_area(4))
    wrapped_encoding = forms.ChoiceField(
        label=_("Written as"), choices=ENCODINGS[1:], widget=forms.RadioSelect, initial="base64"
    )
    wrapper = forms.UUIDField(label=_("Wrapping key"), required=False)
    unwrapping = forms.ChoiceField(label=_("Wrapped by"), choices=[(n, u[0]) for n, u in UNWRAPPING.items()])
    iv = forms.CharField(label=_("IV, as base64"), required=False, widget=forms.TextInput(attrs=_SECRET))
    tag = forms.CharField(label=_("Tag, as base64"), required=False, widget=forms.TextInput(attrs=_SECRET))
    check_value = forms.CharField(
        label=_("Key check value"), required=False, help_text=_("Six hexadecimal digits. If given, the key must match.")
    )
    component_1 = _component(1, required=True)
    component_2 = _component(2, required=True)
    component_3 = _component(3, required=False)
    custodian_1 = _custodian()
    custodian_2 = _custodian()
    custodian_3 = _custodian()
    operations = forms.MultipleChoiceField(
        choices=[(name, words[0]) for name, words in OPERATIONS.items() if name != "HIGHVOLUME"],
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("kind", *_ALWAYS_NEEDED):
            needed(self.fields[name])

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        for name in _NEEDED.get(cleaned.get("way", ""), ()):
            if not cleaned.get(name):
                self.add_error(name, _t("This is needed."))
        for name, octets in self._octets(cleaned).items():
            self._decode(name, octets)
        return cleaned

    def _octets(self, cleaned: Mapping[str, Any]) -> dict[str, str]:
        """The fields with bytes in them that count, and how each is written."""
        way = cleaned.get("way")
        if way == "key":
            return {"value": cleaned.get("encoding") or "text"}
        if way == "wrapped":
            return {"wrapped": cleaned.get("wrapped_encoding") or "base64", "iv": "base64", "tag": "base64"}
        return dict.fromkeys(_HIDDEN_AGAIN[3:], "hex") if way == "components" else {}

    def _decode(self, name: str, encoding: str) -> None:
        text = self.cleaned_data.get(name)
        if not text:
            return
        try:
            self.cleaned_data[name] = on_wire(decoded(text, encoding))
        except Undecodable as error:
            self.add_error(name, str(error))

    def forget(self) -> None:
        """Before the page is shown again."""
        data = cast("QueryDict", self.data).copy()
        for name in _HIDDEN_AGAIN:
            data[name] = ""
        self.data = data


# -- screens -------------------------------------------------------------------------------------------------------


def show(visit: Visit) -> HttpResponse:
    return _page(visit, ImportForm(initial={"group": visit.query.get("group")}))


def bring(visit: Visit) -> HttpResponse:
    given = visit.form.copy()
    given["group"] = chosen_or_typed(visit, "group", given.get("group", ""), given.get("group_text", ""))
    given["wrapper"] = chosen_or_typed(visit, "object", given.get("wrapper", ""), given.get("wrapper_text", ""))
    form = ImportForm(given)
    made = _sent(visit, form) if form.is_valid() else None
    if made is None:
        form.forget()
        return _page(visit, form, status=422)
    visit.say(_t("%(name)s was imported") % {"name": made["name"]})
    return to_object(visit, made["kid"])


def _sent(visit: Visit, form: ImportForm) -> Any:
    said, way = form.cleaned_data, form.cleaned_data["way"]
    attributes = {
        "name": said["name"],
        "description": said["description"] or None,
        "group_id": str(said["group"]),
        "custom_metadata": metadata_of(visit.form) or None,
        "key_ops": said["operations"] or None,
    }
    attributes = {name: value for name, value in attributes.items() if value is not None}
    if way == "components":
        return _of_components(visit, form, attributes)
    if way == "wrapped":
        return _unwrapped(visit, form, attributes)
    secret = way == "secret"
    value = on_wire(said["secret"].encode()) if secret else said["value"]
    kind, kcv = "SECRET" if secret else said["kind"], None if secret else said["check_value"] or None
    return form.attempt(visit, "ImportSobject", body={**attributes, "obj_type": kind, "value": value, "kcv": kcv})


def _unwrapped(visit: Visit, form: ImportForm, attributes: Mapping[str, Any]) -> Any:
    said = form.cleaned_data
    try:
        wrapper = visit.call("GetSobjectById", key_id=str(said["wrapper"]))
    except Refused as refused:
        form.add_error("wrapper", said_plainly(refused.message))
        return None
    body = {
        **attributes,
        "key": {"kid": str(said["wrapper"])},
        "alg": wrapper["obj_type"],
        "mode": UNWRAPPING[said["unwrapping"]][1],
        "obj_type": said["kind"],
        "wrapped_key": said["wrapped"],
        "iv": said["iv"] or None,
        "tag": said["tag"] or None,
        "kcv": said["check_value"] or None,
    }
    return form.attempt(visit, "Unwrap", body=body)


def _of_components(visit: Visit, form: ImportForm, attributes: Mapping[str, Any]) -> Any:
    """All in one request: the API has no import in which each custodian adds their own."""
    said = form.cleaned_data
    numbers = [number for number in (1, 2, 3) if said[f"component_{number}"]]
    holders = {number: _user(visit, said[f"custodian_{number}"]) for number in numbers}
    for number in [number for number in numbers if not holders[number]]:
        form.add_error(f"custodian_{number}", _t("Nobody in the account has this address."))
    if form.errors:
        return None
    key = {**attributes, "obj_type": said["kind"], **({"kcv": said["check_value"]} if said["check_value"] else {})}
    body = {
        "key": key,
        "custodians": [{"user": holders[number]} for number in numbers],
        "components": [
            {"component": said[f"component_{number}"], "custodian": {"user": holders[number]}} for number in numbers
        ],
    }
    return form.attempt(visit, "ImportSobjectByComponents", body=body)


def _user(visit: Visit, address: str) -> str:
    """The id of the user with this address, as far as the viewer may see them."""
    if not address:
        return ""
    hits = visit.call("FindByName", query={"q": address[:256], "limit": 8})
    return next((str(hit["id"]) for hit in hits if hit["kind"] == "user" and hit["name"] == address), "")


def _page(visit: Visit, form: ImportForm, *, status: int = 200) -> HttpResponse:
    group, wrapper = str(form["group"].value() or ""), str(form["wrapper"].value() or "")
    context = {
        "form": form,
        "ways": list(form["way"]),
        "operations": [(OPERATIONS[box.data["value"]], box) for box in form["operations"]],
        "rows": rows_of(metadata_of(visit.form)),
        "group_choices": group_choices(visit, group),
        "chosen": [group],
        "wrappers": with_chosen(visit, found(visit, "object", visit.form.get("wrapper_text", "")), [wrapper]),
        "chosen_wrapper": [wrapper],
        "again": form.is_bound,
    }
    return visit.render("console/making/import.html", context, status=status)
