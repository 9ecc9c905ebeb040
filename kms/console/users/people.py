"""A user as pages show them: the API's list of words as a state, roles by their names, kinds of second factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from kms.console.words import word_of

_FACTORS: Mapping[str, str | Promise] = {"fido2": _("Security key or passkey"), "totp": _("One-time password")}
_STATES = ("STATEENABLED", "PENDINGINVITE")


def person_of(user: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """``names`` are of the account's own roles."""
    words = user["account_role"]
    pending = "PENDINGINVITE" in words
    return {
        **user,
        "name": " ".join(filter(None, (user.get("first_name"), user.get("last_name")))),
        "roles": [names.get(role) or word_of(role) for role in words if role not in _STATES],
        "pending": pending,
        "enabled": "STATEENABLED" in words,
        "state": "invited" if pending else "enabled" if "STATEENABLED" in words else "disabled",
        "factors": [str(_FACTORS.get(kind, kind)) for kind in user["second_factors"]],
    }
