"""Every kind of identity provider, as an explicit tuple."""

from __future__ import annotations

from accounts.sso import ldap, oidc, saml
from accounts.sso.kind import Kind

KINDS: tuple[Kind, ...] = (ldap.KIND, oidc.KIND, saml.KIND)
_BY_NAME = {str(kind.kind): kind for kind in KINDS}


def kind_of(name: str) -> Kind:
    return _BY_NAME[name]


def known_kinds() -> tuple[str, ...]:
    return tuple(_BY_NAME)
