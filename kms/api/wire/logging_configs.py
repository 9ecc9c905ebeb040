"""Where an account's log is sent, on the wire: the vendor's shapes for syslog and Splunk, and what is ours.

Ours are ``webhook`` and ``s3`` beside them, a ``format`` in each, and in the account's answer ``log_shipping``, apart
from the vendor's ``logging_configs``, whose readers take no shape that they do not know.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

from kms.api.wire.auth_ldap import TlsConfig, tls_config, wire_tls_config
from kms.api.wire.base import Endpoint, Request, Response, WireCall, WireError, path_id, unsupported, wire_time
from kms.audit.models import LogSinkKind
from kms.operations.log_shipping import Tried, TryLogSink
from kms.operations.log_sink_kinds import FACILITIES, KEY, SECRET_KEY, TOKEN
from kms.operations.log_sinks import SinkChange, SinkSettings, SinkView
from kms.secret import SecretBytes

_FACILITY_NAMES = ("User", *(f"Local{number}" for number in range(8)))
_FACILITY = dict(zip(_FACILITY_NAMES, FACILITIES, strict=True))
_WIRE_FACILITY = {ours: theirs for theirs, ours in _FACILITY.items()}
_KEY_PREFIX = "whsec_"

_SHOWN_OF_S3 = (
    *("endpoint", "region", "bucket", "prefix", "addressing_style"),
    *("access_key_id", "retention_days"),
)

FormatName = Literal["json", "csv", "cef", "ocsf"]


class SyslogLoggingConfig(Request):
    enabled: bool | None = None
    host: str | None = None
    port: int | None = None
    tls: TlsConfig | None = None
    facility: str | None = None
    use_fqdn_hostname: bool | None = None
    format: FormatName | None = None


class SplunkLoggingConfig(Request):
    """Without a token the one that is there stays."""

    enabled: bool | None = None
    host: str | None = None
    port: int | None = None
    tls: TlsConfig | None = None
    index: str | None = None
    token: str | None = None
    use_fqdn_hostname: bool | None = None
    format: FormatName | None = None


class WebhookLoggingConfig(Request):
    """``key`` is base64, with or without the prefix that Standard Webhooks gives it; it is not shown again."""

    enabled: bool | None = None
    url: str | None = None
    key: str | None = None
    format: FormatName | None = None


class S3LoggingConfig(Request):
    """A bucket of an S3-compatible store. ``secret_access_key`` is not shown again; without it the one there stays.

    ``retention_days`` locks each object for so long (Object Lock, COMPLIANCE); 0 is not at all.
    """

    enabled: bool | None = None
    endpoint: str | None = None
    tls: TlsConfig | None = None
    region: str | None = None
    bucket: str | None = None
    prefix: str | None = None
    addressing_style: Literal["path", "virtual"] | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    retention_days: int | None = None
    format: FormatName | None = None


class LoggingConfig(Request):
    syslog: SyslogLoggingConfig | None = None
    splunk: SplunkLoggingConfig | None = None
    webhook: WebhookLoggingConfig | None = None
    s3: S3LoggingConfig | None = None
    stackdriver: Any = None
    azure_log_analytics: Any = None
    azure_log_ingestion: Any = None


def sink_change(
    add: list[LoggingConfig] | None, change: dict[UUID, LoggingConfig] | None, remove: list[UUID] | None
) -> SinkChange | None:
    if add is None and change is None and remove is None:
        return None
    changed = {sink: _settings(given) for sink, given in (change or {}).items()}
    return SinkChange(tuple(map(_settings, add or ())), changed, frozenset(remove or ()))


def _settings(body: LoggingConfig) -> SinkSettings:
    unsupported(
        stackdriver=body.stackdriver,
        azure_log_analytics=body.azure_log_analytics,
        azure_log_ingestion=body.azure_log_ingestion,
    )
    given = [each for each in (body.syslog, body.splunk, body.webhook, body.s3) if each is not None]
    if len(given) != 1:
        raise WireError("Invalid request: a logging configuration is one of syslog, splunk, webhook and s3")
    (one,) = given
    if isinstance(one, SyslogLoggingConfig):
        return _syslog(one)
    if isinstance(one, SplunkLoggingConfig):
        return _splunk(one)
    return _webhook(one) if isinstance(one, WebhookLoggingConfig) else _s3(one)


def _syslog(given: SyslogLoggingConfig) -> SinkSettings:
    if given.facility is not None and given.facility not in _FACILITY:
        raise WireError(f"Invalid request: facility is one of {', '.join(_FACILITY)}")
    place, secrets = _place(given)
    facility = None if given.facility is None else _FACILITY[given.facility]
    return SinkSettings(LogSinkKind.SYSLOG, {**place, "facility": facility}, secrets, given.enabled)


def _splunk(given: SplunkLoggingConfig) -> SinkSettings:
    place, secrets = _place(given)
    if given.token:
        secrets[TOKEN] = SecretBytes(given.token.encode())
    return SinkSettings(LogSinkKind.SPLUNK, {**place, "index": given.index}, secrets, given.enabled)


def _place(given: SyslogLoggingConfig | SplunkLoggingConfig) -> tuple[dict[str, Any], dict[str, SecretBytes]]:
    tls, secrets = (None, {}) if given.tls is None else tls_config(given.tls)
    place = {"host": given.host, "port": given.port, "tls": tls}
    return {**place, "use_fqdn": given.use_fqdn_hostname, "format": given.format}, secrets


def _webhook(given: WebhookLoggingConfig) -> SinkSettings:
    secrets: dict[str, SecretBytes] = {}
    if given.key is not None:
        try:
            secrets[KEY] = SecretBytes(b64decode(given.key.removeprefix(_KEY_PREFIX), validate=True))
        except ValueError:
            raise WireError("Invalid request: webhook.key is not base64") from None
    return SinkSettings(LogSinkKind.WEBHOOK, {"url": given.url, "format": given.format}, secrets, given.enabled)


def _s3(given: S3LoggingConfig) -> SinkSettings:
    tls, secrets = (None, {}) if given.tls is None else tls_config(given.tls)
    if given.secret_access_key:
        secrets[SECRET_KEY] = SecretBytes(given.secret_access_key.encode())
    config = {name: getattr(given, name) for name in (*_SHOWN_OF_S3, "format")}
    return SinkSettings(LogSinkKind.S3, {**config, "tls": tls}, secrets, given.enabled)


# -- responses -----------------------------------------------------------------------------------------------------


def wire_configs(sinks: tuple[SinkView, ...]) -> dict[str, Any]:
    """Those that the vendor's clients know. Tokens and keys are never shown."""
    known = (view.row for view in sinks if view.row.kind in (LogSinkKind.SYSLOG, LogSinkKind.SPLUNK))
    return {str(row.id): {row.kind: _wire_config(row.enabled, row.config)} for row in known}


