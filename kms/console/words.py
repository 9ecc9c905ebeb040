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
    "SIGN": _("Sign"),
    "VERIFY": _("Verify"),
    "ENCRYPT": _("Encrypt"),
    "DECRYPT": _("Decrypt"),
    "WRAPKEY": _("Wrap keys"),
    "UNWRAPKEY": _("Unwrap keys"),
    "DERIVEKEY": _("Derive keys"),
    "TRANSFORM": _("Transform"),
    "MACGENERATE": _("Make MACs"),
    "MACVERIFY": _("Check MACs"),
    "EXPORT": _("Export"),
    "APPMANAGEABLE": _("Managed by apps"),
    "HIGHVOLUME": _("High volume"),
    "AGREEKEY": _("Agree on keys"),
    "ENCAPSULATE": _("Encapsulate"),
    "DECAPSULATE": _("Decapsulate"),
    "MANAGE": _("Manage"),
    "MLDSA": "ML-DSA",
    "MLKEM": "ML-KEM",
    "DSA": "DSA",
    "ARIA": "ARIA",
    "SEED": "SEED",
    "BIP32": "BIP 32",
    "SLIP10": "SLIP-0010",
    "ROTATE_SOBJECTS": _("Rotate"),
    "REVOKE_SOBJECTS": _("Deactivate or mark as compromised"),
    "COPY_SOBJECTS": _("Copy"),
    "MOVE_SOBJECTS": _("Move to another group"),
    "DESTROY_SOBJECTS": _("Destroy"),
    "DELETE_SOBJECTS": _("Delete"),
    "KeyCompromise": _("The key was compromised"),
    "CACompromise": _("The authority was compromised"),
    "CessationOfOperation": _("No longer needed"),
    "AffiliationChanged": _("Its owner changed"),
    "PrivilegeWithdrawn": _("Its owner may not any more"),
    "key_ops": _("May be used to"),
    "custom_metadata": _("Custom metadata"),
    "activation_date": _("Active from"),
    "deactivation_date": _("Deactivated from"),
    "key_cert_sign": _("sign certificates"),
    "crl_sign": _("sign revocation lists"),
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
