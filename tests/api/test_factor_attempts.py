"""Challenges that hold once, guesses that are slowed down, and one answer for all who fail."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.clock import clock
from accounts.models import FactorChallenge, Session
from kms.audit.models import AuditRecord
from kms.operations.registry import OPERATIONS
from policies.permissions import Permission
from tests.kit.authenticator import Authenticator
from tests.kit.factors import SHOW, Login, Person
from tests.kit.tenants import PASSWORD, Tenant

WRONG = "The second factor was not accepted"


def reason_of(action: str) -> str:
    return AuditRecord.objects.filter(action=f"second-factor.{action}").latest("sequence").reason


def session_of(login: Login) -> Session:
    return Session.objects.filter(user=login.person.user).latest("created_at")


# -- challenges ----------------------------------------------------------------------------------------------------


def test_a_challenge_holds_once_in_its_session_for_its_purpose_and_five_minutes(person: Person) -> None:
    _, key = person.with_key()
    login = person.log_in()
    options = login.answer["fido2_assertion_options"]
    elsewhere = person.session()
    assert elsewhere.show_key(key, options).status_code == 403
    assert reason_of("show-key") == "security-key-unknown-challenge"
    assert login.show_key(key, options).status_code == 204
    assert login.show_key(key, options).status_code == 403
    assert reason_of("show-key") == "security-key-used-challenge"
    fresh = login.challenge()["fido2_assertion_options"]
    FactorChallenge.objects.filter(session__user=person.user).update(expires_at=clock.now())
    assert login.show_key(key, fresh).status_code == 403
    assert reason_of("show-key") == "security-key-expired-challenge"
    assert login.unlock().status_code == 200
    assert login.show_key(key, login.enrolment()).status_code == 403
    assert reason_of("show-key") == "security-key-unknown-challenge"
    proving = login.challenge()["fido2_assertion_options"]
    second = {"name": "second", "attestationResult": Authenticator().create(proving)}
    assert login.change(add_mfa_devices=[second]).status_code == 400


def test_asking_again_voids_the_challenge_before(person: Person) -> None:
    _, key = person.with_key()
    login = person.log_in()
    login.challenge()
    assert login.show_key(key, login.answer["fido2_assertion_options"]).status_code == 403
    assert FactorChallenge.objects.filter(session=session_of(login)).count() == 1


# -- throttling ----------------------------------------------------------------------------------------------------

_KNOWING = {Permission.SECOND_FACTOR_PROVE, Permission.SECOND_FACTOR_MANAGE}


def test_every_operation_that_takes_a_code_or_a_password_is_throttled() -> None:
    """By what a command carries: a new one with a secret in it joins by itself."""
    secret = {"code", "password", "answer", "current_password"}
    here = [o for o in OPERATIONS if o.action.startswith("second-factor.")]
    taking = [o for o in here if secret & set(o.command.__dataclass_fields__)]
    assert len(taking) >= 6
    unguarded = [o.action for o in taking if o.admit.__qualname__ != "guarded.<locals>.admit"]
    assert unguarded == []


WAYS: dict[str, Any] = {
    "totp": lambda login: login.post(f"{SHOW}/totp", {"code": "000000"}),
    "recovery code": lambda login: login.show_code("AAAA-AAAA-AAAA-AAAA"),
    "key": lambda login: login.post(f"{SHOW}/fido2", Authenticator().get({"challenge": "eA"})),
    "u2f key": lambda login: login.post(f"{SHOW}/u2f", Authenticator().u2f_sign("eA")),
    "password": lambda login: login.unlock("wrong"),
}


@pytest.mark.parametrize("way", WAYS)
def test_guesses_are_slowed_down_and_counted_though_each_fails(person: Person, way: str) -> None:
    login, key = person.with_key()
    answers = [WAYS[way](login).status_code for _ in range(8)]
    assert answers[:3] == [403, 403, 403]
    assert answers[-1] == 429
    if way != "password":  # all of them are one door
        assert login.show_code("BBBB-BBBB-BBBB-BBBB").status_code == 429
        assert login.show_key(key).status_code == 429


def test_a_stranger_in_the_account_learns_nothing_of_factors(tenant: Tenant, person: Person) -> None:
    """Whoever fails is told the same, whatever they own."""
    tenant.member("member")
    nobody = Person(person.client, tenant, tenant.users["member"])
    nothing_owned = nobody.session().show_code("AAAA")
    person.with_key()
    owner = person.session().show_code("AAAA")
    assert (nothing_owned.status_code, nothing_owned.content) == (owner.status_code, owner.content)
    assert PASSWORD not in owner.text
