"""ID tokens and answers that are right but for one thing: each is refused, and the right one is taken."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from accounts.errors import NotAuthenticated
from accounts.models import IdentityProvider, Session, User
from accounts.principal import ANONYMOUS
from accounts.sso import oidc_metadata
from kms.audit.models import AuditRecord
from kms.operations.discovery import DiscoverSignOn
from kms.operations.errors import ProviderUnavailable
from kms.operations.executor import execute
from kms.operations.sessions import LogIn
from kms.operations.sign_on.by_oidc import OidcCredential
from tests.kit.tenants import Tenant, new_tenant
from tests.kit.tls import Authority
from tests.sso.oidc.forger import ACCESS, Forger

ANOTHER_KEY = rsa.generate_private_key(65537, 2048)
CURVE_KEY = ec.generate_private_key(ec.SECP256R1())
HOUR = 3600


@pytest.fixture(scope="module")
def forger_process(authority: Authority, tmp_path_factory: Any) -> Iterator[Forger]:
    forger = Forger(Path(tmp_path_factory.mktemp("forger")), authority)
    yield forger
    forger.close()


@pytest.fixture
def forger(forger_process: Forger) -> Forger:
    forger_process.reset()
    oidc_metadata.clear()
    return forger_process


@pytest.fixture(scope="module")
def shared(installation: None, django_db_blocker: Any) -> Tenant:
    """No refusal leaves anything behind, so all share one account and its member."""
    return new_tenant()


@pytest.fixture
def member(shared: Tenant) -> User:
    if "member" not in shared.users:
        shared.member("member")
    return shared.users["member"]


def start(provider: IdentityProvider) -> Any:
    (way,) = execute(ANONYMOUS, DiscoverSignOn(account=provider.account_id))
    return way.start


def log_in(forger: Forger, provider: IdentityProvider, **back: Any) -> Any:
    begun = start(provider)
    forger.nonce = parse_qs(urlsplit(begun.url).query)["nonce"][0]
    state = back.pop("state", begun.state)
    return execute(ANONYMOUS, LogIn(OidcCredential(provider.id, back.pop("code", "a-code"), state, **back)))


@pytest.fixture
def provider(forger: Forger, shared: Tenant, member: User) -> Iterator[IdentityProvider]:
    row = forger.add_to(shared)
    forger.claims["email"] = member.email
    forger.userinfo.update(email=member.email, email_verified=True)
    yield row
    row.delete()


def refused(forger: Forger, provider: IdentityProvider, **back: Any) -> str:
    with pytest.raises(NotAuthenticated) as caught:
        log_in(forger, provider, **back)
    assert str(caught.value) == "Invalid credentials"
    assert not Session.objects.filter(provider=provider).exists()
    return caught.value.reason


def hmac_with(secret: bytes) -> Callable[[Forger, dict[str, Any]], str]:
    """HS256 under something that is public; made by hand, for no library signs so."""

    def sign(forger: Forger, claims: dict[str, Any]) -> str:
        parts = [{"alg": "HS256", "kid": "one", "typ": "JWT"}, claims]
        signed = b".".join(encoded(json.dumps(part).encode()) for part in parts)
        return (signed + b"." + encoded(hmac.digest(secret or public_pem(forger), signed, "sha256"))).decode()

    return sign


def encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def public_pem(forger: Forger) -> bytes:
    return forger.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def unsigned(name: str) -> Callable[[Forger, dict[str, Any]], str]:
    def sign(_forger: Forger, claims: dict[str, Any]) -> str:
        parts = [{"alg": name, "kid": "one"}, claims]
        return (b".".join(encoded(json.dumps(part).encode()) for part in parts) + b".").decode()

    return sign


def left_half(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return encoded(digest[:16]).decode()


def test_the_right_token_is_taken(forger: Forger, provider: IdentityProvider, member: User) -> None:
    forger.claims["at_hash"] = left_half(ACCESS)
    assert log_in(forger, provider).entity == member.id


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["keystead"]},
        {"aud": ["keystead", "another"], "azp": "keystead"},
        {"azp": "keystead"},
    ],
    ids=str,
)
def test_what_is_unusual_and_right_is_taken(forger: Forger, provider: IdentityProvider, claims: dict[str, Any]) -> None:
    forger.claims.update(claims)
    assert log_in(forger, provider).session


@pytest.mark.parametrize(("claim", "seconds"), [("exp", -30), ("iat", 30), ("nbf", -5)])
def test_clocks_may_differ_a_little(forger: Forger, provider: IdentityProvider, claim: str, seconds: int) -> None:
    forger.claims[claim] = int(time.time()) + seconds
    assert log_in(forger, provider).session


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://127.0.0.1:1"},
    "the issuer with a slash": {"iss": "slash"},
    "no issuer": {"iss": None},
    "another client's": {"aud": "another"},
    "the client in another case": {"aud": "Keystead"},
    "a longer client": {"aud": "keystead2"},
    "no audience": {"aud": None},
    "an empty audience": {"aud": []},
    "several audiences and no party": {"aud": ["keystead", "another"]},
    "several audiences and another party": {"aud": ["keystead", "another"], "azp": "another"},
    "another party": {"azp": "another"},
    "the client among others, in an object": {"aud": {"keystead": 1}},
    "expired": {"exp": int(time.time()) - HOUR},
    "no expiry": {"exp": None},
    "an expiry that is no number": {"exp": "9999999999"},
    "an expiry that is true": {"exp": True},
    "an expiry beyond all time": {"exp": 1e300},
    "issued in the future": {"iat": int(time.time()) + HOUR},
    "issued long ago": {"iat": int(time.time()) - HOUR},
    "never issued": {"iat": None},
    "not yet valid": {"nbf": int(time.time()) + HOUR},
    "a start that is no number": {"nbf": "soon"},
    "another nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "an empty nonce": {"nonce": ""},
    "a nonce that is no text": {"nonce": 0},
    "another access token": {"at_hash": left_half("another-access-token")},
    "an address that is not verified": {"email_verified": False},
    "an address that is not said to be verified": {"email_verified": None},
    "an address that is verified in words": {"email_verified": "true"},
    "an address of nobody here": {"email": "nobody@example.org"},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject that is no text": {"sub": 7},
    "a subject without end": {"sub": "s" * 513},
    "a subject with NUL": {"sub": "a\0b"},
}


@pytest.mark.parametrize("claims", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS.keys())
def test_a_token_with_one_wrong_claim_is_refused(
    forger: Forger, provider: IdentityProvider, claims: dict[str, Any]
) -> None:
    given = {name: forger.issuer + "/" if value == "slash" else value for name, value in claims.items()}
    forger.sign = lambda right: forger.signed(
        {name: value for name, value in {**right, **given}.items() if name not in given or given[name] is not None}
    )
    forger.userinfo = {"sub": "subject"}
    assert refused(forger, provider)


FORGED: dict[str, Callable[[Forger, dict[str, Any]], str | None]] = {
    "another key": lambda f, c: f.signed(c, key=ANOTHER_KEY),
    "a key that is not among the issuer's": lambda f, c: f.signed(c, key=ANOTHER_KEY, kid="two"),
    "a key in the header": lambda f, c: f.signed(c, key=ANOTHER_KEY, jwk=f.public("one", ANOTHER_KEY)),
    "an address of keys in the header": lambda f, c: f.signed(c, key=ANOTHER_KEY, jku="https://127.0.0.1/keys"),
    "an algorithm that the issuer does not name": lambda f, c: f.signed(c, algorithm="PS256"),
    "another kind of key": lambda f, c: f.signed(c, key=CURVE_KEY, algorithm="ES256"),
    "HMAC under the public key": hmac_with(b""),
    "HMAC under the client's secret": hmac_with(b"the client's secret"),
    "a critical extension": lambda f, c: f.signed(c, crit=["exp"]),
    "a critical extension of ours": lambda f, c: f.signed(c, crit=["x"], x=1),
    "no signature": unsigned("none"),
    "no signature, in capitals": unsigned("NONE"),
    "no signature, mixed": unsigned("nOnE"),
    "RS256 without a signature": unsigned("RS256"),
    "claims changed after": lambda f, c: changed_after(f.signed({**c, "sub": "x"}), c),
    "a signature changed": lambda f, c: f.signed(c)[:-8] + "AAAAAAAA",
    "no token at all": lambda _f, _c: None,
    "not a token": lambda _f, _c: "nonsense",
    "two parts": lambda f, c: f.signed(c).rpartition(".")[0],
    "claims that are a list": lambda f, _c: signed_bytes(f, b'["iss"]'),
    "a name twice": lambda f, c: signed_bytes(f, json.dumps(c)[:-1].encode() + b',"sub":"another"}'),
    "claims that are no JSON": lambda f, _c: signed_bytes(f, b"nonsense"),
    "another type of token": lambda f, c: f.signed(c, typ="logout+jwt"),
    "a token without end": lambda f, c: f.signed({**c, "x": "x" * 20000}),
}


def changed_after(token: str, claims: dict[str, Any]) -> str:
    head, _, tail = token.split(".")
    return f"{head}.{encoded(json.dumps(claims).encode()).decode()}.{tail}"


def signed_bytes(forger: Forger, payload: bytes) -> str:
    return jwt.api_jws.encode(payload, forger.key, "RS256", headers={"kid": "one", "typ": "JWT"})


@pytest.mark.parametrize("sign", FORGED.values(), ids=FORGED.keys())
def test_a_forged_token_is_refused(
    forger: Forger, provider: IdentityProvider, sign: Callable[[Forger, dict[str, Any]], str | None]
) -> None:
    forger.sign = lambda claims: sign(forger, claims)
    assert refused(forger, provider)


def test_keys_that_are_not_for_signatures_sign_nothing(forger: Forger, provider: IdentityProvider) -> None:
    for members in ({"use": "enc"}, {"key_ops": ["encrypt"]}, {"alg": "RS512"}, {"kty": "EC"}):
        oidc_metadata.clear()
        forger.jwks = {"keys": [forger.public("one", **members)]}
        assert refused(forger, provider) == "id-token-signature"


def test_a_short_key_signs_nothing(forger: Forger, provider: IdentityProvider) -> None:
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 - what must be refused
    forger.jwks = {"keys": [forger.public("one", short)]}
    forger.sign = lambda claims: changed_key(claims, short)
    assert refused(forger, provider) == "id-token-signature"


def changed_key(claims: dict[str, Any], key: rsa.RSAPrivateKey) -> str:
    parts = [{"alg": "RS256", "kid": "one"}, claims]
    signed = b".".join(encoded(json.dumps(part).encode()) for part in parts)
    return (signed + b"." + encoded(key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))).decode()


# -- the answer of another -----------------------------------------------------------------------------------------


def test_userinfo_of_another_subject_is_not_used(forger: Forger, provider: IdentityProvider, member: User) -> None:
    forger.sign = lambda claims: forger.signed({k: v for k, v in claims.items() if not k.startswith("email")})
    forger.userinfo = {"sub": "another", "email": member.email, "email_verified": True}
    assert refused(forger, provider) == "userinfo-subject"


def test_one_mouth_says_the_address_and_that_it_is_verified(
    forger: Forger, provider: IdentityProvider, member: User
) -> None:
    forger.sign = lambda claims: forger.signed({k: v for k, v in claims.items() if k != "email"})
    forger.userinfo = {"sub": "subject", "email": member.email}
    assert refused(forger, provider) == "email-not-verified"


def test_the_answer_of_another_issuer_is_refused(forger: Forger, provider: IdentityProvider) -> None:
    assert refused(forger, provider, issuer="https://another.example.org") == "another-issuer"
    assert not [path for path, _, _ in forger.asked if path == "/token"]


def test_an_issuer_that_names_itself_must(forger: Forger, provider: IdentityProvider) -> None:
    forger.metadata["authorization_response_iss_parameter_supported"] = True
    oidc_metadata.clear()
    assert refused(forger, provider) == "another-issuer"
    assert log_in(forger, provider, issuer=forger.issuer).session


def test_a_code_that_the_issuer_refuses_logs_nobody_in(forger: Forger, provider: IdentityProvider) -> None:
    forger.token_status = 400
    assert refused(forger, provider) == "code-refused"


@pytest.mark.parametrize("status", [301, 401, 500, 503])
def test_an_issuer_that_fails_is_said_to(forger: Forger, provider: IdentityProvider, status: int) -> None:
    forger.token_status = status
    with pytest.raises(ProviderUnavailable):
        log_in(forger, provider)


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://127.0.0.1:1"},
        {"issuer": "slash"},
        {"token_endpoint": None},
        {"token_endpoint": "http://127.0.0.1/token"},
        {"token_endpoint": "https://169.254.169.254/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": ["https://127.0.0.1"]},
        {"code_challenge_methods_supported": ["plain"]},
    ],
    ids=str,
)
def test_metadata_that_is_wrong_is_as_if_the_issuer_were_silent(
    forger: Forger, provider: IdentityProvider, changed: dict[str, Any]
) -> None:
    forger.metadata |= {n: forger.issuer + "/" if v == "slash" else v for n, v in changed.items()}
    oidc_metadata.clear()
    assert execute(ANONYMOUS, DiscoverSignOn(account=provider.account_id)) == []


# -- what goes out -------------------------------------------------------------------------------------------------


def test_the_verifier_and_the_secret_go_to_the_token_endpoint_only(forger: Forger, provider: IdentityProvider) -> None:
    begun = start(provider)
    query = parse_qs(urlsplit(begun.url).query)
    forger.nonce = query["nonce"][0]
    execute(ANONYMOUS, LogIn(OidcCredential(provider.id, "a-code", begun.state)))
    (form, headers) = next((form, headers) for path, headers, form in forger.asked if path == "/token")
    (verifier,) = form["code_verifier"]
    challenge = encoded(hashlib.sha256(verifier.encode()).digest()).decode()
    assert (query["code_challenge"], query["code_challenge_method"]) == ([challenge], ["S256"])
    assert len(verifier) >= 43
    secret = base64.b64encode(b"keystead:the+client%27s+secret").decode()
    assert headers["Authorization"] == f"Basic {secret}"
    assert "client_secret" not in form
    others = [(path, headers) for path, headers, _ in forger.asked if path not in ("/token", "/userinfo")]
    assert others
    assert not [path for path, headers in others if "Authorization" in headers]


def test_nothing_that_a_caller_sends_goes_out(
    forger: Forger, provider: IdentityProvider, client: httpx.Client, member: User
) -> None:
    """What the caller brings in headers is the caller's secret; the provider gets what the server has for it."""
    canary = "canary-c1a0"
    headers = {
        "Authorization": f"Bearer {canary}",
        "Cookie": f"session={canary}",
        "X-Forwarded-For": canary,
        "X-Api-Key": canary,
        "User-Agent": canary,
        "Referer": f"https://{canary}.example.org/",
    }
    path = f"/sys/v1/session/auth/discover?acct_id={provider.account_id}"
    method = client.post(path, json={"user_email": member.email, "password": canary}, headers=headers).json()[0]
    forger.nonce = parse_qs(urlsplit(method["authorization_url"]).query)["nonce"][0]
    body = {"method": "oauth-auth-code", "idp_id": method["idp_id"], "code": "a-code", "state": method["state"]}
    body |= {"email": f"{canary}@example.org", "password": canary}
    assert client.post("/sys/v1/session/auth", json=body, headers=headers).status_code == 200
    assert {path for path, _, _ in forger.asked} >= {"/token", "/jwks", "/.well-known/openid-configuration"}
    assert canary not in str(forger.asked).lower()


def test_no_two_logins_share_anything(provider: IdentityProvider) -> None:
    queries = [parse_qs(urlsplit(start(provider).url).query) for _ in range(3)]
    for name in ("state", "nonce", "code_challenge"):
        assert len({query[name][0] for query in queries}) == 3


def test_a_refusal_is_recorded_with_its_reason(forger: Forger, provider: IdentityProvider) -> None:
    forger.claims["aud"] = "another"
    before = AuditRecord.objects.count()
    refused(forger, provider)
    entry = AuditRecord.objects.filter(action="session.create").order_by("-sequence").first()
    assert AuditRecord.objects.count() > before
    assert entry is not None
    assert (entry.outcome, entry.reason) == ("denied", "id-token-audience")
