"""Login by the code of an OpenID provider, for a login that began here. It must not know the wire or HTTP."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from accounts.clock import clock
from accounts.credentials import digest
from accounts.errors import NotAuthenticated
from accounts.models import IdentityProvider, PendingSignOn, ProviderKind
from accounts.principal import AuthenticationMethod, Principal
from accounts.sso import oidc
from accounts.sso.kind import ProviderFailed
from accounts.sso.oidc_exchange import Code, person_of
from kms.audit.entry import CallContext
from kms.operations.command import Call
from kms.operations.errors import ProviderUnavailable
from kms.operations.providers import opened_secrets
from kms.operations.sign_on.proof import Method
from kms.operations.sign_on.vouched import Assertion, vouched_for

PENDING = timedelta(minutes=10)
# RFC 7636 §4.1 takes 43 to 128 characters; each of the three has 256 bits.
_RANDOM_BYTES = 32
_TIDIED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class OidcCredential:
    """What came back with the browser. ``email`` is what the person said to be before; it is for the record only."""

    provider: UUID
    code: str = field(repr=False)
    state: str = field(repr=False)
    issuer: str | None = None
    email: str = ""


@dataclass(frozen=True, slots=True)
class OidcRequest:
    """``url`` is complete: a browser opens it as it is."""

    url: str
    state: str
    client_id: str
    redirect_uri: str


def begin(provider: IdentityProvider, now: datetime) -> OidcRequest:
    """A login that may come back once, within ten minutes, from this provider. Raises ProviderFailed."""
    endpoints = oidc.endpoints_of(provider.config)
    request = oidc.Request(*(secrets.token_urlsafe(_RANDOM_BYTES) for _ in range(3)))
    _tidy(now)
    PendingSignOn.objects.create(
        provider=provider,
        state_digest=digest(request.state),
        nonce=request.nonce,
        verifier=request.verifier,
        created_at=now,
        expires_at=now + PENDING,
    )
    public_url = settings.KEYSTEAD.public_url
    url = oidc.authorization_url(provider.config, endpoints, request, public_url=public_url)
    return OidcRequest(url, request.state, provider.config["client_id"], public_url + oidc.CALLBACK)


def admit(credential: OidcCredential, _context: CallContext) -> None:
    """The state is used up whatever becomes of the login: no second code is tried with it."""
    now = clock.now()
    pending = PendingSignOn.objects.filter(
        state_digest=digest(credential.state),
        provider_id=credential.provider,
        provider__kind=ProviderKind.OIDC,
        used_at__isnull=True,
        expires_at__gt=now,
    )
    if not pending.update(used_at=now):
        raise NotAuthenticated("state-unknown")


def prove(call: Call, credential: OidcCredential) -> Principal:
    pending = PendingSignOn.objects.select_related("provider__account").get(state_digest=digest(credential.state))
    provider = pending.provider
    if not provider.enabled or not provider.account.enabled:
        raise NotAuthenticated("provider-disabled")
    code = Code(credential.code, pending.nonce, pending.verifier, credential.issuer)
    try:
        person = person_of(
            provider.config,
            oidc.endpoints_of(provider.config),
            code,
            client_secret=opened_secrets(provider)[oidc.CLIENT_SECRET].decode(),
            public_url=settings.KEYSTEAD.public_url,
            now=call.now,
        )
    except ProviderFailed as error:
        raise ProviderUnavailable from error
    assertion = Assertion(
        provider,
        person.subject,
        person.email,
        person.groups,
        first_name=person.first_name,
        last_name=person.last_name,
    )
    return vouched_for(call, assertion, AuthenticationMethod.OIDC)


def _tidy(now: datetime) -> None:
    """Logins that never came back. Anybody can start one, so each start removes more than it makes."""
    over = PendingSignOn.objects.filter(expires_at__lt=now).order_by("expires_at").values("id")[:_TIDIED_AT_ONCE]
    PendingSignOn.objects.filter(id__in=list(over.values_list("id", flat=True))).delete()


METHOD = Method(OidcCredential, prove, lambda credential: credential.email, admit)
