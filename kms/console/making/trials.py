"""What a key can be tried at: for each operation its form, the request that it comes to, and how the answer is shown.

Nothing is kept: the request has all that was typed, the answer all that came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.forms import Form
from kms.console.making.decoding import ENCODINGS, Undecodable, decoded, on_wire, shown

_OAEP = {name: {"OAEP": {"mgf": {"mgf1": {"hash": name}}}} for name in ("SHA256", "SHA384", "SHA512", "SHA1")}
_CIPHER_MODES = ("GCM", "CBC", "CTR", "CCM", "CFB", "OFB", "ECB")
_UNAUTHENTICATED = ("CBC", "CTR", "CFB", "OFB", "ECB")
_HASHES = ("SHA256", "SHA384", "SHA512", "SHA3_256", "SHA3_384", "SHA3_512", "SHA224", "SHA1")
_BY_THEMSELVES = frozenset({"Ed25519", "Ed448"})
_PLAIN = {"autocomplete": "off", "spellcheck": "false"}
Body = Mapping[str, Any]


def _area(label: Any, rows: int = 3, **more: Any) -> forms.CharField:
    widget = forms.Textarea(attrs={"rows": rows, **_PLAIN, "class": "mono"})
    return forms.CharField(label=label, strip=False, widget=widget, **more)


def _octets(label: Any, help_text: Any = "") -> forms.CharField:
    widget = forms.TextInput(attrs={**_PLAIN, "class": "mono"})
    return forms.CharField(label=label, required=False, widget=widget, help_text=help_text)


class TrialForm(Form):
    """``of_key`` says what the choices depend on. The fields named in ``octets`` are read as they are written."""

    wire: Mapping[str, str] = {"message": "plain", "mac": "digest", "additional": "ad"}
    octets: Mapping[str, str] = {}
    field_order = ("message", "cipher", "written", "given", "subject", "mode")

    def __init__(self, key: Body, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("auto_id", f"{type(self).__name__.lower()}_%s")
        super().__init__(*args, **kwargs)
        self.of_key(key)

    def of_key(self, key: Body) -> None:
        """Fill the choices."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        for name, encoding in self.octets.items():
            written = cleaned.get(encoding, encoding)
            if cleaned.get(name):
                try:
                    self.cleaned_data[name] = on_wire(decoded(cleaned[name], written))
                except Undecodable as error:
                    self.add_error(name, str(error))
        return cleaned

    def choose(self, name: str, choices: Sequence[tuple[str, Any]], initial: str | None = None) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices
        field.initial = initial if initial is not None else choices[0][0]


class _WithData(TrialForm):
    message = _area(_("Data"))
    written = forms.ChoiceField(label=_("Written as"), choices=ENCODINGS, initial="text")
    octets: Mapping[str, str] = {"message": "written"}


class _WithMode(TrialForm):
    mode = forms.ChoiceField(label=_("Mode"))

    def of_key(self, key: Body) -> None:
        if key["obj_type"] == "RSA":
            self.choose("mode", [(name, f"OAEP, {name}") for name in _OAEP] + [("PKCS1_V15", "PKCS #1 v1.5")])
            return
        modes = (
            _CIPHER_MODES if key["obj_type"] == "AES" else tuple(m for m in _CIPHER_MODES if m not in ("GCM", "CCM"))
        )
        self.choose("mode", [(name, name) for name in modes])

    def mode_of(self) -> Any:
        mode = self.cleaned_data["mode"]
        return {"PKCS1_V15": {}} if mode == "PKCS1_V15" else _OAEP.get(mode, mode)


class EncryptForm(_WithData, _WithMode):
    iv = _octets(_("IV, as base64"), _("Empty: the server makes one."))
    additional = _octets(_("Additional data, as text"))
    octets = {**_WithData.octets, "iv": "base64", "additional": "text"}

    def body(self, key: Body) -> dict[str, Any]:
        said = self.cleaned_data
        found = {"alg": key["obj_type"], "plain": said["message"], "mode": self.mode_of()}
        tag = {"tag_len": 128} if said["mode"] in ("GCM", "CCM") else {}
        return {**found, "iv": said["iv"] or None, "ad": said["additional"] or None, **tag}


class DecryptForm(_WithMode):
    wire = {"cipher": "cipher", "additional": "ad"}
    cipher = _area(_("Ciphertext, as base64"))
    iv = _octets(_("IV, as base64"))
    tag = _octets(_("Tag, as base64"))
    additional = _octets(_("Additional data, as text"))
    octets = {"cipher": "base64", "iv": "base64", "tag": "base64", "additional": "text"}

    def body(self, key: Body) -> dict[str, Any]:
        said = self.cleaned_data
        rest = {"iv": said["iv"] or None, "tag": said["tag"] or None, "ad": said["additional"] or None}
        return {"alg": key["obj_type"], "cipher": said["cipher"], "mode": self.mode_of(), **rest}


class SignForm(_WithData):
    wire = {"message": "data", "hash": "hash_alg", "padding": "mode"}
    given = forms.ChoiceField(
        label=_("What is given"), choices=(("data", _("The message")), ("hash", _("Its digest"))), initial="data"
    )
    hash = forms.ChoiceField(label=_("Hash"), required=False)
    padding = forms.ChoiceField(
        label=_("Padding"), choices=(("PSS", "PSS"), ("PKCS1_V15", "PKCS #1 v1.5")), required=False
    )

    def of_key(self, key: Body) -> None:
        alone = key["obj_type"] == "MLDSA" or key.get("elliptic_curve") in _BY_THEMSELVES
        names = [(name, name.replace("_", "-")) for name in _HASHES]
        self.choose("hash", [("", _("None: the algorithm hashes itself"))] if alone else names)
        if key["obj_type"] != "RSA":
            del self.fields["padding"]

    def body(self, _key: Body) -> dict[str, Any]:
        said = self.cleaned_data
        hash_name, padding = said.get("hash") or None, said.get("padding")
        pss = {"PSS": {"mgf": {"mgf1": {"hash": hash_name}}}}
        mode = None if not padding else pss if padding == "PSS" else {"PKCS1_V15": {}}
        return {said["given"]: said["message"], "hash_alg": hash_name, "mode": mode}


