"""Making and changing a role: the form, then what would change and for whom, then saving."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import ApprovalNeeded, Refused
from kms.console.forms import Form, said_plainly
from kms.console.groups.members import role_choices, user_named
from kms.console.quorums import simulations
from kms.console.roles.catalogue import Catalogue
from kms.console.roles.names import is_system, title_of
from kms.console.screens import Screen
from kms.console.visit import Visit

_MENDABLE = frozenset({400, 403, 409})
_GROUPS_OFFERED = 200


class RoleForm(Form):
    wire = {"permission": "permissions", "everywhere": "all_groups_role"}

    name = forms.CharField(label=_("Name"), max_length=256)
    description = forms.CharField(
        label=_("Description"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Who is to hold it."),
    )
    everywhere = forms.ChoiceField(
        label=_("In every group"),
        required=False,
        help_text=_("A role of groups that whoever holds this role has in each group of the account."),
    )
    exclusive = forms.BooleanField(
        label=_("Held alone: nobody holds another role beside it in the same place"), required=False
    )
    version = forms.CharField(widget=forms.HiddenInput, required=False)
    permission = forms.MultipleChoiceField(label=_("Permissions"), required=False)

    def __init__(self, visit: Visit, kind: str, catalogue: Catalogue, data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.kind = kind
        flags = [(permission.flag, permission.sentence) for permission in catalogue.permissions]
        self.fields["permission"].choices = flags  # type: ignore[attr-defined]  # a choice field
        if kind == "account":
            roles = [("", _t("None")), *_system_group_roles(visit), *role_choices(visit)]
            self.fields["everywhere"].choices = roles  # type: ignore[attr-defined]  # a choice field
        else:
            del self.fields["everywhere"]

    def body(self) -> dict[str, Any]:
        said = self.cleaned_data
        details = {"kind": self.kind, "permissions": said["permission"], "exclusive": said["exclusive"]}
        if said.get("everywhere"):
            details["all_groups_role"] = said["everywhere"]
        return {"name": said["name"], "description": said["description"], "details": details}


def _system_group_roles(visit: Visit) -> list[tuple[str, str]]:
    try:
        items = visit.call("ListRoles", query={"limit": 0})["items"]
    except Refused:
        return []
    return [(role["role_id"], title_of(role)) for role in items if role["kind"] == "group" and is_system(role)]


def new(visit: Visit) -> HttpResponse:
    kind = "account" if visit.query.get("kind") == "account" else "group"
    catalogue = Catalogue.of(visit, kind)
    return _form_page(visit, RoleForm(visit, kind, catalogue), catalogue)


def create(visit: Visit) -> HttpResponse:
    kind = "account" if visit.query.get("kind") == "account" else "group"
    catalogue = Catalogue.of(visit, kind)
    form = RoleForm(visit, kind, catalogue, visit.form)
    if visit.form.get("do") == "edit" or not form.is_valid():
        return _form_page(visit, form, catalogue, status=200 if visit.form.get("do") == "edit" else 422)
    if visit.form.get("do") != "save":
        return _review_page(visit, form, catalogue, None)
    made = form.attempt(visit, "CreateRole", body=form.body())
    if made is None:
        return _form_page(visit, form, catalogue, status=422)
    visit.say(_t("Role %(name)s was created. Give it to users or put it on groups.") % {"name": made["name"]})
    return visit.redirect("role", role_id=made["role_id"])


def edit(visit: Visit, role_id: str) -> HttpResponse:
    role = _own_role(visit, role_id)
    catalogue = Catalogue.of(visit, role["kind"])
    initial = {
        "name": role["name"],
        "description": role["description"],
        "permission": role["details"]["permissions"],
        "exclusive": role["details"]["exclusive"],
        "everywhere": role["details"].get("all_groups_role", ""),
        "version": _version(role),
    }
    return _form_page(visit, RoleForm(visit, role["kind"], catalogue, initial=initial), catalogue, role)


def change(visit: Visit, role_id: str) -> HttpResponse:
    """Back from the review with ``edit``, to it with anything but ``save``. What others changed comes first."""
    role = _own_role(visit, role_id)
    catalogue = Catalogue.of(visit, role["kind"])
    form = RoleForm(visit, role["kind"], catalogue, visit.form)
    doing = visit.form.get("do")
    if doing == "edit" or not form.is_valid():
        return _form_page(visit, form, catalogue, role, status=200 if doing == "edit" else 422)
    if form.cleaned_data["version"] != _version(role):
        again = visit.form.copy()
        again["version"] = _version(role)
        form.data = again
        return _form_page(visit, form, catalogue, role, status=422, changed=True)
    if doing != "save":
        return _review_page(visit, form, catalogue, role)
    if form.attempt(visit, "UpdateRole", body=form.body(), role_id=role_id) is None:
        return _form_page(visit, form, catalogue, role, status=422)
    visit.forget_shell()
    visit.say(_t("The role was changed"))
    return visit.redirect("role", role_id=role_id)


def _own_role(visit: Visit, role_id: str) -> dict[str, Any]:
    role: dict[str, Any] = visit.call("GetRole", role_id=role_id)
    if role["creator"] == "system":
        raise Refused(409, _t("The system's roles cannot be changed"))
    return role


def _version(role: Mapping[str, Any]) -> str:
    seen = json.dumps([role["name"], role["description"], role["details"]], sort_keys=True)
    return hashlib.sha256(seen.encode()).hexdigest()[:32]


def _form_page(
    visit: Visit,
    form: RoleForm,
    catalogue: Catalogue,
    role: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
    **said: Any,
) -> HttpResponse:
    context = {
        "form": form,
        "kind": form.kind,
        "sections": catalogue.sections,
        "chosen": form["permission"].value() or [],
        "role": role,
        **said,
    }
    return visit.render("console/roles/form.html", context, status=status)


# -- before it is saved --------------------------------------------------------------------------------------------


def _review_page(visit: Visit, form: RoleForm, catalogue: Catalogue, role: Mapping[str, Any] | None) -> HttpResponse:
    after = form.cleaned_data["permission"]
    context: dict[str, Any] = {
        "role": role,
        "kind": form.kind,
        "name": form.cleaned_data["name"],
        "changes": catalogue.changes(role["details"]["permissions"] if role else [], after),
        "facts": _facts(form, role),
        "carried": [(name, value) for name, values in visit.form.lists() for value in values if name not in _OWN],
        "holder": visit.form.get("holder", ""),
        "holder_group": visit.form.get("holder_group", ""),
    }
    if role is None:
        context |= {"offered": _groups(visit) if form.kind == "group" else []}
        context |= _tried(visit, form)
    else:
        context |= _simulated(visit, "SimulateRole", form.body(), role_id=role["role_id"])
    return visit.render("console/roles/review.html", context)


_OWN = frozenset({"csrfmiddlewaretoken", "do", "holder", "holder_group", "approval_description"})


def _facts(form: RoleForm, role: Mapping[str, Any] | None) -> list[tuple[str, Any, Any]]:
    """What changes besides permissions: a label, before, after."""
    if role is None:
        return []
    said = form.cleaned_data
    yes = {True: _t("yes"), False: _t("no")}
    choices = dict(form.fields["everywhere"].choices) if "everywhere" in form.fields else {}  # type: ignore[attr-defined]  # a choice field
    before, after = role["details"].get("all_groups_role", ""), said.get("everywhere", "")
    rows = [
        (_t("Name"), role["name"], said["name"]),
        (_t("Description"), role["description"], said["description"]),
        (_t("Held alone"), yes[bool(role["details"]["exclusive"])], yes[said["exclusive"]]),
        (_t("In every group"), choices.get(before, before), choices.get(after, after)),
    ]
    return [row for row in rows if row[1] != row[2]]


def _groups(visit: Visit) -> list[tuple[str, str]]:
    groups = visit.call("ListGroups", query={"limit": _GROUPS_OFFERED, "sort": "name:asc"})
    return [(group["group_id"], group["name"]) for group in groups]


def _tried(visit: Visit, form: RoleForm) -> dict[str, Any]:
    """A role that is not there yet is tried on somebody who would hold it."""
    if visit.form.get("do") != "try":
        return {}
    holder = user_named(visit, visit.form.get("holder", "").strip()[:256] or "?")
    if holder is None:
        return {"fault": _t("No user of this account has that address.")}
    body = {**form.body(), "holders": [holder["user_id"]]}
    if form.kind == "group":
        body["groups"] = [visit.form.get("holder_group", "")]
    return _simulated(visit, "SimulateNewRole", body)


def _simulated(visit: Visit, operation: str, body: Mapping[str, Any], **path: str) -> dict[str, Any]:
    """What it would change of the last calls, or why that cannot be said."""
    try:
        found = visit.call(operation, query=None, body=body, authorization=None, **path)
    except ApprovalNeeded:
        return {}
    except Refused as refused:
        if refused.status not in _MENDABLE:
            raise
        return {"fault": said_plainly(refused.message)}
    return {"simulation": simulations.told(visit, found)}


SCREENS: tuple[Screen, ...] = (
    Screen("new-role", "roles/new", _("New role"), new, create),
    Screen("edit-role", "roles/<uuid:role_id>/edit", _("Change the role"), edit, change),
)
