"""Where an account's entries of the record are sent: which sinks there are, and how far behind each is.

What a kind of sink can be told is log_sink_kinds' to know, how entries travel log_shipping's; it must not know the wire
or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.models import Account
from kms.audit.account_entries import end_of_record, lag_of
from kms.audit.models import LogSink, LogSinkKind
from kms.crypto.errors import ParameterInvalid
from kms.operations.command import Call
from kms.operations.errors import Conflict, NotFound
from kms.operations.log_sink_kinds import CLIENT_KEY, KINDS, parsed
from kms.operations.named_secrets import NamedSecrets, Secrets

MAX_SINKS = 8
sink_secrets = NamedSecrets("log-sink")


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
    kind = KINDS[LogSinkKind(row.kind)]
    kept = sink_secrets.opened(row)
    settings = {**row.config, **{name: value for name, value in wanted.config.items() if value is not None}}
    config = parsed(kind, settings, {**kept, **wanted.secrets})
    if row.config and kind.goes_to(config) != kind.goes_to(row.config):
        kept = {}
        config = parsed(kind, settings, wanted.secrets)
    secrets = {**kept, **wanted.secrets}
    if CLIENT_KEY in secrets and not config["tls"].get("client_certificate"):
        raise ParameterInvalid("a client's key needs its certificate")
    sink_secrets.seal(row, secrets)
    row.config = config
    row.enabled = row.enabled if wanted.enabled is None else wanted.enabled


# -- what is there -------------------------------------------------------------------------------------------------


def sinks_of(call: Call, account: Account) -> tuple[SinkView, ...]:
    rows = LogSink.objects.filter(account=account).order_by("created_at", "id")
    return tuple(view_of(row, call.now) for row in rows)


def view_of(row: LogSink, now: datetime) -> SinkView:
    lag = lag_of(row.account_id, row.position)
    behind = 0 if lag.since is None else max(0, int((now - lag.since).total_seconds()))
    return SinkView(row, lag.entries, behind)
