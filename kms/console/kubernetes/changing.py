"""A new cluster, and changing one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _t

from kms.console.kubernetes.cluster import cluster_of, is_guarded
from kms.console.kubernetes.forms import SELDOM, ChangeForm, ClusterForm
from kms.console.settings.forms import mark_of
from kms.console.visit import Visit

# What prints each value where the cluster is administered.
_COMMANDS: Mapping[str, str] = {
    "issuer": "kubectl get --raw /.well-known/openid-configuration",
    "keys": "kubectl get --raw /openid/v1/jwks",
    "authorities": r"kubectl get configmap kube-root-ca.crt --output jsonpath='{.data.ca\.crt}'",
    "anonymous": "kubectl create clusterrolebinding service-account-issuer-discovery-for-all "
    "--clusterrole=system:service-account-issuer-discovery --group=system:unauthenticated",
}


def new(visit: Visit) -> HttpResponse:
    return _page(visit, ClusterForm(), None)


def create(visit: Visit) -> HttpResponse:
    form = ClusterForm(visit.form)
    made = form.attempt(visit, "CreateKubernetesCluster", body=form.body()) if form.is_valid() else None
    if made is None:
        return _page(visit, form, None, status=422)
    visit.say(_t("The cluster %(name)s was added. Now say who of it may come in.") % {"name": made["name"]})
    return visit.redirect("kubernetes-cluster", cluster_id=made["cluster_id"])


def edit(visit: Visit, cluster_id: str) -> HttpResponse:
    cluster = cluster_of(visit, cluster_id)
    return _page(visit, ChangeForm.of(cluster, mark_of(cluster)), cluster)


def save(visit: Visit, cluster_id: str) -> HttpResponse:
    cluster = cluster_of(visit, cluster_id)
    form = ChangeForm(visit.form)
    if form.is_valid() and form.still(mark_of(cluster)):
        body = form.differences(cluster)
        if not body or form.attempt(visit, "UpdateKubernetesCluster", body=body, cluster_id=cluster_id) is not None:
            visit.say(_t("The cluster was changed") if body else _t("Nothing was changed"))
            return visit.redirect("kubernetes-cluster", cluster_id=cluster_id)
    return _page(visit, form, cluster, status=422)


def _page(visit: Visit, form: ClusterForm, cluster: Mapping[str, Any] | None, *, status: int = 200) -> HttpResponse:
    context = {
        "form": form,
        "cluster": cluster,
        "commands": _COMMANDS,
        "seldom": [form[name] for name in SELDOM],
        "seldom_open": any(form[name].errors for name in SELDOM),
        "guarded": is_guarded(visit),
    }
    return visit.render("console/kubernetes/form.html", context, status=status)
