"""``python -m tests.bench.quorums``: what judging a quorum costs, for trees as large and as hard as a policy may have.

The ceiling is the flat tree of the same places, judged for the same votes: whoever judges must read those. CPU time, so
that the machine's other work does not count. Nothing asserts a time: read the worst, and how many times the ceiling.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from random import Random
from uuid import UUID

from policies.quorum import MAX_NESTED, MAX_PLACES, Member, MemberKind, Quorum, Vote, places, quorum_met

NOBODY = UUID(int=0)
ROLES = tuple(UUID(int=10 + number) for number in range(8))
PEOPLE = tuple(UUID(int=1000 + number) for number in range(200))
EACH = MAX_PLACES // MAX_NESTED

Draw = Callable[[Random], tuple[Quorum, list[Vote]]]


def _votes(random: Random, people: Iterable[UUID], percent: int) -> list[Vote]:
    return [
        Vote(MemberKind.USER, who, who, frozenset(role for role in ROLES if random.randrange(100) < percent))
        for who in people
    ]


def _role(random: Random) -> Member:
    return Member(MemberKind.ROLE, random.choice(ROLES))


def flat(random: Random) -> tuple[Quorum, list[Vote]]:
    members = tuple(_role(random) for _ in range(MAX_PLACES))
    return Quorum(random.randint(30, MAX_PLACES), members), _votes(random, PEOPLE, 10)


def of_roles(random: Random) -> tuple[Quorum, list[Vote]]:
    """Some of the nested quorums, among people who hold many different sets of roles."""
    nested = tuple(
        Quorum(random.randint(2, EACH), tuple(_role(random) for _ in range(EACH))) for _ in range(MAX_NESTED)
    )
    return Quorum(random.randint(3, MAX_NESTED - 2), nested), _votes(random, PEOPLE, random.choice([3, 10, 50]))


def of_few(random: Random) -> tuple[Quorum, list[Vote]]:
    """The same, with hardly enough people, so that most ways to choose come to nothing."""
    quorum, votes = of_roles(random)
    return quorum, votes[: random.randint(8, 40)]


def packed(random: Random) -> tuple[Quorum, list[Vote]]:
    """Most of a few people each, several times over, where the same people are wanted: packing sets."""
    people = PEOPLE[: random.randint(16, 48)]
    nested = tuple(
        Quorum(random.randint(2, EACH), tuple(Member(MemberKind.USER, who) for who in random.sample(people, EACH)))
        for _ in range(MAX_NESTED)
    )
    return Quorum(random.randint(3, MAX_NESTED - 2), nested), _votes(random, people, 0)


def deep(random: Random) -> tuple[Quorum, list[Vote]]:
    inner = [Quorum(random.randint(2, EACH), tuple(_role(random) for _ in range(EACH))) for _ in range(6)]
    middle = Quorum(2, (Quorum(2, tuple(inner[:3])), *inner[3:5], _role(random)))
    return Quorum(2, (middle, inner[5], _role(random))), _votes(random, PEOPLE[: random.randint(10, 60)], 15)


def _milliseconds(quorum: Quorum, votes: list[Vote]) -> tuple[float, bool]:
    started = time.process_time()
    met = quorum_met(quorum, NOBODY, votes)
    return (time.process_time() - started) * 1000, met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trees", type=int, default=500, help="of each kind (default: %(default)s)")
    options = parser.parse_args()
    draws: tuple[Draw, ...] = (flat, of_roles, of_few, packed, deep)
    print(f"{'':<10} {'met':>5} {'median ms':>10} {'worst ms':>9} {'x ceiling':>10} {'worst x':>8}")
    for draw in draws:
        random = Random(1)  # noqa: S311 - draws trees, hides nothing
        took, ratios, met = [], [], 0
        for _ in range(options.trees):
            quorum, votes = draw(random)
            ours, verdict = _milliseconds(quorum, votes)
            every = tuple(places(quorum))
            ceiling, _ = _milliseconds(Quorum(len(every) // 2, every), votes)
            took.append(ours)
            ratios.append(ours / max(ceiling, 0.01))
            met += verdict
        figures = f"{statistics.median(took):>10.1f} {max(took):>9.1f} {statistics.median(ratios):>10.1f}"
        print(f"{draw.__name__:<10} {met / options.trees:>5.0%} {figures} {max(ratios):>8.1f}", flush=True)


if __name__ == "__main__":
    main()
