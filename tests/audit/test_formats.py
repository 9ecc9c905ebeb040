"""Every format shows what was recorded, on one line, whatever somebody named their key. Pure: no rows, no server.

The parsers here are written from the formats' texts: CSV is the standard library's, CEF and OCSF are read by hand.
"""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.audit.entry import Category, Outcome, Severity, entry_id, sequence_of
from kms.audit.formats import (
    CSV_COLUMNS,
    EVENT_CLASSES,
    Format,
    SealedEntry,
    heading,
    is_json,
    rendered,
    sealed_entry,
)
from kms.audit.leaf import line_of
from kms.operations.log_deliveries import syslog_message
from kms.operations.registry import OPERATIONS

# What breaks lines, closes quotes, ends fields and starts formulas, beside anything else.
_SIGNS = "\n\r\t\0\x0b\x0c\x1c\x85\u2028\u2029|=\\\"',;]}[{<> +-@a*/"
NASTY = st.text(st.sampled_from(_SIGNS) | st.characters(codec="utf-8"), max_size=60)
WORDS = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz-."), min_size=1, max_size=40)
IDS = st.uuids().map(str)
DETAILS = st.dictionaries(WORDS, NASTY | st.integers() | st.booleans() | st.none(), max_size=5)


@st.composite
def rows(draw: st.DrawFn) -> tuple[Any, ...]:
    return (
        draw(st.integers(1, 2**60)),
        draw(st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1))).isoformat(timespec="microseconds") + "Z",
        draw(st.none() | IDS),
        draw(st.sampled_from(["user", "app", "system", "anonymous"])),
        draw(IDS),
        "password",
        draw(st.none() | IDS),
        draw(WORDS),
        draw(st.sampled_from(list(Category))).value,
        draw(st.sampled_from(list(Severity))).value,
        draw(st.sampled_from(list(Outcome))).value,
        draw(NASTY),
        draw(st.sampled_from(["", "object", "group"])),
        draw(st.none() | IDS),
        draw(st.lists(IDS, max_size=3)),
        draw(st.none() | st.ip_addresses().map(str)),
        draw(IDS),
        draw(st.integers(0, 10**9)),
        json.dumps(draw(DETAILS)),
    )


ENTRIES = rows().map(lambda row: sealed_entry(line_of(row)))


def details_of(**details: Any) -> SealedEntry:
    nothing = str(UUID(int=0))
    who = (nothing, "user", nothing, "password", None, "group.create", "administrative", "info", "done", "granted")
    where: tuple[Any, ...] = ("group", nothing, [], "192.0.2.1", nothing, 7)
    row: tuple[Any, ...] = (5, "2026-11-28T05:00:00.000001Z", *who, *where, json.dumps(details))
    return sealed_entry(line_of(row))


# -- all of them ---------------------------------------------------------------------------------------------------


@given(ENTRIES, st.sampled_from([form for form in Format if form is not Format.CSV]))
def test_an_entry_is_one_line_in_every_format(entry: SealedEntry, form: Format) -> None:
    text = rendered(form, entry)
    assert "\n" not in text
    assert "\r" not in text
    if is_json(form):
        assert isinstance(json.loads(text), dict)


@given(ENTRIES)
def test_json_lines_are_what_was_hashed(entry: SealedEntry) -> None:
    assert rendered(Format.JSON, entry).encode() == entry.line
    assert len(entry.hash) == 64


@given(st.integers(1, 2**62 - 1))
def test_an_id_is_a_uuid_around_the_sequence(sequence: int) -> None:
    identity = entry_id(sequence)
    assert (identity.version, sequence_of(identity)) == (8, sequence)


# -- CSV -----------------------------------------------------------------------------------------------------------


def parsed_csv(text: str) -> dict[str, str]:
    header, row = csv.reader(io.StringIO(f"{heading(Format.CSV)[0]}\r\n{text}\r\n", newline=""), strict=True)
    return {name: cell.removeprefix("'") for name, cell in zip(header, row, strict=True)}


@given(ENTRIES)
def test_csv_is_read_back_as_it_was(entry: SealedEntry) -> None:
    cells, fields = parsed_csv(rendered(Format.CSV, entry)), entry.fields
    assert cells["id"] == entry.id
    assert cells["hash"] == entry.hash
    assert json.loads(cells["details"]) == fields["details"]
    assert cells["groups"].split() == fields["groups"]
    for name in set(CSV_COLUMNS) - {"id", "hash", "details", "groups"}:
        assert cells[name] == ("" if fields[name] is None else str(fields[name])), name


@given(ENTRIES)
def test_no_cell_is_a_formula(entry: SealedEntry) -> None:
    (row,) = csv.reader(io.StringIO(rendered(Format.CSV, entry), newline=""))
    assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_details_never_break_a_line_of_csv() -> None:
    text = rendered(Format.CSV, details_of(name="a\nb\r\u2028\x85c"))
    assert len(text.splitlines()) == 1


# -- CEF -----------------------------------------------------------------------------------------------------------


