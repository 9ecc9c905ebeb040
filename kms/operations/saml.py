"""Our side of SAML 2.0: what providers have to know of this server, and the requests that logins begin with.

It must not know the wire or HTTP.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from accounts.credentials import digest
from accounts.models import IdentityProvider, PendingSignOn
from accounts.sso.saml import authentication_request, service_metadata
from kms.audit.entry import Category
from kms.operations.command import Call, Command, Operation, Resolved, control
from policies.decision import Target
from policies.permissions import Permission

PENDING = timedelta(minutes=10)
IDENTIFIER_BYTES = 20  # more than the 128 bits of core §1.3.4


@dataclass(frozen=True, slots=True)
class GetServiceProviderMetadata(Command):
    """Asked for by people and by identity providers, before there is anything to log in with."""


@dataclass(frozen=True, slots=True)
class SamlRequest:
    """``message`` is for the form field SAMLRequest that the browser posts to ``address``."""

    id: str
    message: str
    address: str


def entity_id() -> str:
    """Our name, the same for all accounts: it is registered at a provider before its metadata is known here."""
    return f"{settings.KEYSTEAD.public_url}/saml/metadata.xml"


def consumer_url() -> str:
    """The console's page that takes the response from the browser."""
    return f"{settings.KEYSTEAD.public_url}/saml/acs"


def begin(provider: IdentityProvider, now: datetime) -> SamlRequest:
    """A request that may be answered once, by this provider. Only the digest of its name is kept."""
    identifier = f"_{secrets.token_hex(IDENTIFIER_BYTES)}"
    PendingSignOn.objects.create(
        provider=provider, state_digest=digest(identifier), created_at=now, expires_at=now + PENDING
    )
    message = authentication_request(
        provider.config, identifier, entity_id=entity_id(), consumer_url=consumer_url(), now=now
    )
    return SamlRequest(identifier, base64.b64encode(message).decode(), provider.config["sso_url"])


def get_service_provider_metadata(_call: Call, _command: GetServiceProviderMetadata, _payload: None) -> bytes:
    return service_metadata(entity_id=entity_id(), consumer_url=consumer_url())


def _resolve_server(_call: Call, _command: GetServiceProviderMetadata) -> Sequence[Resolved]:
    return (Resolved(Permission.SESSION_CREATE, Target("server")),)


_operation = control(Category.AUTHENTICATION)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(GetServiceProviderMetadata, "saml.metadata", _resolve_server, get_service_provider_metadata),
)
