"""The form of a cluster: fields from the API's settings, and settings from the fields. No call is made here."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django import forms
from django.utils.text import format_lazy
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.making.fields import needed
from kms.console.settings.forms import SettingsForm, ticks

FETCHED, PASTED = "fetched", "stored"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
# What is seldom needed, and stands folded away.
SELDOM = ("algorithms", "cache_duration")
_AUDIENCE = _(
    "For whom pods ask for the tokens that they show here (aud). Not the API server's own: every pod has a token for "
    "that one."
)


class KeySetField(forms.CharField):
    """A JWK Set (RFC 7517), or the list in it."""

    widget = forms.Textarea(attrs={"rows": 8, "class": "mono", "spellcheck": "false", "autocomplete": "off"})

    def to_python(self, value: Any) -> Any:
        text = (super().to_python(value) or "").strip()
        if not text:
            return []
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            raise forms.ValidationError(_t("This is not JSON. Paste the whole answer, from { to }.")) from None
        keys = read.get("keys") if isinstance(read, dict) else read
        if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
            raise forms.ValidationError(_t("This is no JWK Set: an object whose member “keys” is a list of keys."))
        return keys

    def prepare_value(self, value: Any) -> Any:
        return json.dumps({"keys": value}, indent=2) if isinstance(value, list) and value else value


class ClusterForm(SettingsForm):
    name = forms.CharField(label=_("Name"), max_length=256, help_text=_("Such as production."))
    description = forms.CharField(label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 2}))
    issuer = forms.CharField(
        label=_("Issuer"),
        max_length=512,
        strip=False,
        help_text=_("Exactly as the cluster's tokens say it in iss. It is the “issuer” that the command below prints."),
    )
    audience = forms.CharField(
        label=_("Audience"),
        max_length=512,
        strip=False,
        required=False,
        help_text=format_lazy("{} {}", _AUDIENCE, _("Empty: this server's address.")),
    )
    max_token_seconds = forms.IntegerField(
        label=_("Longest life of a token, in seconds"),
        min_value=600,
        max_value=86_400,
        initial=3600,
        help_text=_("From 600, the least that Kubernetes gives, to 86400. A token that lives longer is refused."),
    )
    keys_kind = forms.ChoiceField(
        label=_("The cluster's keys"),
        choices=((PASTED, _("Pasted here")), (FETCHED, _("Fetched from an address"))),
        help_text=_(
            "By them the tokens' signatures are checked. Paste them again when the cluster's keys change; fetched ones "
            "follow by themselves, as long as this server reaches the address."
        ),
    )
    keys = KeySetField(
        label=_("Public keys, as a JWK Set"),
        required=False,
        help_text=_("All that the command below prints."),
    )
    keys_url = forms.CharField(
        label=_("Address of the keys"),
        required=False,
        max_length=2048,
        help_text=_("An https address: the “jwks_uri” that the command below prints, or where you publish the keys."),
    )
    authorities = forms.CharField(
        label=_("Certificate authorities"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"}),
        help_text=_(
            "In PEM. Empty: those that the server's system trusts. The command below prints an API server's own."
        ),
    )
    cache_duration = forms.IntegerField(
        label=_("Seconds for which fetched keys are kept"), required=False, help_text=_("Empty: the server's usual.")
    )
    algorithms = ticks(
        _("Algorithms"),
        [(name, name) for name in ALGORITHMS],
        _("By which tokens may be signed. None marked: all of them."),
    )
    enabled = forms.BooleanField(label=_("Pods may come in"), required=False, initial=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("keys", "keys_url"):
            needed(self.fields[name])

    @classmethod
    def of(cls, cluster: Mapping[str, Any], seen: str) -> ClusterForm:
        jwks = cluster["jwks"]
        plain = ("name", "description", "issuer", "audience", "max_token_seconds", "algorithms", "enabled")
        return cls(
            initial={
                **{name: cluster[name] for name in plain},
                "keys_kind": FETCHED if jwks.get("url") else PASTED,
                "keys": jwks.get("keys"),
                "keys_url": jwks.get("url"),
                "cache_duration": jwks.get("cache_duration"),
                "authorities": "".join(map(_pem, jwks.get("ca_certificates") or ())),
                "seen": seen,
            }
        )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        fetched = cleaned.get("keys_kind") == FETCHED
        wanted = "keys_url" if fetched else "keys"
        if wanted not in self.errors and not cleaned.get(wanted):
            self.add_error(wanted, _t("This is needed."))
        self.wire = {"keys_url": "address"} if fetched else {"keys": "jwks"}
        self.wire |= {"authorities": "certificate"}
        return cleaned

    def clean_authorities(self) -> list[str]:
        """As the API takes them: DER in base64."""
        pem = self.cleaned_data["authorities"].strip()
        try:
            found = x509.load_pem_x509_certificates(pem.encode()) if pem else []
        except ValueError:
            raise forms.ValidationError(_t("This is not a certificate in PEM.")) from None
        return [base64.b64encode(each.public_bytes(Encoding.DER)).decode() for each in found]

    def body(self) -> dict[str, Any]:
        """What is empty is left to the API."""
        said = self.cleaned_data
        return {
            "name": said["name"],
            "description": said["description"],
            "issuer": said["issuer"],
            "audience": said["audience"] or None,
            "jwks": self._jwks(),
            "algorithms": sorted(said["algorithms"] or ALGORITHMS),
            "max_token_seconds": said["max_token_seconds"],
            "enabled": said["enabled"],
        }

    def _jwks(self) -> dict[str, Any]:
        said = self.cleaned_data
        if said["keys_kind"] == PASTED:
            return {"keys": said["keys"]}
        given = {
            "url": said["keys_url"],
            "cache_duration": said["cache_duration"],
            "ca_certificates": said["authorities"],
        }
        return {name: value for name, value in given.items() if value}


def _pem(der: str) -> str:
    """Of the API's base64."""
    return ssl.DER_cert_to_PEM_cert(base64.b64decode(der))


class ChangeForm(ClusterForm):
    """Of a cluster that is there: its audience is one already."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["audience"].required = True
        self.fields["audience"].help_text = _AUDIENCE

    def differences(self, cluster: Mapping[str, Any]) -> dict[str, Any]:
        """Only what changes is sent: pods that came in come in again after a change of what is taken."""
        jwks = {name: value for name, value in cluster["jwks"].items() if value is not None}
        now = {**cluster, "jwks": jwks, "algorithms": sorted(cluster["algorithms"])}
        return {name: value for name, value in self.body().items() if now[name] != value}
