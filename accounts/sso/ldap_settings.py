"""Settings of a directory by which people log in (LDAP, Active Directory).

They are spelled alike where they are given and where they are kept. It must not know rows, the wire or where secrets
are kept; what is asked of the directory is in accounts.sso.ldap.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accounts import outbound
from accounts.models import AccountRole
from accounts.outbound import OutboundFailed, OutboundRefused
from accounts.sso.kind import Config, Given, SettingInvalid
from accounts.sso.ldap_connection import Endpoint, library, with_client_certificate
from accounts.sso.tls import parse_tls, trust_of

# How a person's address becomes an entry of the directory.
CONSTRUCT, MAIL, UPN = "construct", "mail", "upn"
SERVICE_PASSWORD, CLIENT_KEY = "service_password", "client_key"
APP_ROLES = {"crypto": "app-crypto", "admin": "app-admin"}
PLACE = "{}"  # where the local part of an address goes in a DN's format

MAX_DOMAINS = 64
MAX_DN = 512
MAX_VALID_FOR = 30 * 86400
_PORTS = {"ldap": 389, "ldaps": 636}


@dataclass(frozen=True, slots=True)
class Directory:
    """The settings, read."""

    endpoint: Endpoint
    base_dn: str
    resolution: str
    domains: Mapping[str, str]
    user_object_class: str
    service: tuple[str, str] | None
    required_groups: Mapping[str, str]
    valid_for: int | None


def canonical_dn(text: str) -> str:
    """One spelling of a distinguished name (RFC 4514). Values are compared without case (RFC 4517 §4.2.11)."""
    ldap = library()
    try:
        parts = ldap.dn.str2dn(text)
    except (ldap.LDAPError, ValueError, UnicodeError):
        raise SettingInvalid("not a distinguished name (RFC 4514)") from None
    folded = [
        sorted((kind.lower(), " ".join(value.casefold().split()), 1) for kind, value, _form in part) for part in parts
    ]
    canonical = str(ldap.dn.dn2str(folded))
    if not canonical or len(canonical) > MAX_DN:
        raise SettingInvalid(f"a distinguished name has 1 to {MAX_DN} characters")
    return canonical


# -- parsing -------------------------------------------------------------------------------------------------------


def parse(settings: Mapping[str, Any], secrets: frozenset[str]) -> Config:
    library()
    given = Given(settings)
    url = given.text("url", needed=True)
    tls = _parse_tls(given.mapping("tls"), secrets)
    _check_url(url, tls["mode"])
    config: Config = {
        "url": url,
        "tls": tls,
        "base_dn": _dn(given.text("base_dn", needed=True), "base_dn"),
        "resolution": given.choice("resolution", CONSTRUCT, MAIL, UPN, default=MAIL),
        "domains": _domains(given.mapping("domains")),
        "user_object_class": _object_class(given.text("user_object_class") or "person"),
        "service_dn": _dn(given.text("service_dn"), "service_dn"),
        "required_groups": _required_groups(given.mapping("required_groups")),
        "valid_for": given.number("valid_for", lowest=60, highest=MAX_VALID_FOR),
        "self_provision_role": given.self_provision_role(),
    }
    given.end()
    if bool(config["service_dn"]) != (SERVICE_PASSWORD in secrets):
        raise SettingInvalid(f"a service account is a service_dn and a secret {SERVICE_PASSWORD}, or neither")
    if (config["resolution"] == CONSTRUCT) != bool(config["domains"]):
        raise SettingInvalid("domains gives a DN's format for each mail domain, where the resolution is construct")
    if config["resolution"] == UPN and not config["service_dn"]:
        raise SettingInvalid("resolution upn needs a service account, which finds the entry that the name belongs to")
    return config


def _parse_tls(tls: Mapping[str, Any] | None, secrets: frozenset[str]) -> Config:
    """As DSM clients give it, or as it is kept."""
    fields = dict(tls or {"mode": "required"})
    mode = fields.pop("mode", "required")
    if mode in ("disabled", "opportunistic"):
        Given(fields).end()
        if CLIENT_KEY in secrets:
            raise SettingInvalid("a client certificate needs tls mode required")
        return {"mode": mode}
    certificate = fields.pop("client_certificate", "")
    kept = fields.pop("authorities", None)
    if kept is None:
        kept = parse_tls({"mode": mode, **fields})["authorities"]
    else:
        Given(fields).end()
    if bool(certificate) != (CLIENT_KEY in secrets):
        raise SettingInvalid("a client certificate needs its key, and a key its certificate")
    parsed = {"mode": "required", "authorities": _certificates(kept), "client_certificate": certificate}
    if certificate:
        parsed["client_certificate"] = _certificates([certificate])[0]
    return parsed


def _certificates(pems: Any) -> list[str]:
    try:
        found = [x509.load_pem_x509_certificate(pem.encode()) for pem in pems]
    except (AttributeError, TypeError, ValueError):
        raise SettingInvalid("a certificate (RFC 5280) cannot be read") from None
    return [certificate.public_bytes(Encoding.PEM).decode() for certificate in found]


def _check_url(url: str, mode: str) -> None:
    try:
        outbound.check_url(url, schemes=("ldaps", "ldap"))
    except (OutboundRefused, OutboundFailed) as error:
        raise SettingInvalid(str(error)) from error
    parts = urlsplit(url)
    if parts.path not in ("", "/") or parts.query:
        raise SettingInvalid("the address of a directory is ldaps://host:port and nothing after it")
    if parts.scheme == "ldaps" and mode != "required":
        raise SettingInvalid("ldaps:// is TLS: its mode is required")
    if mode != "required" and _is_public(parts.hostname or ""):
        raise SettingInvalid("Passwords do not cross a public network without TLS: use tls mode required")


def _is_public(host: str) -> bool:
    """Names are judged when they are called."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def _dn(text: str, what: str) -> str:
    """As it was given: how a directory compares values is its own to know."""
    if text:
        try:
            canonical_dn(text)
        except SettingInvalid as error:
            raise SettingInvalid(f"{what}: {error}") from None
    return text


