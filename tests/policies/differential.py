"""``python -m tests.policies.differential``: a million random requests, judged by the real judge and by the slow one.

`make model` runs it; the test suite judges a sample. It prints how often each outcome came up, so that one sees what
was compared. At the first disagreement it prints the request and fails.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from multiprocessing import get_context
from random import Random
from typing import TypeVar, cast
from uuid import UUID

from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from accounts.second_factor import Lack
from policies.decision import AccessRequest, Facts, Forbid, StepUp, Target, decide
from policies.demands import Demand, Demands
from policies.permissions import CATALOGUE, Permission, Scope
from policies.quorum import Approved, Guard, Member, MemberKind, Quorum, Vote
from tests.policies.decision_oracle import Verdict, judged_in_sets, message_of, verdict_of
from tests.policies.quorum_oracle import APPS, OWNERS, ROLES, STRANGER, USERS
from tests.policies.strategies import ACCOUNTS, GROUPS, NOW, PERMISSIONS

T = TypeVar("T")
CHUNK = 5_000
POOL = 150

HERE, ELSEWHERE = ACCOUNTS[:2]
# Few, so that what is held, guarded and asked for is often the same: of each scope, of each kind of sensitivity.
USUAL = (
    Permission.OBJECT_ENCRYPT,
    Permission.OBJECT_DELETE,
    Permission.OBJECT_EXPORT,
    Permission.OBJECT_GET,
    Permission.GROUP_UPDATE,
    Permission.APP_SECRET_READ,
    Permission.ACCOUNT_UPDATE,
    Permission.AUTHENTICATION_MANAGE,
)
UNKNOWN = cast("Permission", "object.teleport")
# Of a scope of its own kind each: to be asked for now and then, whatever the usual ones are.
OF_SCOPE = tuple(tuple(p for p in PERMISSIONS if CATALOGUE[p].scope is scope) for scope in Scope)


class Draw:
    """Requests and facts from a seed. What is dear to make is made once for each seed and used again."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - draws requests, hides nothing
        self.held = [self._held() for _ in range(POOL)]
        self.quorums = [self._quorum(depth=2) for _ in range(POOL)]
        self.ballots = [frozenset(self._votes()) for _ in range(POOL)]
        self.guards = [self._guard() for _ in range(POOL)]

    def case(self) -> tuple[AccessRequest, Facts]:
        groups = tuple(self.random.sample(GROUPS[:4], self.random.choice([0, 1, 1, 2, 3])))
        target = Target(
            "object",
            UUID(int=7),
            self.random.choice([HERE] * 9 + [ELSEWHERE, None]),
            groups,
            self.random.choice([None, Permission.OBJECT_GET, Permission.GROUP_GET]),
            self._forbids(),
            tuple(self.random.sample(self.guards, self.random.choice([0, 0, 1, 2]))),
        )
        return AccessRequest(self._principal(), self._permission(), target, NOW, self._approved()), self._facts()

    def _chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def _one(self, several: Sequence[T]) -> T:
        return self.random.choice(several)

    def _permission(self) -> Permission:
        if self._chance(70):
            return self._one(USUAL)
        return UNKNOWN if self._chance(2) else self._one(self._one(OF_SCOPE))

    def _principal(self) -> Principal:
        return Principal(
            self._one(
                [PrincipalKind.USER] * 6 + [PrincipalKind.APP] * 6 + [PrincipalKind.SYSTEM, PrincipalKind.ANONYMOUS]
            ),
            UUID(int=101),
            self._one([HERE] * 12 + [ELSEWHERE, None]),
            self._one(tuple(AuthenticationMethod)),
            expires_at=self._one([None] * 6 + [self._moment(), NOW]),
            provider=None if self._chance(70) else ELSEWHERE,
        )

    def _moment(self) -> datetime:
        return NOW + timedelta(seconds=self.random.randint(-3600, 7200), microseconds=self._one([-1, 0, 1]))

    def _facts(self) -> Facts:
        groups = self.random.sample(GROUPS[:4], self.random.randrange(5))
        return Facts(
            self._one(self.held) if self._chance(80) else frozenset(),
            self._one(self.held) if self._chance(40) else frozenset(),
            {group: self._one(self.held) for group in groups},
            self._forbids(),
            self._one([None] * 12 + list(Lack)),
            self._step_up(),
            self._demands(),
        )

    def _held(self) -> frozenset[Permission]:
        percent = self._one([20, 60, 95])
        return frozenset(permission for permission in (*PERMISSIONS, UNKNOWN) if self._chance(percent))

    def _forbids(self) -> tuple[Forbid, ...]:
        number = self._one([0] * 12 + [1, 2])
        return tuple(Forbid(self._one(["disabled", "deactivated"]), self._one(["one", "two"])) for _ in range(number))

    def _step_up(self) -> StepUp | None:
        if self._chance(60):
            return None
        seconds = self.random.randrange(7200)
        exactly = NOW - timedelta(seconds=seconds)
        return StepUp(seconds, self._one([None, NOW, exactly, exactly - timedelta(microseconds=1), self._moment()]))

    def _demands(self) -> Demands:
        guarded = self.random.sample(GROUPS[:4], self._one([0, 0, 1, 2]))
        of_account = self._one(self.guards) if self._chance(25) else None
        return Demands(Demand(of_account), {group: Demand(self._one([None, *self.guards])) for group in guarded})

    def _guard(self) -> Guard:
        guarded = self.random.sample(USUAL, self.random.randint(1, len(USUAL)))
        return Guard(UUID(int=401 + self.random.randrange(9)), self._one(self.quorums), frozenset(guarded))

    def _approved(self) -> Approved | None:
        if self._chance(50):
            return None
        return Approved(UUID(int=501), self._one([STRANGER, STRANGER, *USERS, APPS[-1]]), self._one(self.ballots))

    def _quorum(self, depth: int) -> Quorum:
        members = tuple(self._member(depth) for _ in range(self._one([0, 1, 2, 2, 3, 3, 4])))
        return Quorum(self._one([1, 1, 1, 2, 2, 3, 0, -1]), members, self._chance(15), self._chance(15))

    def _member(self, depth: int) -> Member | Quorum:
        if depth and self._chance(30):
            return self._quorum(depth - 1)
        kind = self._one([MemberKind.USER, MemberKind.USER, MemberKind.APP, MemberKind.ROLE, MemberKind.ROLE])
        return Member(kind, self._one({MemberKind.USER: USERS, MemberKind.APP: APPS, MemberKind.ROLE: ROLES}[kind]))

    def _votes(self) -> Iterator[Vote]:
        for user in self.random.sample(USERS, self.random.randrange(len(USERS) + 1)):
            roles = frozenset(self.random.sample(ROLES, self.random.randrange(3)))
            yield Vote(MemberKind.USER, user, user, roles, self._chance(70), self._chance(70))
        for app in self.random.sample(APPS, self.random.randrange(3)):
            yield Vote(MemberKind.APP, app, OWNERS[app], password=self._chance(70), second_factor=self._chance(70))


