"""What became of a vector, and what should have. Pure: no server, no file.

A vector is expected to be accepted or refused: by its own verdict, or by the one table of decisions
(``tests/vectors/acceptable.py``) where the verdict leaves it open or where we refuse on purpose what would be valid.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.vectors.acceptable import RULES, Rule
from tests.vectors.wycheproof.archive import Vector

_SAMPLED_BITS = 4096


@dataclass(frozen=True)
class Outcome:
    """``wrong`` is set when the server accepted and its result is not the published one: no rule excuses that.

    ``half`` names the direction that alone works, and must be the rule's.
    """

    vector: Vector
    accepted: bool
    detail: str = ""
    wrong: str = ""
    half: str = ""


def refused(vector: Vector, detail: str) -> Outcome:
    return Outcome(vector, False, detail)


def accepted(vector: Vector) -> Outcome:
    return Outcome(vector, True)


def compared(vector: Vector, what: str, *, got: bytes, published: bytes) -> Outcome:
    return Outcome(vector, True, wrong="" if got == published else f"{what} is not the published one")


@dataclass(frozen=True)
class Expectation:
    accept: bool
    # How the table of `make vectors` counts it: valid, invalid, decided, on purpose.
    column: str
    rule: Rule | None = None


class Undecided(Exception):
    """An acceptable vector that no line of the table speaks of."""


def expectation(vector: Vector, rules: Sequence[Rule] = RULES) -> Expectation:
    rule = next((rule for rule in rules if rule.speaks_of(vector)), None)
    if vector.result == "invalid":
        return Expectation(False, "invalid") if rule is None else Expectation(rule.accept, "decided", rule)
    if vector.result == "acceptable":
        if rule is None:
            raise Undecided(f"{vector}: not in tests/vectors/acceptable.py")
        return Expectation(rule.accept, "decided", rule)
    return Expectation(True, "valid") if rule is None else Expectation(rule.accept, "on purpose", rule)


def judged(outcomes: Iterable[Outcome]) -> tuple[Counter[str], list[str]]:
    """How many vectors ended as they should, by column, and a sentence for each that did not."""
    counts: Counter[str] = Counter()
    surprises: list[str] = []
    for outcome in outcomes:
        try:
            expected = expectation(outcome.vector)
        except Undecided as undecided:
            surprises.append(f"{undecided}; it was {_ending(outcome)}")
            continue
        surprise = _surprise(outcome, expected)
        if surprise:
            surprises.append(f"{outcome.vector}: {surprise}")
        else:
            counts[expected.column] += 1
    return counts, surprises


def _surprise(outcome: Outcome, expected: Expectation) -> str:
    if outcome.wrong:
        return outcome.wrong
    rule = expected.rule
    if outcome.accepted is not expected.accept:
        return _ending(outcome) + (f", against the table: {rule.reason}" if rule else "")
    if outcome.half != (rule.half if rule else ""):
        return f"{outcome.half or 'neither direction'}: {outcome.detail}"
    if rule and not outcome.accepted and not re.search(rule.says, outcome.detail):
        return f"{_ending(outcome)}, and not for the table's reason: {rule.reason}"
    return ""


def _ending(outcome: Outcome) -> str:
    return "accepted" if outcome.accepted else f"refused ({outcome.detail})"


def sampled(vectors: Sequence[Vector], size: int) -> list[Vector]:
    """At most ``size`` of a file, always the same: the first of every kind, then the second of every kind, and so on.

    Of one kind are vectors with the same verdict, flags, and sizes of key, IV and tag. Keys above 4096 bits are left to
    the whole run: to import one takes seconds.
    """
    kinds: dict[tuple[object, ...], int] = {}
    ranked: list[tuple[int, int]] = []
    for position, vector in enumerate(vectors):
        if vector.group.get("keySize", 0) > _SAMPLED_BITS:
            continue
        kind = (vector.result, vector.flags, *(vector.group.get(name) for name in ("keySize", "ivSize", "tagSize")))
        kinds[kind] = kinds.get(kind, -1) + 1
        ranked.append((kinds[kind], position))
    return [vectors[position] for _, position in sorted(sorted(ranked)[:size], key=lambda pair: pair[1])]
