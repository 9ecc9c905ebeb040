"""Who is calling: a frozen fact, made once at the edge. It grants nothing and knows no Django, rights or HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

ANONYMOUS_ID, SYSTEM_ID = UUID(int=0), UUID(int=1)


class PrincipalKind(StrEnum):
    USER = "user"
    APP = "app"
    SYSTEM = "system"
    ANONYMOUS = "anonymous"


class AuthenticationMethod(StrEnum):
    NONE = "none"
    PASSWORD = "password"  # noqa: S105 - the method's name
    API_KEY = "api-key"
    CERTIFICATE = "certificate"
    SIGNED_JWT = "signed-jwt"
    LDAP = "ldap"
    OIDC = "oidc"
    SAML = "saml"
    KUBERNETES = "kubernetes"

    @property
    def asks_second_factor(self) -> bool:
        """A password is guessed and stolen, whoever checks it; other providers see to second factors themselves."""
        return self in (AuthenticationMethod.PASSWORD, AuthenticationMethod.LDAP)


@dataclass(frozen=True, slots=True)
class ClusterLogin:
    """By what a pod came in: the cluster, the binding, and the version of what was taken of the cluster then."""

    cluster: UUID
    binding: UUID
    trust_version: int


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller.

    ``account`` is None for a user who has not selected one. ``authenticated_at`` is when the credential was last
    proven (a session keeps the time of its login); ``expires_at`` ends a session. Both are in the database's clock.
    ``proof_version`` is the fact version of ``proof_subject`` that the credential was checked at (None: not checked
    against rows, as for the anonymous principal). ``provider`` is the account's identity provider that vouched, and
    ``certificate`` the SHA-256 of the TLS certificate that must come with every call. ``opened_by`` is set where a pod
    came in, and holds as long as what it names stays as it was.
    """

    kind: PrincipalKind
    id: UUID
    account: UUID | None
    method: AuthenticationMethod
    authenticated_at: datetime | None = None
    session: UUID | None = None
    expires_at: datetime | None = None
    proof_version: int | None = None
    provider: UUID | None = None
    certificate: bytes | None = None
    opened_by: ClusterLogin | None = None

    @property
    def proof_subject(self) -> UUID:
        """Whose change voids the proof: the session, or the app whose secret was shown."""
        return self.session or self.id


ANONYMOUS = Principal(PrincipalKind.ANONYMOUS, ANONYMOUS_ID, None, AuthenticationMethod.NONE)
