"""Who may do what with an object and why: the API's own decision about everybody who could come into question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _

from kms.console.objects.facts import Badge
from kms.console.objects.frame import asked, loaded, page
from kms.console.visit import Visit

# Of each kind; who is looked for by name beyond that has the page that explains one decision.
_ASKED_ABOUT = 25
_HANDLING = (
    "EXPORT",
    "MANAGE",
    "ROTATE_SOBJECTS",
    "REVOKE_SOBJECTS",
    "COPY_SOBJECTS",
    "MOVE_SOBJECTS",
    "DESTROY_SOBJECTS",
    "DELETE_SOBJECTS",
)
_NO_PERMISSION = frozenset({"EXPORT", "APPMANAGEABLE", "HIGHVOLUME"})


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody and the decision about them; ``why`` names what gives it or what stands against it."""

    id: str
    name: str
    kind: str
    verdict: Badge
    why: str


def show(visit: Visit, key_id: str) -> HttpResponse:
    thing = loaded(visit, key_id)
    offered = [*(name for name in thing["key_ops"] if name not in _NO_PERMISSION), *_HANDLING]
    permission = visit.query.get("permission", "")
    permission = permission if permission in offered else offered[0]
    group = thing.get("group_id")
    holders, partial = _holders(visit, thing, permission, group)
    context = {
        "offered": offered,
        "permission": permission,
        "holders": holders,
        "partial": partial,
        "group": visit.names([group]).get(str(group), ""),
    }
    return page(visit, thing, "object-access", context)


def _holders(visit: Visit, thing: Mapping[str, Any], permission: str, group: Any) -> tuple[list[Holder], bool]:
    """Apps and users of the group, and users whose account role may reach it."""
    limit = _ASKED_ABOUT + 1
    apps = asked(visit, "ListApps", query={"group_id": group, "limit": limit}) or []
    members = asked(visit, "ListUsers", query={"group_id": group, "limit": limit}) or []
    everybody = asked(visit, "ListUsers", query={"limit": limit}) or []
    users = {str(user["user_id"]): user for user in [*members[:_ASKED_ABOUT], *everybody[:_ASKED_ABOUT]]}
    people = [(key, user["user_email"], "user") for key, user in users.items()]
    programs = [(str(app["app_id"]), app["name"], "app") for app in apps[:_ASKED_ABOUT]]
    names = visit.names([group])
    in_group = {str(user["user_id"]) for user in members}
    found = []
    for key, name, kind in [*programs, *people]:
        decision = asked(
            visit, "ExplainAccess", query={"permission": permission, "principal": key, "object": thing["kid"]}
        )
        if decision is None or not _comes_into_question(decision, key, in_group, kind):
            continue
        found.append(Holder(key, name, kind, _verdict(decision), _why(decision, names)))
    return found, max(len(apps), len(members), len(everybody)) > _ASKED_ABOUT


def _comes_into_question(decision: Mapping[str, Any], key: str, in_group: set[str], kind: str) -> bool:
    return kind == "app" or key in in_group or decision["allowed"] or decision["needs_approval"]


def _verdict(decision: Mapping[str, Any]) -> Badge:
    if decision["allowed"]:
        return Badge("ok", "circle-check", _("May"))
    if decision["needs_approval"]:
        return Badge("info", "vote", _("With a quorum"))
    return Badge("danger", "ban", _("May not"))


def _why(decision: Mapping[str, Any], names: Mapping[str, str]) -> str:
    if not decision["allowed"] and not decision["needs_approval"]:
        return str(decision["message"])
    return "; ".join(dict.fromkeys(_sources(decision, names))) or str(decision["message"])


def _sources(decision: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    for source in decision["sources"]:
        group = source["place"].get("group_id")
        where = _("in %(group)s") % {"group": names.get(str(group), str(group)[:8])} if group else _("in the account")
        yield " ".join(filter(None, [_("by"), source["name"] or source["kind"].replace("-", " "), where]))
