"""What a request would do, in words. Pure: requests as the API shows them, and names by id."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.words import word_of

HIDDEN = "(hidden)"
_ID = r"(?P<id>[0-9a-fA-F-]{36})"
# What carries key material, passwords or codes; who asked is sent these back, and a page is looked at by others too.
_SECRET = frozenset(
    {"value", "password", "new_password", "current_password", "secret", "credential", "plain", "key", "code", "token"}
)
_SENTENCES: Sequence[tuple[str, str, str | Promise]] = (
    ("POST", r"/crypto/v1/keys", _("Create the security object %(name)s")),
    ("PUT", r"/crypto/v1/keys", _("Import the security object %(name)s")),
    ("PATCH", rf"/crypto/v1/keys/{_ID}", _("Change the security object %(target)s")),
    ("DELETE", rf"/crypto/v1/keys/{_ID}", _("Delete the security object %(target)s")),
    ("DELETE", rf"/crypto/v1/keys/{_ID}/private", _("Remove the private key of %(target)s")),
    ("GET", rf"/crypto/v1/keys/{_ID}", _("Read the security object %(target)s")),
    ("GET", rf"/crypto/v1/keys/{_ID}/export", _("Export the security object %(target)s")),
    ("POST", rf"/crypto/v1/keys/{_ID}/destroy", _("Destroy the key material of %(target)s")),
    ("POST", rf"/crypto/v1/keys/{_ID}/activate", _("Activate the security object %(target)s")),
    ("POST", rf"/crypto/v1/keys/{_ID}/revoke", _("Revoke the security object %(target)s")),
    ("PUT", rf"/crypto/v1/keys/{_ID}/revert", _("Undo the last change of %(target)s")),
    ("POST", rf"/crypto/v1/keys/{_ID}/encrypt", _("Encrypt with %(target)s")),
    ("POST", rf"/crypto/v1/keys/{_ID}/decrypt", _("Decrypt with %(target)s")),
    ("POST", rf"/crypto/v1/keys/{_ID}/sign", _("Sign with %(target)s")),
    ("POST", r"/crypto/v1/keys/rekey", _("Rotate the key %(name)s")),
    ("POST", r"/crypto/v1/keys/replace", _("Replace a key by %(name)s")),
    ("POST", r"/crypto/v1/keys/copy", _("Copy a key as %(name)s")),
    ("POST", r"/crypto/v1/keys/export", _("Export the security object %(name)s")),
    ("POST", r"/crypto/v1/encrypt", _("Encrypt with %(name)s")),
    ("POST", r"/crypto/v1/decrypt", _("Decrypt with %(name)s")),
    ("POST", r"/crypto/v1/sign", _("Sign with %(name)s")),
    ("POST", r"/crypto/v1/wrapkey", _("Wrap a key with %(name)s")),
    ("POST", r"/crypto/v1/unwrapkey", _("Unwrap a key as %(name)s")),
    ("POST", r"/sys/v1/groups", _("Create the group %(name)s")),
    ("PATCH", rf"/sys/v1/groups/{_ID}", _("Change the group %(target)s")),
    ("DELETE", rf"/sys/v1/groups/{_ID}", _("Delete the group %(target)s")),
    ("POST", r"/sys/v1/apps", _("Create the app %(name)s")),
    ("PATCH", rf"/sys/v1/apps/{_ID}", _("Change the app %(target)s")),
    ("DELETE", rf"/sys/v1/apps/{_ID}", _("Delete the app %(target)s")),
    ("POST", rf"/sys/v1/apps/{_ID}/reset_secret", _("Give the app %(target)s a new credential")),
    ("POST", r"/sys/v1/kubernetes/clusters", _("Let pods of the Kubernetes cluster %(name)s log in")),
    ("PATCH", rf"/sys/v1/kubernetes/clusters/{_ID}", _("Change the Kubernetes cluster %(target)s")),
    ("DELETE", rf"/sys/v1/kubernetes/clusters/{_ID}", _("Delete the Kubernetes cluster %(target)s")),
    (
        "POST",
        rf"/sys/v1/kubernetes/clusters/{_ID}/bindings",
        _("Let the pods of a service account in the Kubernetes cluster %(target)s log in as an app"),
    ),
    (
        "DELETE",
        rf"/sys/v1/kubernetes/clusters/{_ID}/bindings/[0-9a-f-]+",
        _("Remove a binding of the Kubernetes cluster %(target)s"),
    ),
    ("POST", r"/sys/v1/users/invite", _("Invite %(name)s to the account")),
    ("PATCH", rf"/sys/v1/users/{_ID}", _("Change the user %(target)s")),
    ("DELETE", rf"/sys/v1/users/{_ID}", _("Remove the user %(target)s")),
    ("POST", r"/sys/v1/roles", _("Create the role %(name)s")),
    ("PATCH", rf"/sys/v1/roles/{_ID}", _("Change the role %(target)s")),
    ("DELETE", rf"/sys/v1/roles/{_ID}", _("Delete the role %(target)s")),
    ("PATCH", rf"/sys/v1/accounts/{_ID}", _("Change the account %(target)s")),
    ("DELETE", rf"/sys/v1/accounts/{_ID}", _("Delete the account %(target)s")),
    ("POST", r"/batch/v1", _("Do several things at once")),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One field of a body: its name with those around it, and its value as text."""

    path: str
    value: str
    hidden: bool = False

    @property
    def label(self) -> str:
        return ": ".join(word_of(part) for part in self.path.split("."))