class VerifyForm(SignForm):
    signature = _area(_("Signature, as base64"), 2)
    octets = {**SignForm.octets, "signature": "base64"}

    def body(self, key: Body) -> dict[str, Any]:
        return {**super().body(key), "signature": self.cleaned_data["signature"]}


class MacForm(_WithData):
    wire = {"message": "data", "hash": "alg"}
    hash = forms.ChoiceField(label=_("Made by"), required=False)

    def of_key(self, key: Body) -> None:
        hmac = [(name, f"HMAC, {name.replace('_', '-')}") for name in _HASHES]
        self.choose("hash", hmac if key["obj_type"] == "HMAC" else [("", "CMAC")])

    def body(self, _key: Body) -> dict[str, Any]:
        return {"data": self.cleaned_data["message"], "alg": self.cleaned_data["hash"] or None}


class MacVerifyForm(MacForm):
    mac = _area(_("MAC, as base64"), 1)
    octets = {**MacForm.octets, "mac": "base64"}

    def body(self, key: Body) -> dict[str, Any]:
        return {**super().body(key), "mac": self.cleaned_data["mac"]}


class WrapForm(_WithMode):
    wire = {"subject": "subject"}
    subject = forms.UUIDField(label=_("Key to wrap"), error_messages={"required": _("Choose a key.")})

    def of_key(self, key: Body) -> None:
        if key["obj_type"] == "AES":
            self.choose("mode", [("KWP", _("KWP, key wrap with padding")), ("KW", "KW"), ("GCM", "GCM")])
        else:
            super().of_key(key)

    def body(self, key: Body) -> dict[str, Any]:
        tag = {"tag_len": 128} if self.cleaned_data["mode"] == "GCM" else {}
        subject = {"kid": str(self.cleaned_data["subject"])}
        return {"alg": key["obj_type"], "subject": subject, "mode": self.mode_of(), **tag}


# -- results -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """``good`` where there is something to be true or false. ``again`` are the fields of the trial that undoes it."""

    values: Sequence[tuple[Any, Mapping[str, str]]] = ()
    good: bool | None = None
    next: str = ""
    again: Mapping[str, str] = field(default_factory=dict)


def _values(answer: Body, **labels: Any) -> Iterator[tuple[Any, Mapping[str, str]]]:
    for name, label in labels.items():
        if answer.get(name):
            yield label, shown(answer[name])


def _encrypted(form: Form, answer: Body) -> Outcome:
    said = form.data
    again = {name: said.get(name, "") for name in ("mode", "additional")}
    again |= {name: answer.get(name) or "" for name in ("cipher", "iv", "tag")}
    return Outcome(list(_values(answer, cipher=_t("Ciphertext"), iv=_t("IV"), tag=_t("Tag"))), None, "decrypt", again)


def _signed(form: Form, answer: Body) -> Outcome:
    again = {name: form.data.get(name, "") for name in ("message", "written", "given", "hash", "padding")}
    again["signature"] = answer["signature"]
    return Outcome(list(_values(answer, signature=_t("Signature"))), None, "verify", again)


def _maced(form: Form, answer: Body) -> Outcome:
    again = {name: form.data.get(name, "") for name in ("message", "written", "hash")} | {"mac": answer["mac"]}
    return Outcome(list(_values(answer, mac=_t("MAC"))), None, "mac-verify", again)


def _judged(_form: Form, answer: Body) -> Outcome:
    return Outcome(good=bool(answer["result"]))


def _decrypted(_form: Form, answer: Body) -> Outcome:
    return Outcome(list(_values(answer, plain=_t("Plaintext"))))


def _wrapped(_form: Form, answer: Body) -> Outcome:
    return Outcome(list(_values(answer, wrapped_key=_t("Wrapped key"), iv=_t("IV"), tag=_t("Tag"))))


@dataclass(frozen=True, slots=True)
class Trial:
    """``needs`` is the permitted operation, ``operation`` the endpoint that does it."""

    name: str
    label: str | Promise
    needs: str
    operation: str
    form: Callable[..., Any]
    outcome: Callable[[Form, Body], Outcome]


TRIALS: tuple[Trial, ...] = (
    Trial("encrypt", _("Encrypt"), "ENCRYPT", "EncryptById", EncryptForm, _encrypted),
    Trial("decrypt", _("Decrypt"), "DECRYPT", "DecryptById", DecryptForm, _decrypted),
    Trial("sign", _("Sign"), "SIGN", "SignById", SignForm, _signed),
    Trial("verify", _("Verify"), "VERIFY", "VerifyById", VerifyForm, _judged),
    Trial("mac", _("Make a MAC"), "MACGENERATE", "MacById", MacForm, _maced),
    Trial("mac-verify", _("Verify a MAC"), "MACVERIFY", "MacVerifyById", MacVerifyForm, _judged),
    Trial("wrap", _("Wrap a key"), "WRAPKEY", "WrapById", WrapForm, _wrapped),
)


def trials_of(key: Body) -> list[Trial]:
    return [trial for trial in TRIALS if trial.needs in key["key_ops"]]
