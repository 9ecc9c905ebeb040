"""Key metadata policies as values: kept and read back whole or not at all, what they ask, and what they give."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.crypto.operation import KeyOperation
from kms.objects.legacy import Legacy
from kms.objects.metadata_policy import (
    DateRule,
    Metadata,
    MetadataPolicy,
    MetadataRules,
    Span,
    TextRule,
    faults,
    policy_of,
    refused_use,
    with_defaults,
)
from kms.objects.state import Cryptoperiod

BORN = datetime(2026, 3, 1, tzinfo=UTC)
NEEDED, FORBIDDEN = TextRule(required=True), TextRule(required=False)
DATE, NO_DATE = DateRule(required=True), DateRule(required=False)

texts = st.builds(TextRule, st.booleans(), st.booleans(), st.frozensets(st.sampled_from(["red", "blue"])))
spans = st.builds(Span, st.sampled_from(["seconds", "minutes", "hours", "days"]), st.integers(0, 1000))
dates = st.builds(DateRule, st.booleans(), st.none() | spans, st.none() | spans, st.none() | spans)
rules = st.builds(
    MetadataRules,
    st.none() | texts,
    st.dictionaries(st.sampled_from(["owner", "use"]), texts),
    st.none() | dates,
    st.none() | dates,
)
policies = st.builds(
    MetadataPolicy, rules, st.dictionaries(st.sampled_from(["AES", "RSA"]), rules), st.sampled_from(Legacy)
)
values = st.sampled_from(["", " ", "red", "green"])
moments = st.none() | st.integers(-10, 10**6).map(lambda hours: BORN + timedelta(hours=hours))
metadata = st.builds(
    Metadata,
    st.sampled_from(["AES", "RSA", "EC"]),
    values,
    st.dictionaries(st.sampled_from(["owner", "use", "other"]), values),
    st.just(BORN),
    st.builds(Cryptoperiod, moments, moments),
)


def of(
    kind: str = "AES", description: str = "", activation: int | None = None, end: int | None = None, **custom: str
) -> Metadata:
    """Dates in days after the creation."""
    days = [None if number is None else BORN + timedelta(days=number) for number in (activation, end)]
    return Metadata(kind, description, custom, BORN, Cryptoperiod(*days))


@given(policies)
def test_what_is_kept_reads_back_the_same(policy: MetadataPolicy) -> None:
    assert policy_of(json.loads(json.dumps(policy.stored()))) == policy


LIMITED = DateRule(True, Span("days", 1), Span("days", 9), Span("hours", 30))
WHOLE = MetadataPolicy(
    MetadataRules(TextRule(True, True, frozenset({"a", "b"})), {"owner": NEEDED}, LIMITED, LIMITED),
    {"AES": MetadataRules(description=FORBIDDEN)},
    Legacy.UNPROTECT_ONLY,
)


def damaged(stored: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The policy with one place of it damaged, for each place and each way."""

    def spoilt(path: tuple[Any, ...], key: Any, value: Any) -> Any:
        copy = deepcopy(stored)
        found = copy
        for step in path:
            found = found[step]
        found[key] = value
        return copy

    here = stored
    for step in at:
        here = here[step]
    if isinstance(here, dict):
        yield f"{at} with nonsense", spoilt(at, "nonsense", 1)
    if at:
        wrongs: tuple[Any, ...] = (7.5, -1, [{"nonsense": []}])
        for wrong in wrongs:
            yield f"{at} is {wrong}", spoilt(at[:-1], at[-1], wrong)
    for step in here if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ():
        yield from damaged(stored, (*at, step))


@pytest.mark.parametrize("stored", [pytest.param(found, id=name) for name, found in damaged(WHOLE.stored())])
def test_a_damaged_policy_is_met_by_nothing(stored: Any) -> None:
    assert policy_of(stored) is None


def test_a_duration_that_no_date_can_take_is_damage() -> None:
    stored = MetadataPolicy(MetadataRules(deactivation=DateRule(True, most=Span("days", 10**12)))).stored()
    assert policy_of(stored) is None


@given(metadata, st.sampled_from(KeyOperation))
def test_under_what_does_not_read_nothing_is_allowed(found: Metadata, operation: KeyOperation) -> None:
    assert faults(None, found)
    assert refused_use([None], found, operation)


