"""Ships an account's sealed entries to its sinks: in order, at least once, each sink by itself. And tries a sink.

Every process runs it. A sink's cursor moves in the statement that notes the delivery, so that what a dead process
shipped and did not note is shipped again. It must not know the wire.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urljoin
from uuid import UUID

import msgspec
from django.db.models import F, Q

from accounts import outbound
from accounts.clock import clock
from accounts.models import Account
from accounts.outbound import OutboundFailed, OutboundRefused
from kms.audit.account_entries import end_of_record, entries_between
from kms.audit.entry import Category, Outcome, Severity
from kms.audit.formats import Format, SealedEntry, is_json, rendered, sealed_entry
from kms.audit.models import LogSink, LogSinkKind
from kms.audit.tree import RecordDamaged
from kms.audit.trust import trust
from kms.operations.alone import alone
from kms.operations.authority import absent
from kms.operations.command import Call, CarryOut, Command, Operation, Resolved, control
from kms.operations.errors import NotFound
from kms.operations.log_sinks import KEY, TOKEN, address, find_sink, opened_secrets, tls_trust
from kms.operations.webhooks import headers_of
from kms.secret import SecretBytes
from policies.decision import Target
from policies.permissions import Permission

logger = logging.getLogger(__name__)

# In one call; in one turn of one sink; and of everybody's leaves looked through at once.
MOST_ENTRIES, MOST_BYTES = 500, 512 * 1024
TURN_SECONDS = 5.0
WINDOW = 10_000
RETRY_AFTER, RETRY_AT_MOST = timedelta(seconds=5), timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Receiver:
    """A sink with its secrets opened, for the moment of a call."""

    sink: LogSink
    secrets: Mapping[str, SecretBytes]

    @property
    def form(self) -> Format:
        return Format(self.sink.config["format"])

    def hostname(self) -> str:
        return outbound.own_name(qualified=self.sink.config["use_fqdn"])


# -- a call --------------------------------------------------------------------------------------------------------


def _deliver(sink: LogSink, entries: Sequence[SealedEntry], message: str) -> None:
    """Returns when the receiver has taken them. ``message`` names them, the same each time that they are tried."""
    receiver = Receiver(sink, opened_secrets(sink))
    _DELIVERIES[LogSinkKind(sink.kind)](receiver, entries, message)


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


def _to_splunk(receiver: Receiver, entries: Sequence[SealedEntry], _message: str) -> None:
    """Splunk's HTTP Event Collector: events one after the other, each with what it is to be indexed by."""
    config, host = receiver.sink.config, receiver.hostname()
    scheme = "http" if tls_trust(config["tls"], receiver.secrets) is None else "https"
    url = urljoin(address(config["host"], config["port"], scheme), "services/collector/event")
    body = b"\n".join(msgspec.json.encode(_splunk_event(receiver.form, entry, host, config)) for entry in entries)
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


def _to_webhook(receiver: Receiver, entries: Sequence[SealedEntry], message: str) -> None:
    """Signed as Standard Webhooks 1.0 says."""
    now = clock.now()
    told = [{"id": each.id, "hash": each.hash, "entry": _event(receiver.form, each)} for each in entries]
    data = {"account": str(receiver.sink.account_id), "format": receiver.form, "entries": told}
    body = msgspec.json.encode({"type": "record.entries", "timestamp": now.isoformat(), "data": data})
    headers = headers_of(message, body, receiver.secrets[KEY], now)
    _post(receiver, receiver.sink.config["url"], body, headers)


# -- syslog (RFC 5424, over TLS: RFC 5425) -------------------------------------------------------------------------

_SYSLOG_SEVERITY = {Severity.INFO: 6, Severity.WARNING: 4, Severity.ERROR: 3, Severity.CRITICAL: 2}
# 32473 is the enterprise number for those who have none (RFC 5612).
_SD_ID = "keystead@32473"
_SD_NAMES = ("account", "action", "outcome", "reason", "actor_kind", "actor")


def _to_syslog(receiver: Receiver, entries: Sequence[SealedEntry], _message: str) -> None:
    config, host = receiver.sink.config, receiver.hostname()
    messages = [syslog_message(receiver.form, entry, host, config["facility"]) for entry in entries]
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


_DELIVERIES: Mapping[LogSinkKind, Callable[[Receiver, Sequence[SealedEntry], str], None]] = {
    LogSinkKind.SYSLOG: _to_syslog,
    LogSinkKind.SPLUNK: _to_splunk,
    LogSinkKind.WEBHOOK: _to_webhook,
}


# -- turns ---------------------------------------------------------------------------------------------------------


class LogShipper:
    """Several threads run it, each shipping to sinks that no other is at, so that a slow one holds up one thread."""

    def turn(self) -> int:
        """How many entries were delivered. Sinks that work come first; of those that do not, one is tried.

        A record that was set back is shipped to nobody before somebody has said that this was meant.
        """
        if trust.reason is not None:
            return 0
        end, shipped, tried = end_of_record(), 0, False
        for sink, attempts in _due(end, clock.now()):
            if attempts and tried:
                break
            # No row is locked meanwhile: a transaction that waits for somebody would hold up the sealer.
            with alone(_lock_of(sink)) as ours:
                if ours:
                    tried = tried or attempts > 0
                    shipped += sum(_ship(sink, end))
        return shipped


