"""The forms of receivers of the log, one a kind: fields from the API's settings, and settings from the fields.

What is not shown again (a token, a key) stays while the address does. No call is made here.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from kms.console.settings.forms import SecretField, SettingsForm
from kms.console.settings.provider_forms import certificates

SYSLOG, SPLUNK, WEBHOOK, S3 = "syslog", "splunk", "webhook", "s3"
_FORMATS = (("json", "JSON"), ("csv", "CSV"), ("cef", "CEF"), ("ocsf", "OCSF 1.3"))
_FACILITIES = [(name, name) for name in ("User", *(f"Local{number}" for number in range(8)))]
_AGAIN = _("Needed again with another address: a secret goes where it was given for.")


class SinkForm(SettingsForm):
    """``plain`` are fields that the API calls by the same name; ``secret_fields`` those that are never shown."""

    plain: tuple[str, ...] = ()
    secret_fields: tuple[str, ...] = ()

    enabled = forms.BooleanField(label=_("Send entries"), required=False, initial=True)
    format = forms.ChoiceField(label=_("Format"), choices=_FORMATS)

    @classmethod
    def of(cls, sink: Mapping[str, Any], seen: str) -> SinkForm:
        shown = {name: sink.get(name) for name in (*cls.plain, "enabled", "format")}
        form = cls(initial={**shown, **cls.shown(sink), "seen": seen})
        form.keep()
        return form

    @classmethod
    def shown(cls, sink: Mapping[str, Any]) -> dict[str, Any]:
        """Besides the plain fields."""
        return {}

    def keep(self) -> None:
        for name in self.secret_fields:
            field = self.fields[name]
            if isinstance(field, SecretField):
                field.keep(kept=True)

    def settings(self, before: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: self.cleaned_data[name] for name in (*self.plain, "enabled", "format")}
        secrets = {name: self.cleaned_data[name] for name in self.secret_fields if self.cleaned_data[name]}
        return {name: value for name, value in {**given, **secrets}.items() if value is not None}


class _TlsForm(SinkForm):
    wire = {"authorities": "ca", "tls": "tls"}

    tls = forms.ChoiceField(
        label=_("TLS"),
        choices=[("required", _("Required")), ("disabled", _("None; to this machine only"))],
    )
    authorities = forms.CharField(
        label=_("Certificate authorities"),
        required=False,
        help_text=_("In PEM, one below the other. Empty: the authorities that the server's system trusts."),
        widget=forms.Textarea(attrs={"rows": 4}),
    )

    @classmethod
    def shown(cls, sink: Mapping[str, Any]) -> dict[str, Any]:
        tls = sink.get("tls") or {}
        pinned = (tls.get("ca") or {}).get("pinned") or ()
        return {"tls": tls.get("mode", "required"), "authorities": "\n".join(map(_pem, pinned))}

    def settings(self, before: Mapping[str, Any]) -> dict[str, Any]:
        return {**super().settings(before), "tls": self._tls(before)}

    def _tls(self, before: Mapping[str, Any]) -> dict[str, Any]:
        if self.cleaned_data["tls"] == "disabled":
            return {"mode": "disabled"}
        pinned = [base64.b64encode(pem.encode()).decode() for pem in certificates(self.cleaned_data["authorities"])]
        kept = (before.get("tls") or {}).get("client_cert")
        tls = {"mode": "required", "ca": {"pinned": pinned} if pinned else {"ca_set": "global_roots"}}
        return {**tls, "client_cert": kept} if kept else tls


def _pem(der: str) -> str:
    lines = [der[first : first + 64] for first in range(0, len(der), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----"])


class SyslogForm(_TlsForm):
    plain = ("host", "port", "facility", "use_fqdn_hostname")

    host = forms.CharField(label=_("Host"), max_length=253)
    port = forms.IntegerField(label=_("Port"), min_value=1, max_value=65535, initial=6514)
    facility = forms.ChoiceField(label=_("Facility"), choices=_FACILITIES)
    use_fqdn_hostname = forms.BooleanField(label=_("Name this host with its domain"), required=False)

    field_order = ("host", "port", "tls", "authorities", "facility", "format", "use_fqdn_hostname", "enabled")


class SplunkForm(_TlsForm):
    plain = ("host", "port", "index", "use_fqdn_hostname")
    secret_fields = ("token",)

    host = forms.CharField(label=_("Host"), max_length=253)
    port = forms.IntegerField(label=_("Port"), min_value=1, max_value=65535, initial=8088)
    token = SecretField(label=_("HTTP Event Collector token"), max_length=256, help_text=_AGAIN)
    index = forms.CharField(label=_("Index"), required=False, max_length=80)
    use_fqdn_hostname = forms.BooleanField(label=_("Name this host with its domain"), required=False)

    field_order = ("host", "port", "token", "index", "tls", "authorities", "format", "use_fqdn_hostname", "enabled")


class WebhookForm(SinkForm):
    plain = ("url",)
    secret_fields = ("key",)

    url = forms.CharField(label=_("Address"), max_length=2048)
    key = SecretField(
        label=_("Signing key"),
        help_text=_("24 to 64 random bytes in base64 (Standard Webhooks 1.0). Needed again with another address."),
    )

    field_order = ("url", "key", "format", "enabled")


class S3Form(_TlsForm):
    plain = ("endpoint", "region", "bucket", "prefix", "addressing_style", "access_key_id", "retention_days")
    secret_fields = ("secret_access_key",)

    endpoint = forms.CharField(label=_("Endpoint"), max_length=2048, help_text=_("As https://s3.example.org"))
    region = forms.CharField(label=_("Region"), required=False, max_length=64, initial="us-east-1")
    bucket = forms.CharField(label=_("Bucket"), max_length=63)
    prefix = forms.CharField(  # type: ignore[assignment]  # Django takes fields out of the class
        label=_("Prefix"), required=False, max_length=256
    )
    addressing_style = forms.ChoiceField(
        label=_("Addresses"), choices=[("path", _("Bucket in the path")), ("virtual", _("Bucket in the host name"))]
    )
    access_key_id = forms.CharField(label=_("Access key id"), max_length=128)
    secret_access_key = SecretField(label=_("Secret access key"), max_length=256, help_text=_AGAIN)
    retention_days = forms.IntegerField(
        label=_("Days for which each object is locked"),
        required=False,
        min_value=0,
        max_value=36_500,
        help_text=_("Object Lock in compliance mode: nobody can delete the log before. 0 or empty: not at all."),
    )

    field_order = (
        *("endpoint", "bucket", "prefix", "region", "access_key_id", "secret_access_key", "retention_days"),
        *("addressing_style", "tls", "authorities", "format", "enabled"),
    )


FORMS: Mapping[str, type[SinkForm]] = {SYSLOG: SyslogForm, SPLUNK: SplunkForm, WEBHOOK: WebhookForm, S3: S3Form}
