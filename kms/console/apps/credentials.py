"""How an app proves who it is: the form for each way, and what the API takes for it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography import x509
from django import forms
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.forms import Form
from kms.console.making.fields import needed
from kms.console.visit import Visit

METHODS: Mapping[str, tuple[Any, Any]] = {
    "Secret": (_("API key"), _("A secret that the server makes. The simplest.")),
    "Certificate": (_("Certificate"), _("One TLS client certificate, pinned.")),
    "TrustedCa": (_("Trusted CA"), _("Certificates that an authority issues to a name.")),
    "SignedJwt": (_("Signed token"), _("JWTs of an issuer, such as a Kubernetes cluster.")),
    "Ldap": (_("Directory"), _("Name and password in a directory (LDAP).")),
}
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "Certificate": ("certificate",),
    "TrustedCa": ("ca_certificates", "subject"),
    "SignedJwt": ("issuers",),
    "Ldap": ("directory",),
}
_MARKED = (*(name for names in _NEEDED.values() for name in names), "keys_kind", "keys_url", "keys_pem", "subject_kind")
_PEM_END = "-----END CERTIFICATE-----"


def _pem(label: Any, help_text: Any = "") -> forms.CharField:
    widget = forms.Textarea(attrs={"rows": 5, "class": "mono", "spellcheck": "false", "autocomplete": "off"})
    return forms.CharField(label=label, required=False, widget=widget, help_text=help_text)


def _lines(label: Any, help_text: Any) -> forms.CharField:
    return forms.CharField(label=label, required=False, widget=forms.Textarea(attrs={"rows": 2}), help_text=help_text)


class CredentialForm(Form):
    wire: Mapping[str, str] = {
        "issuers": "valid_issuers",
        "keys_pem": "signing_keys",
        "keys_url": "url",
        "subject": "subjects",
        "directory": "ldap",
    }

    method = forms.ChoiceField(
        choices=[(name, words[0]) for name, words in METHODS.items()], widget=forms.RadioSelect, initial="Secret"
    )
    certificate = _pem(_("Certificate, as PEM"), _("The client certificate itself, without its private key."))
    ca_certificates = _pem(_("CA certificates, as PEM"), _("One or several, one after the other."))
    subject_kind = forms.ChoiceField(
        label=_("The certificate is for"),
        choices=(("dns_name", _("DNS name")), ("CN", _("Common name")), ("ip_address", _("IP address"))),
        required=False,
    )
    subject = forms.CharField(label=_("Name or address"), required=False)
    issuers = _lines(_("Issuers"), _("The claim iss, exactly. One on each line."))
    audiences = _lines(_("Audiences"), _("The claim aud. Empty: this server's address."))
    subjects = _lines(_("Subjects"), _("The claim sub; a * at the end stands for anything. Empty: the app's id."))
    keys_kind = forms.ChoiceField(
        label=_("The issuer's keys"),
        choices=(("fetched", _("Fetched from an address (JWKS)")), ("stored", _("Given here as PEM"))),
        required=False,
    )
    keys_url = forms.CharField(label=_("Address of the keys"), required=False, help_text=_("An https address."))
    keys_pem = _pem(_("Public key, as PEM"))
    keys_kid = forms.CharField(label=_("Its key id (kid)"), required=False, initial="key-1")
    once = forms.BooleanField(label=_("Each token is good for one login only"), required=False)
    directory = forms.ChoiceField(label=_("Directory"), required=False)

    def __init__(self, *args: Any, directories: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in _MARKED:
            needed(self.fields[name])
        choice = self.fields["directory"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [("", "---"), *directories.items()]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        lacking = list(_NEEDED.get(cleaned.get("method", ""), ()))
        if cleaned.get("method") == "SignedJwt":
            lacking.append("keys_pem" if cleaned.get("keys_kind") == "stored" else "keys_url")
        for name in lacking:
            if not cleaned.get(name):
                self.add_error(name, _t("This is needed."))
        for name in ("certificate", "ca_certificates"):
            if cleaned.get(name) and name in lacking and not certificates_of(cleaned[name]):
                self.add_error(name, _t("This is not a certificate in PEM."))
        return cleaned

    def credential(self) -> dict[str, Any]:
        """As the API takes it."""
        said = self.cleaned_data
        method = said["method"]
        if method == "Certificate":
            return {"certificate": _octets(said["certificate"])}
        if method == "TrustedCa":
            return {"trustedca": self._authorities()}
        if method == "SignedJwt":
            return {"signedjwt": self._tokens()}
        return {"ldap": said["directory"]} if method == "Ldap" else {"secret": {}}

    def _authorities(self) -> dict[str, Any]:
        kind, value = self.cleaned_data["subject_kind"], self.cleaned_data["subject"]
        subject = {"directory_name": [[kind, value]]} if kind == "CN" else {kind: value}
        several = [part + _PEM_END for part in self.cleaned_data["ca_certificates"].split(_PEM_END)[:-1]]
        return {"ca_certificates": [_octets(each.strip()) for each in several], "subjects": [subject]}

    def _tokens(self) -> dict[str, Any]:
        said = self.cleaned_data
        stored = {"kind": "stored", "keys": {said["keys_kid"] or "key-1": _octets(said["keys_pem"])}}
        keys = stored if said["keys_kind"] == "stored" else {"kind": "fetched", "url": said["keys_url"]}
        found = {"valid_issuers": _split(said["issuers"]), "signing_keys": keys, "once": said["once"]}
        audiences, subjects = _split(said["audiences"]), _split(said["subjects"])
        return found | ({"audiences": audiences} if audiences else {}) | ({"subjects": subjects} if subjects else {})


def _split(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _octets(pem: str) -> str:
    return base64.b64encode(pem.strip().encode()).decode()


def directories_of(visit: Visit) -> dict[str, str]:
    """The account's directories, as far as the viewer may see them."""
    try:
        found = visit.call("ListIdentityProviders")
    except Refused:
        return {}
    return {row["provider_id"]: row["name"] for row in found if row["kind"] == "ldap"}


# -- certificates as people read them ------------------------------------------------------------------------------


def certificates_of(pem: str) -> list[Mapping[str, Any]]:
    try:
        return [_told(each) for each in x509.load_pem_x509_certificates(pem.strip().encode())]
    except ValueError:
        return []


def certificate_of(der: str) -> Mapping[str, Any]:
    """Of the API's base64."""
    return _told(x509.load_der_x509_certificate(base64.b64decode(der)))


def _told(found: x509.Certificate) -> Mapping[str, Any]:
    ends: datetime = found.not_valid_after_utc
    return {"subject": found.subject.rfc4514_string(), "issuer": found.issuer.rfc4514_string(), "ends": ends}
