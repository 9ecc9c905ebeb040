"""A content's bytes from the pod's values. It must not know files, templates' inside or how a secret is fetched."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping

from k8s.agent.values import Value, ValueUnfit, json_of, text_of
from k8s.delivery import Content, Format

_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What java.util.Properties.store escapes, and as what.
_PROPERTIES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f"}
_PROPERTIES_KEY = {**_PROPERTIES, " ": "\\ ", "=": "\\=", ":": "\\:", "#": "\\#", "!": "\\!"}


class ContentUnfit(Exception):
    """A content cannot be made; the sentence says of which secret, and why."""


def rendered(content: Content, values: Mapping[str, Value]) -> bytes:
    """ContentUnfit; KeyError never: whoever calls has seen to it that named secrets are there."""
    if content.template:
        from k8s.agent.templates import render  # Jinja takes 4 MB, and most pods have no template

        return render(content.template, values)
    if content.bundle:
        return b"".join(_written(key, values[key], Format.PEM) for key in content.bundle)
    return _written(content.secret, values[content.secret], content.format)


def _written(key: str, value: Value, form: Format) -> bytes:
    try:
        return _WRITERS[form](key, value)
    except ValueUnfit as error:
        raise ContentUnfit(f"the secret {key!r} {error}") from None


def _auto(_key: str, value: Value) -> bytes:
    return value.pem.encode() if value.armoured else value.raw


def _json(key: str, value: Value) -> bytes:
    """A JSON object as it is."""
    return value.raw if value.members() is not None else json_of({key: value.text}).encode()


def _env(key: str, value: Value) -> bytes:
    """For a POSIX shell to source; what needs no quotes has none, so that other readers of such files agree."""
    members = value.members()
    if members is None:
        members = {key.upper().replace("-", "_"): value.text}
    lines = []
    for name, member in members.items():
        text = text_of(member)
        if not _SHELL_NAME.fullmatch(name):
            raise ValueUnfit("has a member whose name is not a variable's: letters, digits and _, no digit first")
        if "\0" in text:
            raise ValueUnfit("has a NUL, which no variable can hold")
        lines.append(f"{name}={shlex.quote(text) if text else ''}\n")
    return "".join(lines).encode()


def _properties(key: str, value: Value) -> bytes:
    """As java.util.Properties reads them: ISO 8859-1, of which only ASCII is used."""
    members = value.members()
    if members is None:
        members = {key: value.text}
    lines = (f"{_escaped(name, _PROPERTIES_KEY)}={_property(text_of(member))}\n" for name, member in members.items())
    return "".join(lines).encode("ascii")


def _property(text: str) -> str:
    """Blanks before a value are no part of it, unless the first is escaped."""
    escaped = _escaped(text, _PROPERTIES)
    return "\\" + escaped if escaped.startswith(" ") else escaped


def _escaped(text: str, escapes: Mapping[str, str]) -> str:
    return "".join(escapes.get(character) or _java(character) for character in text)


def _java(character: str) -> str:
    r"""\uXXXX for what is not printable ASCII, in UTF-16 as Java has it."""
    if " " <= character <= "~":
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


_WRITERS: Mapping[Format, Callable[[str, Value], bytes]] = {
    Format.AUTO: _auto,
    Format.RAW: lambda _key, value: value.raw,
    Format.BASE64: lambda _key, value: value.base64.encode(),
    Format.HEX: lambda _key, value: value.hex.encode(),
    Format.PEM: lambda _key, value: value.pem.encode(),
    Format.JSON: _json,
    Format.ENV: _env,
    Format.PROPERTIES: _properties,
}
