"""Yes and no: what a reviewer is asked to show, and the call that says it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.forms import Form
from kms.console.visit import Visit


@dataclass(frozen=True, slots=True)
class Demands:
    """What goes with the viewer's yes."""

    password: bool
    factor: bool


def demands_of(request: Mapping[str, Any], user: str) -> Demands | None:
    """None: the viewer has no say in it, or has had it."""
    me = {"user": user}
    if request["status"] != "PENDING" or request["requester"] == me or me in request["approvers"]:
        return None
    mine = [each for each in request.get("reviewers") or () if each.get("user") == user]
    if not mine:
        return None
    return Demands(any(each["requires_password"] for each in mine), any(each["requires_2fa"] for each in mine))


class VoteForm(Form):
    """The fields are those that this vote needs; ``answer`` is the security key's, which the page's script puts in."""

    password = forms.CharField(
        label=_("Your password"), required=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
    code = forms.CharField(
        label=_("Code of your authenticator app"),
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )
    recovery_code = forms.CharField(
        label=_("Or a recovery code"),
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    answer = forms.CharField(required=False, widget=forms.HiddenInput)

    key = False
    factorless = False

    @classmethod
    def asking(cls, visit: Visit, demands: Demands, data: Any = None) -> VoteForm:
        """With the fields of what the viewer is asked for and has."""
        form = cls(data)
        if not demands.password:
            del form.fields["password"]
        owned = visit.call("ListFactors") if demands.factor else {}
        form.key = bool(owned.get("mfa_devices"))
        has_codes = bool(owned.get("recovery_codes_left"))
        form.factorless = demands.factor and not (form.key or owned.get("totp_devices") or has_codes)
        for name, has in (("code", owned.get("totp_devices")), ("recovery_code", has_codes), ("answer", form.key)):
            if not has:
                del form.fields[name]
        return form

    def proof(self) -> dict[str, Any] | None:
        """The body of the vote; None, with the reason in the form, when the key's answer is none."""
        given = {name: value for name, value in self.cleaned_data.items() if value and name != "answer"}
        for name in ("code", "recovery_code"):
            if name in given:
                given[name] = given[name].strip()
        answer = self.cleaned_data.get("answer")
        if not answer:
            return given
        try:
            return {**given, "fido2_auth_request": json.loads(answer)}
        except ValueError:
            self.add_error(None, _t("The browser gave no answer of a security key."))
            return None


class DenyForm(Form):
    reason = forms.CharField(
        label=_("Why not"),
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Who asked will read this."),
    )
