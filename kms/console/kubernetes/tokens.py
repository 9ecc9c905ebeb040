"""A token, tried before a pod depends on it. It is asked about and not kept: it is in no address and no page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.forms import Form
from kms.console.kubernetes.cluster import bindings_of, cluster_of
from kms.console.kubernetes.examples import exemplary, token_command
from kms.console.visit import Visit

_MAX_TOKEN = 16 * 1024


class _Unshown(forms.Textarea):
    """What was typed is not in the page that answers."""

    def format_value(self, value: Any) -> str:
        return ""


class TokenForm(Form):
    wire = {"app": "app_id"}

    token = forms.CharField(
        label=_("Token"),
        max_length=_MAX_TOKEN,
        widget=_Unshown(attrs={"rows": 6, "class": "mono", "autocomplete": "off", "spellcheck": "false"}),
        help_text=_("A pod's own, or what the command below prints for a pod that is there."),
    )
    app = forms.ChoiceField(
        label=_("App that the pod names"),
        required=False,
        help_text=_("Needed only where a service account is bound to several."),
    )

    def __init__(self, *args: Any, apps: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice = self.fields["app"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [("", _t("None")), *sorted(apps.items(), key=lambda app: app[1])]


def show(visit: Visit, cluster_id: str) -> HttpResponse:
    cluster, bindings = cluster_of(visit, cluster_id), bindings_of(visit, cluster_id)
    return _page(visit, cluster, bindings, TokenForm(apps=_apps(visit, bindings)))


def test(visit: Visit, cluster_id: str) -> HttpResponse:
    cluster, bindings = cluster_of(visit, cluster_id), bindings_of(visit, cluster_id)
    form = TokenForm(visit.form, apps=_apps(visit, bindings))
    verdict = None
    if form.is_valid():
        said = form.cleaned_data
        token = "".join(said["token"].split()).removeprefix("Bearer")
        body = {"token": token, "app_id": said["app"] or None}
        verdict = form.attempt(visit, "TestKubernetesToken", body=body, cluster_id=cluster_id)
    return _page(visit, cluster, bindings, form, verdict, status=422 if verdict is None else 200)


def _apps(visit: Visit, bindings: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    ids = {each["app_id"] for each in bindings}
    names = visit.names(ids)
    return {each: names.get(each, each) for each in ids}


def _page(
    visit: Visit,
    cluster: Mapping[str, Any],
    bindings: Sequence[Mapping[str, Any]],
    form: TokenForm,
    verdict: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    app = str((verdict or {}).get("app_id") or "")
    context = {
        "cluster": cluster,
        "form": form,
        "verdict": verdict,
        "app": visit.names([app]).get(app, app),
        "command": token_command(cluster["audience"], exemplary(bindings)),
        "bound": bool(bindings),
    }
    return visit.render("console/kubernetes/token.html", context, status=status)
