"""LDAP on the wire: a login by it, and a directory's settings as the vendor's clients write them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from accounts.models import IdentityProvider
from accounts.sso.ldap_settings import CLIENT_KEY, CONSTRUCT, MAIL, SERVICE_PASSWORD, UPN
from accounts.sso.tls import wire_tls
from kms.api.wire.base import Request, Response, WireError, unsupported, uuid_of
from kms.api.wire.names import ACCOUNT_ROLES, WIRE_ACCOUNT_ROLE
from kms.operations.providers import ProviderSettings
from kms.operations.sign_on.by_ldap import LdapCredential
from kms.secret import SecretBytes

LDAP_BASIC: Literal["ldap-basic-auth"] = "ldap-basic-auth"

_RESOLUTIONS = {"construct": CONSTRUCT, "search-by-mail": MAIL, "upn": UPN}
_WIRE_RESOLUTION = {ours: theirs for theirs, ours in _RESOLUTIONS.items()}
_REQUIRED = {
    "ADMIN_USER": "administrator",
    "MEMBER_USER": "member",
    "AUDITOR_USER": "auditor",
    "ADMIN_APP": "app-admin",
    "CRYPTO_APP": "app-crypto",
}
_WIRE_REQUIRED = {ours: theirs for theirs, ours in _REQUIRED.items()}
# The other one drops every role that excludes others, and all of ours do: nobody would get any.
_UNION = "backcompat_legacy_roles_only"


def ldap_credential(provider: UUID, *, email: str | None, password: str | None, acct_id: Any) -> LdapCredential:
    if not email or not password:
        raise WireError("Invalid request: email and password are needed")
    if acct_id is not None and not isinstance(acct_id, str):
        raise WireError("Invalid request: acct_id is not a UUID")
    return LdapCredential(provider, email, password, None if acct_id is None else uuid_of(acct_id, "acct_id"))


# -- settings ------------------------------------------------------------------------------------------------------


class DnResolution(Request):
    method: str
    domain_format: dict[str, str] | None = None


class CaConfig(Request):
    ca_set: str | None = None
    pinned: list[str] | None = None


class TlsConfig(Request):
    mode: str
    ca: CaConfig | None = None
    client_cert: str | None = None
    client_key: str | None = None
    validate_hostname: bool | None = None


class ServiceAccount(Request):
    """Without a password the one that is there stays."""

    dn: str
    password: str | None = None


class Authorization(Request):
    valid_for: int
    require_role: dict[str, str] | None = None
    user_self_provisioning: dict[str, Any] | None = None
    role_conflict_resolution: str | None = None


class AuthConfigLdap(Request):
    name: str
    ldap_url: str
    dn_resolution: DnResolution
    tls: TlsConfig
    icon_url: str = ""
    base_dn: str | None = None
    user_object_class: str | None = None
    service_account: ServiceAccount | None = None
    authorization: Authorization | None = None


def ldap_settings(body: AuthConfigLdap) -> ProviderSettings:
    if body.dn_resolution.method not in _RESOLUTIONS:
        raise WireError(f"Invalid request: dn_resolution.method is one of {', '.join(_RESOLUTIONS)}")
    tls, secrets = tls_config(body.tls)
    service = body.service_account
    if service is not None and service.password:
        secrets[SERVICE_PASSWORD] = SecretBytes(service.password.encode())
    config = {
        "url": body.ldap_url,
        "tls": tls,
        "base_dn": body.base_dn,
        "resolution": _RESOLUTIONS[body.dn_resolution.method],
        "domains": body.dn_resolution.domain_format,
        "user_object_class": body.user_object_class,
        "service_dn": None if service is None else service.dn,
        **_authorization(body.authorization),
    }
    return ProviderSettings(body.name, body.icon_url, config, secrets)


def tls_config(tls: TlsConfig) -> tuple[dict[str, Any], dict[str, SecretBytes]]:
    found: dict[str, Any] = {"mode": tls.mode}
    if tls.ca is not None:
        given = {"ca_set": tls.ca.ca_set, "pinned": tls.ca.pinned}
        found["ca"] = {name: value for name, value in given.items() if value is not None}
    if tls.validate_hostname is not None:
        found["validate_hostname"] = tls.validate_hostname
    if tls.client_cert:
        found["client_certificate"] = _certificate(tls.client_cert)
    return found, {CLIENT_KEY: _key(tls.client_key)} if tls.client_key else {}


def _certificate(text: str) -> str:
    data = _octets(text, "client_cert")
    read = x509.load_pem_x509_certificate if data.startswith(b"-----") else x509.load_der_x509_certificate
    try:
        return read(data).public_bytes(Encoding.PEM).decode()
    except ValueError:
        raise WireError("Invalid request: tls.client_cert is not a certificate, DER or PEM in base64") from None


def _key(text: str) -> SecretBytes:
    data = _octets(text, "client_key")
    read = load_pem_private_key if data.startswith(b"-----") else load_der_private_key
    try:
        return SecretBytes(read(data, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    except (TypeError, ValueError):
        raise WireError("Invalid request: tls.client_key is not a private key, DER or PEM in base64") from None


def _octets(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise WireError(f"Invalid request: tls.{what} is not base64") from None


def _authorization(given: Authorization | None) -> dict[str, Any]:
    if given is None:
        return {}
    unsupported(
        role_conflict_resolution=None if given.role_conflict_resolution == _UNION else given.role_conflict_resolution
    )
    unknown = sorted((given.require_role or {}).keys() - _REQUIRED.keys())
    if unknown:
        raise WireError(f"Invalid request: require_role is by {', '.join(_REQUIRED)}")
    return {
        "valid_for": given.valid_for or None,
        "required_groups": {_REQUIRED[role]: group for role, group in (given.require_role or {}).items()},
        "self_provision_role": _provisioned(given.user_self_provisioning),
    }


def _provisioned(given: Mapping[str, Any] | None) -> str | None:
    if given is None:
        return None
    assignment = given.get("role_assignment")
    flags = assignment.get("role") if isinstance(assignment, dict) and assignment.get("$type") == "Fixed" else None
    wanted = [str(flag) for flag in flags if flag != "STATEENABLED"] if isinstance(flags, list) else []
    if len(given) != 1 or len(wanted) != 1 or wanted[0] not in ACCOUNT_ROLES:
        raise WireError(
            'Invalid request: user_self_provisioning is {"role_assignment": {"$type": "Fixed", "role": [one role]}}'
        )
    return ACCOUNT_ROLES[wanted[0]]


# -- responses -----------------------------------------------------------------------------------------------------


class WireServiceAccount(Response, omit_defaults=False):
    """The password is never shown."""

    dn: str
    password: str = ""


class WireLdap(Response):
    name: str
    icon_url: str
    ldap_url: str
    dn_resolution: Mapping[str, Any]
    tls: Mapping[str, Any]
    base_dn: str
    user_object_class: str
    service_account: WireServiceAccount | None = None
    authorization: Mapping[str, Any] | None = None


def wire_ldap(row: IdentityProvider) -> WireLdap:
    config = row.config
    resolution: dict[str, Any] = {"method": _WIRE_RESOLUTION[config["resolution"]]}
    if config["domains"]:
        resolution["domain_format"] = config["domains"]
    return WireLdap(
        name=row.name,
        icon_url=row.icon_url,
        ldap_url=config["url"],
        dn_resolution=resolution,
        tls=wire_tls_config(config["tls"]),
        base_dn=config["base_dn"],
        user_object_class=config["user_object_class"],
        service_account=WireServiceAccount(dn=config["service_dn"]) if config["service_dn"] else None,
        authorization=_wire_authorization(config),
    )


def wire_tls_config(tls: Mapping[str, Any]) -> Mapping[str, Any]:
    if tls["mode"] != "required":
        return {"mode": tls["mode"]}
    shown = wire_tls(dict(tls))
    if tls["client_certificate"]:
        der = x509.load_pem_x509_certificate(tls["client_certificate"].encode()).public_bytes(Encoding.DER)
        shown["client_cert"] = base64.b64encode(der).decode()
    return shown


def _wire_authorization(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """``valid_for`` 0 is what the vendor's clients need where a session lasts as long as any."""
    shown: dict[str, Any] = {}
    if config["required_groups"]:
        shown["require_role"] = {_WIRE_REQUIRED[role]: group for role, group in config["required_groups"].items()}
    if config["self_provision_role"]:
        role = [WIRE_ACCOUNT_ROLE[config["self_provision_role"]]]
        shown["user_self_provisioning"] = {"role_assignment": {"$type": "Fixed", "role": role}}
    if not shown and config["valid_for"] is None:
        return None
    return {"valid_for": config["valid_for"] or 0, **shown}
