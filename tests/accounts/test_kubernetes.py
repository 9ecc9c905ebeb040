"""Which tokens of a cluster are taken, claim by claim, and which binding is meant. Pure: no database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import jwt_bearer, kubernetes
from accounts.errors import NotAuthenticated
from accounts.jwk import ALGORITHMS
from accounts.kubernetes import ANY, Bound, Pod, Trust
from tests.kit.clusters import AUDIENCE, pod_issuer
from tests.kit.tokens import CLUSTER, Issuer, by_hand, rsa_key

TRUST = Trust(CLUSTER, AUDIENCE, ALGORITHMS, timedelta(hours=1))
POD = pod_issuer()
BOUND: dict[str, Any] = POD.more["kubernetes.io"]
NO_VALUES: list[Any] = [None, True, False, 0, -1, 1.5, "", [], {}, ["x"], {"name": "x"}, "x" * 600, "\u0000", "\ud800"]


def judged(claims: dict[str, Any], trust: Trust = TRUST, now: datetime | None = None) -> Pod:
    token = jwt_bearer.take_apart(by_hand(POD.header(), claims, rsa_key(), "RS256"))
    return kubernetes.judge(token, jwt_bearer.claims_of(token), trust, now or datetime.now(UTC))


def reason(claims: dict[str, Any], trust: Trust = TRUST, now: datetime | None = None) -> str:
    with pytest.raises(NotAuthenticated) as refused:
        judged(claims, trust, now)
    assert str(refused.value) == "Invalid credentials"
    assert refused.value.reason in kubernetes.SENTENCES
    return refused.value.reason


def within(value: Any, path: tuple[str, ...], change: Callable[[dict[str, Any]], None]) -> Any:
    """A copy in which the object at ``path`` was changed."""
    copied = dict(value)
    if not path:
        change(copied)
    else:
        copied[path[0]] = within(copied[path[0]], path[1:], change)
    return copied


def paths(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every member of the private claim, at any depth."""
    for name, inner in value.items():
        yield (*above, name)
        if isinstance(inner, dict):
            yield from paths(inner, (*above, name))


def test_a_pods_token_says_whose_it_is() -> None:
    found = judged(POD.claims())
    assert found == Pod("shop", "payments", "payments-7d9f", BOUND["pod"]["uid"], "node-1")


# -- registered claims ---------------------------------------------------------------------------------------------

NEEDED = ("iss", "sub", "aud", "exp", "iat", "kubernetes.io")


@pytest.mark.parametrize("claim", NEEDED)
def test_each_claim_is_needed(claim: str) -> None:
    assert reason({name: value for name, value in POD.claims().items() if name != claim}) != ""


@pytest.mark.parametrize("claim", NEEDED)
def test_no_claim_is_taken_with_a_value_of_another_kind(claim: str) -> None:
    for value in NO_VALUES:
        assert reason({**POD.claims(), claim: value}), value


def test_every_claim_that_is_judged_is_in_the_sweep() -> None:
    """What is left of a token's claims may be away: ``nbf`` and ``jti``."""
    assert POD.claims().keys() - set(NEEDED) == {"nbf", "jti"}
    for name in ("nbf", "jti"):
        assert judged({key: value for key, value in POD.claims().items() if key != name})


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"iss": CLUSTER + "/"}, "jwt-issuer"),
    "an issuer in other letters": ({"iss": CLUSTER.upper()}, "jwt-issuer"),
    "another audience": ({"aud": ["https://other.example"]}, "jwt-audience"),
    "the API server's audience": ({"aud": [CLUSTER]}, "jwt-audience"),
    "a second audience": ({"aud": [AUDIENCE, CLUSTER]}, "jwt-audience"),
    "an audience that begins alike": ({"aud": [AUDIENCE + "/x"]}, "jwt-audience"),
    "another service account": ({"sub": "system:serviceaccount:shop:other"}, "jwt-subject"),
    "another namespace": ({"sub": "system:serviceaccount:other:payments"}, "jwt-subject"),
    "a user": ({"sub": "payments"}, "jwt-subject"),
    "a service account with more": ({"sub": POD.subject + ":x"}, "jwt-subject"),
}


@pytest.mark.parametrize(("claims", "expected"), OTHERS.values(), ids=OTHERS)
def test_another_value_is_another_token(claims: dict[str, Any], expected: str) -> None:
    assert reason({**POD.claims(), **claims}) == expected


def test_one_audience_may_stand_as_text() -> None:
    assert judged(POD.claims(aud=AUDIENCE)) == judged(POD.claims())


def test_only_algorithms_of_the_cluster_are_taken() -> None:
    assert reason(POD.claims(), replace(TRUST, algorithms=ALGORITHMS - {"RS256"})) == "jwt-algorithm"


# -- time ----------------------------------------------------------------------------------------------------------


