"""Identity providers: the list, adding one, changing one, trying one out before anything is kept, taking one away."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import ApprovalNeeded, Refused
from kms.console.forms import Form, said_plainly
from kms.console.screens import Screen
from kms.console.settings.forms import mark_of
from kms.console.settings.provider_forms import FORMS, LDAP, OIDC, SAML, SELDOM, ProviderForm
from kms.console.settings.tabs import account_of, guarded, page
from kms.console.visit import Visit

_TAB = "settings-sign-on"
KINDS: Mapping[str, tuple[str, str | Promise]] = {
    OIDC: ("OpenID Connect", _("For most providers of today. One address and a client are enough.")),
    SAML: ("SAML 2.0", _("For providers that hand over metadata.")),
    LDAP: ("LDAP", _("For a directory, as OpenLDAP or Active Directory, that checks passwords.")),
}
_GUARDED = "protect_authentication_methods"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a test looked at."""

    good: bool
    text: str


class TrialForm(Form):
    """Somebody's login, tried with the directory's settings. It is kept nowhere."""

    email = forms.CharField(label=_("Address"), max_length=254, required=False)
    password = forms.CharField(
        label=_("Password"),
        max_length=1024,
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )


class DeletionForm(Form):
    typed = forms.CharField(label=_("Type the provider's name"), strip=False)


# -- the list ------------------------------------------------------------------------------------------------------


def show_list(visit: Visit) -> HttpResponse:
    account = account_of(visit)
    context = {
        "providers": _listed(visit),
        "kinds": KINDS,
        "guarded": guarded(account, _GUARDED),
        "service_provider": _addresses(visit),
        "lead": _t("Whose word counts for who somebody is. A provider's word counts in this account only."),
    }
    return page(visit, _TAB, "sign_on.html", context)


def _listed(visit: Visit) -> list[dict[str, Any]] | None:
    """None: they are not to be seen, or only by approval. A page that is shown asks for none."""
    try:
        found: list[dict[str, Any]] = visit.call("ListIdentityProviders")
    except Refused as refused:
        if refused.status != 403:
            raise
        return None
    return found


def _addresses(visit: Visit, kind: str = "") -> list[tuple[Any, str]]:
    """What a provider has to be told of us: one of a kind, or any."""
    origin = visit.call("GetServerStatus")["server"]["public_url"].rstrip("/")
    told = [
        (OIDC, _("OpenID Connect: redirect address"), "sign-on/oauth"),
        (SAML, _("SAML: our metadata, which is our entity id too"), "saml/metadata.xml"),
        (SAML, _("SAML: assertion consumer service"), "saml/acs"),
    ]
    return [(label, f"{origin}/{path}") for of, label, path in told if kind in ("", of)]


# -- adding and changing -------------------------------------------------------------------------------------------


def _new(kind: str) -> Callable[[Visit], HttpResponse]:
    def new(visit: Visit) -> HttpResponse:
        return _form_page(visit, kind, FORMS[kind](), None)

    return new


def _create(kind: str) -> Callable[[Visit], HttpResponse]:
    def create(visit: Visit) -> HttpResponse:
        form = FORMS[kind](visit.form)
        if _asks_to_try(visit):
            return _tried(visit, kind, form, None)
        if form.is_valid():
            body = {"kind": kind, **_body(form, {}), "enabled": "enabled" in visit.form}
            made = form.attempt(visit, "CreateIdentityProvider", body=body)
            if made is not None:
                visit.say(_t("%(name)s was added") % {"name": made["name"]})
                return visit.redirect(_TAB)
        return _form_page(visit, kind, form, None, status=422)

    return create


def edit(visit: Visit, provider_id: str) -> HttpResponse:
    provider = visit.call("GetIdentityProvider", provider_id=provider_id)
    return _form_page(visit, provider["kind"], FORMS[provider["kind"]].of(provider), provider)


