"""The users of a group: who is in it, with which roles; adding, changing, removing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.forms import Form
from kms.console.groups.about import group_of, page_context
from kms.console.screens import Screen
from kms.console.tables import PAGE, Column, table
from kms.console.visit import Visit
from kms.console.words import word_of

_COLUMNS = (Column(_("User"), "user_email"), Column(_("Roles in this group")), Column(_("State")), Column(_("Change")))
SYSTEM_ROLES = ("GROUPADMINISTRATOR", "GROUPAUDITOR")


def role_choices(visit: Visit, kind: str = "group") -> list[tuple[str, str]]:
    """The account's own roles of a kind, by id; nothing for those who may not see roles."""
    try:
        items = visit.call("ListRoles")["items"]
    except Refused:
        return []
    return [(role["role_id"], role["name"]) for role in items if role["kind"] == kind and role["creator"] != "system"]


class RolesField(forms.MultipleChoiceField):
    """One of the system's roles, and any of the account's own."""

    widget = forms.CheckboxSelectMultiple


class MemberForm(Form):
    wire = {"roles": "role"}

    roles = RolesField(label=_("Roles in this group"))

    def __init__(self, *args: Any, own: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["roles"].choices = [*((role, word_of(role)) for role in SYSTEM_ROLES), *own]  # type: ignore[attr-defined]  # a choice field

    def clean_roles(self) -> list[str]:
        roles: list[str] = self.cleaned_data["roles"]
        if len(set(roles) & set(SYSTEM_ROLES)) > 1:
            raise forms.ValidationError(_t("Administrator includes what an auditor may do: choose one of the two."))
        return roles


class AddForm(MemberForm):
    email = forms.CharField(
        label=_("User"),
        max_length=256,
        help_text=_("The e-mail address of a user of this account."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "list": "account-users"}),
    )
    field_order = ("email", "roles")


def show(visit: Visit, group_id: str) -> HttpResponse:
    return _list_page(visit, group_id, AddForm(own=role_choices(visit)))


def add(visit: Visit, group_id: str) -> HttpResponse:
    form = AddForm(visit.form, own=role_choices(visit))
    if form.is_valid():
        user = user_named(visit, form.cleaned_data["email"])
        if user is None:
            form.add_error("email", _t("No user of this account has that address. Invite them first."))
        else:
            body = {"add_groups": {group_id: form.cleaned_data["roles"]}}
            if form.attempt(visit, "UpdateUser", body=body, user_id=user["user_id"]) is not None:
                visit.say(_t("%(user)s is in the group now") % {"user": user["user_email"]})
                return visit.redirect("group-users", group_id=group_id)
    return _list_page(visit, group_id, form, status=422)


def user_named(visit: Visit, email: str) -> Mapping[str, Any] | None:
    wanted = email.strip()
    found = visit.call("ListUsers", query={"q": wanted, "limit": 20})
    return next((user for user in found if user["user_email"].casefold() == wanted.casefold()), None)


def _list_page(visit: Visit, group_id: str, form: AddForm, *, status: int = 200) -> HttpResponse:
    group = group_of(visit, group_id)
    sort = visit.query.get("sort") or "user_email:asc"
    asked = {"group_id": group_id, "limit": PAGE + 1, "sort": sort, "start": visit.query.get("start")}
    users = visit.call("ListUsers", query=asked)
    rows = [_row(user, group_id, dict(form.fields["roles"].choices)) for user in users]  # type: ignore[attr-defined]  # a choice field
    page = table(visit.query, _COLUMNS, rows, lambda row: {"start": row["user_email"]}, sort=sort)
    offered = visit.call("ListUsers", query={"limit": 100})
    context = page_context(visit, group, "users") | {"table": page, "form": form, "offered": offered}
    return visit.render("console/groups/users.html", context, status=status)


def _row(user: Mapping[str, Any], group_id: str, names: Mapping[str, str]) -> dict[str, Any]:
    given = user["explicit_groups"].get(group_id, [])
    return {
        "user_id": user["user_id"],
        "user_email": user["user_email"],
        "roles": [names.get(role) or word_of(role) for role in given],
        "pending": "PENDINGINVITE" in user["account_role"],
        "enabled": "STATEENABLED" in user["account_role"],
    }


def edit(visit: Visit, group_id: str, member_id: str) -> HttpResponse:
    user = _member(visit, group_id, member_id)
    form = MemberForm(initial={"roles": user["explicit_groups"][group_id]}, own=role_choices(visit))
    return _edit_page(visit, group_id, user, form)


def change(visit: Visit, group_id: str, member_id: str) -> HttpResponse:
    user = _member(visit, group_id, member_id)
    if visit.form.get("do") == "remove":
        visit.call("UpdateUser", body={"del_groups": {group_id: []}}, user_id=member_id)
        visit.say(_t("%(user)s is not in the group any more") % {"user": user["user_email"]})
        return visit.redirect("group-users", group_id=group_id)
    form = MemberForm(visit.form, own=role_choices(visit))
    if form.is_valid():
        body = {"mod_groups": {group_id: form.cleaned_data["roles"]}}
        if form.attempt(visit, "UpdateUser", body=body, user_id=member_id) is not None:
            visit.say(_t("The roles of %(user)s were changed") % {"user": user["user_email"]})
            return visit.redirect("group-users", group_id=group_id)
    return _edit_page(visit, group_id, user, form, status=422)


def _member(visit: Visit, group_id: str, user_id: str) -> Mapping[str, Any]:
    user: Mapping[str, Any] = visit.call("GetUser", user_id=user_id)
    if group_id not in user["explicit_groups"]:
        raise Refused(404, _t("The user is not in this group, or only by way of a directory."))
    return user


def _edit_page(
    visit: Visit, group_id: str, user: Mapping[str, Any], form: MemberForm, *, status: int = 200
) -> HttpResponse:
    context = page_context(visit, group_of(visit, group_id), "users")
    context |= {"form": form, "user": user, "title": user["user_email"]}
    return visit.render("console/groups/member.html", context, status=status)


SCREENS: tuple[Screen, ...] = (
    Screen("group-users", "groups/<uuid:group_id>/users", _("Users of the group"), show, add),
    Screen("group-user", "groups/<uuid:group_id>/users/<uuid:member_id>", _("User of the group"), edit, change),
)
