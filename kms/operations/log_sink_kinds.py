"""What each kind of sink can be told: its settings, the secrets that it needs, and where those go.

A kind is a parser of its settings. Which sinks there are is log_sinks' to know, how entries travel log_deliveries'.
It must not know the wire or HTTP.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from accounts import outbound
from accounts.outbound import OutboundRefused
from accounts.sso.kind import Config, Given, SettingInvalid
from accounts.sso.ldap_connection import with_client_certificate
from accounts.sso.tls import parse_tls, trust_of
from kms.audit.formats import Format
from kms.audit.models import LogSinkKind
from kms.crypto.errors import ParameterInvalid
from kms.operations.named_secrets import Secrets
from kms.operations.object_store import Bucket
from kms.operations.webhooks import LONGEST_KEY, SHORTEST_KEY
from kms.secret import SecretBytes

TOKEN, KEY, CLIENT_KEY, SECRET_KEY = "token", "key", "client_key", "secret_access_key"
# RFC 5424 §6.2.1, of those that the vendor's clients may choose: user, and local 0 to 7.
FACILITIES = (1, *range(16, 24))
_TOKEN = re.compile(rb"[\x21-\x7e]{1,256}")
# What goes into a signature's header and an object's key as it is.
_REGION, _KEY_ID = re.compile(r"[A-Za-z0-9-]{1,64}"), re.compile(r"[A-Za-z0-9._~+=@:-]{1,128}")
_BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"(?!/|.*//|(.*/)?\.{1,2}/)[A-Za-z0-9!_.*'()/-]{0,256}")
LONGEST_RETENTION = 36_500  # days
_DISABLED, _REQUIRED = "disabled", "required"


@dataclass(frozen=True, slots=True)
class Kind:
    """``parse`` gives the canonical settings. ``needs`` are the secrets that must be there, with what they must be."""

    parse: Callable[[Given, frozenset[str]], Config]
    goes_to: Callable[[Config], Hashable]
    needs: Mapping[str, Callable[[SecretBytes], None]] = field(default_factory=dict)


def parsed(kind: Kind, settings: Mapping[str, Any], secrets: Secrets) -> Config:
    try:
        config = kind.parse(Given(settings), frozenset(secrets))
        for name in kind.needs.keys() - secrets.keys():
            raise SettingInvalid(f"{name} is needed: it is given with the address, and again with another address")
        for name, check in kind.needs.items():
            check(secrets[name])
        if "tls" in config:
            tls_trust(config["tls"], secrets)
    except (SettingInvalid, OutboundRefused) as error:
        raise ParameterInvalid(str(error)) from None
    return config


def _syslog(given: Given, secrets: frozenset[str]) -> Config:
    facility = given.number("facility", lowest=min(FACILITIES), highest=max(FACILITIES)) or FACILITIES[0]
    if facility not in FACILITIES:
        raise SettingInvalid("facility is user, or one of local 0 to 7")
    config = {**_place(given, secrets), "facility": facility, "use_fqdn": given.flag("use_fqdn", default=False)}
    return _ended(given, config)


def _splunk(given: Given, secrets: frozenset[str]) -> Config:
    config = {**_place(given, secrets), "use_fqdn": given.flag("use_fqdn", default=False)}
    return _ended(given, {**config, "index": given.text("index", longest=80)})


def _webhook(given: Given, _secrets: frozenset[str]) -> Config:
    url = given.text("url", needed=True)
    outbound.check_url(url)
    return _ended(given, {"url": url})


def _s3(given: Given, secrets: frozenset[str]) -> Config:
    endpoint, tls = _endpoint(given, secrets)
    config = {
        "endpoint": endpoint,
        "tls": tls,
        "region": _matching(given, "region", _REGION) or "us-east-1",
        "bucket": _matching(given, "bucket", _BUCKET, needed=True),
        "prefix": _matching(given, "prefix", _PREFIX),
        "addressing_style": given.choice("addressing_style", "path", "virtual", default="path"),
        "access_key_id": _matching(given, "access_key_id", _KEY_ID, needed=True),
        "retention_days": given.number("retention_days", lowest=0, highest=LONGEST_RETENTION) or 0,
    }
    outbound.check_url(bucket_of(config).url(), schemes=("http",) if tls["mode"] == _DISABLED else ("https",))
    return _ended(given, config)


def _endpoint(given: Given, secrets: frozenset[str]) -> tuple[str, Config]:
    """An origin as it is signed: in lower case, without the port that is its scheme's."""
    url = given.text("endpoint", needed=True).lower()
    tls = given.mapping("tls")
    outbound.check_url(url, schemes=("https", "http"))
    parts = urlsplit(url)
    if parts.path not in ("", "/") or parts.query or parts.hostname is None:
        raise SettingInvalid("endpoint is https://host or https://host:port and nothing more")
    if parts.scheme == "http":
        tls = tls or {"mode": _DISABLED}
    config = _tls(tls, secrets, parts.hostname)
    if (parts.scheme == "http") != (config["mode"] == _DISABLED):
        raise SettingInvalid("endpoint starts with https://, or without TLS, to this machine only, with http://")
    own = parts.port in (None, 443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{parts.netloc.rpartition(':')[0] if own and parts.port else parts.netloc}", config


def _matching(given: Given, name: str, pattern: re.Pattern[str], *, needed: bool = False) -> str:
    value = given.text(name, needed=needed)
    if value and not pattern.fullmatch(value):
        raise SettingInvalid(f"{name} is too long, or has characters that it cannot have")
    return value


def bucket_of(config: Config) -> Bucket:
    virtual = config["addressing_style"] == "virtual"
    return Bucket(config["endpoint"], config["region"], config["bucket"], virtual=virtual)


def _ended(given: Given, config: Config) -> Config:
    config["format"] = given.choice("format", *Format, default=Format.JSON)
    given.end()
    return config


def _place(given: Given, secrets: frozenset[str]) -> Config:
    host = given.text("host", needed=True, longest=253)
    port = given.number("port", lowest=1, highest=65535)
    if port is None:
        raise SettingInvalid("port is needed")
    url = address(host, port)
    outbound.check_url(url)
    parts = urlsplit(url)
    if parts.hostname != host.lower() or parts.path != "/" or parts.query:
        raise SettingInvalid("host is a name or an IP address, and nothing else")
    return {"host": host, "port": port, "tls": _tls(given.mapping("tls"), secrets, host)}


def address(host: str, port: int, scheme: str = "https") -> str:
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


def _tls(tls: Mapping[str, Any] | None, secrets: frozenset[str], host: str) -> Config:
    """As DSM clients give it, or as it is kept."""
    fields = dict(tls or {"mode": _REQUIRED})
    mode = fields.pop("mode", _REQUIRED)
    if mode == _DISABLED and _is_this_machine(host):
        Given(fields).end()
        return {"mode": _DISABLED}
    if mode != _REQUIRED:
        raise SettingInvalid("tls mode is required: the record does not cross a network without TLS")
    certificate = fields.pop("client_certificate", "")
    if "authorities" not in fields:
        fields["mode"] = mode
    authorities = parse_tls(fields)["authorities"]
    if certificate and CLIENT_KEY not in secrets:
        raise SettingInvalid("a client certificate needs its key, which is given again with another address")
    return {"mode": _REQUIRED, "authorities": authorities, "client_certificate": certificate}


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def tls_trust(tls: Config, secrets: Secrets) -> ssl.SSLContext | None:
    """None is no TLS."""
    if tls["mode"] == _DISABLED:
        return None
    context = trust_of(tls)
    if tls["client_certificate"]:
        try:
            with_client_certificate(context, tls["client_certificate"].encode(), secrets[CLIENT_KEY].reveal())
        except (ssl.SSLError, ValueError):
            raise SettingInvalid("the client certificate and its key do not go together") from None
    return context


def _check_token(token: SecretBytes) -> None:
    """It becomes part of a header."""
    if not _TOKEN.fullmatch(token.reveal()):
        raise SettingInvalid("token is 1 to 256 characters of ASCII without blanks")


def _check_secret_key(key: SecretBytes) -> None:
    if not _TOKEN.fullmatch(key.reveal()):
        raise SettingInvalid("secret_access_key is 1 to 256 characters of ASCII without blanks")


def _check_key(key: SecretBytes) -> None:
    if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise SettingInvalid(f"The webhook's key is {SHORTEST_KEY} to {LONGEST_KEY} bytes")


def _place_of(config: Config) -> Hashable:
    return config["host"].lower(), config["port"], repr(config["tls"])


def _bucket_at(config: Config) -> Hashable:
    return bucket_of(config), repr(config["tls"])


KINDS: Mapping[LogSinkKind, Kind] = MappingProxyType(
    {
        LogSinkKind.SYSLOG: Kind(_syslog, _place_of),
        LogSinkKind.SPLUNK: Kind(_splunk, _place_of, {TOKEN: _check_token}),
        LogSinkKind.S3: Kind(_s3, _bucket_at, {SECRET_KEY: _check_secret_key}),
        LogSinkKind.WEBHOOK: Kind(_webhook, lambda config: config["url"], {KEY: _check_key}),
    }
)
