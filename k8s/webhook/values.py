"""What each annotation's value may be. Each function takes the annotation's name, for the sentence that refuses it."""

from __future__ import annotations

import posixpath
import re
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

import jinja2
import jinja2.sandbox
import msgspec

from k8s.delivery import DEFAULT_DIRECTORY
from k8s.webhook.refusals import Refused
from k8s.webhook.vocabulary import PREFIX

_UNITS = {"s": 1, "m": 60, "h": 3600}
_LONGEST = 30 * 24 * 3600
_DURATION = re.compile(r"([1-9][0-9]{0,6})([smh])")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OCTAL = re.compile(r"[0-7]{3,4}")
_OWNER = re.compile(r"([0-9]{1,10})(?::([0-9]{1,10}))?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_SECRET_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_LARGEST_ID = 2**31 - 1
_LONGEST_NAME = 255  # bytes of a file's name
_LONGEST_PATH = 1024

SIGNALS = ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH")

# A volume over one of these hides what the image, the kubelet or the kernel has there.
_CLOSED = ("/proc", "/sys", "/dev")
_SYSTEM_WORDS = """bin boot etc home lib lib64 opt root run sbin srv tmp usr usr/bin usr/lib usr/local usr/local/bin
    usr/sbin usr/share var var/lib var/run var/run/secrets run/secrets"""
_SYSTEM = frozenset(f"/{each}" for each in _SYSTEM_WORDS.split())

Enumeration = TypeVar("Enumeration", bound=StrEnum)


def wrong(name: str, value: str, right: str) -> Refused:
    return Refused(f"{PREFIX}{name}: {value[:100]!r} is not {right}")


def truth(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise wrong(name, value, '"true" or "false"')
    return value == "true"


def seconds(name: str, value: str) -> int:
    found = _DURATION.fullmatch(value)
    length = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < length <= _LONGEST:
        raise wrong(name, value, "a time such as 30s, 5m or 1h, of at most 720h")
    return length


def identifier(name: str, value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise wrong(name, value, "an id such as 0d6c9d6e-4b0e-4a39-9d0f-2b6f1c1d3a55") from None


def one_of(name: str, value: str, kind: type[Enumeration]) -> Enumeration:
    try:
        return kind(value)
    except ValueError:
        raise wrong(name, value, f"one of {', '.join(kind)}") from None


def names(name: str, value: str) -> tuple[str, ...]:
    found = tuple(each.strip() for each in value.split(","))
    if not all(found):
        raise wrong(name, value, "names with commas between them")
    if len(set(found)) != len(found):
        raise Refused(f"{PREFIX}{name}: {value[:100]!r} names something twice")
    return found


def text(name: str, value: str) -> str:
    if not value or len(value) > 4096 or not value.isprintable():
        raise Refused(f"{PREFIX}{name} must be 1 to 4096 printable characters")
    return value


def version(name: str, value: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", value):
        raise wrong(name, value, "a version's number: 1 is the oldest; without this annotation it is the newest")
    return int(value)


def variable(name: str, value: str) -> str:
    if not _VARIABLE.fullmatch(value) or len(value) > _LONGEST_NAME:
        raise wrong(name, value, "a variable's name: letters, digits and underscores, no digit first")
    return value


def mode(name: str, value: str) -> int:
    found = int(value, 8) if _OCTAL.fullmatch(value) else 0
    if not found or found > 0o777 or not found & 0o400:
        raise wrong(name, value, "permissions in octal that let the owner read, such as 0440")
    return found


def owner(name: str, value: str) -> tuple[int, int | None]:
    found = _OWNER.fullmatch(value)
    ids = [int(each) for each in found.groups() if each is not None] if found else []
    if not ids or max(ids) > _LARGEST_ID:
        raise wrong(name, value, "UID or UID:GID, such as 1000:1000")
    return ids[0], ids[1] if len(ids) > 1 else None


def signal(name: str, value: str) -> str:
    short = value.removeprefix("SIG")
    if short not in SIGNALS:
        raise wrong(name, value, f"one of {', '.join(SIGNALS)}")
    return short


def command(name: str, value: str) -> tuple[str, ...]:
    try:
        found = msgspec.json.decode(value, type=tuple[str, ...])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        found = ()
    if not found or not found[0] or any("\0" in each for each in found):
        raise wrong(name, value, 'a command as a list in JSON, such as ["nginx", "-s", "reload"]')
    return found


def secret_reference(name: str, value: str) -> tuple[str, str]:
    """A Secret of the pod's own namespace, and which of its members: there is no way to name another namespace."""
    secret, slash, key = value.partition("/")
    key = key if slash else "api-key"
    if not _NAME.fullmatch(secret) or not _SECRET_KEY.fullmatch(key) or key in (".", ".."):
        raise wrong(name, value, "NAME or NAME/KEY of a Secret in the pod's own namespace")
    return secret, key


def template(name: str, value: str) -> str:
    if not value:
        raise wrong(name, value, "a Jinja template")
    try:
        jinja2.sandbox.SandboxedEnvironment().parse(value)
    except jinja2.TemplateSyntaxError as error:
        raise Refused(f"{PREFIX}{name} is not a Jinja template: line {error.lineno}: {error.message}") from None
    except (RecursionError, MemoryError, OverflowError, ValueError):
        raise Refused(f"{PREFIX}{name} is not a Jinja template that can be read: it is nested too deeply") from None
    return value


def path(name: str, value: str) -> str:
    directory, file = posixpath.split(value)
    if not value.startswith("/") or value.startswith("//") or posixpath.normpath(value) != value or not file:
        raise wrong(name, value, "an absolute path without `.`, `..` or double slashes, such as /etc/app/password")
    if not value.isprintable() or ":" in value or len(value) > _LONGEST_PATH:
        raise wrong(name, value, f"a path of at most {_LONGEST_PATH} printable characters without a colon")
    if file.startswith("..") or len(file.encode(errors="replace")) > _LONGEST_NAME:
        raise wrong(name, value, "a path whose last part is a file's name: at most 255 bytes, not beginning with `..`")
    _check_directory(name, value, directory)
    return value


def _check_directory(name: str, value: str, directory: str) -> None:
    if directory == "/" or directory in _SYSTEM or within(directory, *_CLOSED):
        raise Refused(
            f"{PREFIX}{name}: {value!r} would lie in {directory}, and a volume there would hide what is in it: "
            f"give it a directory of its own, such as {DEFAULT_DIRECTORY}"
        )
    if within(directory, "/keystead") and not within(directory, DEFAULT_DIRECTORY):
        raise Refused(f"{PREFIX}{name}: {value!r} is Keystead's own; of /keystead only {DEFAULT_DIRECTORY} is free")


def within(directory: str, *others: str) -> bool:
    """It is one of them, or lies in one."""
    return any(directory == other or directory.startswith(f"{other.rstrip('/')}/") for other in others)
