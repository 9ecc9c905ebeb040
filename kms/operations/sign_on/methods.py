"""Every way to log in, by the type of its credential."""

from __future__ import annotations

from typing import Any

from kms.operations.sign_on import (
    by_app_name,
    by_certificate,
    by_jwt,
    by_kubernetes,
    by_ldap,
    by_oidc,
    by_saml,
    by_secret,
)
from kms.operations.sign_on.proof import Method

METHODS: tuple[Method, ...] = (
    by_secret.METHOD,
    by_app_name.METHOD,
    by_jwt.METHOD,
    by_kubernetes.METHOD,
    by_oidc.METHOD,
    by_saml.METHOD,
    by_ldap.METHOD,
    by_certificate.METHOD,
)
_BY_TYPE = {method.credential: method for method in METHODS}


def method_of(credential: Any) -> Method:
    return _BY_TYPE[type(credential)]
