"""The app that a signed token speaks for, and what such an app's settings say. It grants nothing and knows no HTTP.

A token may come with the app's id, carry it as its subject, or say who it is in its issuer's own words (a Kubernetes
service account). In the last case several apps may claim the words: an issuer's name is only a text until a key of
the app's own settings has verified the signature, and two clusters often have the same name. So the token must hold
for exactly one app, and one that holds for two is refused: nobody is to choose between tenants.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from accounts import jwk, jwks, jwt_bearer
from accounts.errors import NotAuthenticated
from accounts.jwk import KeySet
from accounts.jwks import KeysUnavailable
from accounts.jwt_bearer import Claims, Rules, Token, TokenCredential
from accounts.models import AppCredential, AppSubject, CredentialKind, SpentToken
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from accounts.row_seals import Verified, verified
from accounts.validity import account_of, credentials_of, end_of

MAX_CLAIMANTS = 8
_NO_KEYS = KeySet(())


@dataclass(frozen=True, slots=True)
class Recognised:
    """An app, the claims it was recognised by, and whether they are good once only."""

    principal: Principal
    claims: Claims
    once: bool


def app_of(credential: TokenCredential, now: datetime, *, login: bool = False) -> Recognised:
    """The one app that takes this token, or NotAuthenticated. A token that is good once is good at ``login`` only."""
    token = jwt_bearer.take_apart(credential.token)
    claims = jwt_bearer.claims_of(token)
    apps = _meant(credential, claims)
    held = verified(apps)
    found: dict[UUID, Recognised] = {}
    refused = NotAuthenticated("unknown-app")
    for row in _live(held, apps, claims, now):
        try:
            accepted = _accepted(row, token, claims, now, held)
        except NotAuthenticated as error:
            refused = error
        else:
            found.setdefault(row.app_id, accepted)
    if len(found) > 1:
        raise NotAuthenticated("jwt-ambiguous")
    if not found:
        if refused.reason == "unknown-app":
            jwt_bearer.is_signed(token, _NO_KEYS)
        raise refused
    (recognised,) = found.values()
    if recognised.once and not login:
        raise NotAuthenticated("jwt-outside-login", "This token is good for one login; log in with it")
    return recognised


def spend(recognised: Recognised) -> None:
    """Take a token that is good once, for good when the caller's transaction commits. Whoever comes second waits."""
    claims, app = recognised.claims, recognised.principal.id
    digest = hashlib.sha256(f"{claims.issuer}\0{claims.token_id}".encode()).digest()
    try:
        with transaction.atomic():
            SpentToken.objects.create(scope=app, digest=digest, expires_at=claims.expires_at)
    except IntegrityError:
        raise NotAuthenticated("jwt-spent") from None


def _meant(credential: TokenCredential, claims: Claims) -> list[UUID]:
    if credential.app is not None:
        return [credential.app]
    claimants = AppSubject.objects.filter(issuer=claims.issuer, subject=claims.subject).values_list("app_id", flat=True)
    try:
        return list(dict.fromkeys([*claimants, UUID(claims.subject)]))
    except ValueError:
        return list(dict.fromkeys(claimants))


def _live(held: Verified, apps: Iterable[UUID], claims: Claims, now: datetime) -> list[AppCredential]:
    """What these apps take tokens by, the newest first. Another audience's claimants are none of ours."""
    rows = [row for app in apps for row in credentials_of(held, app, CredentialKind.SIGNED_JWT)]
    live = [row for row in sorted(rows, key=lambda row: (-row.version, row.pk)) if _holds(row, now)]
    meant = [row for row in live if claims.audiences & rules_of(row.config).audiences]
    if len({row.app_id for row in meant}) > MAX_CLAIMANTS:
        raise NotAuthenticated("jwt-ambiguous")
    return meant or live[:1]


def _holds(row: AppCredential, now: datetime) -> bool:
    ends_at = end_of(row)
    return ends_at is None or ends_at > now


def _accepted(row: AppCredential, token: Token, claims: Claims, now: datetime, held: Verified) -> Recognised:
    """The signature comes first, whatever the claims say: a guess at them costs what a forgery costs."""
    rules = rules_of(row.config)
    try:
        keys = keys_of(row.config, token.kid)
        signed = jwt_bearer.is_signed(token, keys)
    except KeysUnavailable:
        raise NotAuthenticated("jwt-keys-unavailable") from None
    if not signed:
        raise NotAuthenticated("jwt-signature")
    if token.algorithm not in rules.algorithms:
        raise NotAuthenticated("jwt-algorithm")
    jwt_bearer.judge(claims, rules, row.app_id, now)
    ends = [end for end in (claims.expires_at, end_of(row)) if end is not None]
    principal = Principal(
        PrincipalKind.APP,
        row.app_id,
        account_of(held, row.app_id),
        AuthenticationMethod.SIGNED_JWT,
        proof_version=held.versions[row.app_id],
        expires_at=min(ends),
    )
    return Recognised(principal, claims, rules.once)


# -- settings ------------------------------------------------------------------------------------------------------


def rules_of(config: Mapping[str, Any]) -> Rules:
    """The settings as they are kept. What is missing takes nothing."""
    return Rules(
        issuers=frozenset(config.get("issuers", ())),
        audiences=frozenset(config.get("audiences", ())),
        subjects=tuple(config.get("subjects", ())),
        algorithms=frozenset(config.get("algorithms", ())),
        max_age=timedelta(seconds=config.get("max_age", 0)),
        once=bool(config.get("once", True)),
    )


def keys_of(config: Mapping[str, Any], kid: str | None) -> KeySet:
    """The keys that the settings name: stored, or fetched when they are wanted. Raises KeysUnavailable."""
    keys = config.get("keys", {})
    if keys.get("kind") == "fetched":
        at = jwks.address(keys["url"], keys.get("ca_certificates", ()))
        return jwks.fetched.keys(at, kid, keys["cache_duration"])
    return _stored(tuple(sorted(keys.get("keys", {}).items())))


@lru_cache(maxsize=1024)
def _stored(keys: tuple[tuple[str, str], ...]) -> KeySet:
    return KeySet(tuple(jwk.key_of_bytes(kid, base64.b64decode(der)) for kid, der in keys))


def warm(credential: TokenCredential, now: datetime) -> None:
    """Have the keys at hand that judging the token will ask for, so that no transaction waits for a network."""
    token = jwt_bearer.take_apart(credential.token)
    claims = jwt_bearer.claims_of(token)
    apps = _meant(credential, claims)
    for row in _live(verified(apps), apps, claims, now):
        keys_of(row.config, token.kid)
