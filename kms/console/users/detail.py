"""One user of the account: roles, groups, second factors, sessions, what they did; enabling, ending, removing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.audit.listing import shown
from kms.console.endings import ended, typed_text
from kms.console.forms import Form
from kms.console.groups.members import role_choices
from kms.console.screens import Screen
from kms.console.users.inviting import ACCOUNT_ROLES
from kms.console.users.people import person_of
from kms.console.visit import Visit
from kms.console.words import word_of

_ACTIVITY = 8


class RolesForm(Form):
    wire = {"role": "account_role", "own": "account_role"}

    role = forms.ChoiceField(label=_("Role on the account"), widget=forms.RadioSelect, required=False)
    own = forms.MultipleChoiceField(
        label=_("Roles of the account's own"), required=False, widget=forms.CheckboxSelectMultiple
    )
    before = forms.CharField(widget=forms.HiddenInput, required=False)
    approval_description = forms.CharField(
        label=_("Why"),
        required=False,
        max_length=500,
        help_text=_("Only read where a quorum decides on this; those who decide see it."),
    )

    def __init__(self, visit: Visit, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = role_choices(visit, "account")
        self.fields["role"].choices = [*((role, word_of(role)) for role in ACCOUNT_ROLES), ("", _t("None of these"))]  # type: ignore[attr-defined]  # a choice field
        self.fields["own"].choices = own  # type: ignore[attr-defined]  # a choice field
        if not own:
            del self.fields["own"]

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if not said.get("role") and not said.get("own"):
            self.add_error("role", _t("Choose a role. To take somebody out of the account, remove them."))
        return said


def show(visit: Visit, user_id: str) -> HttpResponse:
    user = visit.call("GetUser", user_id=user_id)
    roles, groups = _named(visit, user)
    context = {
        "person": person_of(user, roles),
        "title": user["user_email"],
        "in_groups": groups,
        "sessions": _or_none(lambda: visit.call("ListUserSessions", user_id=user_id)),
        "activity": _or_none(lambda: _activity(visit, user_id)),
        "oneself": user_id == visit.user_id,
    }
    return visit.render("console/users/detail.html", context)


def _named(visit: Visit, user: Mapping[str, Any]) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Names of roles, and the groups with theirs."""
    roles = [role for given in user["groups"].values() for role in given] + user["account_role"]
    own = [role for role in roles if len(role) == 36]
    names = visit.names([*user["groups"], *own])
    groups = [
        {
            "group_id": group,
            "name": names.get(group, group[:8]),
            "roles": [names.get(role) or word_of(role) for role in given],
            "external": group not in user["explicit_groups"],
        }
        for group, given in user["groups"].items()
    ]
    return names, sorted(groups, key=lambda each: each["name"])


def _or_none(asked: Callable[[], Any]) -> Any:
    """What the viewer may not see is left out of the page."""
    try:
        return asked()
    except Refused:
        return None


def _activity(visit: Visit, user_id: str) -> list[dict[str, Any]]:
    """What they did, not what they looked at."""
    query = {"actor_id": user_id, "size": _ACTIVITY, "action_type": "ADMINISTRATIVE,AUTH,CRYPTOOPERATION"}
    return shown(visit, visit.call("GetAllLogs", query=query)["hits"])


def edit_roles(visit: Visit, user_id: str) -> HttpResponse:
    user = visit.call("GetUser", user_id=user_id)
    given = _roles(user)
    initial = {
        "role": next((role for role in given if role in ACCOUNT_ROLES), ""),
        "own": [role for role in given if role not in ACCOUNT_ROLES],
        "before": ",".join(given),
    }
    return _roles_page(visit, user, RolesForm(visit, initial=initial))


def change_roles(visit: Visit, user_id: str) -> HttpResponse:
    user = visit.call("GetUser", user_id=user_id)
    form = RolesForm(visit, visit.form)
    if form.is_valid():
        if form.cleaned_data["before"] != ",".join(_roles(user)):
            again = visit.form.copy()
            again["before"] = ",".join(_roles(user))
            form.data = again
            return _roles_page(visit, user, form, status=422, changed=True)
        said = form.cleaned_data
        state = ["STATEENABLED"] if "STATEENABLED" in user["account_role"] else []
        body = {"account_role": [*([said["role"]] if said["role"] else []), *said.get("own", []), *state]}
        if form.attempt(visit, "UpdateUser", body=body, user_id=user_id) is not None:
            visit.forget_shell()
            visit.say(_t("The roles were changed"))
            return visit.redirect("user", user_id=user_id)
    return _roles_page(visit, user, form, status=422)


def _roles(user: Mapping[str, Any]) -> list[str]:
    return sorted(role for role in user["account_role"] if role not in ("STATEENABLED", "PENDINGINVITE"))


def _roles_page(
    visit: Visit, user: Mapping[str, Any], form: RolesForm, *, status: int = 200, **said: Any
) -> HttpResponse:
    context = {"form": form, "user": user, "title": _t("Roles"), **said}
    return visit.render("console/users/roles.html", context, status=status)


def switch(visit: Visit, user_id: str) -> HttpResponse:
    enabled = visit.form.get("enabled") == "yes"
    visit.call("UpdateUser", body={"enabled": enabled}, user_id=user_id)
    visit.say(_t("The user is enabled") if enabled else _t("The user is disabled, and can do nothing in this account"))
    return visit.redirect("user", user_id=user_id)


def end_sessions(visit: Visit, user_id: str) -> HttpResponse:
    one = visit.form.get("session_id")
    if one:
        visit.call("EndUserSession", user_id=user_id, session_id=one)
        visit.say(_t("The session has ended"))
    else:
        ended = visit.call("EndUserSessions", user_id=user_id)["ended"]
        visit.say(_t("Sessions that were ended: %(count)s") % {"count": ended})
    return visit.redirect("user", user_id=user_id)


def ask_removal(visit: Visit, user_id: str, *, fault: str = "", status: int = 200) -> HttpResponse:
    user = visit.call("GetUser", user_id=user_id)
    roles, groups = _named(visit, user)
    context = {"user": user, "person": person_of(user, roles), "in_groups": groups, "fault": fault}
    return visit.render("console/users/remove.html", context, status=status)


def remove(visit: Visit, user_id: str) -> HttpResponse:
    email = visit.call("GetUser", user_id=user_id)["user_email"]
    otherwise = _t("Type the e-mail address exactly as it is.")
    typed = typed_text(visit).casefold() == email.casefold()
    do = partial(visit.call, "DeleteUserAccount", user_id=user_id)
    again = ended(do, partial(ask_removal, visit, user_id), typed=typed, otherwise=otherwise)
    if again is not None:
        return again
    visit.say(_t("%(user)s is not in this account any more") % {"user": email})
    return visit.redirect("users")


_ONE = "users/<uuid:user_id>"
SCREENS: tuple[Screen, ...] = (
    Screen("user", _ONE, _("User"), show),
    Screen("user-roles", f"{_ONE}/roles", _("Roles of the user"), edit_roles, change_roles),
    Screen("switch-user", f"{_ONE}/state", _("Enable or disable the user"), act=switch),
    Screen("end-user-sessions", f"{_ONE}/sessions", _("End sessions"), act=end_sessions),
    Screen("remove-user", f"{_ONE}/remove", _("Remove the user"), ask_removal, remove),
)
