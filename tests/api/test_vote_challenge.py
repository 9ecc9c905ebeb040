"""A security key's answer says yes to one request, as it reads, by one reviewer in one session, once, for a while."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from accounts.clock import clock
from accounts.models import FactorChallenge, FidoCredential
from kms.audit.models import AuditRecord
from kms.operations.approvals import RequestApproval
from kms.operations.executor import execute
from policies.models import Approval, ApprovalRequest
from policies.permissions import Permission
from tests.kit.approvals import deletion
from tests.kit.authenticator import Authenticator
from tests.kit.factors import Login, Person
from tests.kit.factors import newcomer as make_newcomer
from tests.kit.quorums import guard_group, users
from tests.kit.tenants import Tenant, new_tenant, unique

REQUESTS = "/sys/v1/approval_requests"
WRONG = "The second factor was not accepted"
OWN_REQUEST = "Nobody approves what they asked for themselves, or by an app of theirs"


@dataclass
class Scene:
    """Of two reviewers both must approve, each with a security key. An app has asked to delete a key."""

    tenant: Tenant
    bob: Login
    key: Authenticator
    carol: Login
    carols_key: Authenticator
    request: UUID

    def ask(self) -> UUID:
        return ask(self.tenant)


def ask(tenant: Tenant) -> UUID:
    """Guarded once it is there: keys are made without asking anybody."""
    view = execute(tenant.app, RequestApproval(deletion(tenant.key())))
    made: UUID = view.row.id
    return made


def options(login: Login, request: UUID, protocol: str = "fido2") -> dict[str, Any]:
    answered = login.post(f"{REQUESTS}/{request}/challenge?protocol={protocol}")
    assert answered.status_code == 200, answered.text
    made: dict[str, Any] = answered.json()
    return made


def approve(login: Login, request: UUID, **shown: Any) -> httpx.Response:
    return login.post(f"{REQUESTS}/{request}/approve", shown)


def voted(request: UUID) -> int:
    return Approval.objects.filter(request=request).count()


def reason(action: str = "approval.approve") -> str:
    return AuditRecord.objects.filter(action=action).latest("sequence").reason


@pytest.fixture
def scene(client: httpx.Client, known_by_name: None) -> Scene:
    tenant = new_tenant()
    bob, carol = make_newcomer(client, tenant), make_newcomer(client, tenant)
    both = [bob.user.id, carol.user.id]
    guard_group(tenant.group, users(2, both, second_factor=True), [Permission.OBJECT_DELETE])
    request = ask(tenant)
    keys = bob.given_key(), carol.given_key()
    return Scene(tenant, shown(bob), keys[0], shown(carol), keys[1], request)


def shown(person: Person) -> Login:
    """Logged in with the security key: what is asked for with a vote is asked for all the same."""
    return person.session(second_factor="fido2", second_factor_at=clock.now())


# -- as it is meant ------------------------------------------------------------------------------------------------


def test_answers_of_two_reviewers_carry_it(scene: Scene) -> None:
    first = approve(scene.bob, scene.request, fido2_auth_request=scene.key.get(options(scene.bob, scene.request)))
    assert (first.status_code, first.json()["status"]) == (200, "PENDING")
    answer = scene.carols_key.get(options(scene.carol, scene.request))
    second = approve(scene.carol, scene.request, fido2_auth_request=answer)
    assert (second.status_code, second.json()["status"]) == (200, "APPROVED")
    assert list(Approval.objects.filter(request=scene.request).values_list("second_factor", flat=True)) == [True, True]
    entry = AuditRecord.objects.filter(action="approval.approve").latest("sequence")
    assert entry.details["factor"] == "fido2"


def test_a_u2f_key_answers_by_either_protocol(scene: Scene) -> None:
    FidoCredential.objects.filter(user=scene.bob.person.user).update(protocol="u2f")
    made = options(scene.bob, scene.request, "u2f")
    assert [key["version"] for key in made["u2f_keys"]] == ["U2F_V2"]
    assert approve(scene.bob, scene.request, u2f=scene.key.u2f_sign(made["u2f_challenge"])).status_code == 200
    FidoCredential.objects.filter(user=scene.carol.person.user).update(protocol="u2f")
    made = options(scene.carol, scene.request)
    assert made["extensions"] == {"appid": scene.carols_key.origin}
    scene.carols_key.rp_id = scene.carols_key.origin
    answer = scene.carols_key.get(made) | {"get_client_extension_results": {"appid": True}}
    assert approve(scene.carol, scene.request, fido2_auth_request=answer).json()["status"] == "APPROVED"


def test_a_challenge_leaves_those_of_other_requests_alone(scene: Scene) -> None:
    """A reviewer may have two pages open."""
    other = scene.ask()
    first, second = options(scene.bob, scene.request), options(scene.bob, other)
    assert first["challenge"] != second["challenge"]
    assert approve(scene.bob, scene.request, fido2_auth_request=scene.key.get(first)).status_code == 200
    assert approve(scene.bob, other, fido2_auth_request=scene.key.get(second)).status_code == 200


# -- attempts to cheat ---------------------------------------------------------------------------------------------


def of_another_request(scene: Scene) -> dict[str, Any]:
    return scene.key.get(options(scene.bob, scene.ask()))


def of_another_session(scene: Scene) -> dict[str, Any]:
    return scene.key.get(options(shown(scene.bob.person), scene.request))


def of_another_reviewer(scene: Scene) -> dict[str, Any]:
    return scene.carols_key.get(options(scene.carol, scene.request))


def by_another_reviewers_key(scene: Scene) -> dict[str, Any]:
    return scene.carols_key.get(options(scene.bob, scene.request))


def to_a_login(scene: Scene) -> dict[str, Any]:
    return scene.key.get(scene.bob.challenge()["fido2_assertion_options"])


def to_an_enrolment(scene: Scene) -> dict[str, Any]:
    return scene.key.get(scene.bob.person.unlocked(second_factor="fido2").enrolment())


def too_late(scene: Scene) -> dict[str, Any]:
    answer = scene.key.get(options(scene.bob, scene.request))
    FactorChallenge.objects.filter(purpose="vote").update(expires_at=clock.now())
    return answer


def to_the_challenge_before(scene: Scene) -> dict[str, Any]:
    before = options(scene.bob, scene.request)
    options(scene.bob, scene.request)
    return scene.key.get(before)


def to_a_challenge_of_ones_own(scene: Scene) -> dict[str, Any]:
    return scene.key.get({"challenge": secrets.token_urlsafe(32)})


def before_the_request_was_changed(scene: Scene) -> dict[str, Any]:
    """Behind the corridor's back: the digest is of something else by now. The vote is refused before it is looked at
    by whoever opens the request; here it is the challenge that must not hold."""
    made = options(scene.bob, scene.request)
    FactorChallenge.objects.filter(purpose="vote").update(about=secrets.token_bytes(32))
    return scene.key.get(made)


def for_another_origin(scene: Scene) -> dict[str, Any]:
    scene.key.origin = "https://evil.example"
    return scene.key.get(options(scene.bob, scene.request))


def forged(scene: Scene) -> dict[str, Any]:
    forger = Authenticator(credential_id=scene.key.credential_id)
    return forger.get(options(scene.bob, scene.request))


def with_a_counter_that_went_back(scene: Scene) -> dict[str, Any]:
    FidoCredential.objects.filter(user=scene.bob.person.user).update(sign_count=10)
    return scene.key.get(options(scene.bob, scene.request))


def of_another_kind(scene: Scene) -> dict[str, Any]:
    return scene.key.get(options(scene.bob, scene.request), kind="webauthn.create")


CHEATS: dict[Callable[[Scene], dict[str, Any]], str] = {
    of_another_request: "unknown-challenge",
    of_another_session: "unknown-challenge",
    of_another_reviewer: "unknown-challenge",
    by_another_reviewers_key: "unknown-key",
    to_a_login: "unknown-challenge",
    to_an_enrolment: "unknown-challenge",
    too_late: "expired-challenge",
    to_the_challenge_before: "unknown-challenge",
    to_a_challenge_of_ones_own: "unknown-challenge",
    before_the_request_was_changed: "unknown-challenge",
    for_another_origin: "other-origin",
    forged: "wrong-signature",
    with_a_counter_that_went_back: "counter-went-back",
    of_another_kind: "other-ceremony",
}


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.__name__)
def test_an_answer_that_does_not_hold_is_refused_and_recorded(
    scene: Scene, cheat: Callable[[Scene], dict[str, Any]]
) -> None:
    refused = approve(scene.bob, scene.request, fido2_auth_request=cheat(scene))
    assert refused.status_code == 403
    assert WRONG in refused.text
    assert reason() == f"security-key-{CHEATS[cheat]}"
    assert voted(scene.request) == 0


def test_an_answer_is_good_once(scene: Scene) -> None:
    answer = scene.key.get(options(scene.bob, scene.request))
    assert approve(scene.bob, scene.request, fido2_auth_request=answer).status_code == 200
    Approval.objects.filter(request=scene.request).delete()  # so that it is the answer that is refused
    assert approve(scene.bob, scene.request, fido2_auth_request=answer).status_code == 403
    assert reason() == "security-key-used-challenge"


def test_an_answer_to_a_vote_finishes_no_login(scene: Scene) -> None:
    lacking = scene.bob.person.session()
    assert not lacking.works()
    assert lacking.post(f"{REQUESTS}/{scene.request}/challenge?protocol=fido2").status_code == 403
    answer = scene.key.get(options(scene.bob, scene.request))
    assert scene.bob.post("/sys/v1/session/auth/2fa/fido2", answer).status_code == 403
    assert reason("second-factor.show-key") == "security-key-unknown-challenge"


# -- who gets a challenge ------------------------------------------------------------------------------------------


def ask_challenge(login: Login, request: UUID, protocol: str = "fido2") -> httpx.Response:
    return login.post(f"{REQUESTS}/{request}/challenge?protocol={protocol}")


def test_what_is_not_there_and_what_is_not_to_be_seen_look_alike(scene: Scene, client: httpx.Client) -> None:
    outsider = make_newcomer(client, new_tenant())
    outsider.given_key()
    stranger = shown(outsider)
    foreign, absent = ask_challenge(stranger, scene.request), ask_challenge(stranger, uuid4())
    assert (foreign.status_code, foreign.content) == (absent.status_code, absent.content)
    assert foreign.status_code == 404
    assert FactorChallenge.objects.filter(session__user=outsider.user, purpose="vote").count() == 0


def test_who_sees_it_and_has_no_place_gets_none(scene: Scene, client: httpx.Client) -> None:
    dave = make_newcomer(client, scene.tenant)
    dave.given_key()
    refused = ask_challenge(shown(dave), scene.request)
    assert refused.status_code == 403
    assert reason("approval.challenge") == "not-a-reviewer"


def test_who_asked_gets_none_even_with_a_place(scene: Scene, client: httpx.Client) -> None:
    group = scene.tenant.new_group()
    key = scene.tenant.key(group=group)
    bob = scene.bob.person.user
    guard_group(group, users(1, [bob.id]), [Permission.OBJECT_DELETE])
    asked = scene.bob.post(REQUESTS, {"method": "DELETE", "operation": f"/crypto/v1/keys/{key.id}"})
    assert asked.status_code == 201, asked.text
    refused = ask_challenge(scene.bob, UUID(asked.json()["request_id"]))
    assert refused.status_code == 403
    assert OWN_REQUEST in refused.text


def test_an_app_has_no_security_keys(scene: Scene, client: httpx.Client) -> None:
    path = f"{REQUESTS}/{scene.request}/challenge?protocol=fido2"
    assert client.post(path, auth=scene.tenant.api_key()).status_code == 403
    assert reason("approval.challenge") == "users-only"


@pytest.mark.parametrize("status", ["approved", "denied", "failed"])
def test_what_has_ended_is_not_voted_on(scene: Scene, status: str) -> None:
    ApprovalRequest.objects.filter(id=scene.request).update(status=status)
    assert ask_challenge(scene.bob, scene.request).status_code == 409


def test_what_is_over_is_not_voted_on(scene: Scene) -> None:
    ApprovalRequest.objects.filter(id=scene.request).update(expires_at=clock.now())
    assert ask_challenge(scene.bob, scene.request).status_code == 409


def test_who_has_no_key_of_the_kind_is_told(scene: Scene) -> None:
    assert ask_challenge(scene.bob, scene.request, "u2f").status_code == 400
    FidoCredential.objects.filter(user=scene.bob.person.user).delete()
    assert ask_challenge(scene.bob.person.session(), scene.request).status_code == 400


@pytest.mark.parametrize("query", ["?protocol=totp", "?protocol=", "?surprise=1", "?protocol=FIDO2"])
def test_a_protocol_that_is_none_is_refused(scene: Scene, query: str) -> None:
    assert scene.bob.post(f"{REQUESTS}/{scene.request}/challenge{query}").status_code == 400


# -- the body ------------------------------------------------------------------------------------------------------

_KEY: dict[str, Any] = {"id": "eA", "response": {"authenticatorData": "eA", "clientDataJSON": "eA", "signature": "eA"}}
_U2F = {"keyHandle": "eA", "signatureData": "eA", "clientData": "eA"}
MALFORMED: dict[str, dict[str, Any]] = {
    "two factors": {"code": "123456", "recovery_code": "AAAA"},
    "a code and a key": {"code": "123456", "fido2_auth_request": _KEY},
    "two keys": {"u2f": _U2F, "fido2_auth_request": _KEY},
    "a number for a password": {"password": 1},
    "a number for a code": {"code": 123456},
    "an unknown field": {"totp": "123456"},
    "half a key": {"fido2_auth_request": {"id": "eA"}},
    "no base64": {"fido2_auth_request": {**_KEY, "id": "%"}},
    "another type": {"fido2_auth_request": {**_KEY, "type": "password"}},
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_body_that_is_none_is_refused_and_not_repeated(scene: Scene, body: dict[str, Any]) -> None:
    refused = approve(scene.bob, scene.request, **body)
    assert refused.status_code == 400
    assert "123456" not in refused.text
    assert voted(scene.request) == 0


RUBBISH: dict[str, dict[str, Any]] = {
    "an empty code": {"code": ""},
    "a code of letters": {"code": "abcdef"},
    "a very long code": {"code": "1" * 100_000},
    "an empty recovery code": {"recovery_code": ""},
    "a very long recovery code": {"recovery_code": "A" * 100_000},
    "a key that is rubbish": {"fido2_auth_request": _KEY},
    "a U2F key that is rubbish": {"u2f": _U2F},
    "an empty password": {"password": ""},
    "a very long password": {"password": "x" * 100_000},
}


@pytest.mark.parametrize("body", RUBBISH.values(), ids=RUBBISH)
def test_rubbish_is_refused_like_anything_that_does_not_hold(scene: Scene, body: dict[str, Any]) -> None:
    assert approve(scene.bob, scene.request, **body).status_code == 403
    assert voted(scene.request) == 0


def test_nothing_that_was_shown_is_in_the_record(scene: Scene) -> None:
    canary = unique("canary")
    for body in ({"password": canary}, {"code": canary}, {"recovery_code": canary}):
        approve(scene.bob, scene.request, **body)
    entries = AuditRecord.objects.filter(action="approval.approve", actor_id=scene.bob.person.user.id)
    assert entries.count() == 3
    assert canary not in str([(entry.details, entry.reason) for entry in entries])
