"""A login by OpenID Connect on the wire: the part of /sys/v1/session/auth and of its discovery that is OAuth's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from kms.api.wire.base import Response, WireError
from kms.operations.sign_on.by_oidc import OidcCredential, OidcRequest

OAUTH_CODE = "oauth-auth-code"


class OauthCodeGrant(Response, tag_field="method", tag="oauth-auth-code-grant"):
    """``authorization_url`` is complete: a browser opens it as it is. ``state`` comes back with the code."""

    name: str
    icon_url: str
    idp_id: str
    authorization_url: str
    client_id: str
    redirect_uri: str
    state: str
    auth_params: Mapping[str, Any]


def wire_method(
    request: OidcRequest, *, name: str, icon_url: str, idp_id: str, auth_params: Mapping[str, Any]
) -> OauthCodeGrant:
    return OauthCodeGrant(
        name=name,
        icon_url=icon_url,
        idp_id=idp_id,
        authorization_url=request.url,
        client_id=request.client_id,
        redirect_uri=request.redirect_uri,
        state=request.state,
        auth_params=auth_params,
    )


def oidc_credential(provider: UUID, *, code: Any, state: Any, iss: Any, email: str | None) -> OidcCredential:
    """``state`` is ours: the answer of a login that did not begin here is no login. ``iss`` is RFC 9207's."""
    for name, value in (("code", code), ("state", state)):
        if not isinstance(value, str) or not value or len(value) > 4096:
            raise WireError(f"Invalid request: {name} is what came back with the browser, a text")
    if iss is not None and not isinstance(iss, str):
        raise WireError("Invalid request: iss is what came back with the browser, a text")
    return OidcCredential(provider, code, state, iss, email or "")
