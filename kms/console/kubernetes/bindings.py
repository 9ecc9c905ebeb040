"""Bindings: making one, looking at one, removing it. They are never changed."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.forms import Form
from kms.console.kubernetes.cluster import bindings_of, cluster_of, is_guarded, named
from kms.console.kubernetes.examples import annotations_for
from kms.console.kubernetes.logins import by_binding
from kms.console.making.picking import chosen_or_typed, found, with_chosen
from kms.console.visit import Visit


class BindingForm(Form):
    wire = {"app": "app_id"}

    namespace = forms.CharField(label=_("Namespace"), max_length=63, help_text=_("One, by its exact name."))
    service_account = forms.CharField(
        label=_("Service account"),
        max_length=253,
        help_text=_("By its exact name, or * for any of the namespace that has no binding of its own."),
    )
    app = forms.UUIDField(label=_("App"), error_messages={"required": _("Choose an app.")})
    approval_description = forms.CharField(
        label=_("Reason for those who approve"),
        required=False,
        max_length=500,
        help_text=_("Where a quorum guards the app's groups, or how the account is logged in to."),
    )


def new(visit: Visit, cluster_id: str) -> HttpResponse:
    asked = {name: visit.query.get(name) for name in ("namespace", "app")}
    return _page(visit, cluster_id, BindingForm(initial=asked))


def create(visit: Visit, cluster_id: str) -> HttpResponse:
    given = visit.form.copy()
    given["app"] = chosen_or_typed(visit, "app", given.get("app", ""), given.get("app_text", ""))
    form = BindingForm(given)
    body = _body(form) if form.is_valid() else {}
    made = form.attempt(visit, "CreateKubernetesBinding", body=body, cluster_id=cluster_id) if body else None
    if made is None:
        return _page(visit, cluster_id, form, status=422)
    visit.say(_t("The binding was made: its pods may come in"))
    return visit.redirect("kubernetes-binding", cluster_id=cluster_id, binding_id=made["binding_id"])


def _body(form: BindingForm) -> dict[str, Any]:
    said = form.cleaned_data
    return {
        "namespace": said["namespace"],
        "service_account": said["service_account"],
        "app_id": str(said["app"]),
    }


def _page(visit: Visit, cluster_id: str, form: BindingForm, *, status: int = 200) -> HttpResponse:
    cluster = cluster_of(visit, cluster_id)
    chosen = str(form["app"].value() or "")
    context = {
        "form": form,
        "cluster": cluster,
        "guarded": is_guarded(visit),
        "app_choices": with_chosen(visit, found(visit, "app", visit.form.get("app_text", "")), [chosen]),
        "chosen": [chosen],
    }
    return visit.render("console/kubernetes/new_binding.html", context, status=status)


# -- one -----------------------------------------------------------------------------------------------------------


def show(visit: Visit, cluster_id: str, binding_id: str) -> HttpResponse:
    cluster = cluster_of(visit, cluster_id)
    binding = visit.call("GetKubernetesBinding", cluster_id=cluster_id, binding_id=binding_id)
    creator = next(iter(binding["creator"].values()), "")
    context = {
        "cluster": cluster,
        "binding": named(visit, [binding])[0],
        "creator": visit.names([creator]).get(creator, ""),
        "annotations": annotations_for(cluster_id, binding, bindings_of(visit, cluster_id)),
        "logins": by_binding(visit, binding),
        "guarded": is_guarded(visit),
    }
    return visit.render("console/kubernetes/binding.html", context)


def remove(visit: Visit, cluster_id: str, binding_id: str) -> HttpResponse:
    visit.call("DeleteKubernetesBinding", cluster_id=cluster_id, binding_id=binding_id)
    visit.say(_t("The binding was removed; the sessions that it opened ended"))
    return visit.redirect("kubernetes-cluster", cluster_id=cluster_id)
