"""What a quorum policy stands before, in words, and how that is chosen in a form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.quorums.sentences import listed

Words = str | Promise

ALWAYS: Mapping[str, Words] = {
    "group": _(
        "Always: exporting, copying and moving keys, undoing changes, the group's policies, the group itself, and its "
        "apps with their secrets."
    ),
    "object": _("Always: exporting, copying and moving the object, undoing changes, and its policies."),
    "account": _("Always: this policy, the account's deletion, and who administers the account."),
    "custodians": "",
}
# How a group's or an object's policy says what else is guarded.
MODES: Mapping[str, tuple[Words, Words]] = {
    "sensitive": (
        _("Whatever changes or ends a key"),
        _("Rotation, deletion, destruction, revocation and changes of keys; in a group also who its users are."),
    ),
    "all": (_("All managing of keys"), _("As above, and creating and importing them too.")),
    "named": (_("Only what I choose"), _("Each kind of change by itself.")),
    "always": (_("Nothing else"), _("Only what every policy guards.")),
}
FLAGS: Mapping[str, Words] = {
    "manage_groups": _("Making, changing and deleting groups"),
    "protect_authentication_methods": _("How people log in"),
    "protect_cryptographic_policy": _("The account's policies on its objects"),
    "protect_logging_config": _("Where the audit log is sent"),
    "protect_custom_role_updates": _("Making, changing and deleting roles"),
}
# The API's words for what can be chosen one by one, as people say them.
NAMED: Mapping[str, Words] = {
    "CREATE_SOBJECTS": _("Generating and importing"),
    "ROTATE_SOBJECTS": _("Rotation"),
    "ACTIVATE_SOBJECTS": _("Activation"),
    "REVOKE_SOBJECTS": _("Revocation"),
    "REVERT_SOBJECTS": _("Undoing changes"),
    "UPDATE_SOBJECTS_ENABLED_STATE": _("Enabling and disabling"),
    "UPDATE_SOBJECTS_PROFILE": _("Name and description"),
    "UPDATE_KEY_OPS": _("Permitted operations"),
    "UPDATE_SOBJECT_POLICIES": _("The objects' own policies"),
    "MOVE_SOBJECTS": _("Moving to another group"),
    "DELETE_KEY_MATERIAL": _("Deleting the material"),
    "DESTROY_SOBJECTS": _("Destruction"),
    "DELETE_SOBJECTS": _("Deletion"),
    "GET_SOBJECTS": _("Looking at attributes"),
}


def chosen_in(kind: str, form: QueryDict) -> dict[str, Any]:
    """What a form says is guarded, as the API takes it."""
    if kind == "account":
        return {flag: flag in form for flag in FLAGS}
    if kind == "custodians":
        return {}
    mode = form.get("mode", "sensitive")
    said: dict[str, Any] = {"protect_crypto_operations": True} if "using" in form else {}
    if mode == "named":
        return said | {"protect_permissions": [flag for flag in form.getlist("permission") if flag in NAMED]}
    return said | ({} if mode not in ("all", "always") else {"protect_manage_operations": mode == "all"})


def mode_of(policy: Mapping[str, Any]) -> str:
    if policy.get("protect_manage_operations"):
        return "all"
    if policy.get("protect_permissions") is not None:
        return "named"
    return "sensitive" if policy.get("protect_manage_operations") is None else "always"


def sentences_of(kind: str, policy: Mapping[str, Any] | None) -> list[str]:
    """What is guarded, for reading."""
    if not policy:
        return []
    told = [str(ALWAYS[kind])]
    if kind == "account":
        also = [str(label) for flag, label in FLAGS.items() if policy.get(flag)]
        return [*told, *_besides(also)]
    mode = mode_of(policy)
    if mode == "named":
        also = [str(NAMED.get(flag, flag)) for flag in policy["protect_permissions"]]
        told += _besides(also)
    elif mode != "always":
        told.append(_t("Besides: %(what)s") % {"what": str(MODES[mode][1])[:1].lower() + str(MODES[mode][1])[1:]})
    if policy.get("protect_crypto_operations"):
        told.append(_t("Every use of a key."))
    return [text for text in told if text]


def _besides(labels: list[str]) -> list[str]:
    what = listed([label[:1].lower() + label[1:] for label in labels])
    return [_t("Besides: %(what)s.") % {"what": what}] if labels else []
