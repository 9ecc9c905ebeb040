"""The authorisation matrix: every route, by everybody there can be, over the REST edge.

What each call comes to is compared with what the catalogue says of the targets it names (tests/kit/verdicts), and with
what test_permissions says by hand. Its requests are the ones used here; a route without one fails, and so does one that
asks for no permission. Whatever a call did is undone, so that the next one finds the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, get_origin
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
import pytest
from django.db import transaction

from accounts.clock import clock
from accounts.models import IdentityProvider
from kms.api.authentication import authenticator
from kms.api.routes import ENDPOINTS
from kms.api.wire.base import Endpoint, WireCall
from kms.api.wire.flags import ACCOUNT_FLAGS, GROUP_FLAGS
from kms.audit.entry import CallContext
from kms.objects.models import SecurityObject
from kms.operations.authority import Authority
from kms.operations.command import Call, Resolved
from kms.operations.registry import operation_of
from policies.decision import AccessRequest, Allow, Decision, Deny, Facts, decide
from policies.facts import known_of
from policies.permissions import CATALOGUE, Permission, Scope, in_scope, with_implied
from policies.system_roles import ACCOUNT_ROLES, MEMBER
from tests.api.test_permissions import CASES, ELSEWHERE, Case, World, asked_of_alice, new_world, spare_role
from tests.architecture.test_operations import body_of
from tests.kit.cast import Actor, Custom, basic, bearer, people, programs, shut_out, unknown
from tests.kit.tenants import new_tenant, unique
from tests.kit.verdicts import Came, Held, Sent, Verdict, attempt, of_items, predicted


def published_key(world: World) -> dict[str, str]:
    name = unique("published")
    ref = world.tenant.key("EC", curve="NistP256", name=name)
    SecurityObject.objects.filter(id=str(ref.id)).update(publication={"publish_for_previous": False})
    return {"name": name}


def alice_herself(world: World) -> dict[str, str]:
    return {"user_id": str(world.tenant.alice.id)}


def unreachable(kind: str) -> Callable[[World], dict[str, str]]:
    """A provider at an address that the server calls for nobody, so that no test depends on a network."""
    place = "https://127.0.0.1"
    config = {
        "ldap": {
            "url": "ldap://127.0.0.1",
            "tls": {"mode": "disabled"},
            **dict.fromkeys(("base_dn", "resolution", "user_object_class", "service_dn"), ""),
            **dict.fromkeys(("domains", "required_groups", "valid_for")),
        },
        "oidc": {
            "client_id": "keystead",
            "issuer": place,
            "tls": {"mode": "required", "authorities": []},
            **{f"{name}_endpoint": f"{place}/{name}" for name in ("authorization", "token", "userinfo")},
        },
    }[kind]

    def make(world: World) -> dict[str, str]:
        row = IdentityProvider.objects.create(account=world.tenant.account, kind=kind, name=kind, config=config)
        return {"provider_id": str(row.id), "ldap_id": str(row.id)}

    return make


# For routes that test_permissions leaves to other files: where they are sent. The body is the least there can be, so
# who may make the call gets past rights and no further.
PLACES: dict[str, Callable[[World], dict[str, str]]] = {
    "TestIdentityProvider": unreachable("oidc"),
    "LdapSearch": unreachable("ldap"),
    "SyncExternalRole": spare_role,
    "GetPubkey": published_key,
    "MfaChallenge": asked_of_alice,
    "ConfirmEmail": alice_herself,
    "ResendConfirmEmailById": alice_herself,
}
# They count guesses in a transaction of their own, so they cannot be undone: nothing of theirs is right here.
LASTING = {
    "Authenticate",
    "ChangePassword",
    "CompleteFido2Auth",
    "Config2faAuth",
    "ConfirmTotpDevice",
    "RecoveryCodeAuth",
    "TotpAuth",
    "U2fAuth",
}
VALID = CASES.keys() - LASTING
ROLES_GIVE = in_scope(Scope.ACCOUNT) | in_scope(Scope.GROUP)

# About what is Alice's, or asked of her: others are refused in one way or another.
ABOUT_ALICE = {
    "ApproveRequest",
    "ConfirmEmail",
    "DeleteApprovalRequest",
    "DenyRequest",
    "GetApprovalRequestResult",
    "MfaChallenge",
    "ResendConfirmEmailById",
}
# Everybody's own, and others' by a right on the account or in all groups. These are others'.
OTHERS_BY_RIGHT = {
    "GetAccount": Permission.ACCOUNT_GET,
    "GetApprovalRequest": Permission.APPROVAL_GET_ALL,
    "CreateApprovalRequest": Permission.OBJECT_DELETE,
}
# One's own, and not there.
NOT_THERE = {"EndSession", "ConfirmTotpDevice", "DeleteTotpDevice"}
# What only people have: an app is told so in one way or another.
PERSONAL = {
    Permission.SESSION_MANAGE,
    Permission.SECOND_FACTOR_PROVE,
    Permission.SECOND_FACTOR_MANAGE,
    Permission.OWN_PASSWORD,
    Permission.OWN_EMAIL,
    Permission.OWN_USER_DELETE,
}
FOR_PEOPLE = {"GetUserAccounts", "ListFactors"}
# Where the request of test_permissions gives somebody more than a role in a group can hold.
BODIES: dict[str, Any] = {
    "CreateRole": {"name": "matrix", "details": {"kind": "account", "permissions": ["GET_ALL_USERS"]}},
    "UpdateUser": {"account_role": ["ACCOUNTMEMBER", "STATEENABLED"]},
}
# What must be held beside what is asked of targets: what the request gives to somebody (kms.operations.giving), and
# what saving would take of that which is only tried.
GIVEN: dict[str, frozenset[Permission]] = {
    "CreateRole": frozenset({Permission.USER_GET}),
    "InviteUser": ACCOUNT_ROLES["member"].account,
    "UpdateUser": ACCOUNT_ROLES["member"].account,
    "UpdateExternalRole": ACCOUNT_ROLES["member"].account,
    "SimulateGroupPolicy": frozenset({Permission.GROUP_QUORUM}),
    "SimulateRole": frozenset({Permission.ROLE_UPDATE}),
    "SimulateNewRole": ACCOUNT_ROLES["member"].account | {Permission.ROLE_CREATE, Permission.USER_UPDATE_ROLE},
}


@dataclass(frozen=True)
class Ready:
    """A route's request, about something that is there, and what it asks for when somebody makes it who may."""

    sent: Sent
    needs: tuple[Resolved, ...]

    @property
    def endpoint(self) -> Endpoint:
        return self.sent.endpoint

    @property
    def groups(self) -> frozenset[UUID]:
        return frozenset(group for need in self.needs for group in need.target.groups)

    def by_roles(self) -> frozenset[Permission]:
        """What roles must give for it: the permissions asked for, and those that make their targets visible."""
        asked = {need.permission for need in self.needs} | {need.target.see for need in self.needs if need.target.see}
        return frozenset(p for p in asked if CATALOGUE[p].scope in (Scope.ACCOUNT, Scope.GROUP))


