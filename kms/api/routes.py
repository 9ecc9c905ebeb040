"""Every route there is: the endpoints of the wire modules in one table, and how a path finds its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from uuid import UUID

from kms.api.wire import (
    accounts,
    approvals,
    apps,
    attestation,
    auth_config,
    auth_kubernetes,
    batch,
    client_configurations,
    copies,
    crypto,
    custody,
    derivation,
    discovery,
    duties,
    explaining,
    external_roles,
    finding,
    groups,
    inspection,
    kubernetes,
    ldap,
    lifecycle,
    logging_configs,
    logs,
    multipart,
    objects,
    permission_lists,
    public_keys,
    record,
    roles,
    saml,
    second_factors,
    session_lists,
    sessions,
    statistics,
    status,
    user_codes,
    users,
    vote_proofs,
)
from kms.api.wire.base import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *sessions.ENDPOINTS,
    *auth_kubernetes.ENDPOINTS,
    *session_lists.ENDPOINTS,
    *discovery.ENDPOINTS,
    *second_factors.ENDPOINTS,
    *accounts.ENDPOINTS,
    *auth_config.ENDPOINTS,
    *approvals.ENDPOINTS,
    *vote_proofs.ENDPOINTS,
    *roles.ENDPOINTS,
    *explaining.ENDPOINTS,
    *users.ENDPOINTS,
    *user_codes.ENDPOINTS,
    *groups.ENDPOINTS,
    *apps.ENDPOINTS,
    *client_configurations.ENDPOINTS,
    *objects.ENDPOINTS,
    *lifecycle.ENDPOINTS,
    *copies.ENDPOINTS,
    *custody.ENDPOINTS,
    *attestation.ENDPOINTS,
    *public_keys.ENDPOINTS,
    *batch.ENDPOINTS,
    *crypto.ENDPOINTS,
    *multipart.ENDPOINTS,
    *derivation.ENDPOINTS,
    *inspection.ENDPOINTS,
    *logs.ENDPOINTS,
    *logging_configs.ENDPOINTS,
    *record.ENDPOINTS,
    *statistics.ENDPOINTS,
    *status.ENDPOINTS,
    *finding.ENDPOINTS,
    *duties.ENDPOINTS,
    *permission_lists.ENDPOINTS,
    *saml.ENDPOINTS,
    *external_roles.ENDPOINTS,
    *ldap.ENDPOINTS,
    *kubernetes.ENDPOINTS,
)
_NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Match:
    endpoint: Endpoint
    parameters: Mapping[str, str]


class Router:
    """Literal segments win over parameters, so that /keys/export is never taken for a key's id.

    It knows paths whose parameters are ids. Those with text in them are Django's to find.
    """

    def __init__(self, endpoints: tuple[Endpoint, ...]) -> None:
        self._literal: dict[tuple[str, str], Match] = {}
        self._patterns: dict[tuple[str, int], list[tuple[tuple[str, ...], Endpoint]]] = {}
        for endpoint in endpoints:
            if endpoint.text:
                continue
            segments = tuple(endpoint.path.split("/"))
            if "{" in endpoint.path:
                self._patterns.setdefault((endpoint.method, len(segments)), []).append((segments, endpoint))
            else:
                self._literal[endpoint.method, endpoint.path] = Match(endpoint, _NO_PARAMETERS)

    def match(self, method: str, path: str) -> Match | None:
        literal = self._literal.get((method, path))
        if literal is not None:
            return literal
        segments = path.split("/")
        for pattern, endpoint in self._patterns.get((method, len(segments)), ()):
            parameters = _parameters(pattern, segments)
            if parameters is not None:
                return Match(endpoint, parameters)
        return None


def is_id(text: str) -> bool:
    """Parameters of paths are UUIDs, but for an endpoint's ``text``; a word there is a path that is not here."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _parameters(pattern: tuple[str, ...], segments: list[str]) -> Mapping[str, str] | None:
    found: dict[str, str] = {}
    for expected, given in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            if not is_id(given):
                return None
            found[expected[1:-1]] = given
        elif expected != given:
            return None
    return found


LEAN = Router(tuple(endpoint for endpoint in ENDPOINTS if endpoint.lean))
