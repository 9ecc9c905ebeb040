"""Any sequence of what happens to requests for approval, against a plain model; and everybody at once, in threads.

The model knows no transaction, no lock and no digest: who has said yes, who counts, and what that leads to.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from accounts.models import App, GroupMembership, Membership
from kms.audit.models import AuditRecord
from kms.hsm.errors import BlobRejected
from kms.operations import approving
from kms.operations.approvals import DeleteApproval, DenyApproval
from kms.operations.command import Call, ObjectRef
from kms.operations.errors import AccessDenied, Conflict, InvalidRequest, NotFound, TooBusy
from kms.operations.executor import execute, execute_approved
from kms.operations.keeper import Keeper
from kms.operations.updating import UpdateObject
from policies.models import AccountPolicy, Approval, ApprovalRequest, GroupPolicy
from policies.permissions import Permission
from policies.stored import stored_tree
from tests.kit.approvals import Panel, deletion, expire, form, give, new_panel, row
from tests.kit.quorums import users
from tests.kit.tenants import Tenant, new_tenant
from tests.kit.threads import at_once

EXAMPLES = int(os.environ.get("APPROVAL_EXAMPLES", "8"))
STEPS, MANY = 40, 6
GUARDED = [Permission.OBJECT_ENCRYPT.value, Permission.OBJECT_DELETE.value]
# The requester who is one of the reviewers too, and the one whom the account asks as well when it asks.
ANN, CHIEF, REVIEWERS = 0, 4, 5
# What a reviewer may be told instead of being listened to.
NO = (AccessDenied, NotFound, Conflict, BlobRejected)
# Some more often than others.
DEEDS = (
    *("ask", "ask", "ask"),
    *("vote",) * 10,
    *("vote, and the server dies", "vote, and the server dies in the middle of it"),
    *("all vote, and the server dies", "all vote, and the server dies"),
    *("something changes between the last vote and the call",) * 8,
    *("deny", "take back", "edit", "expire", "touch"),
    *("disable", "enable", "enable", "lose the role", "gain the role", "gain the role"),
    *("group policy", "group policy", "account policy"),
    *("disable the app", "enable the app"),
    *("keeper",) * 4,
)
numbers = st.integers(0, 59)


class Died(BaseException):
    """What a killed process does not catch."""


@contextmanager
def dying_at(place: Any, name: str) -> Iterator[None]:
    """The process is gone when it gets there."""

    def die(*_: Any, **__: Any) -> None:
        raise Died

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(place, name, die)
        yield


@dataclass
class Asked:
    """A request as the model sees it. ``policies`` are whose quorums it is shown to: "group", "account"."""

    id: UUID
    key: int
    by: int | None  # a reviewer's number; None: the app
    deletes: bool
    version: int
    policies: set[str]
    status: str = "pending"
    votes: set[int] = field(default_factory=set)
    due: bool = False
    edited: bool = False
    expired: bool = False
    done: int = 0

    @property
    def pending(self) -> bool:
        return self.status == "pending"


@dataclass
class Key:
    ref: ObjectRef
    version: int = 0
    alive: bool = True


class Approvals(RuleBasedStateMachine):
    """``tenant`` is set by the test; each life has a group, keys and people of its own in it."""

    tenant: Tenant

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asked] = []
        self.enabled = [True] * REVIEWERS
        self.reviews = [True] * REVIEWERS
        self.app_enabled = True
        self.group_policy: tuple[int, frozenset[int]] | None = (2, frozenset({0, 1, 2}))
        self.account_policy = False

    @initialize()
    def begin(self) -> None:
        self.group = self.tenant.new_group()
        self.app = self.tenant.new_app(group=self.group)
        self.people = [self.tenant.member("member") for _ in range(REVIEWERS)]
        GroupMembership.objects.create(user_id=self.people[ANN].id, group=self.group, role="administrator")
        self.keys = [Key(self._new_key()) for _ in range(2)]
        GroupPolicy.objects.create(group=self.group, account=self.tenant.account, guarded=GUARDED)
        AccountPolicy.objects.update_or_create(account=self.tenant.account, defaults={"guarded": GUARDED})
        self._write_policies()

    def _new_key(self) -> ObjectRef:
        return self.tenant.key(group=self.group, operations=["encrypt", "decrypt"])

    @rule(deed=st.sampled_from(DEEDS), number=numbers, choice=numbers)
    def live(self, deed: str, number: int, choice: int) -> None:
        """One rule for all deeds, because Hypothesis switches rules off for a whole run."""
        person = choice % REVIEWERS
        if deed == "ask" or not [each for each in self.asked if each.pending]:
            self.ask(number % 2, by=ANN if choice % 3 == 0 else None, deletes=choice % 3 == 0 or choice % 4 == 0)
        if deed in _TO_A_REQUEST and self.asked:
            one = self._one(number)
            _TO_A_REQUEST[deed](self, one, self._somebody(one, choice) if deed.startswith("vote") else person)
        elif deed in _TO_A_PERSON:
            _TO_A_PERSON[deed](self, person)
        elif deed == "group policy":
            self.change_group_policy(number, choice)
        elif deed == "something changes between the last vote and the call":
            self.change_between(self._one(number) if self.asked else None, number, choice)
        elif deed in _TO_ALL:
            _TO_ALL[deed](self)

    def _one(self, number: int) -> Asked:
        """Mostly one that something can still come of."""
        waiting = [each for each in self.asked if each.pending and not each.expired and not each.edited]
        among = waiting if waiting and number % 6 else self.asked
        return among[number % len(among)]

    def _somebody(self, one: Asked, choice: int) -> int:
        """Mostly somebody who is listened to."""
        heard = [person for person in range(REVIEWERS) if self.is_heard(one, person)]
        return heard[choice % len(heard)] if heard and choice % 5 else choice % REVIEWERS

    # -- the model's judgement ---------------------------------------------------------------------------------------

    def quorums(self) -> dict[str, tuple[int, frozenset[int]]]:
        found = {} if self.group_policy is None else {"group": self.group_policy}
        return found | ({"account": (1, frozenset({CHIEF}))} if self.account_policy else {})

    def counts(self, person: int) -> bool:
        return self.enabled[person] and self.reviews[person]

    def met(self, one: Asked, quorum: tuple[int, frozenset[int]]) -> bool:
        needed, members = quorum
        return len([v for v in one.votes if v in members and v != one.by and self.counts(v)]) >= needed

    def may_ask(self, by: int | None) -> bool:
        return self.app_enabled if by is None else self.enabled[by]

    def is_reviewer(self, one: Asked, person: int) -> bool:
        asked = [members for name, (_, members) in self.quorums().items() if name in one.policies]
        return self.counts(person) and any(person in members for members in asked)

    def lacking(self, one: Asked) -> set[str]:
        return {name for name, quorum in self.quorums().items() if not self.met(one, quorum)}

    def fate(self, one: Asked) -> str:
        """What comes of it now, if somebody is there to do it."""
        if not (one.pending and one.due):
            return "nothing"
        stale = one.version != self.keys[one.key].version
        if one.edited or one.expired or stale or not self.may_ask(one.by):
            return "failed"
        return "waits" if self.lacking(one) else "approved"

    def carried_out(self, one: Asked) -> None:
        fate = self.fate(one)
        if fate == "nothing":
            return
        one.due = False
        if fate == "waits":
            one.policies |= self.lacking(one)
            return
        one.status, one.done = fate, one.done + (fate == "approved")
        if fate == "approved" and one.deletes:
            key = self.keys[one.key]
            key.version, key.alive = key.version + 1, False

    def is_heard(self, one: Asked, person: int) -> bool:
        intact = one.pending and not one.expired and not one.edited
        return intact and self.is_reviewer(one, person) and person != one.by and person not in one.votes

    def heard(self, one: Asked, person: int) -> None:
        """The vote is committed."""
        one.votes.add(person)
        asked = [quorum for name, quorum in self.quorums().items() if name in one.policies]
        one.due = one.due or all(self.met(one, quorum) for quorum in asked)

    # -- what happens ------------------------------------------------------------------------------------------------

    def ask(self, key: int, *, by: int | None, deletes: bool) -> None:
        if len([each for each in self.asked if each.pending]) >= MANY:
            return
        if not self.keys[key].alive:
            self._write_policies(none=True)
            self.keys[key] = Key(self._new_key(), self.keys[key].version + 1)
            self._write_policies()
        at, who = self.keys[key], self.app if by is None else self.people[by]
        body = {"alg": "AES", "mode": "CBC", "plain": "c2l4dGVlbiBieXRlcyBvaw=="}
        wanted = deletion(at.ref) if deletes else form("POST", f"/crypto/v1/keys/{at.ref.id}/encrypt", body)
        panel = Panel(self.tenant, at.ref, self.people)
        if not self.may_ask(by):
            with pytest.raises((AccessDenied, NotFound)):
                panel.ask(wanted, by=who)
        elif not self.quorums():
            with pytest.raises(InvalidRequest):
                panel.ask(wanted, by=who)
        else:
            request = panel.ask(wanted, by=who)
            self.asked.append(Asked(request, key, by, deletes, at.version, set(self.quorums())))

    def vote(self, one: Asked, person: int) -> None:
        if not self.is_heard(one, person):
            with pytest.raises(NO):
                give(self.people[person], one.id)
            return
        self.heard(one, person)
        give(self.people[person], one.id)
        self.carried_out(one)

    def vote_and_die(self, one: Asked, person: int) -> None:
        """The vote is committed, and nothing came of it yet."""
        if self.is_heard(one, person):
            self.heard(one, person)
            with dying_at(approving, "carry_out"), pytest.raises(Died):
                give(self.people[person], one.id)

    def all_vote_and_die(self, one: Asked, _person: int) -> None:
        for person in range(REVIEWERS):
            self.vote_and_die(one, person)

    def change_between(self, one: Asked | None, number: int, choice: int) -> None:
        """What was voted on is found by the keeper, and something is not any more as it was."""
        if one is None:
            return
        self.all_vote_and_die(one, 0)
        voter = sorted(one.votes)[choice % len(one.votes)] if one.votes else 0
        changes: tuple[Callable[[], None], ...] = (
            lambda: self.disable(voter),
            lambda: self.lose_the_role(voter),
            lambda: self.change_group_policy(number, choice),
            self.change_account_policy,
            lambda: self.touch(one, voter),
            lambda: self.edit(one, voter),
            lambda: self.expire(one, voter),
            lambda: self.switch_the_app(on=False),
            lambda: None,
        )
        changes[(number + choice) % len(changes)]()
        self.keeper()

    def vote_and_die_in_the_middle(self, one: Asked, person: int) -> None:
        """The vote is committed. All else was done, and is undone: the process died before the end of it."""
        if not self.is_heard(one, person):
            return
        self.heard(one, person)
        with dying_at(approving._Once, "close"):
            if self.fate(one) == "approved":
                with pytest.raises(Died):
                    give(self.people[person], one.id)
            else:
                give(self.people[person], one.id)
                self.carried_out(one)

    def deny(self, one: Asked, person: int) -> None:
        if one.pending and not one.expired and self.is_reviewer(one, person):
            execute(self.people[person], DenyApproval(one.id))
            one.status, one.due = "denied", False
            return
        with pytest.raises(NO):
            execute(self.people[person], DenyApproval(one.id))

    def take_back(self, one: Asked, person: int) -> None:
        """By whoever asked, or tried by somebody else."""
        who = self.app if one.by is None else self.people[one.by]
        if person % 2 or one.status == "gone" or not self.may_ask(one.by):
            others = self.people[person if person != one.by else (person + 1) % REVIEWERS]
            with pytest.raises((AccessDenied, NotFound)):
                execute(others, DeleteApproval(one.id))
            return
        execute(who, DeleteApproval(one.id))
        one.status = "gone"

    def edit(self, one: Asked, _person: int) -> None:
        """By somebody who can write to the table."""
        ApprovalRequest.objects.filter(id=one.id).update(description="something else")
        one.edited = one.edited or one.status != "gone"

    def expire(self, one: Asked, _person: int) -> None:
        if one.pending and not one.edited and not one.expired:
            expire(one.id)
            one.expired = True

    def disable(self, person: int) -> None:
        self._change(person, enabled=False)

    def enable(self, person: int) -> None:
        self._change(person, enabled=True)

    def lose_the_role(self, person: int) -> None:
        self._change(person, role="")

    def gain_the_role(self, person: int) -> None:
        self._change(person, role="member")

    def _change(self, person: int, **fields: Any) -> None:
        Membership.objects.filter(user_id=self.people[person].id).update(**fields)
        self.enabled[person] = fields.get("enabled", self.enabled[person])
        self.reviews[person] = bool(fields.get("role", self.reviews[person]))

    def change_group_policy(self, number: int, choice: int) -> None:
        members = frozenset(p for p in range(CHIEF) if choice >> p & 1)
        self.group_policy = (1 + number % min(2, len(members)), members) if members else None
        self._write_policies()

    def change_account_policy(self) -> None:
        self.account_policy = not self.account_policy
        self._write_policies()

    def _write_policies(self, *, none: bool = False) -> None:
        asked = {} if none else self.quorums()
        trees = {name: stored_tree(users(n, [self.people[m].id for m in ms])) for name, (n, ms) in asked.items()}
        GroupPolicy.objects.filter(group=self.group).update(quorum=trees.get("group"))
        AccountPolicy.objects.filter(account=self.tenant.account).update(quorum=trees.get("account"))

    def switch_the_app(self, *, on: bool) -> None:
        App.objects.filter(id=self.app.id).update(enabled=on)
        self.app_enabled = on

    def touch(self, one: Asked, _person: int) -> None:
        """Somebody changes the key that it is about, which nothing guards."""
        key = self.keys[one.key]
        if key.alive:
            execute(self.tenant.alice, UpdateObject(key.ref, description=f"changed {key.version}"))
            key.version += 1

    def keeper(self) -> None:
        """In the order in which they became due; what acts on the same key meets there."""
        order = ApprovalRequest.objects.filter(due_at__isnull=False).order_by("due_at").values_list("id", flat=True)
        due = {each.id: each for each in self.asked}
        for request in list(order):
            if request in due:
                self.carried_out(due[request])
        Keeper().turn()
        for one in self.asked:
            one.status = "gone" if one.expired else one.status

    # -- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        ids = [each.id for each in self.asked]
        found = dict(ApprovalRequest.objects.filter(id__in=ids).values_list("id", "status"))
        assert {each.id: found.get(each.id, "gone") for each in self.asked} == {e.id: e.status for e in self.asked}
        due = set(ApprovalRequest.objects.filter(id__in=ids, due_at__isnull=False).values_list("id", flat=True))
        assert due == {each.id for each in self.asked if each.due and each.status != "gone"}

    @invariant()
    def each_was_done_as_often_as_the_model_says_which_is_once_at_most(self) -> None:
        done = times_done(self.tenant, {str(each.id) for each in self.asked})
        assert done == {str(each.id): each.done for each in self.asked if each.done}
        assert set(done.values()) <= {1}


_TO_A_REQUEST: dict[str, Callable[[Approvals, Asked, int], None]] = {
    "vote": Approvals.vote,
    "vote, and the server dies": Approvals.vote_and_die,
    "all vote, and the server dies": Approvals.all_vote_and_die,
    "vote, and the server dies in the middle of it": Approvals.vote_and_die_in_the_middle,
    "deny": Approvals.deny,
    "take back": Approvals.take_back,
    "edit": Approvals.edit,
    "expire": Approvals.expire,
    "touch": Approvals.touch,
}
_TO_A_PERSON: dict[str, Callable[[Approvals, int], None]] = {
    "disable": Approvals.disable,
    "enable": Approvals.enable,
    "lose the role": Approvals.lose_the_role,
    "gain the role": Approvals.gain_the_role,
}
_TO_ALL: dict[str, Callable[[Approvals], None]] = {
    "account policy": Approvals.change_account_policy,
    "disable the app": lambda self: self.switch_the_app(on=False),
    "enable the app": lambda self: self.switch_the_app(on=True),
    "keeper": Approvals.keeper,
}


def times_done(tenant: Tenant, requests: set[str]) -> dict[str, int]:
    """How often the record says that something was done for each of these requests."""
    done: dict[str, int] = {}
    actions = ("object.encrypt", "object.delete")
    rows = AuditRecord.objects.filter(account_id=tenant.account.id, action__in=actions, outcome="done")
    for details in rows.values_list("details", flat=True):
        approval = details.get("approval")
        if approval in requests:
            done[approval] = done.get(approval, 0) + 1
    return done


@pytest.mark.timeout(600)  # when it fails, Hypothesis takes minutes to find the shortest life that does
def test_any_life_of_requests_is_as_the_model_says(installation: None) -> None:
    Approvals.tenant = new_tenant()
    run_state_machine_as_test(
        Approvals,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


# -- everybody at once ---------------------------------------------------------------------------------------------

ROUNDS, VOTERS = 4, 4
BODY = {"alg": "AES", "mode": "CBC", "plain": "c2l4dGVlbiBieXRlcyBvaw=="}


class Storm:
    """A panel of five in which all happens at once. ``unmet`` are executions at whose end the quorum was not met."""

    def __init__(self) -> None:
        self.panel = new_panel()
        self.tenant = self.panel.tenant
        self.people = [self.tenant.member("member") for _ in range(VOTERS + 1)]
        self.unmet: list[str] = []

    def set_policy(self, needed: int, places: int) -> None:
        tree = stored_tree(users(needed, [person.id for person in self.people[:places]]))
        _in_spite_of_deadlocks(lambda: GroupPolicy.objects.filter(group=self.tenant.group).update(quorum=tree))

    def set_person(self, number: int, **fields: Any) -> None:
        rows = Membership.objects.filter(user_id=self.people[number].id)
        _in_spite_of_deadlocks(lambda: rows.update(**fields))

    def ask(self) -> UUID:
        return self.panel.ask(form("POST", f"/crypto/v1/keys/{self.panel.key.id}/encrypt", BODY))

    def vote(self, request: UUID, number: int) -> None:
        with suppress(*NO, TooBusy):
            give(self.people[number], request)

    def blow(self, request: UUID, number: int) -> None:
        """What one of the threads does."""
        if number < VOTERS:
            self.vote(request, number)
        elif number == VOTERS:
            self.keep_on(request, lambda turn: self.set_policy(*((3, 5), (2, 2), (4, 4), (2, 5), (3, 3))[turn % 5]))
        elif number == VOTERS + 1:
            self.keep_on(request, lambda turn: self.set_person(0, enabled=turn % 2 == 1))
        elif number == VOTERS + 2:
            self.keep_on(request, lambda turn: self.set_person(1, role="member" if turn % 2 else ""))
        else:
            Keeper().turn()
            approving.carry_out(execute_approved, request)

    def keep_on(self, request: UUID, change: Callable[[int], None]) -> None:
        """As long as there is something to spoil; an even number of turns, so that it ends as it was."""
        for turn in range(20):
            change(turn)
            if turn % 2 and row(request).status != "pending":
                return
            time.sleep(0.01)

    def look(self, request: UUID) -> None:
        """From within the execution, in plain numbers: who has voted and counts, against what is asked now."""
        tree = GroupPolicy.objects.get(group=self.tenant.group).quorum
        assert tree is not None
        voted = Approval.objects.filter(request=request, reviewer_id__in=[each["id"] for each in tree["members"]])
        counting = Membership.objects.filter(account=self.tenant.account, enabled=True).exclude(role="")
        counted = counting.filter(user_id__in=voted.values("reviewer_id")).count()
        if counted < tree["n"]:
            self.unmet.append(f"{counted} of {tree['n']}")


def _in_spite_of_deadlocks(work: Callable[[], Any]) -> None:
    for _ in range(20):
        with suppress(OperationalError):
            work()
            return
    raise AssertionError("never got through")


def test_whatever_happens_at_once_a_call_is_made_once_and_with_its_quorum(monkeypatch: pytest.MonkeyPatch) -> None:
    storm = Storm()
    end = approving._Once.close

    def close(once: Any, call: Call, result: Any) -> None:
        time.sleep(0.05)  # who could change something now, would
        storm.look(once._request)
        end(once, call, result)

    monkeypatch.setattr(approving._Once, "close", close)
    requests = []
    for _ in range(ROUNDS):
        storm.set_policy(3, 5)
        requests.append(storm.ask())
        at_once(VOTERS + 4, lambda number: storm.blow(requests[-1], number))
        assert set(times_done(storm.tenant, {str(requests[-1])}).values()) <= {1}
        storm.set_policy(2, 5)
        for number in range(VOTERS + 1):
            storm.vote(requests[-1], number)
    assert [row(request).status for request in requests] == ["approved"] * ROUNDS
    assert times_done(storm.tenant, set(map(str, requests))) == {str(request): 1 for request in requests}
    assert storm.unmet == []