class Disagreement(AssertionError):
    """The two judges said different things."""


def compare(seed: int, requests: int) -> Counter[tuple[str, str]]:
    """Judge that many requests twice; how often each kind of outcome came up, with its reason."""
    draw, outcomes = Draw(seed), Counter[tuple[str, str]]()
    for _ in range(requests):
        request, facts = draw.case()
        decision = decide(request, facts)
        slow, message = judged_in_sets(request, facts)
        if verdict_of(decision) != slow or message not in ("", message_of(decision)):
            told = f"{request}\n{_of(request, facts)}\ndecide: {decision}\nin sets: {slow} {message}"
            raise Disagreement(f"of seed {seed}, request {outcomes.total()}\n{told}")
        outcomes[_kind(slow)] += 1
    return outcomes


def _of(request: AccessRequest, facts: Facts) -> Facts:
    """The facts without the permissions that were not asked for: they would fill pages."""
    asked = {request.permission, request.target.see}
    groups = {group: held & asked for group, held in facts.groups.items()}
    return replace(facts, account=facts.account & asked, all_groups=facts.all_groups & asked, groups=groups)


def _kind(verdict: Verdict) -> tuple[str, str]:
    return verdict[0], verdict[1]


def _chunk(job: tuple[int, int]) -> Counter[tuple[str, str]]:
    return compare(*job)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument(
        "--seed", type=int, default=time.time_ns(), help="of the first chunk; the time if none is given"
    )
    options = parser.parse_args()
    started, outcomes = time.monotonic(), Counter[tuple[str, str]]()
    jobs = [(options.seed + number, CHUNK) for number in range(-(-options.requests // CHUNK))]
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        try:
            for counted in pool.imap_unordered(_chunk, jobs):
                outcomes.update(counted)
        except Disagreement as disagreement:
            print(f"The two judges disagree {disagreement}", file=sys.stderr)
            return 1
    for (kind, reason), number in sorted(outcomes.items()):
        print(f"  {kind:15} {reason:32} {number:9,}")
    seconds = time.monotonic() - started
    print(f"{outcomes.total():,} decisions, the same by both judges, from seed {options.seed}, in {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
