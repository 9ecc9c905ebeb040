"""Bytes as people write them: text, base64, hexadecimal. What is none of these is said so. Pure."""

from __future__ import annotations

import base64
import binascii
import re

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

ENCODINGS = (
    ("text", gettext_lazy("Text")),
    ("base64", "Base64"),
    ("hex", gettext_lazy("Hexadecimal")),
)
_SPACE = re.compile(r"\s+")


class Undecodable(ValueError):
    """The message is for the person who typed it, and never has what was typed in it."""


def decoded(text: str, encoding: str) -> bytes:
    if encoding == "text":
        return text.encode()
    bare = _SPACE.sub("", text)
    return _of_hex(bare) if encoding == "hex" else _of_base64(bare)


def _of_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text.replace(":", ""))
    except ValueError:
        raise Undecodable(_("This is not hexadecimal: two characters of 0 to 9 and a to f for each byte.")) from None


def _of_base64(text: str) -> bytes:
    """Of either alphabet, with or without padding."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Undecodable(_("This is not base64: letters, digits, + and /, with = at the end.")) from None


def on_wire(value: bytes) -> str:
    """As JSON carries it."""
    return base64.b64encode(value).decode()


def shown(value: str) -> dict[str, str]:
    """The API's base64 in every way in which it can be read; text only where it is readable text."""
    raw = base64.b64decode(value)
    found = {"base64": value, "hex": raw.hex()}
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return found
    readable = all(character.isprintable() or character in "\r\n\t" for character in text)
    return {"text": text, **found} if readable and text else found