def save(visit: Visit, provider_id: str) -> HttpResponse:
    provider = visit.call("GetIdentityProvider", provider_id=provider_id)
    kind = provider["kind"]
    form = FORMS[kind](visit.form)
    form.keep(provider)
    if _asks_to_try(visit):
        return _tried(visit, kind, form, provider)
    if form.is_valid() and form.still(mark_of(provider)):
        body = {**_body(form, provider["config"]), "enabled": "enabled" in visit.form}
        if form.attempt(visit, "UpdateIdentityProvider", provider_id=provider_id, body=body) is not None:
            visit.say(_t("%(name)s was saved") % {"name": form.cleaned_data["name"]})
            return visit.redirect(_TAB)
    return _form_page(visit, kind, form, provider, status=422)


def _body(form: ProviderForm, before: Mapping[str, Any]) -> dict[str, Any]:
    cleaned = form.cleaned_data
    return {
        "name": cleaned["name"],
        "icon_url": cleaned["icon_url"],
        "config": form.config(before),
        "secrets": form.secrets() or None,
    }


def _form_page(
    visit: Visit,
    kind: str,
    form: ProviderForm,
    provider: Mapping[str, Any] | None,
    *,
    status: int = 200,
    **context: Any,
) -> HttpResponse:
    seldom = [form[name] for name in SELDOM[kind]]
    given = {
        "form": form,
        "usual": [field for field in form.visible_fields() if field.name not in SELDOM[kind]],
        "seldom": seldom,
        "seldom_open": any(field.errors for field in seldom),
        "kind": kind,
        "kind_name": KINDS[kind][0],
        "provider": provider,
        "enabled": "enabled" in visit.form if visit.form else (provider is None or provider["enabled"]),
        "title": _t("New provider: %(kind)s") % {"kind": KINDS[kind][0]} if provider is None else provider["name"],
        "guarded": guarded(account_of(visit), _GUARDED),
        "trial": TrialForm(prefix="trial") if kind == LDAP else None,
        "service_provider": _addresses(visit, kind),
        **context,
    }
    return page(visit, _TAB, "provider.html", given, status=status)


# -- trying out ----------------------------------------------------------------------------------------------------


def _asks_to_try(visit: Visit) -> bool:
    return visit.form.get("do") in ("test", "trial")


def _tried(visit: Visit, kind: str, form: ProviderForm, provider: Mapping[str, Any] | None) -> HttpResponse:
    steps = _steps(visit, kind, form, provider)
    if visit.by_htmx:
        return visit.render("console/settings/provider.html#tried", {"steps": steps, "form": form})
    return _form_page(visit, kind, form, provider, steps=steps)


def _steps(visit: Visit, kind: str, form: ProviderForm, provider: Mapping[str, Any] | None) -> list[Step]:
    """The API has one answer for every way in which a provider does not work, so that nobody learns what listens
    where; the steps are those that it tells apart."""
    if not form.is_valid():
        return [Step(good=False, text=_t("The form is not filled in yet: look at the fields that are marked."))]
    steps = [_settings_step(), *_PLACES[kind]()]
    try:
        _try(visit, kind, form, provider)
    except Refused as refused:
        if isinstance(refused, ApprovalNeeded):
            return [Step(good=False, text=_t("A quorum stands before this, also before a test."))]
        told = said_plainly(refused.message)
        if refused.status == 503:
            return [steps[0], Step(good=False, text=f"{steps[1].text}: {told}"), *_after(steps[2:])]
        if refused.status in (400, 409):
            return [Step(good=False, text=told)]
        raise
    return steps


def _after(steps: list[Step]) -> list[Step]:
    return [Step(good=False, text=_t("%(step)s: not tried") % {"step": step.text}) for step in steps]


def _settings_step() -> Step:
    return Step(good=True, text=_t("The settings are complete and allowed"))


def _oidc_steps() -> list[Step]:
    return [
        Step(good=True, text=_t("The provider answers, and is who it says")),
        Step(good=True, text=_t("Its keys can be read. The client's secret is tried at the first login")),
    ]


def _saml_steps() -> list[Step]:
    return [Step(good=True, text=_t("Its metadata and certificates are good now. Browsers carry the messages"))]


