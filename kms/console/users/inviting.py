"""Inviting somebody to the account, and mailing an invitation again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.forms import Form
from kms.console.groups.members import SYSTEM_ROLES as GROUP_ROLES
from kms.console.groups.members import role_choices
from kms.console.screens import Screen
from kms.console.visit import Visit
from kms.console.words import word_of

ACCOUNT_ROLES = ("ACCOUNTMEMBER", "ACCOUNTADMINISTRATOR", "ACCOUNTAUDITOR")
_GROUPS_OFFERED = 200


class InviteForm(Form):
    wire = {"email": "user_email", "role": "account_role", "own": "account_role", "group": "groups"}

    email = forms.EmailField(label=_("E-mail address"), max_length=254)
    first_name = forms.CharField(label=_("First name"), required=False, max_length=150)
    last_name = forms.CharField(label=_("Last name"), required=False, max_length=150)
    role = forms.ChoiceField(
        label=_("Role on the account"),
        widget=forms.RadioSelect,
        help_text=_("Members act in their groups. Auditors see everything. Administrators change everything."),
    )
    own = forms.MultipleChoiceField(
        label=_("Roles of the account's own"), required=False, widget=forms.CheckboxSelectMultiple
    )
    group = forms.ChoiceField(label=_("Group"), required=False, help_text=_("More groups can be added afterwards."))
    group_role = forms.ChoiceField(label=_("Role in that group"), required=False)

    def __init__(self, visit: Visit, data: Any = None) -> None:
        super().__init__(data, initial={"role": "ACCOUNTMEMBER"})
        choices: dict[str, list[tuple[str, Any]]] = {
            "role": [*((role, word_of(role)) for role in ACCOUNT_ROLES), ("", _t("None of these"))],
            "own": role_choices(visit, "account"),
            "group": [("", _t("No group yet")), *_groups(visit)],
            "group_role": [*((role, word_of(role)) for role in GROUP_ROLES), *role_choices(visit)],
        }
        self.fields["role"].required = False
        for name, offered in choices.items():
            self.fields[name].choices = offered  # type: ignore[attr-defined]  # choice fields
        if not choices["own"]:
            del self.fields["own"]

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if not said.get("role") and not said.get("own"):
            self.add_error("role", _t("Choose a role."))
        return said

    def body(self) -> dict[str, Any]:
        said = self.cleaned_data
        groups = {said["group"]: [said["group_role"] or GROUP_ROLES[0]]} if said["group"] else None
        return {
            "user_email": said["email"],
            "first_name": said["first_name"] or None,
            "last_name": said["last_name"] or None,
            "account_role": [*([said["role"]] if said["role"] else []), *said.get("own", [])],
            "add_groups": groups,
        }


def _groups(visit: Visit) -> list[tuple[str, str]]:
    try:
        groups = visit.call("ListGroups", query={"limit": _GROUPS_OFFERED, "sort": "name:asc"})
    except Refused:
        return []
    return [(group["group_id"], group["name"]) for group in groups]


def ask(visit: Visit) -> HttpResponse:
    form = InviteForm(visit)
    form.initial["group"] = visit.query.get("group_id", "")
    return _page(visit, form)


def invite(visit: Visit) -> HttpResponse:
    form = InviteForm(visit, visit.form)
    made = form.attempt(visit, "InviteUser", body=form.body()) if form.is_valid() else None
    if made is None:
        return _page(visit, form, status=422)
    visit.say(_t("An invitation went to %(email)s") % {"email": made["user_email"]})
    return visit.redirect("user", user_id=made["user_id"])


def _page(visit: Visit, form: InviteForm, *, status: int = 200) -> HttpResponse:
    return visit.render("console/users/invite.html", {"form": form}, status=status)


def resend(visit: Visit, user_id: str) -> HttpResponse:
    visit.call("ResendInvite", user_id=user_id)
    visit.say(_t("The invitation was mailed again; the link in the earlier mail is void"))
    return visit.redirect("user", user_id=user_id)


SCREENS: tuple[Screen, ...] = (
    Screen("invite-user", "users/invite", _("Invite a user"), ask, invite),
    Screen("resend-invitation", "users/<uuid:user_id>/invitation", _("Mail the invitation again"), act=resend),
)
