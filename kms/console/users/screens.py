"""Users: the table. Inviting and one user's page are in modules of their own."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.roles.names import title_of
from kms.console.screens import Screen
from kms.console.tables import PAGE, Column, table
from kms.console.users import detail, inviting
from kms.console.users.people import person_of
from kms.console.visit import Visit

_COLUMNS = (
    Column(_("User"), "user_email"),
    Column(_("Roles on the account")),
    Column(_("State")),
    Column(_("Second factor")),
    Column(_("Last login")),
)


def show_list(visit: Visit) -> HttpResponse:
    sort = visit.query.get("sort") or "user_email:asc"
    asked = {name: visit.query.get(name) or None for name in ("q", "role_id", "start")}
    users = visit.call("ListUsers", query={"limit": PAGE + 1, "sort": sort, **asked})
    roles = _roles(visit)
    names = dict(roles)
    people = [person_of(user, names) for user in users]
    filters = ("q", "role_id")
    page = table(visit.query, _COLUMNS, people, lambda row: {"start": row["user_email"]}, sort=sort, filters=filters)
    return visit.render("console/users/list.html", {"table": page, "roles": roles})


def _roles(visit: Visit) -> list[tuple[str, str]]:
    """To filter by; none for those who may not see roles."""
    try:
        items = visit.call("ListRoles")["items"]
    except Refused:
        return []
    return [(role["role_id"], title_of(role)) for role in items]


SCREENS: tuple[Screen, ...] = (
    Screen("users", "users", _("Users"), show_list),
    *inviting.SCREENS,
    *detail.SCREENS,
)
