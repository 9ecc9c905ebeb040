"""How entries of the record are told to a receiver: one call a batch, in the way of the sink's kind.

When, and what was told already, is log_shipping's to know. It must not know the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any
from urllib.parse import urljoin

import msgspec

from accounts import outbound
from accounts.clock import clock
from accounts.outbound import OutboundFailed
from kms.audit.entry import Severity
from kms.audit.formats import Format, SealedEntry, document, is_json, rendered
from kms.audit.models import LogSink, LogSinkKind
from kms.operations.log_sink_kinds import KEY, SECRET_KEY, TOKEN, address, bucket_of, tls_trust
from kms.operations.log_sinks import sink_secrets
from kms.operations.named_secrets import Secrets
from kms.operations.object_store import Access, StoredObject, put
from kms.operations.webhooks import headers_of


@dataclass(frozen=True, slots=True)
class Batch:
    """What is told at once. ``name`` tells it from every other batch of the sink, and is the same at each attempt."""

    name: str
    entries: Sequence[SealedEntry]


@dataclass(frozen=True, slots=True)
class Receiver:
    """A sink with its secrets opened, for the moment of a call."""

    sink: LogSink
    secrets: Secrets

    @property
    def form(self) -> Format:
        return Format(self.sink.config["format"])

    def hostname(self) -> str:
        return outbound.own_name(qualified=self.sink.config["use_fqdn"])


# -- a call --------------------------------------------------------------------------------------------------------


def deliver(sink: LogSink, batch: Batch) -> None:
    """Returns when the receiver has taken it. Raises OutboundRefused or OutboundFailed."""
    receiver = Receiver(sink, sink_secrets.opened(sink))
    _DELIVERIES[LogSinkKind(sink.kind)](receiver, batch)


def _post(receiver: Receiver, url: str, body: bytes, headers: Mapping[str, str]) -> None:
    tls = receiver.sink.config.get("tls")
    trust = None if tls is None else tls_trust(tls, receiver.secrets)
    schemes = ("https",) if tls is None or trust is not None else ("http",)
    answer = outbound.fetch(url, method="POST", body=body, headers=headers, trust=trust, schemes=schemes)
    if not 200 <= answer.status < 300:
        raise OutboundFailed(f"it answered {answer.status}")


def _event(form: Format, entry: SealedEntry) -> Any:
    """As it is inside of JSON: an object where the format is one, else text."""
    text = rendered(form, entry)
    return msgspec.Raw(text.encode()) if is_json(form) else text


def _to_splunk(receiver: Receiver, batch: Batch) -> None:
    """Splunk's HTTP Event Collector: events one after the other, each with what it is to be indexed by."""
    config, host = receiver.sink.config, receiver.hostname()
    scheme = "http" if tls_trust(config["tls"], receiver.secrets) is None else "https"
    url = urljoin(address(config["host"], config["port"], scheme), "services/collector/event")
    body = b"\n".join(msgspec.json.encode(_splunk_event(receiver.form, entry, host, config)) for entry in batch.entries)
    token = receiver.secrets[TOKEN].reveal().decode()
    _post(receiver, url, body, {"Authorization": f"Splunk {token}", "Content-Type": "application/json"})


def _splunk_event(form: Format, entry: SealedEntry, host: str, config: Mapping[str, Any]) -> dict[str, Any]:
    index = {"index": config["index"]} if config["index"] else {}
    return {
        "time": entry.time.timestamp(),
        "host": host,
        "source": "keystead",
        "sourcetype": f"keystead:{form}",
        **index,
        "event": _event(form, entry),
        "fields": {"id": entry.id, "hash": entry.hash},
    }


def _to_webhook(receiver: Receiver, batch: Batch) -> None:
    """Signed as Standard Webhooks 1.0 says."""
    now = clock.now()
    told = [{"id": each.id, "hash": each.hash, "entry": _event(receiver.form, each)} for each in batch.entries]
    data = {"account": str(receiver.sink.account_id), "format": receiver.form, "entries": told}
    body = msgspec.json.encode({"type": "record.entries", "timestamp": now.isoformat(), "data": data})
    headers = headers_of(f"{receiver.sink.id}.{batch.name}", body, receiver.secrets[KEY], now)
    _post(receiver, receiver.sink.config["url"], body, headers)


