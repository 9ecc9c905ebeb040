"""Whom the webhook is to a registry: the entries of a docker config.json. They go to the host they are for, only."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import msgspec

_HUB_KEYS = ("https://index.docker.io/v1/", "docker.io", "index.docker.io")


class _Entry(msgspec.Struct, frozen=True):
    auth: str = ""
    username: str = ""
    password: str = ""


class _File(msgspec.Struct, frozen=True):
    auths: dict[str, _Entry] = {}


class RegistryCredentials:
    """Read anew for every image that is not remembered: Kubernetes exchanges the file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def basic(self, registry: str) -> str:
        """The value of an Authorization header; empty: nobody in particular. A file that is none is like no file."""
        if not self._path:
            return ""
        try:
            auths = msgspec.json.decode(Path(self._path).read_bytes(), type=_File).auths
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return ""
        named = {_host(key): entry for key, entry in auths.items()}
        keys = (*_HUB_KEYS, "https://index.docker.io/v1") if registry == "docker.io" else (registry,)
        return next((_basic(named[_host(key)]) for key in keys if _host(key) in named), "")


def _host(key: str) -> str:
    """Old files have addresses for keys."""
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _basic(entry: _Entry) -> str:
    plain = base64.b64encode(f"{entry.username}:{entry.password}".encode()).decode() if entry.username else ""
    auth = plain or entry.auth
    try:
        base64.b64decode(auth, validate=True)
    except binascii.Error:
        return ""
    return f"Basic {auth}" if auth else ""
