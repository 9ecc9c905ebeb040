"""/saml on the wire: what identity providers have to know of this server."""

from __future__ import annotations

from kms.api.wire.base import Endpoint
from kms.operations.saml import GetServiceProviderMetadata

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "SamlSpMetadata",
        "GET",
        "/saml/metadata.xml",
        lambda _call: GetServiceProviderMetadata(),
        lambda metadata: metadata,
        anonymous=True,
        content_type="application/samlmetadata+xml",
    ),
)
