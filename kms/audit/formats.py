"""A sealed entry as the line that a tool reads: JSON Lines, CSV, CEF, OCSF. Pure: no Django, no clock, no I/O.

Every line is one line whatever is in it, and what a parser reads back is what was recorded. It must not know where
lines are sent, and shows nothing that is not in the entry.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from kms.audit.entry import Category, Outcome, Severity, entry_id
from kms.audit.merkle import leaf_hash

VENDOR = PRODUCT = "Keystead"
OCSF_VERSION = "1.3.0"

Fields = Mapping[str, Any]


class Format(StrEnum):
    JSON = "json"
    CSV = "csv"
    CEF = "cef"
    OCSF = "ocsf"


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """``line`` is what was hashed (kms/audit/leaf.py), ``fields`` what is in it."""

    line: bytes
    fields: Fields

    @property
    def id(self) -> str:
        """As readers of the account's log know it."""
        return str(entry_id(self.fields["sequence"]))

    @property
    def hash(self) -> str:
        """By this a receiver drops what it has already: it is the entry's, and no other's after a restore either."""
        return leaf_hash(self.line).hex()

    @property
    def time(self) -> datetime:
        return datetime.fromisoformat(self.fields["time"])

    @property
    def repeats(self) -> int:
        """How many calls it stands for (kms/audit/folding.py). What is said elsewhere by this name counts for one."""
        count = self.fields["details"].get("repeats")
        return count if type(count) is int else 1


def sealed_entry(line: bytes) -> SealedEntry:
    return SealedEntry(line, json.loads(line))


def rendered(form: Format, entry: SealedEntry) -> str:
    return _RENDERERS[form](entry)


def is_json(form: Format) -> bool:
    return form in (Format.JSON, Format.OCSF)


def document(form: Format, entries: Sequence[SealedEntry]) -> bytes:
    """Entries as one file, a line each; CSV says first what its columns are."""
    lines = [*heading(form), *(rendered(form, entry) for entry in entries)]
    return "".join(f"{line}\n" for line in lines).encode()


def heading(form: Format) -> tuple[str, ...]:
    """The lines that a file begins with."""
    return (_csv_line(CSV_COLUMNS),) if form is Format.CSV else ()


def _json_line(entry: SealedEntry) -> str:
    return entry.line.decode()


def _ascii(value: Any) -> str:
    """Details as text: no character that some reader takes for the end of a line, or for the beginning of a formula."""
    return json.dumps(value, separators=(",", ":"))


def _milliseconds(entry: SealedEntry) -> int:
    return int(entry.time.timestamp() * 1000)


# -- CSV (RFC 4180) ------------------------------------------------------------------------------------------------

CSV_COLUMNS = (
    *("id", "hash", "sequence", "time", "account", "actor_kind", "actor", "method", "session", "action", "category"),
    *("severity", "outcome", "reason", "object_kind", "object", "groups", "client_ip", "request", "duration_us"),
    "details",
)
# What a spreadsheet computes; and the sign that keeps it from that, so that taking it off gives what was there.
_FORMULA, _QUIETER = ("=", "+", "-", "@", "\t", "\r", "'"), "'"


def _csv(entry: SealedEntry) -> str:
    values = {**entry.fields, "id": entry.id, "hash": entry.hash}
    values["groups"] = " ".join(entry.fields["groups"])
    values["details"] = _ascii(entry.fields["details"])
    return _csv_line([_cell(values[name]) for name in CSV_COLUMNS])


def _csv_line(cells: Any) -> str:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="").writerow(cells)
    return written.getvalue()


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return _QUIETER + text if text.startswith(_FORMULA) else text


# -- CEF (ArcSight Common Event Format, revision 26) ---------------------------------------------------------------

_CEF_SEVERITY = {Severity.INFO: 3, Severity.WARNING: 6, Severity.ERROR: 8, Severity.CRITICAL: 10}
# Custom fields, each with its label.
_CEF_CUSTOM = {
    "cs1": "account",
    "cs2": "actor_kind",
    "cs3": "method",
    "cs4": "session",
    "cs5": "groups",
    "cs6": "details",
    "flexString1": "hash",
    "flexString2": "request",
    "cn1": "duration_us",
    "cn2": "sequence",
}


def _cef(entry: SealedEntry) -> str:
    fields = entry.fields
    head = ("0", VENDOR, PRODUCT, str(fields["v"]), fields["action"], fields["action"], _cef_severity(fields))
    extension = {
        "rt": _milliseconds(entry),
        "externalId": entry.id,
        "act": fields["action"],
        "cat": fields["category"],
        "outcome": fields["outcome"],
        "reason": fields["reason"],
        "suid": fields["actor"],
        "fileType": fields["object_kind"],
        "fileId": fields["object"],
        "cnt": entry.repeats if entry.repeats > 1 else None,
        **_cef_address(fields["client_ip"]),
    }
    values = {**fields, "hash": entry.hash, "groups": " ".join(fields["groups"]), "details": _ascii(fields["details"])}
    for key, name in _CEF_CUSTOM.items():
        if values[name] not in (None, ""):
            extension |= {key: values[name], f"{key}Label": name}
    given = (f"{key}={_cef_value(value)}" for key, value in extension.items() if value not in (None, ""))
    return f"CEF:{'|'.join(map(_cef_head, head))}|{' '.join(given)}"


def _cef_severity(fields: Fields) -> str:
    return str(_CEF_SEVERITY[Severity(fields["severity"])])


