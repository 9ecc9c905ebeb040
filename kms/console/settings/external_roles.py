"""External roles: what a group of a directory, or of a login by OpenID Connect or SAML, means in this account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.forms import Form
from kms.console.screens import Screen
from kms.console.settings.forms import SettingsForm, mark_of
from kms.console.settings.tabs import page
from kms.console.visit import Visit

_TAB = "settings-sign-on"
_KIND_OF = {"ldap": "ldap-group", "oidc": "oidc-group", "saml": "saml-group"}
_ACCOUNT_ROLES = (
    ("", _("Nothing on the whole account")),
    ("ACCOUNTMEMBER", _("Account member")),
    ("ACCOUNTAUDITOR", _("Account auditor")),
    ("ACCOUNTADMINISTRATOR", _("Account administrator")),
)
_GROUP_ROLES = (
    ("", _("Nothing")),
    ("GROUPAUDITOR", _("Group auditor")),
    ("GROUPADMINISTRATOR", _("Group administrator")),
)
_SYSTEM = frozenset(word for word, _label in (*_ACCOUNT_ROLES, *_GROUP_ROLES) if word)
_NEVER = "19700101T000000Z"
# Groups that one page maps; those that are mapped already are always among them.
_GROUPS = 100


class RoleForm(SettingsForm):
    wire = {"source": "source_id"}

    name = forms.CharField(
        label=_("Group at the provider"),
        max_length=512,
        help_text=_("As the provider writes it: a DN of a directory, or a value of the claim or attribute."),
    )
    source = forms.ChoiceField(label=_("Provider"))
    account_role = forms.ChoiceField(label=_("On the whole account"), choices=_ACCOUNT_ROLES, required=False)

    def __init__(self, *args: Any, providers: Sequence[Mapping[str, Any]], new: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        source = self.fields["source"]
        assert isinstance(source, forms.ChoiceField)
        source.choices = [(each["provider_id"], each["name"]) for each in providers]
        if not new:
            del self.fields["source"]


class DeletionForm(Form):
    sure = forms.BooleanField(label=_("Yes, take these roles away from everybody in the group"))


@dataclass(frozen=True, slots=True)
class Row:
    """A group of ours, and what the role gives in it."""

    id: str
    name: str
    choice: str


def show_list(visit: Visit) -> HttpResponse:
    roles = visit.call("ListExternalRoles")
    names = {each["provider_id"]: each["name"] for each in _providers(visit)}
    rows = [
        {
            **role,
            "source": names.get(role["source_id"], ""),
            "synced": None if role["last_synced"] == _NEVER else role["last_synced"],
            "on_account": dict(_ACCOUNT_ROLES)[_on_account(role)],
        }
        for role in roles
    ]
    lead = _t("They count in sessions that the provider opened, and are renewed at each login.")
    return page(visit, _TAB, "external_roles.html", {"roles": rows, "providers": names, "lead": lead})


def _providers(visit: Visit) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = visit.call("ListIdentityProviders")
    except Refused:
        return []
    return found


def _rows(visit: Visit, role: Mapping[str, Any] | None) -> list[Row]:
    given = {} if role is None else role["groups"]
    groups = {group["group_id"]: group["name"] for group in visit.call("ListGroups", query={"limit": _GROUPS})}
    mapped = [group for group in given if group not in groups]
    groups |= {group: name for group, name in visit.names(mapped).items()}
    return [
        Row(group, name, visit.form.get(f"group_{group}", _first(given.get(group)))) for group, name in groups.items()
    ]


def _first(mapping: Mapping[str, Any] | None) -> str:
    return _system((mapping or {}).get("users") or ())


def _on_account(role: Mapping[str, Any]) -> str:
    return _system(role["account_role"])


def _system(words: Iterable[str]) -> str:
    """The system's role among the words; the others are ids."""
    return next((word for word in words if word in _SYSTEM), "")


def _own(words: Iterable[str]) -> list[str]:
    return [word for word in words if word not in _SYSTEM]


def new(visit: Visit) -> HttpResponse:
    return _form_page(visit, RoleForm(providers=_providers(visit), new=True), None)


