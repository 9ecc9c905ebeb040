"""The API's words as people read them. Those that are not here are shown with spaces for underscores."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

_WORDS: Mapping[str, str | Promise] = {
    "AES": "AES",
    "DES": "DES",
    "DES3": "Triple DES",
    "RSA": "RSA",
    "EC": _("Elliptic curve"),
    "HMAC": "HMAC",
    "SECRET": _("Secret"),
    "OPAQUE": _("Opaque"),
    "CERTIFICATE": _("Certificate"),
    "PreActive": _("Pre-active"),
    "Active": _("Active"),
    "Deactivated": _("Deactivated"),
    "Compromised": _("Compromised"),
    "Destroyed": _("Destroyed"),
    "Deleted": _("Deleted"),
    "PENDING": _("Pending"),
    "APPROVED": _("Approved"),
    "DENIED": _("Denied"),
    "FAILED": _("Failed"),
    "ACCOUNTADMINISTRATOR": _("Account administrator"),
    "ACCOUNTMEMBER": _("Account member"),
    "ACCOUNTAUDITOR": _("Account auditor"),
    "GROUPADMINISTRATOR": _("Group administrator"),
    "GROUPAUDITOR": _("Group auditor"),
}


def word_of(text: str) -> str:
    known = _WORDS.get(text)
    if known is not None:
        return str(known)
    plain = text.replace("_", " ").replace("-", " ")
    return plain if plain != plain.upper() or len(plain) <= 4 else plain.capitalize()
