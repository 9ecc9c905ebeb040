"""Roles: the system's and the account's own, one role and who holds it, deleting one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.endings import ended, typed_text
from kms.console.roles import editing
from kms.console.roles.catalogue import Catalogue
from kms.console.roles.names import is_system, title_of
from kms.console.screens import Screen
from kms.console.tables import PAGE, Column, table
from kms.console.visit import Visit

_COLUMNS = (Column(_("Name")), Column(_("Held")), Column(_("Gives")), Column(_("Last changed")))
_HOLDERS = 20
# What the system's roles are for, by their names in small letters.
_SYSTEM: Mapping[str, str | Promise] = {
    "account administrator": _("Changes everything in the account, and administers every group."),
    "account auditor": _("Sees everything in the account and its groups, and reads the audit log. Changes nothing."),
    "account member": _("Sees who is here, and makes groups. Everything else comes from the groups they are in."),
    "group administrator": _("Does everything in the group but use its keys, which is for apps."),
    "group auditor": _("Sees the group, its objects and apps, and reads its audit log."),
}


def show_list(visit: Visit) -> HttpResponse:
    found = visit.call("ListRoles", query={"limit": PAGE + 1, "start": visit.query.get("start")})["items"]
    system = [shown(role) for role in found if role["creator"] == "system"]
    own = [shown(role) for role in found if role["creator"] != "system"]
    page = table(visit.query, _COLUMNS, own, lambda row: {"start": row["role_id"]})
    total = table(visit.query, _COLUMNS[:3], system, lambda _row: {})
    return visit.render("console/roles/list.html", {"table": page, "system": total})


def shown(role: Mapping[str, Any]) -> dict[str, Any]:
    """A role with what people call it."""
    system = is_system(role)
    sentence = _SYSTEM.get(role["name"].lower(), "") if system else role["description"]
    count = len(role["details"]["permissions"])
    return {**role, "system": system, "title": title_of(role), "sentence": sentence, "count": count}


def show(visit: Visit, role_id: str) -> HttpResponse:
    role = shown(visit.call("GetRole", role_id=role_id))
    catalogue = Catalogue.of(visit, role["kind"])
    flags = role["details"]["permissions"]
    reach = catalogue.reach(flags)
    everywhere = role["details"].get("all_groups_role")
    context = {
        "role": role,
        "title": role["title"],
        "sections": catalogue.given(flags),
        "implied": [
            catalogue.sentences[name] for name, chosen in reach.items() if not chosen and name in catalogue.sentences
        ],
        "everywhere": shown(visit.call("GetRole", role_id=everywhere)) if everywhere else None,
        **_held(visit, role_id),
    }
    return visit.render("console/roles/detail.html", context)


def _held(visit: Visit, role_id: str) -> dict[str, Any]:
    """The first of those who hold it; nothing for those who may not see users."""
    try:
        users = visit.call("ListUsers", query={"role_id": role_id, "limit": _HOLDERS + 1})
    except Refused:
        return {"holders": None}
    return {"holders": users[:_HOLDERS], "more_holders": len(users) > _HOLDERS}


def ask_deletion(visit: Visit, role_id: str, *, fault: str = "", status: int = 200) -> HttpResponse:
    role = shown(visit.call("GetRole", role_id=role_id))
    context = {"role": role, "fault": fault, **_held(visit, role_id)}
    return visit.render("console/roles/delete.html", context, status=status)


def delete(visit: Visit, role_id: str) -> HttpResponse:
    name = visit.call("GetRole", role_id=role_id)["name"]
    otherwise = _t("Type the role's name exactly as it is.")
    typed = typed_text(visit) == name
    do = partial(visit.call, "DeleteRole", role_id=role_id)
    again = ended(do, partial(ask_deletion, visit, role_id), typed=typed, otherwise=otherwise)
    if again is not None:
        return again
    visit.say(_t("Role %(name)s was deleted") % {"name": name})
    return visit.redirect("roles")


SCREENS: tuple[Screen, ...] = (
    Screen("roles", "roles", _("Roles"), show_list),
    *editing.SCREENS,
    Screen("role", "roles/<uuid:role_id>", _("Role"), show),
    Screen("delete-role", "roles/<uuid:role_id>/delete", _("Delete the role"), ask_deletion, delete),
)