class Matrix:
    """One account with one of everything, and everybody. What a call did is undone, so a request is made ready once."""

    def __init__(self) -> None:
        self.world = new_world()
        tenant, elsewhere = self.world.tenant, new_tenant()
        self.may = {"alice": bearer(tenant.alice), "app": basic(tenant.api_key())}
        self.actors = (*unknown(tenant), *shut_out(tenant), *people(tenant), *programs(tenant))
        self.strangers = {"alice": bearer(elsewhere.alice), "app": basic(elsewhere.api_key())}
        self.custom = Custom(tenant)
        self._ready: dict[str, Ready] = {}

    def ready(self, endpoint: Endpoint) -> Ready:
        name = endpoint.operation
        if name not in self._ready:
            sent = prepared(endpoint, self.world)
            self._ready[name] = Ready(sent, needs_of(sent, self.may[by(endpoint)]))
        return self._ready[name]


@pytest.fixture(scope="module")
def matrix(installation: None) -> Matrix:
    return Matrix()


def by(endpoint: Endpoint) -> str:
    return CASES[endpoint.operation].by if endpoint.operation in CASES else "alice"


def is_batch(endpoint: Endpoint) -> bool:
    return get_origin(endpoint.body) is list


def prepared(endpoint: Endpoint, world: World) -> Sent:
    case = CASES.get(endpoint.operation, Case("alice", path=PLACES.get(endpoint.operation)))
    ids = {**world.ids(), **(case.path(world) if case.path else {})}
    if endpoint.operation.startswith(("Mac", "Sign", "Verify")):
        ids["key_id"] = world.keys["HMAC" if endpoint.operation.startswith("Mac") else "EC"]
    names = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    path = {name: ids.get(name, str(UUID(int=1))) for name in names}
    if endpoint.operation in VALID:
        content = BODIES.get(endpoint.operation) or (case.body(world) if case.body else None)
        return Sent(endpoint, path, b"" if content is None else json.dumps(content).encode(), case.query)
    body = body_of(endpoint)
    return Sent(endpoint, path, b"" if body is None else msgspec.json.encode(body))


