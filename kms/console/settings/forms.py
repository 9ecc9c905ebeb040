"""What the settings' forms share: whether somebody changed the thing meanwhile, secrets that are kept, ticks.

No decision and no call of its own beside the form's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import ApprovalNeeded, Refused
from kms.console.forms import Form, said_plainly
from kms.console.settings.tabs import account_id
from kms.console.visit import Visit

KEPT = _("kept; type to replace")


def mark_of(*parts: Any) -> str:
    """Changes when what is there changes. No secret is in what the API shows, so none is in this."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


class SettingsForm(Form):
    """``seen`` says what was there when the form was filled in."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    def still(self, mark: str) -> bool:
        """Whether nobody changed it meanwhile. If somebody did, the next submission means what is there now."""
        if self.cleaned_data.get("seen", "") in ("", mark):
            return True
        typed = QueryDict(mutable=True)
        typed.update(self.data)
        typed["seen"] = mark
        self.data = typed
        self.add_error(
            None,
            _t("Somebody changed this while you were at it. Nothing of yours is lost: compare, and send it again."),
        )
        return False

    def save(self, visit: Visit, body: Mapping[str, Any]) -> bool:
        """Change the account. False when it was refused, with the reason in the form."""
        try:
            visit.call("UpdateAccount", acct_id=account_id(visit), body=body)
        except ApprovalNeeded:
            raise
        except Refused as refused:
            if refused.status >= 500 or refused.status == 401:
                raise
            self.refuse(refused)
            return False
        visit.forget_shell()
        return True


def only_above(form: Form, refused: Refused) -> None:
    """A refusal that is about no field in particular."""
    form.add_error(None, said_plainly(refused.message))


class SecretField(forms.CharField):
    """Never shown again: empty keeps what is there."""

    def __init__(self, *, kept: bool = False, **kwargs: Any) -> None:
        attrs = {"autocomplete": "new-password", "spellcheck": "false"}
        kwargs.setdefault("widget", forms.PasswordInput(attrs=attrs))
        super().__init__(strip=False, **kwargs)
        self.keep(kept)

    def keep(self, kept: bool) -> None:
        """``kept``: there is one already."""
        if kept:
            self.required = False
            self.widget.attrs["placeholder"] = str(KEPT)


class LinesField(forms.CharField):
    """A list, one item to a line."""

    widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in (super().to_python(value) or "").splitlines() if line.strip()]

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list | tuple) else value


def ticks(label: Any, choices: Any, help_text: Any = "") -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label, choices=choices, required=False, widget=forms.CheckboxSelectMultiple, help_text=help_text
    )
