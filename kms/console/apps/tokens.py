"""An app's tokens, tried before its program does: what a pasted token says, and what a real login with it comes to.

The API answers every wrong token alike; the reason is the record's, and is told to those who may see the app.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.forms import Form
from kms.console.visit import Visit

_MAX_TOKEN = 16 * 1024
_TIMES = frozenset({"exp", "iat", "nbf"})
# The record's code for what is wrong: the claim that it is about, and the sentence.
REASONS: Mapping[str, tuple[str, Any]] = {
    "jwt-malformed": ("", _("This is not a signed token: three parts of base64url with dots between them.")),
    "jwt-too-long": ("", _("The token is longer than 16 kB.")),
    "jwt-type": ("typ", _("The token's type is not JWT.")),
    "jwt-critical-extension": ("crit", _("The token asks for an extension that is not known here.")),
    "jwt-algorithm": ("alg", _("The app does not take tokens that are signed by this algorithm.")),
    "jwt-claims": ("", _("A claim is missing or has the wrong form. Needed are iss, sub, aud and exp.")),
    "jwt-signature": ("kid", _("None of the issuer's keys verifies the signature. Look at the key id and the keys.")),
    "jwt-keys-unavailable": ("kid", _("The issuer's keys could not be fetched from their address.")),
    "jwt-issuer": ("iss", _("The issuer is not one of the app's issuers.")),
    "jwt-audience": ("aud", _("The token is meant for another audience.")),
    "jwt-subject": ("sub", _("The subject is not one that the app takes.")),
    "jwt-expired": ("exp", _("The token has expired.")),
    "jwt-not-yet-valid": ("nbf", _("The token is not valid yet.")),
    "jwt-issued-in-the-future": ("iat", _("The token was issued in the future: compare the clocks.")),
    "jwt-lives-too-long": ("exp", _("The token is valid for longer than the app takes.")),
    "jwt-without-id": ("jti", _("The token has no id, which an app needs whose tokens are good once.")),
    "jwt-spent": ("jti", _("The token was used before, and is good once.")),
    "jwt-ambiguous": ("sub", _("Several apps take this token, so none does.")),
    "unknown-app": ("", _("The app does not prove itself by signed tokens.")),
}


class TokenForm(Form):
    token = forms.CharField(
        label=_("Token"),
        max_length=_MAX_TOKEN,
        widget=forms.Textarea(attrs={"rows": 6, "class": "mono", "autocomplete": "off", "spellcheck": "false"}),
        help_text=_("As the program would send it. It is tried and not kept."),
    )


def show(visit: Visit, app_id: str) -> HttpResponse:
    return visit.render("console/apps/token.html", {"app": visit.call("GetApp", app_id=app_id), "form": TokenForm()})


def test(visit: Visit, app_id: str) -> HttpResponse:
    app = visit.call("GetApp", app_id=app_id)
    form = TokenForm(visit.form)
    if not form.is_valid():
        return visit.render("console/apps/token.html", {"app": app, "form": form}, status=422)
    token = "".join(form.cleaned_data["token"].split()).removeprefix("Bearer")
    context = {"app": app, "form": TokenForm(), **_parts(token), **_tried(visit, app_id, token)}
    return visit.render("console/apps/token.html", context)


def _tried(visit: Visit, app_id: str, token: str) -> dict[str, Any]:
    """A login as the app, whose session is ended at once."""
    pair = base64.b64encode(f"{app_id}:{token}".encode()).decode()
    if "." not in token:
        return {"verdict": "refused", "claim": "", "why": REASONS["jwt-malformed"][1]}
    try:
        session = visit.call("Authenticate", authorization=f"Basic {pair}")
    except Refused as refused:
        claim, why = REASONS.get(refused.reason, ("", refused.message))
        return {"verdict": "refused", "claim": claim, "why": why, "status": refused.status}
    visit.call("Terminate", authorization=f"Bearer {session['access_token']}")
    return {"verdict": "taken", "claim": "", "seconds": session["expires_in"], "status": HTTPStatus.OK}


def _parts(token: str) -> dict[str, Any]:
    """Header and claims as they stand in the token. Nothing of them is believed."""
    header, claims = (_object(part) for part in ([*token.split("."), "", ""])[:2])
    shown = {name: _claim(name, value) for name, value in claims.items()}
    return {"header": {name: json.dumps(value) for name, value in header.items()}, "claims": shown}


def _object(part: str) -> dict[str, Any]:
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _claim(name: str, value: Any) -> dict[str, Any]:
    when = None
    if name in _TIMES and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            when = datetime.fromtimestamp(value, UTC)
        except (OverflowError, ValueError, OSError):
            when = None
    return {"text": value if isinstance(value, str) else json.dumps(value), "when": when}