def _object_class(text: str) -> str:
    """A descriptor or a numeric OID (RFC 4512 §1.4)."""
    if not text.isascii() or not text.replace("-", "").replace(".", "").isalnum():
        raise SettingInvalid("user_object_class is the name or OID of an object class (RFC 4512)")
    return text


def _domains(domains: Mapping[str, Any] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for domain, form in (domains or {}).items():
        if not isinstance(form, str) or form.count(PLACE) != 1 or not domain.isascii() or "@" in domain:
            raise SettingInvalid(f"domains gives each mail domain a DN in which {PLACE} stands for the person's name")
        canonical_dn(form.replace(PLACE, "name"))
        found[domain.strip().lower()] = form
    if len(found) > MAX_DOMAINS or len(found) != len(domains or {}):
        raise SettingInvalid(f"domains has at most {MAX_DOMAINS} mail domains, each once")
    return found


def _required_groups(groups: Mapping[str, Any] | None) -> dict[str, str]:
    known = (*AccountRole.values, *APP_ROLES.values())
    for role, group in (groups or {}).items():
        if role not in known or not isinstance(group, str):
            raise SettingInvalid(f"required_groups gives a group's DN for some of {', '.join(known)}")
    return {role: canonical_dn(group) for role, group in (groups or {}).items()}


# -- reading -------------------------------------------------------------------------------------------------------


def directory(config: Config, secrets: Mapping[str, bytes]) -> Directory:
    parts = urlsplit(config["url"])
    service = (config["service_dn"], secrets[SERVICE_PASSWORD].decode()) if config["service_dn"] else None
    mode = config["tls"]["mode"]
    return Directory(
        Endpoint(
            host=parts.hostname or "",
            port=parts.port or _PORTS[parts.scheme],
            trust=_trust(config["tls"], secrets),
            implicit=parts.scheme == "ldaps",
            optional=mode == "opportunistic",
        ),
        config["base_dn"],
        config["resolution"],
        config["domains"],
        config["user_object_class"],
        service,
        config["required_groups"],
        config["valid_for"],
    )


def _trust(tls: Config, secrets: Mapping[str, bytes]) -> ssl.SSLContext | None:
    if tls["mode"] == "disabled":
        return None
    if tls["mode"] == "opportunistic":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    context = trust_of(tls)
    if tls["client_certificate"]:
        try:
            with_client_certificate(context, tls["client_certificate"].encode(), secrets[CLIENT_KEY])
        except (ssl.SSLError, ValueError):
            raise SettingInvalid("the client certificate and its key do not go together") from None
    return context


def secrets_go_to(config: Config) -> Hashable:
    return config["url"], config["service_dn"], repr(config["tls"])
