"""What a login lacks: the whole table, and the rule that the strongest factor guards them all."""

from __future__ import annotations

from itertools import product

import pytest

from accounts.second_factor import Factor, Lack, Owned, Requirement, lacking, may_manage, satisfies

OWNED: tuple[Owned, ...] = (
    frozenset(),
    frozenset({Factor.TOTP}),
    frozenset({Factor.FIDO2}),
    frozenset({Factor.TOTP, Factor.FIDO2}),
)
EVERY = list(product(Requirement, OWNED, Factor))

# Account asks for -> factors owned -> factor shown -> what is lacking. Rows that are not here lack nothing.
NONE, TOTP, RECOVERY, FIDO2 = Factor
_T, _F, _TF = OWNED[1:]
LACKING = {
    **{(requirement, owned, NONE): Lack.PROOF for requirement in Requirement for owned in (_T, _F, _TF)},
    (Requirement.ANY, OWNED[0], NONE): Lack.ENROLMENT,
    (Requirement.FIDO2, OWNED[0], NONE): Lack.ENROLMENT,
    **{(Requirement.FIDO2, owned, shown): Lack.ENROLMENT for owned in (OWNED[0], _T) for shown in (TOTP, RECOVERY)},
    **{(Requirement.FIDO2, owned, TOTP): Lack.PROOF for owned in (_F, _TF)},
}


@pytest.mark.parametrize(("requirement", "owned", "shown"), EVERY)
def test_the_table_of_what_is_lacking(requirement: Requirement, owned: Owned, shown: Factor) -> None:
    assert lacking(requirement, owned, shown) is LACKING.get((requirement, owned, shown))


@pytest.mark.parametrize(("requirement", "owned", "shown"), EVERY)
def test_whoever_owns_a_factor_must_show_one_whatever_is_asked(
    requirement: Requirement, owned: Owned, shown: Factor
) -> None:
    if owned and lacking(requirement, owned, shown) is None:
        assert shown is not Factor.NONE


@pytest.mark.parametrize(("owned", "shown"), list(product(OWNED, Factor)))
def test_only_a_security_key_or_what_recovers_one_enters_where_keys_are_asked(owned: Owned, shown: Factor) -> None:
    if lacking(Requirement.FIDO2, owned, shown) is None:
        assert shown is Factor.FIDO2 or (shown is Factor.RECOVERY and Factor.FIDO2 in owned)
        assert satisfies(Requirement.FIDO2, owned, shown)


@pytest.mark.parametrize(("owned", "shown"), list(product(OWNED, Factor)))
def test_a_one_time_password_manages_no_factors_of_somebody_with_a_key(owned: Owned, shown: Factor) -> None:
    if Factor.FIDO2 in owned:
        assert may_manage(owned, shown) is (shown in (Factor.FIDO2, Factor.RECOVERY))
    elif owned:
        assert may_manage(owned, shown) is (shown is not Factor.NONE)
    else:
        assert may_manage(owned, shown)


@pytest.mark.parametrize(("requirement", "owned", "shown"), EVERY)
def test_a_stricter_account_never_lets_in_whom_a_laxer_one_does_not(
    requirement: Requirement, owned: Owned, shown: Factor
) -> None:
    ladder = list(Requirement)
    if lacking(requirement, owned, shown) is None:
        for laxer in ladder[: ladder.index(requirement)]:
            assert lacking(laxer, owned, shown) is None
