"""The state of the server on the wire. Ours: the vendor's clients know /sys/v1/health, which says yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.conf import settings

from kms import __version__
from kms.api.server import API_VERSION
from kms.api.wire.base import Endpoint, Response, WireCall, wire_time
from kms.operations.log_sinks import SinkView
from kms.operations.status import Details, ReadServerStatus, ServerStatus


class WireServer(Response):
    """``session_seconds`` and what follows say what the environment sets for everybody."""

    version: str
    api_version: str
    public_url: str
    workers: int
    session_seconds: int
    session_idle_seconds: int
    mail_server: bool
    mail_from: str
    log_alarm_minutes: int
    mails_waiting: int | None = None
    certificate_subject: str | None = None
    certificate_ends: str | None = None
    certificate_generated: bool | None = None


class WireDatabase(Response):
    up: bool
    version: str | None = None
    embedded: bool | None = None


class WireToken(Response):
    """``generation`` is that of the master keys in use."""

    up: bool
    label: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    firmware: str | None = None
    mechanisms: int | None = None
    generation: int | None = None
    open_handles: int | None = None


class WireWitness(Response):
    """How far it has cosigned the record, and when last; without a time: never."""

    name: str
    size: int
    cosigned_at: str | None = None


class WireOfficers(Response, omit_defaults=False):
    """Who lets a record go on that was set back; nobody named: the operator of the host alone."""

    names: Sequence[str]
    quorum: int
    fault: str


class WireRecord(Response):
    trusted: bool
    unsealed_entries: int | None = None
    checkpoint_at: str | None = None
    forged_subjects: int | None = None
    epoch: int | None = None
    size: int | None = None
    oldest_month: str | None = None
    kept_from: int | None = None
    witnesses: list[WireWitness] | None = None
    officers: WireOfficers | None = None


class WireSink(Response, omit_defaults=False):
    config_id: UUID
    kind: str
    entries_behind: int
    seconds_behind: int
    lagging: bool


class StatusResponse(Response, omit_defaults=False):
    """``problems`` are codes, none when all is well. What is left out the caller may not see, or nobody can tell."""

    time: str
    problems: Sequence[str]
    server: WireServer
    database: WireDatabase
    token: WireToken
    record: WireRecord
    log_sinks: list[WireSink]


def _read(_call: WireCall) -> ReadServerStatus:
    return ReadServerStatus()


def _status(status: ServerStatus) -> StatusResponse:
    return StatusResponse(
        time=wire_time(status.signs.now) or "",
        problems=status.problems,
        server=_server(status.details),
        database=_database(status),
        token=_token(status),
        record=_record(status),
        log_sinks=[_sink(view) for view in status.sinks],
    )


def _server(details: Details | None) -> WireServer:
    environment = settings.KEYSTEAD
    shown = WireServer(
        version=__version__,
        api_version=API_VERSION,
        public_url=environment.public_url,
        workers=environment.workers,
        session_seconds=environment.session_seconds,
        session_idle_seconds=environment.session_idle_seconds,
        mail_server=environment.smtp is not None,
        mail_from=environment.mail_from,
        log_alarm_minutes=environment.log_alarm_minutes,
    )
    if details is None:
        return shown
    shown.mails_waiting = details.mails_waiting
    if details.certificate is not None:
        shown.certificate_subject = details.certificate.subject
        shown.certificate_ends = wire_time(details.certificate.not_after)
        shown.certificate_generated = details.certificate.generated
    return shown


def _database(status: ServerStatus) -> WireDatabase:
    up, details = status.signs.record is not None, status.details
    if details is None:
        return WireDatabase(up=up)
    return WireDatabase(up=up, version=details.database_version, embedded=settings.KEYSTEAD.embedded_database)


def _token(status: ServerStatus) -> WireToken:
    up, details = status.signs.token_up, status.details
    if details is None or details.token is None:
        return WireToken(up=up)
    token = details.token
    return WireToken(
        up=up,
        label=token.label,
        manufacturer=token.manufacturer,
        model=token.model,
        firmware=token.firmware,
        mechanisms=token.mechanisms,
        generation=token.generation,
        open_handles=token.open_handles,
    )


def _record(status: ServerStatus) -> WireRecord:
    signs, details = status.signs.record, status.details
    shown = WireRecord(trusted=status.signs.trusted)
    if signs is not None:
        shown.unsealed_entries = signs.unsealed_entries
        shown.checkpoint_at = wire_time(signs.checkpoint_at)
    if details is None:
        return shown
    if signs is not None:
        shown.forged_subjects = signs.forged_subjects
    shown.epoch, shown.size = details.record.epoch, details.record.size
    shown.oldest_month, shown.kept_from = wire_time(details.record.oldest_month), details.record.kept_from
    shown.witnesses = [
        WireWitness(name=each["witness"], size=each["size"], cosigned_at=_written(each["time"]))
        for each in details.witnesses
    ]
    officers = details.officers
    shown.officers = WireOfficers(names=officers.names, quorum=officers.quorum, fault=officers.fault)
    return shown


def _written(time: str | None) -> str | None:
    return None if time is None else wire_time(datetime.fromisoformat(time))


def _sink(view: SinkView) -> WireSink:
    return WireSink(
        config_id=view.row.id,
        kind=view.row.kind,
        entries_behind=view.entries_behind,
        seconds_behind=view.seconds_behind,
        lagging=view.row.lagging_since is not None,
    )


ENDPOINTS: tuple[Endpoint, ...] = (Endpoint("GetServerStatus", "GET", "/sys/v1/status", _read, _status),)
