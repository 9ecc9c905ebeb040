"""XML from strangers: one encoding, no document type, bounded. It must not know SAML, rows or rights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

MAX_DEPTH, MAX_ELEMENTS = 48, 4000
_DECLARATION = re.compile(r"\A\s*<\?xml\s[^>]*?\?>\s*")
_OTHER_ENCODING = re.compile(r"encoding\s*=\s*[\"'](?!utf-8[\"'])", re.IGNORECASE)
# Without zone or in a zone means UTC in SAML (core §1.3.3), so one spelling is enough.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


class DocumentRejected(Exception):
    """Not a document that is read here. The message quotes nothing of it."""


def parse(content: bytes) -> tuple[str, Element]:
    """The text without its declaration, which any parser reads alike, and its root.

    Declared types bring entities, and entities bombs and files of this machine; instructions have no use.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise DocumentRejected("The XML is not UTF-8") from None
    text = text.removeprefix("\ufeff")
    declaration = _DECLARATION.match(text)
    if declaration is not None:
        if _OTHER_ENCODING.search(declaration[0]):
            raise DocumentRejected("The XML is not UTF-8")
        text = text[declaration.end() :]
    if "<!DOCTYPE" in text or "<!ENTITY" in text or "<?" in text:
        raise DocumentRejected("The XML has a document type or processing instructions, which are not read")
    try:
        root: Element = defusedxml.ElementTree.fromstring(text, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        raise DocumentRejected("The XML is not well-formed") from None
    _measure(root)
    return text, root


def _measure(root: Element) -> None:
    waiting, seen = [(root, 1)], 0
    while waiting:
        element, depth = waiting.pop()
        seen += 1
        if depth > MAX_DEPTH or seen > MAX_ELEMENTS:
            raise DocumentRejected("The XML is too deep or has too many elements")
        waiting.extend((child, depth + 1) for child in element)


def text_of(element: Element) -> str:
    """The whole text, as if comments were not there (CVE-2018-0489 took what came before one)."""
    if len(element):
        raise DocumentRejected("An element that holds text holds elements")
    return "".join(element.itertext()).strip()


def time_of(text: str) -> datetime:
    if not _TIME.fullmatch(text):
        raise DocumentRejected("A time is not in UTC as SAML spells it")
    try:
        return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        raise DocumentRejected("A time does not exist") from None


def children(element: Element, tag: str) -> Iterator[Element]:
    return (child for child in element if child.tag == tag)


def only(element: Element, tag: str) -> Element:
    """The one child of that name."""
    found = list(children(element, tag))
    if len(found) != 1:
        raise DocumentRejected(f"There is not exactly one {tag.rpartition('}')[2]}")
    return found[0]
