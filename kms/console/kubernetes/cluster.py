"""One cluster: what of its tokens is taken, who comes in by it, switching it off and on, deleting it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.endings import ended, typed_text
from kms.console.kubernetes.examples import annotations_for, exemplary
from kms.console.kubernetes.logins import refused_by
from kms.console.settings.tabs import account_of, guarded
from kms.console.tables import PAGE, Column, Table, table
from kms.console.visit import Visit

_COLUMNS = (Column(_("Namespace")), Column(_("Service account")), Column(_("Comes in as")), Column(_("Made")))


def cluster_of(visit: Visit, cluster_id: str) -> dict[str, Any]:
    found: dict[str, Any] = visit.call("GetKubernetesCluster", cluster_id=cluster_id)
    return found


def bindings_of(visit: Visit, cluster_id: str) -> list[dict[str, Any]]:
    """By namespace and service account, as the API lists them."""
    found: list[dict[str, Any]] = visit.call("ListKubernetesBindings", cluster_id=cluster_id)
    return found


def is_guarded(visit: Visit) -> bool:
    """Whether the account's quorum stands before changes of how pods come in."""
    return guarded(account_of(visit), "protect_authentication_methods")


def named(visit: Visit, bindings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the apps' names; the id for an app that the viewer may not see."""
    names = visit.names(each["app_id"] for each in bindings)
    return [{**each, "app": names.get(each["app_id"], "")} for each in bindings]


def show(visit: Visit, cluster_id: str) -> HttpResponse:
    cluster, bindings = cluster_of(visit, cluster_id), bindings_of(visit, cluster_id)
    creator = next(iter(cluster["creator"].values()), "")
    context = {
        "cluster": cluster,
        "title": cluster["name"],
        "creator": visit.names([creator]).get(creator, ""),
        "number": len(bindings),
        "table": _table(visit, bindings),
        "annotations": annotations_for(cluster_id, exemplary(bindings), bindings),
        "logins": refused_by(visit, cluster_id),
        "guarded": is_guarded(visit),
    }
    return visit.render("console/kubernetes/cluster.html", context)


def _table(visit: Visit, bindings: list[dict[str, Any]]) -> Table:
    """A page of the bindings whose namespace or service account has what is searched for."""
    text = visit.query.get("q", "").strip()
    found = [each for each in bindings if text in each["namespace"] or text in each["service_account"]]
    given = visit.query.get("offset", "")
    start = int(given) if given.isascii() and given.isdigit() and len(given) < 7 else 0
    rows = named(visit, found[start : start + PAGE]) + found[start + PAGE : start + PAGE + 1]
    return table(visit.query, _COLUMNS, rows, lambda _row: {"offset": str(start + PAGE)}, filters=("q",))


def switch(visit: Visit, cluster_id: str) -> HttpResponse:
    """Off and on; the same form sent twice does the same."""
    enabled = visit.form.get("do") == "enable"
    if not enabled and visit.form.get("do") != "disable":
        cluster_of(visit, cluster_id)
        return visit.redirect("kubernetes-cluster", cluster_id=cluster_id)
    visit.call("UpdateKubernetesCluster", cluster_id=cluster_id, body={"enabled": enabled})
    visit.say(_t("Its pods come in again") if enabled else _t("Its pods do not come in any more; their sessions ended"))
    return visit.redirect("kubernetes-cluster", cluster_id=cluster_id)


# -- deletion ------------------------------------------------------------------------------------------------------


def ask_deletion(visit: Visit, cluster_id: str, *, fault: str = "", status: int = 200) -> HttpResponse:
    bindings = bindings_of(visit, cluster_id)
    context: Mapping[str, Any] = {
        "cluster": cluster_of(visit, cluster_id),
        "number": len(bindings),
        "some": named(visit, bindings[:5]),
        "guarded": is_guarded(visit),
        "fault": fault,
    }
    return visit.render("console/kubernetes/delete.html", context, status=status)


def delete(visit: Visit, cluster_id: str) -> HttpResponse:
    name = cluster_of(visit, cluster_id)["name"]
    otherwise = _t("Type the cluster's name exactly as it is.")
    do = partial(visit.call, "DeleteKubernetesCluster", cluster_id=cluster_id)
    again = ended(do, partial(ask_deletion, visit, cluster_id), typed=typed_text(visit) == name, otherwise=otherwise)
    if again is not None:
        return again
    visit.say(_t("The cluster %(name)s was deleted") % {"name": name})
    return visit.redirect("kubernetes-clusters")
