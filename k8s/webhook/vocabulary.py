"""The annotations' names. One that is unknown is refused: a typing mistake must not start a pod without its secrets."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from k8s.webhook.refusals import Refused

PREFIX = "keystead.io/"
STATUS = "status"
INJECTED = "injected"

OF_POD = ("inject", "containers", "refresh", "auth", "app", "cluster", "api-key-secret")
OF_SECRET = (
    "secret",
    "id",
    "version",
    "property",
    "path",
    "env",
    "mode",
    "owner",
    "format",
    "template",
    "bundle",
    "required",
    "refresh",
    "signal",
    "command",
    "containers",
)
KEY = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

ForPod = dict[str, str]
ForSecrets = dict[str, dict[str, str]]


def ours(annotations: Mapping[str, str]) -> dict[str, str]:
    """Without the prefix."""
    return {name.removeprefix(PREFIX): value for name, value in annotations.items() if name.startswith(PREFIX)}


def sorted_out(found: Mapping[str, str]) -> tuple[ForPod, ForSecrets]:
    """What is said of the pod, and of each secret by its key."""
    pod: ForPod = {}
    secrets: ForSecrets = {}
    for name, value in sorted(found.items()):
        word, dot, key = name.partition(".")
        if name in OF_POD:
            pod[name] = value
        elif dot and word in OF_SECRET:
            secrets.setdefault(_checked_key(name, key), {})[word] = value
        else:
            raise Refused(_unknown(name, word, dot + key))
    return pod, secrets


def _checked_key(name: str, key: str) -> str:
    if not KEY.fullmatch(key):
        raise Refused(f"{PREFIX}{name}: the key {key!r} must be small letters, digits and hyphens, such as db-password")
    return key


def _unknown(name: str, word: str, rest: str) -> str:
    if name in OF_SECRET:
        return f"{PREFIX}{name} needs a secret's key behind it, such as {PREFIX}{name}.db"
    if word in OF_POD and rest:
        return f"{PREFIX}{name} is said of the pod, not of one secret: write {PREFIX}{word}"
    near = nearest(word, OF_SECRET if rest else OF_POD)
    if near:
        return f"{PREFIX}{name} is not an annotation of Keystead's; did you mean {PREFIX}{near}{rest}?"
    return f"{PREFIX}{name} is not an annotation of Keystead's; docs/kubernetes-secrets.md lists them"


def nearest(word: str, of: Iterable[str]) -> str:
    """Empty: nothing is like it."""
    found = difflib.get_close_matches(word, list(of), n=1, cutoff=0.6)
    return found[0] if found else ""
