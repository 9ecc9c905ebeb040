"""Groups: the table, one group, making and changing one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.forms import Form
from kms.console.screens import Screen
from kms.console.tables import PAGE, Column, table
from kms.console.visit import Visit

_COLUMNS = (Column(_("Name"), "name"), Column(_("Description")), Column(_("Guarded by")), Column(_("Created")))


class GroupForm(Form):
    name = forms.CharField(label=_("Name"), max_length=256)
    description = forms.CharField(
        label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text=_("What it is for.")
    )


def show_list(visit: Visit) -> HttpResponse:
    sort = visit.query.get("sort") or "name:asc"
    rows = visit.call("ListGroups", query={"limit": PAGE + 1, "sort": sort, "start": visit.query.get("start")})
    page = table(visit.query, _COLUMNS, rows, lambda row: {"start": row["name"]}, sort=sort)
    return visit.render("console/groups/list.html", {"table": page})


def show_one(visit: Visit, group_id: str) -> HttpResponse:
    group = visit.call("GetGroup", group_id=group_id)
    return visit.render("console/groups/detail.html", {"group": group, "title": group["name"]})


def new(visit: Visit) -> HttpResponse:
    return _form_page(visit, GroupForm())


def create(visit: Visit) -> HttpResponse:
    form = GroupForm(visit.form)
    made = form.attempt(visit, "CreateGroup", body=form.cleaned_data) if form.is_valid() else None
    if made is None:
        return _form_page(visit, form, status=422)
    visit.say(_t("Group %(name)s was created") % {"name": made["name"]})
    return visit.redirect("group", group_id=made["group_id"])


def _form_page(visit: Visit, form: GroupForm, *, status: int = 200, **context: Any) -> HttpResponse:
    return visit.render("console/groups/form.html", {"form": form, **context}, status=status)


SCREENS: tuple[Screen, ...] = (
    Screen("groups", "groups", _("Groups"), show_list),
    Screen("new-group", "groups/new", _("New group"), new, create),
    Screen("group", "groups/<uuid:group_id>", _("Group"), show_one),
)
