"""A login by SAML on the wire: the part of /sys/v1/session/auth and of its discovery that is SAML's."""

from __future__ import annotations

from kms.api.wire.base import Response, WireError
from kms.operations.saml import SamlRequest
from kms.operations.sign_on.by_saml import SamlCredential

SAML_RESPONSE = "saml-response"


class SamlPost(Response, tag_field="method", tag="saml-post"):
    """``authn_request`` goes into the form field SAMLRequest that the browser posts to ``binding_url``."""

    name: str
    icon_url: str
    idp_id: str
    id: str
    binding_url: str
    authn_request: str


def wire_method(request: SamlRequest, *, name: str, icon_url: str, idp_id: str) -> SamlPost:
    return SamlPost(
        name=name,
        icon_url=icon_url,
        idp_id=idp_id,
        id=request.id,
        binding_url=request.address,
        authn_request=request.message,
    )


def saml_credential(response: object, request: object) -> SamlCredential:
    """``response`` is the form field SAMLResponse as it came; ``id`` that of the discovery."""
    if not isinstance(response, str) or not response:
        raise WireError("Invalid request: response is the identity provider's response, a text")
    if request is not None and not isinstance(request, str):
        raise WireError("Invalid request: id is the id of the request that is answered, a text")
    return SamlCredential(response, request)
