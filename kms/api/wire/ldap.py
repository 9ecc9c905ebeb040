"""/sys/v1/ldap on the wire: settings are tried, directories searched."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from accounts.sso.ldap import Entry
from kms.api.wire.auth_ldap import AuthConfigLdap, ldap_settings
from kms.api.wire.base import Endpoint, Request, Response, WireCall, WireError, nothing, path_id, unsupported
from kms.operations.ldap import SearchDirectory, TriedCredentials, TryDirectory


class LdapTestCredentials(Request):
    password: str
    email: str | None = None
    dn: str | None = None
    account_role: str | None = None


class LdapTestRequest(Request):
    ldap: AuthConfigLdap
    test_credentials: LdapTestCredentials | None = None


class LdapSearchFilter(Request):
    name: str
    value: str


class LdapSearchRequest(Request):
    filters: list[LdapSearchFilter]
    scope: Literal["single-level", "whole-subtree"]
    base_dn: str | None = None
    object_class: str | None = None


class LdapSearchResultEntry(Response, omit_defaults=False):
    distinguished_name: str
    ldap_object_id: UUID
    common_name: list[str]
    description: list[str]
    object_class: list[str]
    mail: str | None = None
    user_principal_name: str | None = None


def _test(call: WireCall) -> TryDirectory:
    body: LdapTestRequest = call.body
    settings = ldap_settings(body.ldap)
    given = body.test_credentials
    if given is None:
        return TryDirectory(settings.config, settings.secrets)
    unsupported(account_role=given.account_role)
    if bool(given.email) == bool(given.dn):
        raise WireError("Invalid request: test_credentials takes an email or a dn")
    credentials = TriedCredentials(given.password, given.email or "", given.dn or "")
    return TryDirectory(settings.config, settings.secrets, credentials)


def _search(call: WireCall) -> SearchDirectory:
    body: LdapSearchRequest = call.body
    return SearchDirectory(
        path_id(call, "ldap_id"),
        tuple((given.name, given.value) for given in body.filters),
        body.base_dn or "",
        body.object_class or "",
        body.scope == "whole-subtree",
    )


def _entry(entry: Entry) -> LdapSearchResultEntry:
    return LdapSearchResultEntry(
        distinguished_name=entry.dn,
        ldap_object_id=UUID(entry.subject),
        common_name=entry.texts("cn"),
        description=entry.texts("description"),
        object_class=entry.texts("objectClass"),
        mail=entry.text("mail") or None,
        user_principal_name=entry.text("userPrincipalName") or None,
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("TestLdapConfig", "POST", "/sys/v1/ldap/test", _test, nothing, body=LdapTestRequest, status=204),
    Endpoint(
        "LdapSearch",
        "POST",
        "/sys/v1/ldap/search/{ldap_id}",
        _search,
        lambda entries: [_entry(entry) for entry in entries if entry.subject],
        body=LdapSearchRequest,
    ),
)
