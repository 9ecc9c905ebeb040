"""Where an account's entries of the record are sent: settings, their secrets, and how far behind each sink is.

A kind is a parser of its settings and the secrets that it needs. How entries travel is log_shipping's to know; it must
not know the wire or HTTP.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import ssl
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from accounts import outbound
from accounts.models import Account
from accounts.outbound import OutboundRefused
from accounts.sso.kind import Config, Given, SettingInvalid
from accounts.sso.ldap_connection import with_client_certificate
from accounts.sso.tls import parse_tls, trust_of
from kms.audit.account_entries import end_of_record, lag_of
from kms.audit.formats import Format
from kms.audit.models import LogSink, LogSinkKind
from kms.crypto.errors import ParameterInvalid
from kms.objects import keystore
from kms.objects.binding import secret_binding
from kms.operations.command import Call
from kms.operations.errors import Conflict, NotFound
from kms.secret import SecretBytes

MAX_SINKS = 8
TOKEN, KEY, CLIENT_KEY = "token", "key", "client_key"
SHORTEST_KEY, LONGEST_KEY = 24, 64  # bytes, as Standard Webhooks says
# RFC 5424 §6.2.1, of those that the vendor's clients may choose: user, and local 0 to 7.
FACILITIES = (1, *range(16, 24))
_TOKEN = re.compile(rb"[\x21-\x7e]{1,256}")
_DISABLED, _REQUIRED = "disabled", "required"

Secrets = Mapping[str, SecretBytes]


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """What is to be set; what is not given stays as it is."""

    kind: LogSinkKind
    config: Mapping[str, Any]
    secrets: Secrets = field(default_factory=dict)
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class SinkChange:
    """Sinks that are new, are changed by id, and that go."""

    add: tuple[SinkSettings, ...] = ()
    change: Mapping[UUID, SinkSettings] = field(default_factory=dict)
    remove: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class SinkView:
    """A sink, and what waits for it: see kms.audit.account_entries.Lag."""

    row: LogSink
    entries_behind: int
    seconds_behind: int


# -- settings ------------------------------------------------------------------------------------------------------


def change_sinks(account: Account, wanted: SinkChange) -> None:
    """In the transaction that holds the account's row."""
    for sink in sorted(wanted.remove):
        find_sink(account.id, sink, lock=True).delete()
    for sink, settings in sorted(wanted.change.items()):
        row = find_sink(account.id, sink, lock=True)
        if row.kind != settings.kind:
            raise ParameterInvalid("A logging configuration keeps its kind; delete it and add another")
        _set(row, settings)
        # Where it has come to, and what else a shipper notes at any moment, is not for us to write back.
        row.save(update_fields=["enabled", "config", "secret_sealed", "secret_version"])
        # It is tried again at once.
        LogSink.objects.filter(id=row.id).update(attempts=0, not_before=None, last_error="")
    for settings in wanted.add:
        row = LogSink(account=account, kind=settings.kind, position=end_of_record())
        _set(row, settings)
        row.save()
    if LogSink.objects.filter(account=account).count() > MAX_SINKS:
        raise Conflict("too-many-sinks", f"An account has at most {MAX_SINKS} logging configurations")


def find_sink(account: UUID, sink: UUID, *, lock: bool = False) -> LogSink:
    rows = LogSink.objects.select_for_update(of=("self",)) if lock else LogSink.objects.all()
    row = rows.filter(id=sink, account_id=account).first()
    if row is None:
        raise NotFound("The logging configuration does not exist")
    return row


def _set(row: LogSink, wanted: SinkSettings) -> None:
    """A secret goes to the addresses that it was given for. Elsewhere it would be handed to whoever changed them."""
    kind = _KINDS[LogSinkKind(row.kind)]
    kept = opened_secrets(row)
    settings = {**row.config, **{name: value for name, value in wanted.config.items() if value is not None}}
    config = _parsed(kind, settings, {**kept, **wanted.secrets})
    if row.config and kind.goes_to(config) != kind.goes_to(row.config):
        kept = {}
        config = _parsed(kind, settings, wanted.secrets)
    secrets = {**kept, **wanted.secrets}
    if CLIENT_KEY in secrets and not config["tls"].get("client_certificate"):
        raise ParameterInvalid("a client's key needs its certificate")
    _seal(row, secrets)
    row.config = config
    row.enabled = row.enabled if wanted.enabled is None else wanted.enabled


def _parsed(kind: _Kind, settings: Mapping[str, Any], secrets: Secrets) -> Config:
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


def _check_key(key: SecretBytes) -> None:
    if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise SettingInvalid(f"The webhook's key is {SHORTEST_KEY} to {LONGEST_KEY} bytes")


@dataclass(frozen=True, slots=True)
class _Kind:
    """``parse`` gives the canonical settings. ``needs`` are the secrets that must be there, with what they must be."""

    parse: Callable[[Given, frozenset[str]], Config]
    goes_to: Callable[[Config], Hashable]
    needs: Mapping[str, Callable[[SecretBytes], None]] = field(default_factory=dict)


def _place_of(config: Config) -> Hashable:
    return config["host"].lower(), config["port"], repr(config["tls"])


_KINDS = {
    LogSinkKind.SYSLOG: _Kind(_syslog, _place_of),
    LogSinkKind.SPLUNK: _Kind(_splunk, _place_of, {TOKEN: _check_token}),
    LogSinkKind.WEBHOOK: _Kind(_webhook, lambda config: config["url"], {KEY: _check_key}),
}


# -- secrets -------------------------------------------------------------------------------------------------------


def opened_secrets(row: LogSink) -> dict[str, SecretBytes]:
    """A sink's secrets by name, for the moment in which they are used."""
    if row.secret_sealed is None:
        return {}
    opened = keystore.unseal(bytes(row.secret_sealed), binding=_binding(row))
    return {name: SecretBytes(base64.b64decode(value)) for name, value in json.loads(opened.reveal()).items()}


def _seal(row: LogSink, secrets: Secrets) -> None:
    row.secret_version += 1
    if not secrets:
        row.secret_sealed = None
        return
    text = json.dumps({name: base64.b64encode(secrets[name].reveal()).decode() for name in sorted(secrets)})
    row.secret_sealed = keystore.seal(SecretBytes(text.encode()), binding=_binding(row))


def _binding(row: LogSink) -> bytes:
    return secret_binding(keystore.deployment_id(), "log-sink", row.id, row.secret_version)


# -- what is there -------------------------------------------------------------------------------------------------


def sinks_of(call: Call, account: Account) -> tuple[SinkView, ...]:
    rows = LogSink.objects.filter(account=account).order_by("created_at", "id")
    return tuple(_view(row, call.now) for row in rows)


def _view(row: LogSink, now: datetime) -> SinkView:
    lag = lag_of(row.account_id, row.position)
    behind = 0 if lag.since is None else max(0, int((now - lag.since).total_seconds()))
    return SinkView(row, lag.entries, behind)
