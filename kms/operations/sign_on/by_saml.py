"""Login by the response of a SAML provider to a request of ours. It must not know the wire or HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from accounts.credentials import digest
from accounts.errors import NotAuthenticated
from accounts.models import IdentityProvider, PendingSignOn, ProviderKind, SpentToken
from accounts.principal import AuthenticationMethod, Principal
from accounts.sso.kind import Config
from accounts.sso.saml import keys_at
from accounts.sso.saml_response import SKEW, Expected, Names, Received, ResponseRejected, Statement, received, stated
from accounts.sso.xml_signature import ProgramMissing, VerifierBusy
from kms.operations.command import Call
from kms.operations.errors import InvalidRequest, TooManyAttempts
from kms.operations.saml import consumer_url, entity_id
from kms.operations.sign_on.proof import Method
from kms.operations.sign_on.vouched import Assertion, vouched_for

RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class SamlCredential:
    """``response`` as the browser was given it, good for a login; ``request`` is what the client thinks it answers."""

    response: str = field(repr=False)
    request: str | None = None


def prove(call: Call, credential: SamlCredential) -> Principal:
    """The provider is the one that was asked, never one that the response names."""
    try:
        response = received(credential.response)
        pending = _pending(response.request, credential.request, call.now)
        statement = _stated(response, pending.provider, call.now)
    except ResponseRejected as rejected:
        raise NotAuthenticated(rejected.code) from None
    except ProgramMissing as missing:
        raise InvalidRequest(str(missing), "xmlsec1-missing") from None
    except VerifierBusy:
        raise TooManyAttempts("saml-busy", RETRY_SECONDS) from None
    _use(pending, statement, call.now)
    return vouched_for(call, _assertion(pending.provider, statement), AuthenticationMethod.SAML)


def _pending(answered: str, thought: str | None, now: datetime) -> PendingSignOn:
    """The request that the response claims to answer. Nothing has been verified yet, so nothing is written."""
    if thought is not None and thought != answered:
        raise NotAuthenticated("saml-other-request")
    row = (
        PendingSignOn.objects.select_related("provider__account")
        .filter(state_digest=digest(answered), provider__kind=ProviderKind.SAML)
        .first()
    )
    if row is None:
        raise NotAuthenticated("saml-unsolicited")
    if row.used_at is not None or row.expires_at <= now:
        raise NotAuthenticated("saml-request-over")
    if not row.provider.enabled or not row.provider.account.enabled:
        raise NotAuthenticated("provider-disabled")
    return row


def _stated(response: Received, provider: IdentityProvider, now: datetime) -> Statement:
    config: Config = provider.config
    expected = Expected(
        request=response.request,
        issuer=config["entity_id"],
        audience=entity_id(),
        recipient=consumer_url(),
        keys=keys_at(config, now),
        now=now,
    )
    names = Names(
        email=config["email_attribute"],
        groups=config["groups_attribute"],
        first_name=config["first_name_attribute"],
        last_name=config["last_name_attribute"],
        name_id_format=config["name_id_format"],
    )
    return stated(response, expected, names)


def _use(pending: PendingSignOn, statement: Statement, now: datetime) -> None:
    """Once, whoever else is doing the same now: the row's lock decides. An assertion answers one request only."""
    if not PendingSignOn.objects.filter(id=pending.id, used_at__isnull=True).update(used_at=now):
        raise NotAuthenticated("saml-request-over")
    _, fresh = SpentToken.objects.get_or_create(
        scope=pending.provider_id,
        digest=digest(statement.assertion),
        defaults={"expires_at": pending.expires_at + SKEW},
    )
    if not fresh:
        raise NotAuthenticated("saml-replay")


def _assertion(provider: IdentityProvider, statement: Statement) -> Assertion:
    return Assertion(
        provider=provider,
        subject=statement.subject,
        email=statement.email,
        groups=statement.groups,
        ends_at=statement.ends_at,
        first_name=statement.first_name,
        last_name=statement.last_name,
    )


METHOD = Method(SamlCredential, prove, lambda _credential: "")
