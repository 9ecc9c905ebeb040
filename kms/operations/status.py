"""The state of what the server stands on, for people: database, token, record, witnesses, certificate, mail, sinks.

Whoever sees the account learns what works; what it is made of is for those who read the account's whole log. Of sinks
only the account's own are told. It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509
from django.conf import settings
from django.db import connection

from accounts.models import OutgoingMail
from kms.audit import months
from kms.audit.entry import Category
from kms.audit.models import AuditCheckpoint, LogSink, Sealing
from kms.audit.retention import kept_from
from kms.hsm.errors import ModuleError
from kms.hsm.module import ModuleStatus
from kms.objects import keystore
from kms.operations import epoch_officers, vital_signs
from kms.operations.authority import resolve_on_account
from kms.operations.command import Call, Command, Operation, control
from kms.operations.errors import Conflict, InvalidRequest
from kms.operations.log_sinks import SinkView, view_of
from kms.operations.vital_signs import VitalSigns
from kms.operations.witnesses import standing
from policies.permissions import Permission

# A checkpoint that is older than this while entries wait, and a certificate that ends sooner, are worth a look.
CHECKPOINT_SECONDS = 120
CERTIFICATE_DAYS = 21
# A witness is shown a checkpoint as soon as there is a newer one.
WITNESS_SECONDS = 600


@dataclass(frozen=True, slots=True)
class ReadServerStatus(Command):
    pass


@dataclass(frozen=True, slots=True)
class Certificate:
    """``generated``: by the server's own authority, which renews it."""

    subject: str
    not_after: datetime
    generated: bool


@dataclass(frozen=True, slots=True)
class RecordState:
    """``kept_from`` is the first leaf whose entry has not been handed over to an archive."""

    epoch: int
    size: int
    oldest_month: datetime | None
    kept_from: int


@dataclass(frozen=True, slots=True)
class Deciders:
    """Who together let a record go on that was set back. ``fault`` says why they cannot be told."""

    names: tuple[str, ...] = ()
    quorum: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Details:
    """What the parts are made of."""

    database_version: str
    token: ModuleStatus | None
    record: RecordState
    witnesses: Sequence[Mapping[str, Any]]
    officers: Deciders
    certificate: Certificate | None
    mails_waiting: int


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """``problems`` are codes, the gravest first; none: all is well."""

    signs: VitalSigns
    problems: tuple[str, ...]
    sinks: tuple[SinkView, ...]
    details: Details | None = field(default=None)


def read_status(call: Call, _command: ReadServerStatus, _payload: None) -> ServerStatus:
    signs = vital_signs.read()
    sinks = tuple(view_of(row, call.now) for row in _own_sinks(call))
    details = _details() if Permission.AUDIT_READ_ACCOUNT in call.facts.account else None
    problems = tuple([*_of_signs(signs), *_of_sinks(sinks), *(() if details is None else _of_details(details, signs))])
    call.details["returned"] = len(problems)
    return ServerStatus(signs, problems, sinks, details)


def _own_sinks(call: Call) -> Sequence[LogSink]:
    if Permission.LOGGING_MANAGE not in call.facts.account:
        return ()
    return list(LogSink.objects.filter(account_id=call.account, enabled=True).order_by("created_at", "id"))


# -- what is worth a look ------------------------------------------------------------------------------------------


def _of_signs(signs: VitalSigns) -> list[str]:
    record = signs.record
    found = {
        "token-down": not signs.token_up,
        "record-untrusted": not signs.trusted,
        "database-down": record is None,
        "rows-forged": record is not None and record.forged_subjects > 0,
        "sealing-late": record is not None and record.unsealed_entries > 0 and _old(signs, record.checkpoint_at),
    }
    return [problem for problem, there in found.items() if there]


def _old(signs: VitalSigns, checkpoint_at: datetime | None) -> bool:
    return checkpoint_at is None or (signs.now - checkpoint_at).total_seconds() > CHECKPOINT_SECONDS


def _of_sinks(sinks: tuple[SinkView, ...]) -> list[str]:
    return ["log-lagging"] if any(view.row.lagging_since is not None for view in sinks) else []


def _of_details(details: Details, signs: VitalSigns) -> list[str]:
    found = {
        "witness-silent": any(_silent(each, signs) for each in details.witnesses),
        "officers-unusable": bool(details.officers.fault),
        "certificate-ends": _ends(details.certificate, signs.now),
    }
    return [problem for problem, there in found.items() if there]


def _silent(standing: Mapping[str, Any], signs: VitalSigns) -> bool:
    """Checkpoints were made since it was last heard, and long enough ago."""
    newest = None if signs.record is None else signs.record.checkpoint_at
    if newest is None:
        return False
    heard = standing["time"]
    return heard is None or (newest - datetime.fromisoformat(heard)).total_seconds() > WITNESS_SECONDS


def _ends(certificate: Certificate | None, now: datetime) -> bool:
    return certificate is not None and (certificate.not_after - now).days < CERTIFICATE_DAYS


# -- what it is made of --------------------------------------------------------------------------------------------


def _details() -> Details:
    return Details(
        database_version=_database_version(),
        token=_token(),
        record=_record(),
        witnesses=standing(),
        officers=_officers(),
        certificate=_certificate(),
        mails_waiting=OutgoingMail.objects.filter(sent_at__isnull=True).count(),
    )


def _database_version() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        return str(cursor.fetchone()[0])


def _token() -> ModuleStatus | None:
    try:
        return keystore.module().status()
    except ModuleError:
        return None


def _record() -> RecordState:
    state = Sealing.objects.filter(id=1).first() or Sealing()
    kept = months.months()
    newest = AuditCheckpoint.objects.order_by("-size").values_list("size", flat=True).first() or 0
    return RecordState(state.epoch, max(state.size, newest), kept[-1].since if kept else None, kept_from())


def _officers() -> Deciders:
    try:
        who = epoch_officers.deciding()
    except (InvalidRequest, Conflict) as error:
        return Deciders(fault=str(error))
    except ModuleError:
        return Deciders(fault="The token does not answer, and it knows who decides")
    return Deciders() if who is None else Deciders(tuple(sorted(set(who.names.values()))), who.quorum)


def _certificate() -> Certificate | None:
    """Of the server's own TLS; None where there is none, as behind a proxy that speaks TLS."""
    environment = settings.KEYSTEAD
    try:
        found = x509.load_pem_x509_certificate(environment.tls_cert.read_bytes())
    except (OSError, ValueError):
        return None
    return Certificate(found.subject.rfc4514_string(), found.not_valid_after_utc, environment.tls_generated)


_operation = control(Category.OTHER)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(ReadServerStatus, "server.status", resolve_on_account(Permission.ACCOUNT_GET), read_status),
)
