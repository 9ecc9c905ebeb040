"""Credentials in, principals out, or NotAuthenticated. It grants nothing and knows no roles, routes or HTTP verbs.

Unknown, wrong and disabled look alike from outside, and cost alike.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import string
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.contrib.auth.hashers import check_password, make_password
from django.db import transaction

from accounts import addresses, app_tokens, passwords
from accounts.errors import NotAuthenticated
from accounts.jwt_bearer import TokenCredential, looks_like_token
from accounts.models import App, AppCredential, CredentialKind, Session, User
from accounts.principal import ANONYMOUS, AuthenticationMethod, ClusterLogin, Principal, PrincipalKind
from accounts.row_seals import verified
from accounts.validity import credentials_of, end_of

TOKEN_BYTES = 48
MIN_APP_SECRET_BYTES, MAX_APP_SECRET_BYTES = 16, 128
_GENERATED_PASSWORD_LENGTH = 24
_NOBODYS = AppCredential(kind=CredentialKind.SECRET, secret_digest=bytes(32))
_DECOY = make_password("a password nobody has, so that unknown users cost the same")


@dataclass(frozen=True, slots=True)
class BasicCredential:
    """``Authorization: Basic`` (RFC 7617): an app's id and secret, or a user's e-mail and password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BearerCredential:
    """``Authorization: Bearer`` (RFC 6750): a session token."""

    token: str = field(repr=False)


def parse_authorization(header: str | None) -> BasicCredential | BearerCredential | None:
    """The credential in an Authorization header; None when there is none. Malformed ones are not authenticated."""
    if not header:
        return None
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return BearerCredential(value.strip())
    if scheme.lower() == "basic":
        try:
            username, separator, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
        except ValueError:  # binascii.Error, UnicodeDecodeError, and a plain one for what is not ASCII
            raise NotAuthenticated("malformed-basic", "The Authorization header is not valid Basic") from None
        if separator and "\0" not in username:
            return BasicCredential(username, password)
    raise NotAuthenticated("malformed-authorization", "The Authorization header is not valid")


def digest(secret: str) -> bytes:
    """SHA-256 suffices for secrets of full entropy (SP 800-63B-4 §3.1.1.2 asks for salting of guessable ones only)."""
    return hashlib.sha256(secret.encode()).digest()


def new_app_secret(size: int = 64) -> str:
    """``size`` bytes of entropy, base64url without padding (no colon: the secret sits in a Basic credential)."""
    return secrets.token_urlsafe(size)


def new_password() -> str:
    """A generated password of 142 bits, without look-alikes."""
    alphabet = "".join(c for c in string.ascii_letters + string.digits if c not in "0O1lI")
    return "".join(secrets.choice(alphabet) for _ in range(_GENERATED_PASSWORD_LENGTH))


def app_of(credential: BasicCredential, now: datetime) -> Principal:
    """The app whose API key this is."""
    try:
        app_id = UUID(credential.username)
    except ValueError:
        raise NotAuthenticated("unknown-app") from None
    held = verified([app_id])
    app, rows = held.first(App, app_id), credentials_of(held, app_id, CredentialKind.SECRET)
    given = digest(credential.password)
    matching = [row for row in rows or [_NOBODYS] if hmac.compare_digest(bytes(row.secret_digest or b""), given)]
    if app is None or not rows:
        raise NotAuthenticated("unknown-app")
    if not matching:
        raise NotAuthenticated("wrong-app-secret")
    row = matching[0]
    ends_at = end_of(row)
    if ends_at is not None and ends_at <= now:
        raise NotAuthenticated("app-secret-expired")
    method = AuthenticationMethod.API_KEY
    version = held.versions[app_id]
    return Principal(PrincipalKind.APP, app_id, app.account_id, method, proof_version=version, expires_at=ends_at)


def user_of(credential: BasicCredential) -> User:
    """The user with this e-mail and password."""
    password = passwords.normalised(credential.password)
    user = User.objects.filter(email=addresses.normalised(credential.username)).first()
    encoded = user.password if user else _DECOY
    better: list[str] = []
    matches = check_password(password, encoded, setter=lambda text: better.append(make_password(text)))
    if user is None:
        raise NotAuthenticated("unknown-user")
    if not matches or not _still_has(user, better):
        raise NotAuthenticated("wrong-password")
    return user


def _still_has(user: User, better: list[str]) -> bool:
    """Nobody changed the password while it was checked: a change ends the sessions there are, so none may come after.

    One that was hashed by an older rule is hashed anew, now that its text is known.
    """
    with transaction.atomic():
        rows = User.objects.select_for_update(no_key=True).filter(pk=user.pk, password=user.password)
        if not rows.exists():
            return False
        if better:
            user.password = better[0]
            user.save(update_fields=["password"])
    return True


def looks_like_app(credential: BasicCredential) -> bool:
    """An app's username is its id; an e-mail address never parses as one."""
    try:
        UUID(credential.username)
    except ValueError:
        return False
    return True


def token_in(credential: BasicCredential | BearerCredential | None) -> TokenCredential | None:
    """The signed token of an app that stands where an API key or a session's token stands otherwise."""
    if isinstance(credential, BearerCredential) and looks_like_token(credential.token):
        return TokenCredential(credential.token)
    if isinstance(credential, BasicCredential) and looks_like_app(credential) and looks_like_token(credential.password):
        return TokenCredential(credential.password, UUID(credential.username))
    return None


def principal_of_token(token: str, now: datetime) -> Principal:
    """The owner of a live session."""
    token_digest = digest(token)
    session_id = Session.objects.filter(token_digest=token_digest).values_list("id", flat=True).first()
    held = verified([] if session_id is None else [session_id])
    session = None if session_id is None else held.first(Session, session_id)
    if session is None or session_id is None or not hmac.compare_digest(bytes(session.token_digest), token_digest):
        raise NotAuthenticated("unknown-session", "The session is not valid; log in again")
    if session.terminated_at is not None:
        raise NotAuthenticated("session-ended", "The session has ended; log in again")
    if session.expires_at <= now:
        raise NotAuthenticated("session-expired", "The session has expired; log in again")
    return principal_of_session(session, held.versions[session_id])


def principal_of_session(session: Session, version: int | None = None) -> Principal:
    app, owner = session.app, session.user_id or session.app_id
    assert owner is not None  # a check constraint of the table
    return Principal(
        kind=PrincipalKind.USER if app is None else PrincipalKind.APP,
        id=owner,
        account=session.account_id if app is None else app.account_id,
        method=AuthenticationMethod(session.method),
        authenticated_at=session.authenticated_at,
        session=session.id,
        expires_at=session.expires_at,
        proof_version=version,
        provider=session.provider_id,
        certificate=None if session.certificate is None else bytes(session.certificate),
        opened_by=_opened_by(session),
    )


def _opened_by(session: Session) -> ClusterLogin | None:
    if session.cluster is None or session.binding is None:
        return None
    return ClusterLogin(session.cluster, session.binding, session.cluster_trust or 0)


def authenticate(header: str | None, now: datetime) -> Principal:
    """The principal of an Authorization header on any call but login; no header is the anonymous principal.

    A user's password is taken at login only: it is slow to check on purpose, and a session can be revoked.
    """
    credential = parse_authorization(header)
    if credential is None:
        return ANONYMOUS
    token = token_in(credential)
    if token is not None:
        return app_tokens.app_of(token, now).principal
    if isinstance(credential, BearerCredential):
        return principal_of_token(credential.token, now)
    if looks_like_app(credential):
        return app_of(credential, now)
    raise NotAuthenticated("password-outside-login", "Passwords are accepted by /sys/v1/session/auth only")