FIVE_TO_TEN = DateRule(True, Span("days", 5), Span("hours", 240))
CASES: list[tuple[str, MetadataRules, Metadata, Metadata]] = [
    ("a description", MetadataRules(NEEDED), of(description=" "), of()),
    (
        "a description that says something",
        MetadataRules(TextRule(True, True)),
        of(description="x"),
        of(description=" "),
    ),
    ("no description", MetadataRules(FORBIDDEN), of(), of(description="x")),
    ("one of", MetadataRules(TextRule(True, allowed=frozenset({"a", "b"}))), of(description="a"), of(description="c")),
    ("an owner", MetadataRules(custom={"owner": NEEDED}), of(owner="x"), of(other="x")),
    ("no owner", MetadataRules(custom={"owner": FORBIDDEN}), of(other="x"), of(owner="x")),
    ("an end", MetadataRules(deactivation=DATE), of(end=1), of()),
    ("no end", MetadataRules(deactivation=NO_DATE), of(), of(end=1)),
    ("not too early", MetadataRules(deactivation=FIVE_TO_TEN), of(end=5), of(end=4)),
    ("not too late", MetadataRules(deactivation=FIVE_TO_TEN), of(end=10), of(end=11)),
    ("a beginning", MetadataRules(activation=FIVE_TO_TEN), of(activation=7), of(activation=11)),
]


@pytest.mark.parametrize(("asked", "good", "bad"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_said_complies_or_not(asked: MetadataRules, good: Metadata, bad: Metadata) -> None:
    policy = MetadataPolicy(asked)
    assert faults(policy, good) == frozenset()
    assert len(faults(policy, bad)) == 1


def test_the_rules_of_a_kind_stand_in_place_of_all_others() -> None:
    policy = MetadataPolicy(MetadataRules(NEEDED), {"RSA": MetadataRules(custom={"owner": NEEDED})})
    assert faults(policy, of("AES")) == {"description is needed"}
    assert faults(policy, of("RSA")) == {"custom_metadata owner is needed"}


def test_of_an_object_in_use_only_missing_dates_and_a_late_end_count() -> None:
    """Keys are activated, revoked and rotated by hand, which sets dates that no policy was asked about."""
    policy = MetadataPolicy(MetadataRules(activation=FIVE_TO_TEN, deactivation=FIVE_TO_TEN))
    assert faults(policy, of(activation=0, end=1), used=True) == frozenset()
    assert len(faults(policy, of(), used=True)) == 2
    assert len(faults(policy, of(activation=30, end=30), used=True)) == 1
    forbidding = MetadataPolicy(MetadataRules(activation=NO_DATE, deactivation=NO_DATE))
    assert faults(forbidding, of(activation=1, end=2), used=True) == frozenset()


@pytest.mark.parametrize("operation", KeyOperation)
def test_what_legacy_objects_may(operation: KeyOperation) -> None:
    undoing = operation.value in ("decrypt", "verify", "mac-verify", "unwrap")
    expected = {Legacy.ALLOWED: True, Legacy.UNPROTECT_ONLY: undoing, Legacy.PROHIBITED: False}
    for legacy, may in expected.items():
        policy = MetadataPolicy(MetadataRules(NEEDED), legacy=legacy)
        assert (refused_use([policy], of(), operation) is None) == may
        assert refused_use([policy], of(description="x"), operation) is None


@given(st.lists(st.none() | policies, max_size=3), st.none() | policies, metadata, st.sampled_from(KeyOperation))
def test_a_policy_more_never_allows_more(
    before: list[MetadataPolicy | None], added: MetadataPolicy | None, found: Metadata, operation: KeyOperation
) -> None:
    if refused_use(before, found, operation) is not None:
        assert refused_use([*before, added], found, operation) is not None


def test_a_date_that_is_not_given_is_the_first_default() -> None:
    def policy(days: int) -> MetadataPolicy:
        return MetadataPolicy(MetadataRules(deactivation=DateRule(True, default=Span("days", days))))

    nothing, given_end = Cryptoperiod(), Cryptoperiod(None, BORN)
    assert with_defaults([policy(3), policy(5)], "AES", nothing, BORN).deactivation == BORN + timedelta(days=3)
    assert with_defaults([None, policy(5)], "AES", nothing, BORN).deactivation == BORN + timedelta(days=5)
    assert with_defaults([policy(3)], "AES", given_end, BORN) == given_end
    assert with_defaults([MetadataPolicy(MetadataRules(deactivation=DATE))], "AES", nothing, BORN) == nothing