def _ldap_steps() -> list[Step]:
    return [Step(good=True, text=_t("The directory answers, and takes the service account"))]


_PLACES: Mapping[str, Callable[[], list[Step]]] = {OIDC: _oidc_steps, SAML: _saml_steps, LDAP: _ldap_steps}


def _try(visit: Visit, kind: str, form: ProviderForm, provider: Mapping[str, Any] | None) -> None:
    before = {} if provider is None else provider["config"]
    if kind == LDAP and visit.form.get("do") == "trial":
        visit.call("TestLdapConfig", body=_login_body(visit, form))
        return
    body = {"kind": kind, "config": form.config(before), "secrets": form.secrets() or None}
    if provider is not None:
        body["provider_id"] = provider["provider_id"]
    visit.call("TestProviderSettings", body=body)


def _login_body(visit: Visit, form: ProviderForm) -> dict[str, Any]:
    """The same settings in the words of the older endpoint, which is the one that tries a login."""
    config = form.config({})
    tls: dict[str, Any] = {"mode": config["tls"]["mode"]}
    if config["tls"].get("authorities"):
        tls["ca"] = {"pinned": [base64.b64encode(pem.encode()).decode() for pem in config["tls"]["authorities"]]}
    methods = {"mail": "search-by-mail"}
    resolution = {"method": methods.get(config["resolution"], config["resolution"])}
    service = {"dn": config["service_dn"], "password": form.secrets().get("service_password")}
    return {
        "ldap": {
            "name": form.cleaned_data["name"],
            "ldap_url": config["url"],
            "dn_resolution": {**resolution, **({"domain_format": config["domains"]} if config["domains"] else {})},
            "tls": tls,
            "base_dn": config["base_dn"],
            "user_object_class": config["user_object_class"] or None,
            **({"service_account": service} if config["service_dn"] else {}),
        },
        "test_credentials": {
            "email": visit.form.get("trial-email", ""),
            "password": visit.form.get("trial-password", ""),
        },
    }


# -- taking away ---------------------------------------------------------------------------------------------------


def ask_deletion(visit: Visit, provider_id: str) -> HttpResponse:
    return _deletion(visit, provider_id, DeletionForm())


def delete(visit: Visit, provider_id: str) -> HttpResponse:
    form = DeletionForm(visit.form)
    provider = visit.call("GetIdentityProvider", provider_id=provider_id)
    if form.is_valid() and form.cleaned_data["typed"] != provider["name"]:
        form.add_error("typed", _t("That is not the provider's name."))
    if not form.is_valid():
        return _deletion(visit, provider_id, form, status=422)
    form.attempt(visit, "DeleteIdentityProvider", provider_id=provider_id)
    if form.errors:
        return _deletion(visit, provider_id, form, status=422)
    visit.say(_t("%(name)s was deleted") % {"name": provider["name"]})
    return visit.redirect(_TAB)


def _deletion(visit: Visit, provider_id: str, form: DeletionForm, *, status: int = 200) -> HttpResponse:
    provider = visit.call("GetIdentityProvider", provider_id=provider_id)
    roles = [role for role in _external_roles(visit) if role["source_id"] == provider_id]
    context = {"form": form, "provider": provider, "roles": roles, "guarded": guarded(account_of(visit), _GUARDED)}
    return page(visit, _TAB, "delete_provider.html", context, status=status)


def _external_roles(visit: Visit) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = visit.call("ListExternalRoles")
    except Refused:
        return []
    return found


_NEW = tuple(
    Screen(f"new-{kind}-provider", f"settings/sign-on/new/{kind}", _("New provider"), _new(kind), _create(kind))
    for kind in KINDS
)
SCREENS: tuple[Screen, ...] = (
    Screen(_TAB, "settings/sign-on", _("Single sign-on"), show_list),
    *_NEW,
    Screen("provider", "settings/sign-on/<uuid:provider_id>", _("Identity provider"), edit, save),
    Screen(
        "delete-provider",
        "settings/sign-on/<uuid:provider_id>/delete",
        _("Delete the provider"),
        ask_deletion,
        delete,
    ),
)
