"""The policies of a group: what is in force, changing one, taking one away."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.forms import Form
from kms.console.groups import rules
from kms.console.groups.about import group_of, page_context
from kms.console.quorums import guards
from kms.console.quorums.sentences import ids_in, sentence_of, short_of
from kms.console.screens import Screen
from kms.console.visit import Visit


@dataclass(frozen=True, slots=True)
class Kind:
    """A policy that a form sets: ``field`` is the API's name of it."""

    field: str
    title: str | Promise
    form: type[Form]
    initial: Callable[[Mapping[str, Any] | None], dict[str, Any]]
    body: Callable[[Mapping[str, Any], Mapping[str, Any] | None], dict[str, Any]]


CRYPTOGRAPHIC = Kind(
    "cryptographic_policy",
    _("Cryptographic policy"),
    rules.CryptographicForm,
    rules.cryptographic_initial,
    rules.cryptographic_body,
)
METADATA = Kind(
    "key_metadata_policy", _("Key metadata policy"), rules.MetadataForm, rules.metadata_initial, rules.metadata_body
)


def show(visit: Visit, group_id: str) -> HttpResponse:
    group = group_of(visit, group_id)
    custodians = group.get("custodian_policy")
    names = visit.names(ids_in(custodians))
    context = {
        "guarded": guards.sentences_of("group", group.get("approval_policy")),
        "custodians": sentence_of(custodians, names, custodians=True),
        "custodians_short": short_of(custodians),
        "cryptographic": rules.cryptographic_words(group.get("cryptographic_policy")),
        "metadata": rules.metadata_words(group.get("key_metadata_policy")),
        "clients": group.get("client_configurations") or {},
    }
    return visit.render("console/groups/policies.html", page_context(visit, group, "policies") | context)


def _prepared(kind: Kind, group: Mapping[str, Any], form: Form) -> Form:
    """With what the API asks besides: the version it was read at, and a reason where a quorum decides."""
    form.fields["version"] = forms.CharField(widget=forms.HiddenInput, required=False)
    form.initial["version"] = _version(group.get(kind.field))
    if group.get("approval_policy"):
        form.fields["approval_description"] = forms.CharField(
            label=_("Why"), required=False, max_length=500, help_text=_("Those who decide on the request read it.")
        )
    return form


def _version(policy: Mapping[str, Any] | None) -> str:
    return hashlib.sha256(json.dumps(policy, sort_keys=True).encode()).hexdigest()[:32]


def _editor(kind: Kind) -> Callable[..., HttpResponse]:
    def edit(visit: Visit, group_id: str) -> HttpResponse:
        group = group_of(visit, group_id)
        return _page(visit, kind, group, _prepared(kind, group, kind.form(initial=kind.initial(group.get(kind.field)))))

    return edit


def _changer(kind: Kind) -> Callable[..., HttpResponse]:
    def change(visit: Visit, group_id: str) -> HttpResponse:
        group = group_of(visit, group_id)
        if visit.form.get("do") == "remove":
            visit.call("UpdateGroup", body={kind.field: "remove"}, group_id=group_id)
            visit.say(_t("The policy was taken away"))
            return visit.redirect("group-policies", group_id=group_id)
        form = _prepared(kind, group, kind.form(visit.form))
        if form.is_valid():
            if form.cleaned_data["version"] != _version(group.get(kind.field)):
                again = visit.form.copy()
                again["version"] = _version(group.get(kind.field))
                form.data = again
                return _page(visit, kind, group, form, status=422, changed=True)
            body = {kind.field: kind.body(form.cleaned_data, group.get(kind.field))}
            if form.attempt(visit, "UpdateGroup", body=body, group_id=group_id) is not None:
                visit.say(_t("The policy is in force"))
                return visit.redirect("group-policies", group_id=group_id)
        return _page(visit, kind, group, form, status=422)

    return change


def _page(
    visit: Visit, kind: Kind, group: Mapping[str, Any], form: Form, *, status: int = 200, **said: Any
) -> HttpResponse:
    context = page_context(visit, group, "policies") | {"form": form, "title": str(kind.title), **said}
    context |= {"in_force": group.get(kind.field) is not None}
    return visit.render("console/groups/policy.html", context, status=status)


SCREENS: tuple[Screen, ...] = (
    Screen("group-policies", "groups/<uuid:group_id>/policies", _("Policies of the group"), show),
    Screen(
        "group-cryptographic-policy",
        "groups/<uuid:group_id>/policies/cryptographic",
        CRYPTOGRAPHIC.title,
        _editor(CRYPTOGRAPHIC),
        _changer(CRYPTOGRAPHIC),
    ),
    Screen(
        "group-metadata-policy",
        "groups/<uuid:group_id>/policies/metadata",
        METADATA.title,
        _editor(METADATA),
        _changer(METADATA),
    ),
)