def needs_of(sent: Sent, authorization: str) -> tuple[Resolved, ...]:
    if is_batch(sent.endpoint):
        return needs_of(_item_of(sent), authorization)
    caller = authenticator.principal(authorization)
    body = sent.endpoint.decode(sent.body)
    command = sent.endpoint.to_command(WireCall(sent.path, dict(parse_qsl(sent.query)), body, authorization, caller))
    with transaction.atomic():
        call = Call(caller, CallContext(), clock.now(), known_of(caller).facts, Authority(load=True))
        return tuple(operation_of(command).resolve(call, command))


def _item_of(sent: Sent) -> Sent:
    """The item of a batch, as the request it stands for."""
    single = next(e for e in ENDPOINTS if e.operation == sent.endpoint.operation.removeprefix("Batch"))
    item, *_ = json.loads(sent.body)
    if "kid" in item:
        item["key"] = {"kid": item.pop("kid")}
    return Sent(single, {}, json.dumps({**item.pop("request", {}), **item}).encode())


def come(sent: Sent, actor: Actor) -> Came:
    came = attempt(sent, actor.authorization, lasting=sent.endpoint.operation in LASTING)
    return of_items(came) if is_batch(sent.endpoint) else came


# -- what is expected ----------------------------------------------------------------------------------------------

# None: refused, in whatever way.
Expected = Verdict | None


def expected_of(endpoint: Endpoint, needs: tuple[Resolved, ...], actor: Actor) -> Expected:
    if endpoint.anonymous:
        return Verdict.ALLOWED
    if actor.stands is Verdict.UNKNOWN_CALLER:
        return actor.stands
    if endpoint.operation in ABOUT_ALICE or (actor.is_app and any(need.permission in PERSONAL for need in needs)):
        return None
    if endpoint.operation in OTHERS_BY_RIGHT:
        right = OTHERS_BY_RIGHT[endpoint.operation]
        return Verdict.ALLOWED if right in actor.held.account | actor.held.everywhere else None
    if actor.stands is not Verdict.ALLOWED:
        return actor.stands
    if endpoint.operation in NOT_THERE:
        return Verdict.INVISIBLE
    if actor.is_app and endpoint.operation in FOR_PEOPLE:
        return Verdict.DENIED
    verdict = predicted(needs, actor.held)
    beside = GIVEN.get(endpoint.operation, frozenset()) <= actor.held.somewhere
    return verdict if beside or verdict is not Verdict.ALLOWED else Verdict.DENIED


def fits(endpoint: Endpoint, came: Came, expected: Expected) -> bool:
    """Whoever may gets the answer of a valid request, where there is one."""
    if endpoint.anonymous:
        # Rights refuse nobody; what is shown in the request may be wrong.
        return came.verdict in (Verdict.ALLOWED, Verdict.UNKNOWN_CALLER) and came.status < 500
    if expected is None:
        return came.status in (400, 403, 404)
    if came.verdict is not expected:
        return False
    if expected is not Verdict.ALLOWED:
        return came.status == expected.value
    return came.status == endpoint.status if endpoint.operation in VALID else not_a_defect(came)


def not_a_defect(came: Came) -> bool:
    return came.status < 500 or came.reason == "provider-unavailable"


def told(ready: Ready, wrong: Iterable[str]) -> str:
    return "\n".join([*(f"{need.permission} on {need.target.kind}" for need in ready.needs), *wrong])


def differs(ready: Ready, actor: Actor, expected: Expected) -> Iterable[str]:
    """A line when the call comes to something else."""
    came = come(ready.sent, actor)
    by_hand = said_by_hand(ready.endpoint, actor)
    if not fits(ready.endpoint, came, expected) or by_hand not in (None, came.status):
        yield f"{actor.name}: {expected}, {by_hand}, but {came.status} ({came.reason}): {came.body[:200]!r}"


def said_by_hand(endpoint: Endpoint, actor: Actor) -> int | None:
    """What test_permissions says of who sees and may not, and of who sees nothing of the account."""
    if endpoint.operation not in VALID or is_batch(endpoint):
        return None
    case, onlooker = CASES[endpoint.operation], "blind app" if by(endpoint) == "app" else "auditor"
    return {onlooker: case.sees, "stranger": case.outside}.get(actor.name)


# -- the tests -----------------------------------------------------------------------------------------------------

EACH = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: e.operation)


@EACH
def test_each_route_is_answered_to_everybody_as_the_catalogue_says(endpoint: Endpoint, matrix: Matrix) -> None:
    ready = matrix.ready(endpoint)
    assert ready.needs, "the route asks for no permission"
    wrong = [
        line for actor in matrix.actors for line in differs(ready, actor, expected_of(endpoint, ready.needs, actor))
    ]
    assert not wrong, told(ready, wrong)


