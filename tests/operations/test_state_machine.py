"""Any sequence of commands on objects, against a plain model of the life cycle that knows no token and no database."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from accounts.clock import clock
from accounts.models import Group
from kms.crypto.algorithm import Encrypted
from kms.objects.models import HistoryItem, SecurityObject
from kms.operations.command import ObjectRef
from kms.operations.copying import CopyObject
from kms.operations.errors import AccessDenied, Conflict, InvalidRequest, NotFound
from kms.operations.executor import execute
from kms.operations.groups import UpdateGroup
from kms.operations.history import RevertObject
from kms.operations.lifecycle import ActivateObject, DeleteObject, DestroyObject, RevokeObject
from kms.operations.making import ObjectTemplate
from kms.operations.rotating import ReplaceObject, RotateObject
from kms.operations.updating import UpdateObject
from tests.kit.objects import COMPROMISED, HOUR, SUPERSEDED, decrypt, encrypt, export, id_of, kept, ops, ref_of
from tests.kit.tenants import Tenant, new_tenant, unique

EXAMPLES = int(os.environ.get("LIFE_CYCLE_EXAMPLES", "10"))
STEPS, MANY = 50, 6
# The model's rules, in full.
PROCESSED_IN = ("active", "deactivated", "compromised")
MOVES = {
    "activate": {"pre-active": "active"},
    "revoke": {"active": "deactivated"},
    "compromise": dict.fromkeys(("pre-active", "active", "deactivated"), "compromised"),
    "destroy": dict.fromkeys(("pre-active", "deactivated", "compromised"), "destroyed"),
    "delete": dict.fromkeys(("pre-active", "active", "deactivated", "compromised", "destroyed"), "deleted"),
}
ROTATED_IN = ("pre-active", "active", "deactivated", "compromised")
COPIED_IN = ("pre-active", "active", "deactivated")
OPERATIONS = ("encrypt", "decrypt", "wrap", "export")
# Some more often than others.
DEEDS = (
    *("activate", "revoke", "compromise", "destroy", "delete"),
    *("encrypt", "encrypt", "decrypt", "export"),
    *("operations", "operations", "enabled", "group", "name"),
    *("create", "copy", "rotate", "rotate", "replace"),
    *("revert", "revert", "revert", "policy", "over"),
)
numbers = st.integers(0, 59)


def _subset(choice: int) -> frozenset[str]:
    """Mostly what is useful."""
    return frozenset(
        OPERATIONS[:4] if choice % 3 == 0 else OPERATIONS[:2] if choice % 3 == 1 else OPERATIONS[choice % 4 :]
    )


@dataclass(frozen=True)
class Past:
    """What a way back restores."""

    state: str
    operations: frozenset[str]
    group: int


@dataclass
class Thing:
    """An object as the model sees it. ``material`` is known when the test brought it or has exported it."""

    ref: ObjectRef
    name: str
    now: Past
    enabled: bool = True
    material: bytes | None = None
    gave_up_export: bool = False
    replacement: ObjectRef | None = None
    replaced: ObjectRef | None = None
    past: list[Past] = field(default_factory=list)
    sealed: list[tuple[Encrypted, bytes]] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        return self.now.state != "deleted"


class LifeCycle(RuleBasedStateMachine):
    """``tenant`` is set by the test. Every rule says what must come of the command before it is given."""

    tenant: Tenant

    def __init__(self) -> None:
        super().__init__()
        self.known: list[Thing] = []
        self.groups: list[Group] = []
        self.windows: list[int] = []
        self.names = [unique("name") for _ in range(4)]

    @initialize(windows=st.sampled_from([(HOUR, 0), (HOUR, HOUR), (0, 0)]))
    def begin(self, windows: tuple[int, int]) -> None:
        """Two groups with an app each, and two objects to begin with."""
        self.groups = [self.tenant.new_group() for _ in range(2)]
        apps = [self.tenant.new_app(group=group) for group in self.groups]
        self.apps = [replace(self.tenant, app=app) for app in apps]
        self.windows = [0, 0]
        for number, seconds in enumerate(windows):
            self.set_undo_policy(number, seconds)
        for number in range(2):
            self._made(frozenset(OPERATIONS), "active", number, brought=True)

    @rule(deed=st.sampled_from(DEEDS), number=numbers, choice=numbers)
    def live(self, deed: str, number: int, choice: int) -> None:
        """One rule for all deeds, because Hypothesis switches rules off for a whole run. Each is a method below."""
        thing = self._one(number)
        if deed in MOVES:
            self.move_on(thing, deed)
        elif deed in ("encrypt", "decrypt", "export"):
            getattr(self, deed)(thing)
        elif deed in ("create", "copy", "rotate"):
            self.spread(thing, deed, choice)
        elif deed == "operations":
            self.change_operations(thing, _subset(choice))
        elif deed == "enabled":
            self.enable_or_disable(thing, enabled=choice % 4 > 0)
        elif deed == "group":
            self.move_to_a_group(thing, choice % 2)
        elif deed == "name":
            self.rename(thing, choice % 3)
        elif deed == "replace":
            self.take_the_place_of(thing, self._one(choice), choice % 3)
        elif deed == "revert":
            self.revert(thing, choice)
        elif deed == "policy":
            self.set_undo_policy(number % 2, HOUR if choice % 4 else 0)
        else:
            self.time_to_undo_is_over(thing)

    def spread(self, thing: Thing, deed: str, choice: int) -> None:
        if len(self.known) >= MANY:
            return
        if deed == "create":
            self._made(_subset(choice), ("active", "pre-active")[choice % 2], choice % 2, brought=choice % 3 == 0)
        elif deed == "copy":
            self.copy(thing, _subset(choice))
        else:
            self.rotate(thing, deactivate=choice % 2 == 0, by_name=choice % 3 == 0)

    def _one(self, number: int) -> Thing:
        return self.known[number % len(self.known)]

    # -- making ----------------------------------------------------------------------------------------------------

    def _made(self, operations: frozenset[str], state: str, group: int, *, brought: bool) -> None:
        material = os.urandom(32) if brought else None
        where, waits = replace(self.tenant, group=self.groups[group]), state == "pre-active"
        if material is not None:
            ref = where.imported("AES", material, operations=operations, pre_active=waits)
        else:
            ref = where.key(operations=operations, pre_active=waits)
        name = SecurityObject.objects.get(id=id_of(ref)).name
        self.known.append(Thing(ref, name, Past(state, operations, group), material=material))

    def copy(self, thing: Thing, keep: frozenset[str]) -> None:
        operations = thing.now.operations & keep
        command = CopyObject(thing.ref, ObjectTemplate(unique("copy"), "", operations=ops(*operations)))
        expected = self._handled(thing, COPIED_IN)
        made = self._does(command, expected)
        if made is None:
            return
        now = replace(thing.now, operations=operations)
        copied = Thing(ref_of(made), made.row.name, now, thing.enabled, thing.material)
        copied.gave_up_export = "export" not in operations
        copied.sealed = list(thing.sealed)
        self.known.append(copied)

    # -- states ----------------------------------------------------------------------------------------------------

    def move_on(self, thing: Thing, move: str) -> None:
        command = {
            "activate": ActivateObject(thing.ref),
            "revoke": RevokeObject(thing.ref, SUPERSEDED),
            "compromise": RevokeObject(thing.ref, COMPROMISED),
            "destroy": DestroyObject(thing.ref),
            "delete": DeleteObject(thing.ref),
        }[move]
        leads_to = MOVES[move].get(thing.now.state)
        expected = NotFound if not thing.alive else InvalidRequest if leads_to is None else None
        self._does(command, expected)
        if expected is None:
            assert leads_to is not None
            self._remember(thing)
            thing.now = replace(thing.now, state=leads_to)
            if leads_to in ("destroyed", "deleted") and not self._window(thing):
                thing.past.clear()

    def _window(self, thing: Thing) -> int:
        return self.windows[thing.now.group]

    def _remember(self, thing: Thing) -> None:
        if self._window(thing):
            thing.past.append(thing.now)

    # -- changes ---------------------------------------------------------------------------------------------------

    def change_operations(self, thing: Thing, operations: frozenset[str]) -> None:
        had = thing.now.operations
        expected: type[Exception] | None = None
        if not thing.alive:
            expected = NotFound
        elif operations != had and (thing.now.state == "destroyed" or "export" in operations - had):
            expected = InvalidRequest
        self._does(UpdateObject(thing.ref, operations=ops(*operations)), expected)
        if expected is not None:
            return
        self._remember(thing)
        thing.now = replace(thing.now, operations=operations)
        if "export" in had - operations:
            thing.gave_up_export = True
            thing.past = [past for past in thing.past if "export" not in past.operations]

    def enable_or_disable(self, thing: Thing, *, enabled: bool) -> None:
        self._does(UpdateObject(thing.ref, enabled=enabled), None if thing.alive else NotFound)
        if thing.alive:
            thing.enabled = enabled

    def move_to_a_group(self, thing: Thing, group: int) -> None:
        self._does(UpdateObject(thing.ref, group=self.groups[group].id), None if thing.alive else NotFound)
        if thing.alive:
            self._remember(thing)
            thing.now = replace(thing.now, group=group)

    def rename(self, thing: Thing, number: int) -> None:
        name = self.names[number]
        expected = NotFound if not thing.alive else Conflict if self._taken(name, thing) else None
        self._does(UpdateObject(thing.ref, name=name), expected)
        if expected is None:
            thing.name = name

    def _taken(self, name: str, by_other_than: Thing) -> bool:
        return any(other.alive and other.name == name for other in self.known if other is not by_other_than)

    # -- taking places ---------------------------------------------------------------------------------------------

    def _handled(self, thing: Thing, states: tuple[str, ...]) -> type[Exception] | None:
        if not thing.alive:
            return NotFound
        return None if thing.now.state in states else InvalidRequest

    def rotate(self, thing: Thing, *, deactivate: bool, by_name: bool) -> None:
        expected = self._handled(thing, ROTATED_IN)
        if expected is None and self._has_successor(thing):
            expected = InvalidRequest
        ref = ObjectRef(name=thing.name) if by_name and thing.alive else thing.ref
        made = self._does(RotateObject(ref, ObjectTemplate(None, ""), deactivate=deactivate), expected)
        if made is None:
            return
        waits = thing.now.state == "pre-active"
        now = replace(thing.now, state="pre-active" if waits else "active")
        new = Thing(ref_of(made), thing.name, now, thing.enabled, replaced=thing.ref)
        new.gave_up_export = "export" not in now.operations
        self._vacate(thing)
        self._remember(thing)
        if deactivate and thing.now.state == "active":
            thing.now = replace(thing.now, state="deactivated")
        thing.replacement, thing.name = new.ref, SecurityObject.objects.get(id=id_of(thing.ref)).name
        self.known.append(new)

    def _has_successor(self, thing: Thing) -> bool:
        return any(other.alive and other.ref == thing.replacement for other in self.known)

    def _vacate(self, thing: Thing) -> None:
        """A deleted replacement makes room."""
        for other in self.known:
            if other.ref == thing.replacement:
                other.replaced = None

    def take_the_place_of(self, thing: Thing, other: Thing, number: int) -> None:
        """``other`` takes the place of ``thing``."""
        name = self.names[number]
        expected: type[Exception] | None = None
        if not (thing.alive and other.alive):
            expected = NotFound
        elif (
            thing is other
            or self._has_successor(thing)
            or other.replaced is not None
            or other.replacement is not None
            or thing.now.state not in ROTATED_IN
            or other.now.state not in ("pre-active", "active")
        ):
            expected = InvalidRequest
        elif name == thing.name or (name != other.name and self._taken(name, thing)):
            expected = Conflict
        self._does(ReplaceObject(thing.ref, name, other.ref), expected)
        if expected is None:
            self._vacate(thing)
            self._remember(thing)
            self._remember(other)
            thing.name, other.name = name, thing.name
            thing.replacement, other.replaced = other.ref, thing.ref

    # -- undo ------------------------------------------------------------------------------------------------------

    def set_undo_policy(self, group: int, seconds: int) -> None:
        execute(self.tenant.alice, UpdateGroup(self.groups[group].id, undo_seconds=seconds))
        self.windows[group] = seconds

    def time_to_undo_is_over(self, thing: Thing) -> None:
        HistoryItem.objects.filter(object_id=id_of(thing.ref)).update(expires_at=clock.now() - timedelta(seconds=1))
        stale = kept(thing.ref)
        thing.past.clear()
        if stale:
            self._does(RevertObject(thing.ref, (stale[0].id,)), NotFound)
            HistoryItem.objects.filter(object_id=id_of(thing.ref)).delete()

    def revert(self, thing: Thing, back: int) -> None:
        items = kept(thing.ref)
        assert len(items) == len(thing.past)
        if not items:
            return
        at = back % len(items)
        revives = not thing.alive and thing.past[at].state != "deleted"
        expected = Conflict if revives and self._taken(thing.name, thing) else None
        self._does(RevertObject(thing.ref, (items[at].id,)), expected)
        if expected is None:
            thing.now, thing.past = thing.past[at], thing.past[:at]

    # -- data ------------------------------------------------------------------------------------------------------

    def _may(self, thing: Thing, operation: str, states: tuple[str, ...]) -> type[Exception] | None:
        if not thing.alive:
            return NotFound
        allowed = operation in thing.now.operations and thing.enabled and thing.now.state in states
        return None if allowed else AccessDenied

    def encrypt(self, thing: Thing) -> None:
        data = os.urandom(3)
        made = self._gives(self._may(thing, "encrypt", ("active",)), encrypt, thing.ref, data)
        if made is not None:
            thing.sealed.append((made, data))
            if thing.material is not None:
                assert made.iv is not None
                assert made.tag is not None
                assert AESGCM(thing.material).decrypt(made.iv, made.ciphertext + made.tag, None) == data

    def decrypt(self, thing: Thing) -> None:
        """Whatever it ever encrypted."""
        for made, data in thing.sealed:
            opened = self._gives(self._may(thing, "decrypt", PROCESSED_IN), decrypt, thing.ref, made)
            assert opened is None or opened == data

    def export(self, thing: Thing) -> None:
        value = self._gives(self._may(thing, "export", PROCESSED_IN), export, thing.ref)
        if value is None:
            return
        assert not thing.gave_up_export
        assert thing.material in (None, value)
        thing.material = value

    def teardown(self) -> None:
        """In the end everything that was ever encrypted opens, where the model says that it may."""
        for thing in self.known:
            self.decrypt(thing)
            self.export(thing)

    # -- what must come of it --------------------------------------------------------------------------------------

    def _does(self, command: Any, expected: type[Exception] | None) -> Any:
        """As the administrator."""
        return self._ends(expected, lambda: execute(self.tenant.alice, command))

    def _gives(self, expected: type[Exception] | None, use: Any, ref: ObjectRef, *arguments: Any) -> Any:
        """As an app of the object's group; the administrator uses no keys on data."""
        group = SecurityObject.objects.get(id=id_of(ref)).group_id
        where = self.apps[[one.id for one in self.groups].index(group)]
        return self._ends(expected, lambda: use(where, ref, *arguments))

    @staticmethod
    def _ends(expected: type[Exception] | None, work: Any) -> Any:
        result, refused = None, None
        try:
            result = work()
        except (AccessDenied, Conflict, InvalidRequest, NotFound) as error:
            refused = error
        assert (None if refused is None else type(refused)) is expected, f"it ended with {refused!r}"
        return result

    @invariant()
    def rows_are_as_the_model_has_them(self) -> None:
        rows = {row.id: row for row in SecurityObject.objects.filter(group__in=self.groups)}
        assert rows.keys() == {thing.ref.id for thing in self.known}
        for thing in self.known:
            row = rows[id_of(thing.ref)]
            now = Past(row.state, frozenset(row.operations), [group.id for group in self.groups].index(row.group_id))
            assert (now, row.name, row.enabled) == (thing.now, thing.name, thing.enabled)
            assert (row.replacement, row.replaced) == (
                thing.replacement and thing.replacement.id,
                thing.replaced and thing.replaced.id,
            )
            assert bool(bytes(row.blob)) is (row.state not in ("destroyed", "deleted"))
            assert row.protection == ("sealed" if "export" in row.operations else "token")

    @invariant()
    def living_names_are_unique_and_links_go_both_ways(self) -> None:
        rows = list(SecurityObject.objects.filter(group__in=self.groups))
        living = [row.name for row in rows if row.deletion_date is None]
        assert len(living) == len(set(living))
        by_id = {row.id: row for row in rows}
        for row in rows:
            assert row.replacement is None or by_id[row.replacement].replaced == row.id
            assert row.replaced is None or by_id[row.replaced].replacement == row.id

    @invariant()
    def nothing_is_kept_that_could_bring_back_what_must_not_come_back(self) -> None:
        items: dict[Any, list[HistoryItem]] = {}
        for item in HistoryItem.objects.filter(object__group__in=self.groups).order_by("created_at"):
            items.setdefault(item.object_id, []).append(item)
        for thing in self.known:
            found = items.get(thing.ref.id, [])
            assert [frozenset(item.fields["operations"]) for item in found] == [p.operations for p in thing.past]
            assert not thing.gave_up_export or not [item for item in found if "export" in item.fields["operations"]]


@pytest.mark.timeout(600)  # when it fails, Hypothesis takes minutes to find the shortest life that does
def test_any_life_is_as_the_model_says(installation: None) -> None:
    LifeCycle.tenant = new_tenant()
    run_state_machine_as_test(
        LifeCycle,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
