"""Reading of NIST's response files and the RFCs' in the same form, as ``cryptography_vectors`` ships them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files

import cryptography_vectors


@dataclass
class Vector:
    """``section`` holds what stands in brackets before it (``Keylen = 128`` and bare words as ``ENCRYPT``)."""

    section: dict[str, str]
    fields: dict[str, str] = field(default_factory=dict)

    def raw(self, name: str) -> bytes:
        text = self.fields[name]
        return bytes.fromhex(text if len(text) % 2 == 0 else "0" + text)

    def number(self, name: str) -> int:
        return int(self.fields[name], 16)


def vectors(path: str) -> Iterator[Vector]:
    """Blocks between empty lines. A block without ``=`` in brackets continues the section (RSA's modulus stands so)."""
    text = files(cryptography_vectors).joinpath(path).read_text()
    section: dict[str, str] = {}
    fresh = True
    for block in text.replace("\r", "").split("\n\n"):
        fields: dict[str, str] = {}
        for line in block.splitlines():
            if line.startswith("["):
                if fresh:
                    section, fresh = {}, False
                name, _, value = line.strip("[] ").partition("=")
                section[name.strip()] = value.strip()
            elif line and not line.startswith("#"):
                name, _, value = line.partition("=")
                fields[name.strip()] = value.strip()
        if fields:
            fresh = True
            yield Vector(dict(section), fields)


def records(path: str) -> Iterator[Vector]:
    """Of files whose vectors follow one another without empty lines: each begins with its ``count``."""
    for text in files(cryptography_vectors).joinpath(path).read_text().split("count = ")[1:]:
        pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
        yield Vector({}, {name.strip(): value.strip() for name, _, value in pairs})


def sample(found: Iterator[Vector], each: int, *distinct: str) -> Iterator[Vector]:
    """The first ``each`` vectors of every section, and within it of every value of the ``distinct`` fields."""
    seen: dict[tuple[object, ...], int] = {}
    for vector in found:
        key = (*sorted(vector.section.items()), *(name in vector.fields for name in distinct))
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= each:
            yield vector