@EACH
def test_custom_roles_open_a_route_with_what_it_needs_and_not_with_all_but_one(
    endpoint: Endpoint, matrix: Matrix
) -> None:
    ready = matrix.ready(endpoint)
    needed = ready.by_roles()
    given = GIVEN.get(endpoint.operation, frozenset()) - MEMBER
    if not needed:
        assert {CATALOGUE[need.permission].scope for need in ready.needs} <= {Scope.PUBLIC, Scope.SELF}
        return
    exact = matrix.custom.holding(needed | given, ready.groups)
    assert predicted(ready.needs, exact.held) is Verdict.ALLOWED
    wrong = list(differs(ready, exact, Verdict.ALLOWED))
    for one in sorted((needed | given) - MEMBER):
        less = matrix.custom.holding(without(one), ready.groups)
        expected = predicted(ready.needs, less.held)
        if one in given - needed and expected is Verdict.ALLOWED:
            expected = Verdict.DENIED
        assert expected is not Verdict.ALLOWED, one
        wrong += [f"without {one}: {line}" for line in differs(ready, less, expected)]
    assert not wrong, told(ready, wrong)


def without(one: Permission) -> frozenset[Permission]:
    """Everything that roles give, but this and what implies it."""
    return frozenset(p for p in ROLES_GIVE if one not in with_implied(frozenset({p})))


@EACH
def test_a_stranger_sees_nothing_of_the_account(endpoint: Endpoint, matrix: Matrix) -> None:
    ready = matrix.ready(endpoint)
    stranger = Actor("stranger", matrix.strangers[by(endpoint)])
    came = come(ready.sent, stranger)
    if is_batch(endpoint):
        assert came.status == 404
    elif endpoint.operation in VALID:
        assert came.status == CASES[endpoint.operation].outside, came
    elif any(need.target.see for need in ready.needs) or endpoint.operation in NOT_THERE | ABOUT_ALICE:
        assert came.status in (403, 404), came
    for secret in (str(matrix.world.tenant.account.id), matrix.world.tenant.group.name):
        assert secret not in came.body.decode(errors="replace")


def test_each_flag_alone_decides_as_the_catalogue_says(matrix: Matrix) -> None:
    """Every permission by itself, on the account, in all groups and in the target's, for all that any route asks."""
    member = matrix.world.tenant.alice
    asked = {(need.permission, need.target) for endpoint in ENDPOINTS for need in matrix.ready(endpoint).needs}
    assert len(asked) > 50
    for permission, target in asked:
        request = AccessRequest(member, permission, target, clock.now())
        for held in alone(target.groups):
            decision = decide(request, Facts(held.account, held.everywhere, held.groups))
            assert verdict_of(decision) is predicted([Resolved(permission, target)], held), (permission, target, held)


def alone(groups: tuple[UUID, ...]) -> Iterator[Held]:
    for permission in Permission:
        one = with_implied(frozenset({permission}))
        yield Held(account=one)
        yield Held(everywhere=one)
        yield Held(groups=dict.fromkeys(groups, one))
        yield Held(groups=dict.fromkeys(groups[:1], one))


def verdict_of(decision: Decision) -> Verdict:
    if isinstance(decision, Deny):
        return Verdict.DENIED if decision.visible else Verdict.INVISIBLE
    assert isinstance(decision, Allow)
    return Verdict.ALLOWED


def test_flags_of_the_clients_alone_over_the_edge(matrix: Matrix) -> None:
    ready = matrix.ready(next(e for e in ENDPOINTS if e.operation == "RotateSobject"))
    wrong, allowed = [], []
    flags = {**ACCOUNT_FLAGS, **GROUP_FLAGS}
    for flag in {"ROTATE_SOBJECTS", *list(flags)[::5]}:
        permission = flags[flag]
        actor = matrix.custom.holding(frozenset({permission}), ready.groups)
        expected = predicted(ready.needs, actor.held)
        allowed += [flag] if expected is Verdict.ALLOWED else []
        wrong += [f"{flag}: {line}" for line in differs(ready, actor, expected)]
    assert not wrong, told(ready, wrong)
    assert allowed == ["ROTATE_SOBJECTS"]


def test_every_route_is_in_the_matrix() -> None:
    """By a valid request, or by the least there can be, sent where it is at home."""
    assert {e.operation for e in ENDPOINTS} == CASES.keys() | ELSEWHERE
    assert PLACES.keys() <= ELSEWHERE
