"""Groups: the table, and making one. The tabs of one group are in modules of their own."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.groups import about, members, policies
from kms.console.groups.about import GroupForm, body_of
from kms.console.quorums.sentences import ids_in, sentence_of, short_of
from kms.console.screens import Screen
from kms.console.tables import PAGE, Column, table
from kms.console.visit import Visit

_COLUMNS = (Column(_("Name"), "name"), Column(_("Description")), Column(_("Guarded by")), Column(_("Created")))


def show_list(visit: Visit) -> HttpResponse:
    sort = visit.query.get("sort") or "name:asc"
    asked = {"limit": PAGE + 1, "sort": sort, "start": visit.query.get("start"), "q": visit.query.get("q") or None}
    rows = visit.call("ListGroups", query=asked)
    names = visit.names(each for row in rows[:PAGE] for each in ids_in(row.get("approval_policy")))
    for row in rows:
        row["takes"] = short_of(row.get("approval_policy"))
        row["quorum"] = sentence_of(row.get("approval_policy"), names)
    page = table(visit.query, _COLUMNS, rows, lambda row: {"start": row["name"]}, sort=sort, filters=("q",))
    return visit.render("console/groups/list.html", {"table": page})


def new(visit: Visit) -> HttpResponse:
    return _form_page(visit, GroupForm())


def create(visit: Visit) -> HttpResponse:
    form = GroupForm(visit.form)
    made = None
    if form.is_valid():
        body = body_of(form)
        if body["key_history_policy"] == "remove":
            del body["key_history_policy"]
        made = form.attempt(visit, "CreateGroup", body=body)
    if made is None:
        return _form_page(visit, form, status=422)
    visit.say(_t("Group %(name)s was created") % {"name": made["name"]})
    return visit.redirect("group", group_id=made["group_id"])


def _form_page(visit: Visit, form: GroupForm, *, status: int = 200) -> HttpResponse:
    return visit.render("console/groups/form.html", {"form": form}, status=status)


SCREENS: tuple[Screen, ...] = (
    Screen("groups", "groups", _("Groups"), show_list),
    Screen("new-group", "groups/new", _("New group"), new, create),
    *about.SCREENS,
    *members.SCREENS,
    *policies.SCREENS,
)