def create(visit: Visit) -> HttpResponse:
    providers = _providers(visit)
    form = RoleForm(visit.form, providers=providers, new=True)
    if form.is_valid():
        kinds = {each["provider_id"]: _KIND_OF[each["kind"]] for each in providers}
        cleaned = form.cleaned_data
        wanted = {row.id: {"users": [row.choice]} for row in _rows(visit, None) if row.choice}
        body = {
            "name": cleaned["name"],
            "source_id": cleaned["source"],
            "kind": kinds[cleaned["source"]],
            "add_groups": wanted or None,
            "account_role": [cleaned["account_role"]] if cleaned["account_role"] else None,
        }
        if form.attempt(visit, "CreateExternalRole", body=body) is not None:
            visit.say(_t("The external role was added"))
            return visit.redirect("external-roles")
    return _form_page(visit, form, None, status=422)


def edit(visit: Visit, external_role_id: str) -> HttpResponse:
    role = visit.call("GetExternalRole", external_role_id=external_role_id)
    initial = {"name": role["name"], "account_role": _on_account(role), "seen": mark_of(role)}
    return _form_page(visit, RoleForm(initial=initial, providers=(), new=False), role)


def save(visit: Visit, external_role_id: str) -> HttpResponse:
    role = visit.call("GetExternalRole", external_role_id=external_role_id)
    form = RoleForm(visit.form, providers=(), new=False)
    if form.is_valid() and form.still(mark_of(role)):
        body = {**_changed_groups(visit, role), "name": form.cleaned_data["name"]}
        choice = form.cleaned_data["account_role"]
        if choice != _on_account(role):
            body["account_role"] = [*filter(None, [choice]), *_own(role["account_role"])]
        if form.attempt(visit, "UpdateExternalRole", external_role_id=external_role_id, body=body) is not None:
            visit.say(_t("The external role was saved"))
            return visit.redirect("external-roles")
    return _form_page(visit, form, role, status=422)


def _changed_groups(visit: Visit, role: Mapping[str, Any]) -> dict[str, Any]:
    """What apps of the group may do stays as it is, and so do roles of the account's own."""
    changed: dict[str, Any] = {}
    gone: list[str] = []
    for row in _rows(visit, role):
        before = role["groups"].get(row.id) or {}
        if row.choice == _first(before):
            continue
        apps = before.get("apps")
        users = [*filter(None, [row.choice]), *_own(before.get("users") or ())]
        if users or apps:
            changed[row.id] = {"users": users or None, "apps": apps}
        else:
            gone.append(row.id)
    return {"mod_groups": changed or None, "del_groups": gone or None}


def _form_page(visit: Visit, form: RoleForm, role: Mapping[str, Any] | None, *, status: int = 200) -> HttpResponse:
    context = {
        "form": form,
        "role": role,
        "rows": _rows(visit, role),
        "choices": _GROUP_ROLES,
        "end_form": DeletionForm(auto_id="end_%s"),
        "title": _t("New external role") if role is None else role["name"],
    }
    return page(visit, _TAB, "external_role.html", context, status=status)


def sync(visit: Visit, external_role_id: str) -> HttpResponse:
    visit.call("SyncExternalRole", external_role_id=external_role_id)
    visit.say(_t("The directory was asked who is in the group"))
    return visit.redirect("external-roles")


def delete(visit: Visit, external_role_id: str) -> HttpResponse:
    if not DeletionForm(visit.form).is_valid():
        visit.call("GetExternalRole", external_role_id=external_role_id)
        return visit.redirect("external-role", external_role_id=external_role_id)
    visit.call("DeleteExternalRole", external_role_id=external_role_id)
    visit.say(_t("The external role was deleted"))
    return visit.redirect("external-roles")


_ONE = "settings/external-roles/<uuid:external_role_id>"
SCREENS: tuple[Screen, ...] = (
    Screen("external-roles", "settings/external-roles", _("External roles"), show_list),
    Screen("new-external-role", "settings/external-roles/new", _("New external role"), new, create),
    Screen("external-role", _ONE, _("External role"), edit, save),
    Screen("sync-external-role", f"{_ONE}/sync", _("External role"), act=sync),
    Screen("delete-external-role", f"{_ONE}/delete", _("External role"), act=delete),
)
