"""What moves an object through its life, each with a page that says what it means and what hangs on it.

Which of them are offered follows from the state that the API shows; the API refuses the others by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from kms.console.as_call import as_call
from kms.console.forms import Form
from kms.console.moments import aware, on_wire
from kms.console.objects import facts
from kms.console.objects.frame import loaded, page
from kms.console.screens import Screen
from kms.console.visit import Visit

_GROUPS_OFFERED = 200
_LIVING = frozenset({"PreActive", "Active", "Deactivated", "Compromised"})


class ActionForm(Form):
    approval_description = forms.CharField(
        label=_("For who approves, where it takes a quorum"), required=False, max_length=1024
    )


class TypedForm(ActionForm):
    """Of what can't be taken back: asked for by the object's name."""

    typed = forms.CharField(
        label=_("Type the object's name to go on"), strip=True, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    field_order = ("typed", "approval_description")

    def __init__(self, thing: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._name = thing.get("name") or str(thing["kid"])

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"]
        if typed != self._name.strip():
            raise forms.ValidationError(_("That is not the object's name"))
        return typed


class ReasonForm(ActionForm):
    """Why an object is taken out of use."""

    wire = {"occurred": "compromise_occurance_date"}

    code = forms.ChoiceField(
        label=_("Reason"),
        choices=[
            ("CessationOfOperation", _("No longer needed")),
            ("Superseded", _("Superseded by another")),
            ("AffiliationChanged", _("Its owner changed")),
            ("PrivilegeWithdrawn", _("Its owner may not any more")),
            ("Unspecified", _("Something else")),
        ],
    )
    message = forms.CharField(label=_("Note"), required=False, max_length=1024)
    field_order: tuple[str, ...] = ("code", "message", "approval_description")

    def body(self, _visit: Visit) -> dict[str, Any]:
        return {"code": self.cleaned_data["code"], "message": self.cleaned_data["message"] or None}


class CompromiseForm(ReasonForm):
    code = forms.ChoiceField(
        label=_("What was compromised"),
        choices=[("KeyCompromise", _("This key")), ("CACompromise", _("The authority that certifies it"))],
    )
    occurred = forms.DateTimeField(
        label=_("When it happened"),
        required=False,
        help_text=_("It may be long before anybody knew."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )
    field_order = ("code", "occurred", "message", "approval_description")

    def body(self, visit: Visit) -> dict[str, Any]:
        when = self.cleaned_data["occurred"]
        date = on_wire(aware(when, visit.zone))
        return {**super().body(visit), "compromise_occurance_date": date}


class CopyForm(ActionForm):
    wire = {"group": "group_id"}

    name = forms.CharField(label=_("Name of the copy"), max_length=2048)
    group = forms.ChoiceField(label=_("Group"))
    field_order = ("name", "group", "approval_description")


@dataclass(frozen=True, slots=True)
class Action:
    """``call`` carries it out by the API; ``form`` makes the form for an object. ``gone``: nothing is left to show."""

    slug: str
    icon: str
    label: str | Promise
    means: str | Promise
    call: Callable[[Visit, Any, Mapping[str, Any]], Any]
    done: str | Promise
    operation: str
    states: frozenset[str] = _LIVING
    form: Callable[..., Any] = field(default=lambda _visit, _thing, *data: ActionForm(*data))
    example: Callable[[Mapping[str, Any]], Any] = field(default=lambda _thing: None)
    danger: bool = False
    gone: bool = False
    suits: Callable[[Mapping[str, Any]], bool] = field(default=lambda _thing: True)

    @property
    def screen(self) -> str:
        return f"object-{self.slug}"

    def fits(self, thing: Mapping[str, Any]) -> bool:
        return thing.get("state", "Active") in self.states and self.suits(thing)


def _typed(_visit: Visit, thing: Mapping[str, Any], *data: Any) -> TypedForm:
    return TypedForm(thing, *data)


def _simply(operation: str) -> Callable[[Visit, Any, Mapping[str, Any]], Any]:
    return lambda visit, form, thing: form.attempt(visit, operation, key_id=thing["kid"])


def _revoke(visit: Visit, form: Any, thing: Mapping[str, Any]) -> Any:
    return form.attempt(visit, "RevokeSobject", body=form.body(visit), key_id=thing["kid"])


def _copy_form(visit: Visit, thing: Mapping[str, Any], *data: Any) -> CopyForm:
    form = CopyForm(*data) if data else CopyForm(initial={"name": f"{thing.get('name', '')} (copy)"})
    groups = visit.call("ListGroups", query={"limit": _GROUPS_OFFERED, "sort": "name:asc"})
    form.fields["group"].choices = [(group["group_id"], group["name"]) for group in groups]  # type: ignore[attr-defined]  # a choice field
    return form


def _copy(visit: Visit, form: Any, thing: Mapping[str, Any]) -> Any:
    body = {"key": {"kid": thing["kid"]}, "name": form.cleaned_data["name"], "group_id": form.cleaned_data["group"]}
    return form.attempt(visit, "CopySobject", body=body)


_REVOCATION = {"code": "CessationOfOperation"}
ACTIONS: tuple[Action, ...] = (
    Action(
        "activate",
        "play",
        _("Activate"),
        _("It can be used from now on."),
        _simply("ActivateSobject"),
        _("The object is active"),
        "ActivateSobject",
        states=frozenset({"PreActive"}),
    ),
    Action(
        "copy",
        "copy",
        _("Copy to a group"),
        _("A second object with the same material, under the people and policies of the group that it goes to."),
        _copy,
        _("The object was copied"),
        "CopySobject",
        form=_copy_form,
        example=lambda thing: {"key": {"kid": thing["kid"]}, "name": "…", "group_id": "…"},
    ),
    Action(
        "deactivate",
        "circle-pause",
        _("Deactivate"),
        _(
            "It protects nothing new any more. What it protected can still be read and verified. There is no way "
            "back to active, but where an undo window is set and open."
        ),
        _revoke,
        _("The object is deactivated"),
        "RevokeSobject",
        states=frozenset({"Active"}),
        form=lambda _visit, _thing, *data: ReasonForm(*data),
        example=lambda _thing: _REVOCATION,
    ),
    Action(
        "compromise",
        "shield-alert",
        _("Mark as compromised"),
        _(
            "Others may know the material. It protects nothing new any more; its state warns "
            "whoever reads what it protected."
        ),
        _revoke,
        _("The object is marked as compromised"),
        "RevokeSobject",
        states=frozenset({"PreActive", "Active", "Deactivated"}),
        form=lambda _visit, _thing, *data: CompromiseForm(*data),
        example=lambda _thing: {"code": "KeyCompromise"},
        danger=True,
    ),
    Action(
        "remove-private",
        "lock-open",
        _("Remove the private key"),
        _("Only the public key stays: it can verify and encrypt. Nothing can be signed or decrypted with it again."),
        _simply("RemovePrivate"),
        _("The private key was removed"),
        "RemovePrivate",
        form=_typed,
        danger=True,
        suits=lambda thing: bool(thing.get("pub_key")) and not thing["public_only"],
    ),
    Action(
        "destroy",
        "skull",
        _("Destroy the material"),
        _(
            "The material is erased for good. The object stays with its name and its history, so that the record can "
            "be read. What it protected can't be read again."
        ),
        _simply("DestroySobject"),
        _("The material was destroyed"),
        "DestroySobject",
        states=frozenset({"PreActive", "Deactivated", "Compromised"}),
        form=_typed,
        danger=True,
    ),
    Action(
        "delete",
        "trash-2",
        _("Delete"),
        _(
            "The object and its material go, and its name is free again. What it protected can't be read again, but "
            "where an undo window is set and open."
        ),
        _simply("DeleteSobject"),
        _("The object was deleted"),
        "DeleteSobject",
        states=frozenset({*_LIVING, "Destroyed"}),
        form=_typed,
        danger=True,
        gone=True,
    ),
)


def offered(thing: Mapping[str, Any]) -> list[Action]:
    return [action for action in ACTIONS if action.fits(thing)]


def dependants(thing: Mapping[str, Any]) -> list[str]:
    """What else there is because of this object."""
    links = thing.get("links", {})
    copies, subkeys = len(links.get("copiedTo", [])), len(links.get("subkeys", []))
    found = []
    if copies:
        found.append(
            ngettext("%(n)s copy of it stays as it is.", "%(n)s copies of it stay as they are.", copies) % {"n": copies}
        )
    if subkeys:
        found.append(
            ngettext(
                "%(n)s key was derived from it and can't be derived again.",
                "%(n)s keys were derived from it and can't be derived again.",
                subkeys,
            )
            % {"n": subkeys}
        )
    if thing.get("scheduled_rotation"):
        found.append(_t("It is rotated by itself; a key that is gone is not rotated any more."))
    if thing.get("publish_public_key"):
        found.append(_t("Its public key is published to everybody."))
    return found


def _show(action: Action, visit: Visit, key_id: str) -> HttpResponse:
    thing = loaded(visit, key_id)
    return _page(visit, thing, action, action.form(visit, thing))


def _act(action: Action, visit: Visit, key_id: str) -> HttpResponse:
    thing = loaded(visit, key_id)
    form = action.form(visit, thing, visit.form)
    made = action.call(visit, form, thing) if form.is_valid() else None
    if form.errors:
        return _page(visit, thing, action, form, status=422)
    visit.say(str(action.done))
    if action.gone:
        return visit.redirect("objects")
    return visit.redirect("object", key_id=made["kid"] if made else key_id)


def _page(visit: Visit, thing: Mapping[str, Any], action: Action, form: Any, *, status: int = 200) -> HttpResponse:
    body = action.example(thing)
    path = {} if action.operation == "CopySobject" else {"key_id": thing["kid"]}
    context = {
        "action": action,
        "form": form,
        "fits": action.fits(thing),
        "dependants": dependants(thing) if action.danger else [],
        "command": as_call(action.operation, body=body, **path),
    }
    return page(visit, thing, "action", context, status=status)


def _screen(action: Action) -> Screen:
    return Screen(
        action.screen,
        f"objects/<uuid:key_id>/{action.slug}",
        action.label,
        lambda visit, key_id: _show(action, visit, key_id),
        lambda visit, key_id: _act(action, visit, key_id),
    )


# -- attestation ---------------------------------------------------------------------------------------------------


def show_attestation(visit: Visit, key_id: str) -> HttpResponse:
    return _attestation_page(visit, loaded(visit, key_id), ActionForm())


def attest(visit: Visit, key_id: str) -> HttpResponse:
    thing = loaded(visit, key_id)
    form = ActionForm(visit.form)
    found = form.attempt(visit, "GetKeyAttestation", body={"key": {"kid": key_id}}) if form.is_valid() else None
    if found is None:
        return _attestation_page(visit, thing, form, status=422)
    chain = [found["attestation_statement"]["statement"], *found["authority_chain"]]
    return _attestation_page(visit, thing, form, statement="".join(facts.pem("CERTIFICATE", each) for each in chain))


def _attestation_page(
    visit: Visit, thing: Mapping[str, Any], form: Form, *, statement: str = "", status: int = 200
) -> HttpResponse:
    command = as_call("GetKeyAttestation", body={"key": {"kid": thing["kid"]}})
    context = {"form": form, "statement": statement, "command": command, "fits": bool(thing.get("pub_key"))}
    return page(visit, thing, "attest", context, status=status)


SCREENS: tuple[Screen, ...] = (
    *map(_screen, ACTIONS),
    Screen("object-attest", "objects/<uuid:key_id>/attest", _("Attest"), show_attestation, attest),
)