def _wire_config(enabled: bool, config: Mapping[str, Any]) -> dict[str, Any]:
    shown = {
        "enabled": enabled,
        "host": config["host"],
        "port": config["port"],
        "tls": wire_tls_config(config["tls"]),
        "use_fqdn_hostname": config["use_fqdn"],
    }
    if "facility" in config:
        return {**shown, "facility": _WIRE_FACILITY[config["facility"]]}
    return {**shown, "index": config["index"]}


def wire_shipping(sinks: tuple[SinkView, ...]) -> dict[str, Any]:
    """Every sink: how it is told, and how far behind it is."""
    return {str(view.row.id): _wire_sink(view) for view in sinks}


def _wire_sink(view: SinkView) -> dict[str, Any]:
    row = view.row
    shown: dict[str, Any] = {
        "kind": row.kind,
        "format": row.config["format"],
        "enabled": row.enabled,
        "entries_behind": view.entries_behind,
        "seconds_behind": view.seconds_behind,
        "failed_attempts": row.attempts,
        "last_error": row.last_error or None,
        "delivered_at": wire_time(row.delivered_at),
        "next_attempt_at": wire_time(row.not_before),
        "lagging_since": wire_time(row.lagging_since),
    }
    if row.kind == LogSinkKind.WEBHOOK:
        return {**shown, "url": row.config["url"]}
    if row.kind == LogSinkKind.S3:
        return {**shown, **{name: row.config[name] for name in _SHOWN_OF_S3}, "tls": wire_tls_config(row.config["tls"])}
    return shown


class TriedResult(Response, omit_defaults=False):
    delivered: bool
    detail: str


def _test(call: WireCall) -> TryLogSink:
    return TryLogSink(path_id(call, "acct_id"), path_id(call, "config_id"))


def _tried(tried: Tried) -> TriedResult:
    return TriedResult(delivered=tried.delivered, detail=tried.detail)


_TEST = "/sys/v1/accounts/{acct_id}/logging_configs/{config_id}/test"
ENDPOINTS: tuple[Endpoint, ...] = (Endpoint("TestLoggingConfig", "POST", _TEST, _test, _tried),)
