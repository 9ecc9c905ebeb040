"""The archive is what was published, and nothing in it is left untried."""

from __future__ import annotations

import hashlib
import re
from collections import Counter

import pytest

from tests.vectors.acceptable import RULES
from tests.vectors.wycheproof import archive
from tests.vectors.wycheproof.archive import ARCHIVES, SOURCES, SUFFIX
from tests.vectors.wycheproof.families import FAMILIES
from tests.vectors.wycheproof.outcome import expectation


def listed(pattern: str) -> dict[str, str]:
    return dict(re.findall(pattern, SOURCES.read_text(), re.M))


def test_the_archives_are_those_that_are_listed() -> None:
    named = listed(r"^\| `(\S+\.tar\.xz)` \| \d+ \| `([0-9a-f]{64})` \|$")
    assert named == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in ARCHIVES}


def test_every_file_is_the_published_one() -> None:
    """The digests are those of the files in the crates: the archive lacks white space, and that can be put back."""
    named = listed(rf"^\| `(\S+){re.escape(SUFFIX)}` \| `([0-9a-f]{{64}})` \|$")
    members = [each for path in ARCHIVES for each in archive.members(path).items()]
    found = {name: hashlib.sha256(archive.published(member)).hexdigest() for name, member in members}
    assert found == named


@pytest.mark.parametrize("change", [(b'"valid"', b'"invalid"'), (b"0", b"1")])
def test_a_changed_vector_does_not_pass_for_a_published_one(change: tuple[bytes, bytes]) -> None:
    member = archive.members()["aes_gcm"]
    edited = member.replace(*change, 1)
    assert edited != member
    assert archive.published(edited) != archive.published(member)


def test_every_file_belongs_to_one_family() -> None:
    owners = {name: [family.name for family in FAMILIES if family.owns(name)] for name in archive.members()}
    assert {name: found for name, found in owners.items() if len(found) != 1} == {}


def test_every_line_of_the_table_decides_something() -> None:
    decided = Counter(expectation(vector).rule for file in archive.members() for vector in archive.vectors(file))
    assert [rule for rule in RULES if rule not in decided] == []
