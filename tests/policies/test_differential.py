"""The real judge against the slow one, on a sample; ``make model`` compares a million."""

from __future__ import annotations

from tests.policies.differential import compare

# Every reason that a decision can end with, but for what the facts bring along.
REASONS = {
    ("allow", "approved"),
    ("allow", "granted"),
    ("allow", "host"),
    ("allow", "public"),
    ("allow", "self"),
    ("deny", "anonymous"),
    ("deny", "no-account-selected"),
    ("deny", "not-granted"),
    ("deny", "not-the-host"),
    ("deny", "not-visible"),
    ("deny", "second-factor-enrolment-needed"),
    ("deny", "second-factor-needed"),
    ("deny", "session-expired"),
    ("deny", "step-up-needed"),
    ("deny", "unknown-permission"),
    ("deny", "vouched-for"),
    ("needs-approval", "approval-needed"),
}


def test_both_judges_say_the_same_of_twenty_thousand_requests_that_end_in_every_way() -> None:
    outcomes = compare(seed=20261128, requests=20_000)
    assert outcomes.total() == 20_000
    assert set(outcomes) == REASONS | {("deny", "disabled"), ("deny", "deactivated")}
    assert min(outcomes.values()) >= 20
