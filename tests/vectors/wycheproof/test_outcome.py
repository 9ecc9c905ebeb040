"""The judge itself: what it lets pass, and that nothing else does. No server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vectors.acceptable import ACCEPT, REFUSE, RULES, Rule, every, flagged
from tests.vectors.tally import Tally
from tests.vectors.wycheproof.archive import Vector
from tests.vectors.wycheproof.outcome import Outcome, expectation, judged, sampled


def vector(result: str, number: int = 1, *flags: str, file: str = "none", **group: Any) -> Vector:
    return Vector(file, group, {"tcId": number, "result": result, "flags": list(flags), "comment": ""})


@pytest.mark.parametrize(("result", "accepted", "column"), [("valid", True, "valid"), ("invalid", False, "invalid")])
def test_what_is_published_is_what_must_happen(result: str, accepted: bool, column: str) -> None:
    assert judged([Outcome(vector(result), accepted)]) == ({column: 1}, [])
    counts, surprises = judged([Outcome(vector(result), not accepted, "why")])
    assert (counts.total(), len(surprises)) == (0, 1)


def test_an_acceptable_vector_without_a_line_is_a_surprise_either_way() -> None:
    for accepted in (True, False):
        counts, surprises = judged([Outcome(vector("acceptable"), accepted)])
        assert counts.total() == 0
        assert "not in tests/vectors/acceptable.py" in surprises[0]


def test_a_wrong_result_is_a_surprise_whatever_was_expected() -> None:
    for result in ("valid", "invalid"):
        counts, surprises = judged([Outcome(vector(result), True, wrong="another plaintext")])
        assert counts.total() == 0
        assert "another plaintext" in surprises[0]


def test_a_refusal_on_purpose_must_be_for_its_reason() -> None:
    """An HMAC key that is too short is the example, because its line names what the refusal says."""
    short = vector("valid", file="hmac_sha256", keySize=64, tagSize=256)
    assert judged([Outcome(short, False, "an HMAC key has 112 to 8192 bits")]) == ({"on purpose": 1}, [])
    for outcome in (Outcome(short, True), Outcome(short, False, "no such key")):
        counts, surprises = judged([outcome])
        assert (counts.total(), len(surprises)) == (0, 1)


def test_a_direction_that_alone_works_must_be_in_the_table() -> None:
    counts, surprises = judged([Outcome(vector("valid"), False, half="only decrypted")])
    assert (counts.total(), len(surprises)) == (0, 1)
    short_iv = vector("valid", file="aes_gcm", ivSize=32)
    outcome = Outcome(short_iv, False, "an IV to encrypt under has at least 8 bytes", half="only decrypted")
    assert judged([outcome]) == ({"on purpose": 1}, [])


def test_no_line_speaks_of_invalid_vectors_unless_it_says_so() -> None:
    """Nor does one that says so speak of others."""
    plain, of_invalid = Rule("none", every, ACCEPT, "any"), Rule("none", every, ACCEPT, "any", invalid=True)
    assert expectation(vector("invalid"), [plain]).accept is False
    assert expectation(vector("invalid"), [of_invalid]).accept is True
    assert expectation(vector("valid"), [Rule("none", every, REFUSE, "any", invalid=True)]).accept is True


def test_the_first_line_that_fits_decides() -> None:
    rules = [Rule("none", flagged("A"), REFUSE, "first"), Rule("none", every, ACCEPT, "second")]
    assert expectation(vector("acceptable", 1, "A"), rules).accept is False
    assert expectation(vector("acceptable", 1, "B"), rules).accept is True


def test_every_line_has_a_reason() -> None:
    assert all(len(rule.reason) > 10 for rule in RULES)


def test_a_sample_has_every_kind_before_it_has_one_twice() -> None:
    found = [vector("valid", number) for number in range(5)]
    found += [vector("invalid", 5, "A"), vector("invalid", 6, "B"), vector("invalid", 7, "B")]
    assert [chosen.number for chosen in sampled(found, 3)] == [0, 5, 6]
    assert [chosen.number for chosen in sampled(found, 5)] == [0, 1, 5, 6, 7]
    assert sampled(found, 100) == found


def test_the_table_adds_up() -> None:
    tally = Tally()
    tally.add("lean", "one", "a", {"valid": 2, "invalid": 1})
    tally.add("lean", "one", "b", {"decided": 1})
    tally.add("lean", "two", "c", {"on purpose": 4})
    tally.add("corridor", "two", "c", {"valid": 7})
    rows = [line.split() for line in tally.lines()]
    assert ["lean", "one", "2", "4", "2", "1", "1", "0"] in rows
    assert ["lean", "TOTAL", "3", "8", "2", "1", "1", "4"] in rows
    assert rows[-1] == ["corridor", "TOTAL", "1", "7", "7", "0", "0", "0"]
