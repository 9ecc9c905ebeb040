"""What happened, in a sentence. Pure: entries as the API shows them, and names by id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.words import word_of

NOBODY = "00000000-0000-0000-0000-000000000000"
TONES: Mapping[str, str] = {
    "done": "ok",
    "denied": "danger",
    "failed": "danger",
    "pending": "warn",
    "announced": "info",
}
OUTCOMES: Mapping[str, str | Promise] = {
    "done": _("Done"),
    "denied": _("Denied"),
    "failed": _("Failed"),
    "pending": _("Waits for approval"),
    "announced": _("Announced"),
}
_VERBS: Mapping[str, str | Promise] = {
    "session.create": _("Signed in"),
    "session.authenticate": _("Presented a credential"),
    "session.end": _("Signed out"),
    "session.select-account": _("Chose an account"),
    "session.reauthenticate": _("Proved themselves again"),
    "session.get": _("Looked at the session"),
    "access.explain": _("Asked who may do what"),
    "listing.find": _("Looked for something by name"),
    "listing.name": _("Read names"),
    "permission.list": _("Read the catalogue of permissions"),
    "duties.read": _("Looked at what needs attention"),
    "audit.read": _("Read the audit log"),
    "record.checkpoint": _("Read the checkpoint of the record"),
    "record.prove-entry": _("Read the proof of an entry"),
    "record.prove-growth": _("Read the proof that the record only grew"),
    "record.evidence": _("Exported evidence of the record"),
    "record.period": _("Exported a report of a period"),
    "approval.request": _("Asked for an approval"),
    "approval.approve": _("Approved a request"),
    "approval.deny": _("Denied a request"),
    "approval.delete": _("Withdrew a request"),
    "approval.result": _("Read the result of a request"),
    "app.read-secret": _("Read an app's credential"),
    "app.reset-secret": _("Gave an app a new credential"),
    "user.invite": _("Invited a user"),
    "user.get-permissions": _("Read their own permissions"),
    "object.mac-generate": _("Computed a MAC"),
    "object.mac-verify": _("Verified a MAC"),
    "object.remove-private-key": _("Removed a private key"),
    "object.rotate-due": _("Rotated a key by its policy"),
    "object.batch": _("Used several keys at once"),
    "object.check-value": _("Read a key check value"),
}
_DONE: Mapping[str, str | Promise] = {
    "create": _("Created"),
    "update": _("Changed"),
    "delete": _("Deleted"),
    "get": _("Read"),
    "list": _("Listed"),
    "encrypt": _("Encrypted with"),
    "decrypt": _("Decrypted with"),
    "sign": _("Signed with"),
    "verify": _("Verified a signature with"),
    "wrap": _("Wrapped a key with"),
    "unwrap": _("Unwrapped a key with"),
    "derive": _("Derived a key from"),
    "rotate": _("Rotated"),
    "import": _("Imported"),
    "export": _("Exported"),
    "copy": _("Copied"),
    "destroy": _("Destroyed the key material of"),
    "activate": _("Activated"),
    "revoke": _("Revoked"),
}
_NOUNS: Mapping[str, str | Promise] = {
    "object": _("a security object"),
    "group": _("a group"),
    "app": _("an app"),
    "user": _("a user"),
    "role": _("a role"),
    "account": _("the account"),
    "approval": _("a request for approval"),
    "session": _("a session"),
    "provider": _("an identity provider"),
    "second-factor": _("a second factor"),
    "external-role": _("an external role"),
    "cluster": _("a Kubernetes cluster"),
    "binding": _("a binding of a service account"),
}
_SAID = frozenset({"permission", "subject"})


def sentence_of(entry: Mapping[str, Any]) -> str:
    """ "Encrypted with a security object", for people; the action's own name stands beside it."""
    action = str(entry["action"])
    if action in _VERBS:
        return str(_VERBS[action])
    noun, _dot, verb = action.partition(".")
    if verb in _DONE and noun in _NOUNS:
        several = verb == "list"
        return f"{_DONE[verb]} {word_of(noun) + 's' if several else _NOUNS[noun]}"
    return word_of(action.replace(".", ": "))


def details_of(entry: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """The details by name, those left out that the other columns say."""
    told = []
    for name, value in (entry.get("details") or {}).items():
        if value is not None and name not in _SAID:
            text = _t("yes") if value is True else _t("no") if value is False else names.get(str(value), str(value))
            told.append(f"{word_of(name)} {text}")
    return ", ".join(told)


def actor_of(kind: str, identity: str, names: Mapping[str, str]) -> str:
    if kind in ("System", "system"):
        return _t("The server")
    if identity == NOBODY or kind in ("UnregisteredUser", "anonymous"):
        return _t("Somebody unknown")
    return names.get(identity, identity[:8])