def sentence_of(request: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """The call as a sentence. One that has none is shown as it is."""
    path = str(request["operation"]).partition("?")[0]
    for method, pattern, sentence in _SENTENCES:
        found = re.fullmatch(pattern, path)
        if method == request["method"] and found is not None:
            return str(sentence) % {
                "target": _named(found.groupdict().get("id"), names),
                "name": _name_in(request, names),
            }
    return f"{request['method']} {path}"


def target_of(request: Mapping[str, Any]) -> tuple[str, str]:
    """What a call in the path is about: the word of the path before the id, and the id. ("", ""): nothing."""
    found = re.search(rf"/([a-z_]+)/{_ID}", str(request["operation"]))
    return (found[1], found["id"]) if found is not None else ("", "")


def ids_in(request: Mapping[str, Any]) -> set[str]:
    """Every id in the call, for ``visit.names``."""
    text = f"{request['operation']} {json.dumps(request.get('body'))}"
    return set(re.findall(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", text))


def _named(identity: str | None, names: Mapping[str, str]) -> str:
    return names.get(identity or "", (identity or "")[:8])


def _name_in(request: Mapping[str, Any], names: Mapping[str, str]) -> str:
    body = request.get("body")
    if not isinstance(body, dict):
        return ""
    key = body.get("key")
    for place in (body, key if isinstance(key, dict) else {}):
        for field in ("name", "user_email", "kid"):
            if isinstance(place.get(field), str):
                return names.get(place[field], place[field])
    return ""


def lines_of(body: Any, names: Mapping[str, str]) -> list[Line]:
    """A body as fields to read, what is secret hidden."""
    return list(_lines(without_secrets(body), names, "")) if body is not None else []


def without_secrets(body: Any) -> Any:
    if isinstance(body, dict):
        return {name: _kept(name, value) for name, value in body.items()}
    return [without_secrets(each) for each in body] if isinstance(body, list) else body


def _kept(name: str, value: Any) -> Any:
    return HIDDEN if name in _SECRET and isinstance(value, str) else without_secrets(value)


def _lines(value: Any, names: Mapping[str, str], path: str) -> Iterator[Line]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _lines(inner, names, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for number, inner in enumerate(value, 1):
            yield from _lines(inner, names, f"{path}.{number}" if path else str(number))
    else:
        yield Line(path or _t("value"), told(value, names), value == HIDDEN)


def told(value: Any, names: Mapping[str, str]) -> str:
    """A value as text: names for ids, words for yes and no."""
    if isinstance(value, bool):
        return _t("yes") if value else _t("no")
    if value is None or value in ([], {}):
        return _t("nothing")
    if isinstance(value, list):
        return ", ".join(told(each, names) for each in value)
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return _t("hidden") if value == HIDDEN else names.get(str(value), str(value))
