"""The forms of identity providers, one a kind: fields from the API's settings, and settings from the fields.

What a form does not show stays as it is. No call is made here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from kms.console.settings.forms import LinesField, SecretField, SettingsForm, mark_of

OIDC, SAML, LDAP = "oidc", "saml", "ldap"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_ROLES = (("", _("Nobody: only who was invited")), ("member", _("As account member")), ("auditor", _("As auditor")))
_CA_HELP = _("In PEM, one below the other. Empty: the authorities that the server's system trusts.")


def _url(label: Any, *, required: bool = True, help_text: Any = "") -> forms.CharField:
    return forms.CharField(label=label, required=required, help_text=help_text, max_length=2048)


class ProviderForm(SettingsForm):
    """``secrets`` maps a field to the API's name of a secret."""

    secret_fields: Mapping[str, str] = {}

    name = forms.CharField(label=_("Name"), max_length=256, help_text=_("As people see it where they log in."))
    icon_url = forms.CharField(
        label=_("Icon"), required=False, max_length=2048, help_text=_("An https:// address; browsers fetch it.")
    )

    @classmethod
    def of(cls, provider: Mapping[str, Any]) -> ProviderForm:
        initial = {"name": provider["name"], "icon_url": provider["icon_url"], "seen": mark_of(provider)}
        form = cls(initial={**initial, **cls.shown(provider["config"])})
        form.keep(provider)
        return form

    def keep(self, provider: Mapping[str, Any]) -> None:
        """Secrets that are there already need not be typed again."""
        for name in self.secret_fields:
            field = self.fields[name]
            if isinstance(field, SecretField):
                field.keep(bool(provider["has_secrets"]))

    @classmethod
    def shown(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        raise TypeError("a kind of provider says how it is shown")

    def config(self, before: Mapping[str, Any]) -> dict[str, Any]:
        raise TypeError("a kind of provider says what it is set to")

    def secrets(self) -> dict[str, str]:
        given = {name: self.cleaned_data[field] for field, name in self.secret_fields.items()}
        return {name: value for name, value in given.items() if value}


def certificates(text: str) -> list[str]:
    """What is no certificate goes along as it is, for the API to refuse by name."""
    found = _PEM.findall(text)
    return found or ([text.strip()] if text.strip() else [])


class OidcForm(ProviderForm):
    secret_fields = {"client_secret": "client_secret"}
    wire = {"authorities": "tls"}

    issuer = _url(
        _("Issuer"), required=False, help_text=_("Where the rest is discovered, as https://login.example.org")
    )
    client_id = forms.CharField(label=_("Client id"), max_length=512)
    client_secret = SecretField(
        label=_("Client secret"),
        max_length=4096,
        help_text=_("It goes to this provider only, and is never shown again."),
    )
    groups_claim = forms.CharField(
        label=_("Claim that lists groups"),
        required=False,
        max_length=128,
        help_text=_("As “groups”. External roles say what each group may do here."),
    )
    self_provision_role = forms.ChoiceField(
        label=_("Who comes in uninvited"),
        choices=_ROLES,
        required=False,
        help_text=_("Whoever the provider vouches for. Never as administrator."),
    )
    scopes = LinesField(label=_("Scopes"), required=False, help_text=_("One to a line. Empty: openid, email, profile."))
    authorities = forms.CharField(
        label=_("Certificate authorities"), required=False, help_text=_CA_HELP, widget=forms.Textarea(attrs={"rows": 4})
    )
    authorization_endpoint = _url(
        _("Authorization endpoint"), required=False, help_text=_("Only for a provider without discovery.")
    )
    token_endpoint = _url(_("Token endpoint"), required=False)
    userinfo_endpoint = _url(_("Userinfo endpoint"), required=False)

    _PLAIN = (
        *("issuer", "client_id", "groups_claim", "self_provision_role", "scopes"),
        *("authorization_endpoint", "token_endpoint", "userinfo_endpoint"),
    )

    @classmethod
    def shown(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        return {**{name: config[name] for name in cls._PLAIN}, "authorities": "\n".join(config["tls"]["authorities"])}

    def config(self, before: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: self.cleaned_data[name] for name in self._PLAIN}
        return {**before, **given, "tls": {"authorities": certificates(self.cleaned_data["authorities"])}}


class SamlForm(ProviderForm):
    metadata = forms.CharField(
        label=_("The provider's metadata"),
        widget=forms.Textarea(attrs={"rows": 10, "spellcheck": "false"}),
        help_text=_("The whole XML. It says where logins go and by which keys the provider signs."),
    )
    email_attribute = forms.CharField(
        label=_("Attribute with the address"), required=False, max_length=256, help_text=_("Empty: the name id is one.")
    )
    groups_attribute = forms.CharField(label=_("Attribute that lists groups"), required=False, max_length=256)
    first_name_attribute = forms.CharField(label=_("Attribute with the first name"), required=False, max_length=256)
    last_name_attribute = forms.CharField(label=_("Attribute with the last name"), required=False, max_length=256)
    name_id_format = forms.ChoiceField(
        label=_("Name id that is asked for"),
        required=False,
        choices=[("", _("Whatever the provider gives"))]
        + [(name, name) for name in ("persistent", "emailAddress", "unspecified")],
    )
    self_provision_role = forms.ChoiceField(label=_("Who comes in uninvited"), choices=_ROLES, required=False)

    _PLAIN = (
        *("metadata", "email_attribute", "groups_attribute", "first_name_attribute", "last_name_attribute"),
        *("name_id_format", "self_provision_role"),
    )

    @classmethod
    def shown(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        return {name: config.get(name, "") for name in cls._PLAIN}

    def config(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """What the old metadata said stays out: the new one says it."""
        return {name: self.cleaned_data[name] for name in self._PLAIN}


class LdapForm(ProviderForm):
    secret_fields = {"service_password": "service_password"}
    wire = {"tls_mode": "tls", "authorities": "ca"}

    url = _url(_("Address"), help_text=_("ldaps://host or ldaps://host:port. Several servers go behind one name."))
    tls_mode = forms.ChoiceField(
        label=_("TLS"),
        choices=[
            ("required", _("Required")),
            ("opportunistic", _("If the server offers it; never across a public network")),
            ("disabled", _("None; never across a public network")),
        ],
    )
    authorities = forms.CharField(
        label=_("Certificate authorities"), required=False, help_text=_CA_HELP, widget=forms.Textarea(attrs={"rows": 4})
    )
    base_dn = forms.CharField(label=_("Base DN"), max_length=512, help_text=_("As “ou=people,dc=example,dc=org”."))
    resolution = forms.ChoiceField(
        label=_("How an address finds its entry"),
        choices=[
            ("mail", _("By a search for the mail attribute")),
            ("upn", _("As a user principal name (Active Directory)")),
            ("construct", _("By a DN for each mail domain")),
        ],
    )
    domains = LinesField(
        label=_("DNs by mail domain"),
        required=False,
        help_text=_("One to a line, as “example.org: uid={},ou=people,dc=example,dc=org”."),
    )
    user_object_class = forms.CharField(
        label=_("Object class of people"), required=False, max_length=64, initial="person"
    )
    service_dn = forms.CharField(
        label=_("Service account's DN"),
        required=False,
        max_length=512,
        help_text=_("Empty: people search as themselves."),
    )
    service_password = SecretField(label=_("Service account's password"), required=False, max_length=1024)
    valid_for = forms.IntegerField(
        label=_("Seconds for which a login is good"), required=False, min_value=60, max_value=30 * 86400
    )
    self_provision_role = forms.ChoiceField(label=_("Who comes in uninvited"), choices=_ROLES, required=False)

    _PLAIN = ("url", "base_dn", "resolution", "user_object_class", "service_dn", "valid_for", "self_provision_role")

    @classmethod
    def shown(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **{name: config[name] for name in cls._PLAIN},
            "tls_mode": config["tls"]["mode"],
            "authorities": "\n".join(config["tls"].get("authorities", ())),
            "domains": [f"{domain}: {format_}" for domain, format_ in (config["domains"] or {}).items()],
        }

    def clean_domains(self) -> dict[str, str]:
        pairs = [line.partition(":") for line in self.cleaned_data["domains"]]
        if not all(colon and name.strip() for name, colon, _value in pairs):
            raise forms.ValidationError(_("Write each line as “domain: DN with {} for the name”."))
        return {name.strip(): value.strip() for name, _colon, value in pairs}

    def config(self, before: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: self.cleaned_data[name] for name in self._PLAIN}
        return {**before, **given, "domains": self.cleaned_data["domains"] or None, "tls": self._tls(before)}

    def _tls(self, before: Mapping[str, Any]) -> dict[str, Any]:
        mode = self.cleaned_data["tls_mode"]
        if mode != "required":
            return {"mode": mode}
        kept = (before.get("tls") or {}).get("client_certificate", "")
        listed = certificates(self.cleaned_data["authorities"])
        return {"mode": mode, "authorities": listed, "client_certificate": kept}


FORMS: Mapping[str, type[ProviderForm]] = {OIDC: OidcForm, SAML: SamlForm, LDAP: LdapForm}
# What is seldom needed, and stands folded away.
SELDOM: Mapping[str, tuple[str, ...]] = {
    OIDC: ("icon_url", "scopes", "authorities", "authorization_endpoint", "token_endpoint", "userinfo_endpoint"),
    SAML: ("icon_url", "first_name_attribute", "last_name_attribute", "name_id_format"),
    LDAP: ("icon_url", "user_object_class", "valid_for"),
}
