"""Project Wycheproof's files: archives of minified JSON, and how each file looked when it was published.

Reading only. ``tests/vectors/pack.py`` makes the archive; ``data/SOURCES.md`` says where from, and what is left out.
"""

from __future__ import annotations

import functools
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

DATA = Path(__file__).parent.parent / "data"
ARCHIVE = DATA / "wycheproof.tar.xz"
# Tokens are not tried at the REST edge's crypto routes, so they stand apart.
TOKENS = DATA / "tokens.tar.xz"
ARCHIVES = (ARCHIVE, TOKENS)
SOURCES = DATA / "SOURCES.md"
SUFFIX = "_test.json"
_NUMBERS = re.compile(rb"\[\s*((?:-?\d+,\s*)*-?\d+)\s*\]")


@dataclass(frozen=True)
class Vector:
    """One published test with the group it stands in. ``fields`` and ``group`` keep Wycheproof's names."""

    file: str
    group: dict[str, Any]
    fields: dict[str, Any]

    @property
    def number(self) -> int:
        return int(self.fields["tcId"])

    @property
    def result(self) -> str:
        """``valid``, ``invalid`` or ``acceptable``."""
        return str(self.fields["result"])

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(self.fields.get("flags", ()))

    def raw(self, name: str) -> bytes:
        return bytes.fromhex(self.fields[name])

    def __str__(self) -> str:
        comment = self.fields.get("comment", "")
        return f"{self.file} tcId {self.number} ({self.result}: {comment}; {', '.join(self.flags)})"


@functools.cache
def members(path: Path = ARCHIVE) -> dict[str, bytes]:
    """Minified JSON by file name without ``_test.json``."""
    with tarfile.open(path, "r:xz") as archive:
        found = {member.name: archive.extractfile(member) for member in archive}
        return {name.removesuffix(SUFFIX): file.read() for name, file in found.items() if file is not None}


@functools.lru_cache(maxsize=4)
def vectors(file: str, path: Path = ARCHIVE) -> tuple[Vector, ...]:
    """Every vector of a file, in the published order."""
    groups = msgspec.json.decode(members(path)[file])["testGroups"]
    return tuple(Vector(file, group, fields) for group in groups for fields in group["tests"])


def minified(published: bytes) -> bytes:
    """White space apart, nothing changes: no number, no escape, no order."""
    return msgspec.json.format(published, indent=-1)


def published(member: bytes) -> bytes:
    """The bytes that were minified: two spaces a level, lists of numbers on one line, a newline at the end."""
    spread = msgspec.json.format(member, indent=2) + b"\n"
    return _NUMBERS.sub(lambda found: b"[" + re.sub(rb",\s+", b", ", found[1]) + b"]", spread)