def parsed_cef(text: str) -> tuple[list[str], dict[str, str]]:
    """Seven parts between bars that are not escaped, then key=value, where a key is a word after a blank."""
    parts = re.split(r"((?:[^\\|]|\\.)*)\|", text, maxsplit=7, flags=re.DOTALL)
    head, extension = parts[1:14:2], parts[14]
    found = re.findall(r"(?:^| )([A-Za-z0-9]+)=((?:[^\\=]|\\.)*?)(?=(?: [A-Za-z0-9]+=)|$)", extension, flags=re.DOTALL)
    return [_unescaped(part) for part in head], {key: _unescaped(value) for key, value in found}


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), text, flags=re.DOTALL)


@given(ENTRIES)
def test_cef_is_read_back_as_it_was(entry: SealedEntry) -> None:
    head, extension = parsed_cef(rendered(Format.CEF, entry))
    fields = entry.fields
    assert head[:6] == ["CEF:0", "Keystead", "Keystead", "1", fields["action"], fields["action"]]
    assert 0 <= int(head[6]) <= 10
    assert extension["externalId"] == entry.id
    assert extension.get("reason", "") == fields["reason"]
    custom = {extension[f"{key}Label"]: value for key, value in extension.items() if f"{key}Label" in extension}
    assert json.loads(custom["details"]) == fields["details"]
    assert custom["hash"] == entry.hash
    assert custom.get("account") == fields["account"]
    address = extension.get("src") or custom.get("source")
    assert address == fields["client_ip"]
    assert int(extension["rt"]) == int(entry.time.timestamp() * 1000)


def test_a_name_adds_no_field_and_no_event() -> None:
    text = rendered(Format.CEF, details_of(name="x outcome=failed\nCEF:0|Evil|Evil|1|a|b|10|act=c | suid=root"))
    assert text.count("\n") == 0
    _, extension = parsed_cef(text)
    assert (extension["outcome"], extension["act"], extension["suid"]) == ("done", "group.create", str(UUID(int=0)))


# -- OCSF ----------------------------------------------------------------------------------------------------------

# What version 1.3.0 of the schema requires of each class, beside what it requires of all.
ALL = {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}
REQUIRED = {3002: {"user", "service"}, 3004: {"entity"}, 6003: {"actor", "api", "src_endpoint"}}


@given(ENTRIES)
def test_ocsf_has_what_its_class_requires(entry: SealedEntry) -> None:
    event = json.loads(rendered(Format.OCSF, entry))
    assert event.keys() >= ALL | REQUIRED[event["class_uid"]]
    assert event["category_uid"] == event["class_uid"] // 1000
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    assert event["metadata"]["version"] == "1.3.0"
    assert event["metadata"]["product"]["vendor_name"]
    assert event["metadata"]["uid"] == entry.hash
    assert event["src_endpoint"].keys() & {"ip", "name"}
    assert event["severity_id"] in {1, 3, 4, 5}
    assert event["unmapped"]["details"] == entry.fields["details"]
    assert datetime.fromtimestamp(event["time"] / 1000, UTC).year == entry.time.year


@pytest.mark.parametrize("category", list(Category))
def test_each_category_has_its_class(category: Category) -> None:
    assert EVENT_CLASSES[category].uid in REQUIRED


@pytest.mark.parametrize(
    ("action", "activity"),
    [("group.create", 1), ("account.get", 2), ("group.update", 3), ("app.delete", 4), ("role.simulate", 99)],
)
def test_the_verb_says_the_activity(action: str, activity: int) -> None:
    line = details_of().line.replace(b"group.create", action.encode())
    assert json.loads(rendered(Format.OCSF, sealed_entry(line)))["activity_id"] == activity


def test_logins_are_logons_and_what_ends_them_logoffs() -> None:
    known = {operation.action for operation in OPERATIONS}
    for action, activity in (("session.create", 1), ("session.end", 2), ("session.terminate", 2)):
        assert action in known
        line = details_of().line.replace(b"group.create", action.encode()).replace(b"administrative", b"authentication")
        event = json.loads(rendered(Format.OCSF, sealed_entry(line)))
        assert (event["class_uid"], event["activity_id"]) == (3002, activity)


# -- syslog --------------------------------------------------------------------------------------------------------

_SYSLOG = re.compile(
    r'<(\d{1,3})>1 (\S+) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) \[(\S+)((?: \w+="(?:[^"\\\]]|\\.)*")*)\] (.*)',
    re.DOTALL,
)


@given(ENTRIES, st.sampled_from(list(Format)), NASTY)
def test_syslog_is_read_back_as_it_was(entry: SealedEntry, form: Format, host: str) -> None:
    found = _SYSLOG.fullmatch(syslog_message(form, entry, host, 16).decode())
    assert found is not None
    priority, time, _host, program, process, message, identity, data, text = found.groups()
    assert 128 <= int(priority) <= 135
    assert (time, program, process, identity) == (entry.fields["time"], "keystead", "-", "keystead@32473")
    assert message == entry.fields["action"][:32]
    assert text == rendered(form, entry)
    parameters = dict(re.findall(r' (\w+)="((?:[^"\\\]]|\\.)*)"', data, flags=re.DOTALL))
    assert re.sub(r'\\(["\\\]])', r"\1", parameters["reason"]) == entry.fields["reason"]
    assert parameters["id"] == entry.id
