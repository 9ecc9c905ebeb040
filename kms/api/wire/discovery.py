"""/sys/v1/session/auth/discover on the wire, and how identity providers are named there."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from uuid import UUID

from accounts.models import IdentityProvider
from kms.api.wire import auth_oidc, auth_saml
from kms.api.wire.base import Endpoint, Parameters, Request, Response, WireCall, WireError, parameters
from kms.operations.discovery import DiscoverSignOn, SignOnWay


class DiscoverRequest(Request, forbid_unknown_fields=False):
    """The CLI sends its whole command line, the password with it; none of that is looked at or kept."""

    user_email: str | None = None


class DiscoverParams(Parameters):
    acct_id: UUID | None = None


class PasswordMethod(Response, tag_field="method", tag="password"):
    pass


class LdapPasswordMethod(Response, tag_field="method", tag="ldap-password"):
    name: str
    icon_url: str
    idp_id: str


def idp_id(provider: UUID) -> str:
    """The vendor's ids of providers are bytes, in base64."""
    return base64.b64encode(provider.bytes).decode()


def provider_of(given: Any) -> UUID:
    """The provider's id as discovery gave it, or as /sys/v1/identity_providers writes it."""
    if not isinstance(given, str):
        raise WireError("Invalid request: idp_id is the id of an identity provider")
    try:
        return UUID(given) if len(given) == 36 else UUID(bytes=base64.b64decode(given, validate=True))
    except (ValueError, binascii.Error):
        raise WireError("Invalid request: idp_id is not the id of an identity provider") from None


def _discover(call: WireCall) -> DiscoverSignOn:
    body: DiscoverRequest | None = call.body
    return DiscoverSignOn(None if body is None else body.user_email, parameters(call, DiscoverParams).acct_id)


def _method(way: SignOnWay) -> Response:
    row: IdentityProvider = way.provider
    named = {"name": row.name, "icon_url": row.icon_url, "idp_id": idp_id(row.id)}
    if row.kind == "oidc":
        return auth_oidc.wire_method(way.start, auth_params=row.config["auth_params"], **named)
    if row.kind == "saml":
        return auth_saml.wire_method(way.start, **named)
    return LdapPasswordMethod(**named)


def _methods(ways: list[SignOnWay]) -> list[Response]:
    return [*(_method(way) for way in ways), PasswordMethod()]


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "AuthDiscover",
        "POST",
        "/sys/v1/session/auth/discover",
        _discover,
        _methods,
        body=DiscoverRequest,
        optional_body=True,
        anonymous=True,
    ),
)