def _due(end: int, now: datetime) -> list[tuple[UUID, int]]:
    waiting = LogSink.objects.filter(Q(not_before=None) | Q(not_before__lte=now), enabled=True, position__lt=end)
    return list(waiting.order_by("attempts", "position").values_list("id", "attempts"))


def _lock_of(sink: UUID) -> int:
    return int.from_bytes(sink.bytes[:8], "big", signed=True)


def _ship(sink: UUID, end: int) -> Iterator[int]:
    """Batch by batch, each on the sink as it is then."""
    over = time.monotonic() + TURN_SECONDS
    while time.monotonic() < over:
        row = LogSink.objects.filter(id=sink, enabled=True).first()
        if row is None or row.position >= end:
            return
        try:
            yield _ship_batch(row, end)
        except Exception as error:  # of the receiver's making: whatever it is, other sinks get theirs
            _failed(row, error)
            return


def _ship_batch(row: LogSink, end: int) -> int:
    until = min(row.position + WINDOW, end)
    found = entries_between(row.account_id, row.position, until, most=MOST_ENTRIES)
    if not found:
        _advance(row, until)
        return 0
    batch = found[: _fitting([len(placed.entry.line) for placed in found])]
    _deliver(row, [placed.entry for placed in batch], f"{row.id}.{batch[0].index}.{batch[-1].index}")
    _advance(row, batch[-1].index + 1, delivered_at=clock.now(), attempts=0, not_before=None, last_error="")
    return len(batch)


def _fitting(sizes: Sequence[int]) -> int:
    """How many of the first are sent together: at least one."""
    total, count = 0, 0
    for size in sizes:
        total += size
        if count and total > MOST_BYTES:
            break
        count += 1
    return count


def _advance(row: LogSink, position: int, **noted: Any) -> None:
    """From where it was: somebody who was faster is not set back."""
    LogSink.objects.filter(id=row.id, position=row.position).update(position=position, **noted)


def _failed(row: LogSink, error: Exception) -> None:
    """Try again later, each time after twice as long."""
    expected = isinstance(error, OutboundFailed | OutboundRefused | RecordDamaged)
    what = str(error) if expected else "the server could not ship: its log says why"
    pause = min(RETRY_AFTER * 2 ** min(row.attempts, 10), RETRY_AT_MOST)
    LogSink.objects.filter(id=row.id).update(
        attempts=F("attempts") + 1, not_before=clock.now() + pause, last_error=what[:256]
    )
    level = logging.CRITICAL if isinstance(error, RecordDamaged) else logging.WARNING
    logger.log(level, "sink %s of account %s waits: %s", row.id, row.account_id, what, exc_info=not expected)


# -- trying one ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TryLogSink(Command):
    """Ship one entry that is no entry of the record, and say what came back."""

    account: UUID
    sink: UUID


@dataclass(frozen=True, slots=True)
class Tried:
    delivered: bool
    detail: str


def try_log_sink(call: Call, command: TryLogSink, _payload: None) -> LogSink | Tried:
    """It is called afterwards, so that nothing is locked meanwhile; what a quorum has approved has no afterwards."""
    row = find_sink(call.account, command.sink)
    call.details["kind"] = row.kind
    return row if call.approved is None else _tried(row)


def _afterwards(_carry_out: CarryOut, _command: TryLogSink, row: LogSink) -> Tried:
    return _tried(row)


def _tried(row: LogSink) -> Tried:
    now = clock.now()
    try:
        _deliver(row, [_test_entry(row.account_id, now)], f"{row.id}.test.{int(now.timestamp())}")
    except (OutboundFailed, OutboundRefused) as error:
        return Tried(False, str(error))
    return Tried(True, "The receiver took the test entry")


def _test_entry(account: UUID, now: datetime) -> SealedEntry:
    """It has the shape of an entry, sequence 0, which none has, and an action that nothing else has."""
    nothing = str(UUID(int=0))
    fields: dict[str, Any] = {
        "v": 0,
        "sequence": 0,
        "time": now.isoformat(),
        "account": str(account),
        **{"actor_kind": "system", "actor": nothing, "method": "none", "session": None},
        **{"action": "log-sink.test", "category": Category.OTHER, "severity": Severity.INFO},
        **{"outcome": Outcome.DONE, "reason": "test", "object_kind": "", "object": None, "groups": []},
        **{"client_ip": None, "request": nothing, "duration_us": 0, "details": {}},
    }
    return sealed_entry(json.dumps(fields, separators=(",", ":")).encode())


def _resolve(call: Call, command: TryLogSink) -> Sequence[Resolved]:
    """Who may not manage sinks does not learn which there are: the sink is looked up when that is decided."""
    if call.account != command.account or not Account.objects.filter(id=command.account).exists():
        raise NotFound(absent("account"), "not-visible")
    target = Target("account", command.account, command.account, see=Permission.ACCOUNT_GET)
    return (Resolved(Permission.LOGGING_MANAGE, target),)


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(TryLogSink, "log-sink.test", _resolve, try_log_sink, afterwards=_afterwards),
)