@given(age=st.integers(-120, 7200), lifetime=st.integers(1, 7200), most=st.integers(600, 3600))
def test_a_token_is_taken_from_its_issue_to_its_end_and_no_longer_than_is_allowed(
    age: int, lifetime: int, most: int
) -> None:
    """Only the past has no leeway; a minute is what clocks may differ by."""
    now = datetime.fromtimestamp(int(time.time()), UTC)
    issued = int(now.timestamp()) - age
    claims = POD.claims(iat=issued, nbf=issued, exp=issued + lifetime)
    expected = age < lifetime and age >= -60 and lifetime <= most
    try:
        judged(claims, replace(TRUST, max_age=timedelta(seconds=most)), now)
        taken = True
    except NotAuthenticated:
        taken = False
    assert taken == expected


def test_the_end_is_exact() -> None:
    claims = POD.claims()
    end = datetime.fromtimestamp(claims["exp"], UTC)
    assert judged(claims, now=end - timedelta(microseconds=1))
    assert reason(claims, now=end) == "jwt-expired"


def test_a_token_whose_life_the_api_server_extended_is_refused() -> None:
    """As --service-account-extend-token-expiration does it to those for the API server: a year."""
    extended = Issuer(POD.subject, POD.audience, more=POD.more, lifetime=365 * 86_400)
    assert reason(extended.claims()) == "jwt-lives-too-long"


# -- the pod -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", list(paths(BOUND)), ids=".".join)
def test_each_member_of_the_private_claim_is_needed_and_is_what_it_should_be(path: tuple[str, ...]) -> None:
    *above, name = path

    def changed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        return POD.claims(**{"kubernetes.io": within(BOUND, tuple(above), change)})

    if path not in {("node",), ("node", "uid")}:  # older API servers do not say the node
        assert reason(changed(lambda at: at.pop(name))) == "jwt-not-of-a-pod"
    for value in NO_VALUES:
        if path == ("node", "uid") or (path == ("node", "name") and value == ""):
            continue  # of no use to anybody, and not looked at
        if path == ("node",) and value == {"name": "x"}:
            continue
        assert reason(changed(lambda at, value=value: at.update({name: value}))) == "jwt-not-of-a-pod", value  # type: ignore[misc]  # the loop's value


def test_a_token_of_a_secret_is_refused() -> None:
    """The older kind (kubernetes.io/serviceaccount/…): no end, no audience, no pod."""
    legacy = {
        "iss": "kubernetes/serviceaccount",
        "kubernetes.io/serviceaccount/namespace": "shop",
        "kubernetes.io/serviceaccount/secret.name": "payments-token",
        "kubernetes.io/serviceaccount/service-account.name": "payments",
        "sub": POD.subject,
    }
    assert reason(legacy) == "jwt-claims"
    by_secret = {name: value for name, value in BOUND.items() if name != "pod"} | {"secret": BOUND["pod"]}
    assert reason(POD.claims(**{"kubernetes.io": by_secret})) == "jwt-not-of-a-pod"


def test_a_name_that_could_be_read_as_two_is_none() -> None:
    """A colon would let one namespace speak for another's service account."""
    forged = within(BOUND, (), lambda at: at.update(namespace="shop:payments"))
    forged = within(forged, ("serviceaccount",), lambda at: at.update(name="x"))
    claims = POD.claims(sub="system:serviceaccount:shop:payments:x", **{"kubernetes.io": forged})
    assert reason(claims) == "jwt-not-of-a-pod"


@given(text=st.text(alphabet="aZ09-.:/*_ é\n", max_size=70))
def test_names_are_those_that_kubernetes_takes(text: str) -> None:
    plain = set(text) <= set("a09-") and 0 < len(text) <= 63
    assert kubernetes.is_label(text) == (plain and text[0] != "-" and text[-1] != "-")
    parts = text.split(".")
    labels = [set(part) <= set("a09-") and part != "" and part[0] != "-" and part[-1] != "-" for part in parts]
    assert kubernetes.is_subdomain(text) == (len(text) <= 253 and all(labels))


# -- the binding ---------------------------------------------------------------------------------------------------

_NAMES = st.sampled_from(["shop", "other"])
_ACCOUNTS = st.sampled_from(["payments", "carts", ANY])
_APPS = st.integers(1, 3).map(lambda number: UUID(int=number))
_BINDINGS = st.lists(
    st.tuples(_NAMES, _ACCOUNTS, _APPS).map(lambda parts: Bound(UUID(int=9), *parts)), unique=True, max_size=12
)


@given(bindings=_BINDINGS, app=st.none() | _APPS)
def test_the_most_specific_binding_is_meant_and_nobody_chooses_between_two(
    bindings: list[Bound], app: UUID | None
) -> None:
    pod = judged(POD.claims())
    own = {each.app for each in bindings if (each.namespace, each.service_account) == ("shop", "payments")}
    every = {each.app for each in bindings if (each.namespace, each.service_account) == ("shop", ANY)}
    expected = (own or every) & ({app} if app else own | every)
    try:
        found = {kubernetes.chosen(bindings, pod, app).app}
    except NotAuthenticated as refused:
        assert refused.reason == ("binding-ambiguous" if expected else "binding-absent")  # noqa: PT017 - either may be
        assert len(expected) != 1
    else:
        assert found == expected