# -- S3 ------------------------------------------------------------------------------------------------------------

# How a file of a format is called, and of which type it is (RFC 4180 §3).
_FILES = {
    Format.JSON: ("jsonl", "application/x-ndjson"),
    Format.OCSF: ("ocsf.jsonl", "application/x-ndjson"),
    Format.CSV: ("csv", "text/csv; charset=utf-8; header=present"),
    Format.CEF: ("cef", "text/plain; charset=utf-8"),
}


def _to_s3(receiver: Receiver, batch: Batch) -> None:
    """One object. An attempt after one that went astray writes the same bytes to the same key."""
    config, retained = receiver.sink.config, None
    if config["retention_days"]:
        retained = clock.now() + timedelta(days=config["retention_days"])
    _, kind = _FILES[receiver.form]
    wanted = StoredObject(object_key(receiver, batch), document(receiver.form, batch.entries), kind, retained)
    access = Access(config["access_key_id"], receiver.secrets[SECRET_KEY])
    put(bucket_of(config), wanted, access, trust=tls_trust(config["tls"], receiver.secrets))


def object_key(receiver: Receiver, batch: Batch) -> str:
    """By day and place, in the record's order. The last entry's hash keeps a record that was set back, and has other
    entries in the same places, from writing over what was there."""
    sink, day, last = receiver.sink, batch.entries[0].time.astimezone(UTC), batch.entries[-1]
    ending, _ = _FILES[receiver.form]
    return f"{sink.config['prefix']}{sink.account_id}/{day:%Y/%m/%d}/{batch.name}-{last.hash[:16]}.{ending}"


# -- syslog (RFC 5424, over TLS: RFC 5425) -------------------------------------------------------------------------

_SYSLOG_SEVERITY = {Severity.INFO: 6, Severity.WARNING: 4, Severity.ERROR: 3, Severity.CRITICAL: 2}
# 32473 is the enterprise number for those who have none (RFC 5612).
_SD_ID = "keystead@32473"
_SD_NAMES = ("account", "action", "outcome", "reason", "actor_kind", "actor")


def _to_syslog(receiver: Receiver, batch: Batch) -> None:
    config, host = receiver.sink.config, receiver.hostname()
    messages = [syslog_message(receiver.form, entry, host, config["facility"]) for entry in batch.entries]
    # RFC 5425 §4.3: octets are counted, so that no content is taken for the end of a message.
    framed = b"".join(b"%d %b" % (len(message), message) for message in messages)
    outbound.send(config["host"], config["port"], framed, trust=tls_trust(config["tls"], receiver.secrets))


def syslog_message(form: Format, entry: SealedEntry, host: str, facility: int) -> bytes:
    """Without a byte order mark, which readers of JSON and CEF trip over: to the RFC the text is any octets."""
    fields = entry.fields
    priority = facility * 8 + _SYSLOG_SEVERITY[Severity(fields["severity"])]
    named = {"id": entry.id, "hash": entry.hash, **{name: fields[name] for name in _SD_NAMES}}
    data = "".join(f' {name}="{_sd_value(str(value))}"' for name, value in named.items() if value is not None)
    head = f"<{priority}>1 {fields['time']} {_printable(host, 255)} keystead - {_printable(fields['action'], 32)}"
    return f"{head} [{_SD_ID}{data}] {rendered(form, entry)}".encode()


def _sd_value(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _printable(text: str, longest: int) -> str:
    return "".join(sign for sign in text if "!" <= sign <= "~")[:longest] or "-"


_DELIVERIES: Mapping[LogSinkKind, Callable[[Receiver, Batch], None]] = {
    LogSinkKind.SYSLOG: _to_syslog,
    LogSinkKind.SPLUNK: _to_splunk,
    LogSinkKind.WEBHOOK: _to_webhook,
    LogSinkKind.S3: _to_s3,
}