def _cef_address(address: str | None) -> dict[str, str]:
    if address is None:
        return {}
    return {"c6a2": address, "c6a2Label": "source"} if ":" in address else {"src": address}


def _cef_head(value: str) -> str:
    """A header has no way to write the end of a line."""
    return value.replace("\\", "\\\\").replace("|", "\\|").replace("\r", " ").replace("\n", " ")


def _cef_value(value: Any) -> str:
    text = str(value).replace("\\", "\\\\").replace("=", "\\=")
    return text.replace("\r", "\\r").replace("\n", "\\n")


# -- OCSF ----------------------------------------------------------------------------------------------------------

_OTHER = 99
_OCSF_SEVERITY = {Severity.INFO: 1, Severity.WARNING: 3, Severity.ERROR: 4, Severity.CRITICAL: 5}
_OCSF_STATUS = {Outcome.DONE: 1, Outcome.DENIED: 2, Outcome.FAILED: 2}
_OCSF_ACTOR_TYPES = {"user": 1, "system": 3}
_ENTITY_VERBS = {
    **dict.fromkeys(("create", "add", "import", "invite"), 1),
    **dict.fromkeys(("get", "list", "read", "export"), 2),
    **dict.fromkeys(("update", "change", "set", "rotate", "move"), 3),
    **dict.fromkeys(("delete", "remove", "destroy"), 4),
}
_LOGINS = {"session.create": 1, "session.end": 2, "session.terminate": 2}


@dataclass(frozen=True, slots=True)
class EventClass:
    """A class of the schema: its category, and its own id."""

    category: int
    uid: int


AUTHENTICATION, ENTITY_MANAGEMENT, API_ACTIVITY = EventClass(3, 3002), EventClass(3, 3004), EventClass(6, 6003)
EVENT_CLASSES = MappingProxyType(
    {
        Category.AUTHENTICATION: AUTHENTICATION,
        Category.ADMINISTRATIVE: ENTITY_MANAGEMENT,
        Category.CRYPTOGRAPHIC: API_ACTIVITY,
        Category.OTHER: API_ACTIVITY,
    }
)


def _ocsf(entry: SealedEntry) -> str:
    fields = entry.fields
    kind = EVENT_CLASSES[Category(fields["category"])]
    activity = _activity(kind, fields["action"])
    event = {
        "metadata": {
            "version": OCSF_VERSION,
            "product": {"name": PRODUCT, "vendor_name": VENDOR},
            "uid": entry.hash,
            "original_time": fields["time"],
            "sequence": fields["sequence"],
            "correlation_uid": fields["request"],
            "tenant_uid": fields["account"],
        },
        "category_uid": kind.category,
        "class_uid": kind.uid,
        "activity_id": activity,
        "activity_name": fields["action"],
        "type_uid": kind.uid * 100 + activity,
        "severity_id": _OCSF_SEVERITY[Severity(fields["severity"])],
        "time": _milliseconds(entry),
        "duration": fields["duration_us"] // 1000,
        "count": entry.repeats,
        "status_id": _OCSF_STATUS.get(Outcome(fields["outcome"]), _OTHER),
        "status": fields["outcome"],
        "status_detail": fields["reason"],
        "actor": {"user": _ocsf_actor(fields), **_ocsf_session(fields)},
        "src_endpoint": _ocsf_source(fields),
        **_OF_CLASS[kind](fields),
        # What the class has no place for, under our own names.
        "unmapped": {"id": entry.id, **{name: fields[name] for name in ("method", "groups", "details")}},
    }
    return _ascii(event)


def _activity(kind: EventClass, action: str) -> int:
    if kind == AUTHENTICATION:
        return _LOGINS.get(action, _OTHER)
    return _ENTITY_VERBS.get(action.rpartition(".")[2].partition("-")[0], _OTHER)


def _ocsf_actor(fields: Fields) -> dict[str, Any]:
    kind = fields["actor_kind"]
    return {"uid": fields["actor"], "type": kind, "type_id": _OCSF_ACTOR_TYPES.get(kind, _OTHER)}


def _ocsf_session(fields: Fields) -> dict[str, Any]:
    return {} if fields["session"] is None else {"session": {"uid": fields["session"]}}


def _ocsf_source(fields: Fields) -> dict[str, str]:
    """The class asks where a call came from; what the server did by itself came from the server."""
    return {"name": PRODUCT} if fields["client_ip"] is None else {"ip": fields["client_ip"]}


def _ocsf_object(fields: Fields) -> dict[str, Any]:
    """Where a call was about no object it was about the account."""
    if fields["object"] is None:
        return {"uid": fields["account"] or str(UUID(int=0)), "type": "account"}
    return {"uid": fields["object"], "type": fields["object_kind"]}


_OF_CLASS: Mapping[EventClass, Callable[[Fields], dict[str, Any]]] = {
    AUTHENTICATION: lambda fields: {"user": _ocsf_actor(fields), "service": {"name": PRODUCT}},
    ENTITY_MANAGEMENT: lambda fields: {"entity": _ocsf_object(fields)},
    API_ACTIVITY: lambda fields: {"api": {"operation": fields["action"]}, "resources": [_ocsf_object(fields)]},
}
_RENDERERS: Mapping[Format, Callable[[SealedEntry], str]] = {
    Format.JSON: _json_line,
    Format.CSV: _csv,
    Format.CEF: _cef,
    Format.OCSF: _ocsf,
}
