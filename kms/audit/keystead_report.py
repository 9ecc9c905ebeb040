#!/usr/bin/env python3
"""Verify a Keystead server's report of a period, and count again what it says: to be read before it is run.

It needs keystead_verify.py beside it, and what that needs.

    keystead_report.py FOLDER --key KEY [--old CHECKPOINT] [--witness KEY]

The folder holds entries and their checkpoint as an export does, ``summary.json``, the same as a page for people, and a
``manifest``: the SHA-256 of each file, in a note that the record's key signed. It is found whether the files are those
of the manifest, whether the entries are those of the record, whether they cover the period, and whether the figures of
the summary are what comes out when the entries are counted. What a summary says of rights and of names is from the
server's tables on the day of the report; no entry proves it. Exit status: 0 holds, 1 does not, 2 cannot be read.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kms.audit import keystead_verify as verifier
else:
    try:
        from kms.audit import keystead_verify as verifier
    except ModuleNotFoundError:  # a file beside this one, wherever the auditor has put the two
        import keystead_verify as verifier

MANIFEST, HEADER = "manifest", "keystead-report/v1"
_MANIFEST_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9.-]*)")
# Of each kind, so many of the first are shown one by one; all are counted, and are in the entries.
LISTED = 200
NOBODYS = ""  # the account of what belongs to none: strangers, the host, the server itself

# What is shown of a period, by action; of the rest only numbers.
_KEYS = {
    "keys created": "create import import-components copy derive agree unwrap persist transform encapsulate "
    "decapsulate",
    "keys rotated": "rotate rotate-due replace",
    "keys exported": "export export-components",
    "keys destroyed": "destroy delete remove-private-key",
    "keys changed": "update activate revoke revert",
}
_OF_KEYS = {f"object.{verb}": section for section, verbs in _KEYS.items() for verb in verbs.split()}
_OF_NOUNS = {
    "approval": "approvals",
    "user": "people",
    "second-factor": "people",
    "app": "programs",
    "group": "groups",
    "role": "roles",
    "external-role": "roles",
    "account": "settings",
    "provider": "settings",
    "cluster": "settings",
    "binding": "programs",
    "log-sink": "settings",
    "record": "record",
}
_READS = re.compile(
    r"get|list|search|show|read|test|result|challenge|begin|check|prove|simulate|heartbeat|forgot|request-confirmation|"
    r"enrolment-challenge|checkpoint|tile|entries|facts"
)
_LOGINS = frozenset({"session.create", "session.authenticate", "session.select-account", "session.reauthenticate"})
_DAMAGE = frozenset({"integrity-failure", "rows-forged"})
_BREAKS = frozenset({"record.open-epoch", "record.accept-facts"})
_SHOWN = ("sequence", "time", "action", "outcome", "reason", "actor_kind", "actor", "method", "object_kind", "object")


def sections_of(fields: Mapping[str, Any]) -> set[str]:
    """Where an entry is shown one by one. What was done changed something; approvals are shown however they ended."""
    section = _section_of(fields["action"])
    carried_out = {"approvals"} if "approval" in fields["details"] and fields["outcome"] != "denied" else set()
    if section is None or fields["outcome"] == "denied":
        return carried_out
    return carried_out | ({section} if section == "approvals" or fields["outcome"] == "done" else set())


@cache
def _section_of(action: str) -> str | None:
    noun, _, verb = action.partition(".")
    return _OF_KEYS.get(action) or (None if _READS.match(verb) else _OF_NOUNS.get(noun))


class Listed:
    """The first of many, and how many there were."""

    def __init__(self) -> None:
        self.count, self.first = 0, list[dict[str, Any]]()

    def add(self, fields: Mapping[str, Any], repeats: int) -> None:
        self.count += repeats
        if len(self.first) < LISTED:
            self.first.append({name: fields[name] for name in _SHOWN} | {"details": fields["details"]})

    def figures(self) -> dict[str, Any]:
        return {"count": self.count, "first": self.first}


class AccountTally:
    """What was done in one account. What is kept grows with its principals and days, not with its calls."""

    def __init__(self) -> None:
        self.calls, self.reasons, self.logins = Counter[str](), Counter[str](), Counter[str]()
        self.principals, self.days = defaultdict[str, Counter[str]](Counter), defaultdict[str, Counter[str]](Counter)
        self.denials, self.sections = Listed(), defaultdict[str, Listed](Listed)

    def add(self, fields: Mapping[str, Any], repeats: int) -> None:
        action, outcome, reason = fields["action"], fields["outcome"], fields["reason"]
        self.calls[outcome] += repeats
        self.days[fields["time"][:10]][outcome] += repeats
        if action in _LOGINS:
            self.logins[f"{action}: {outcome}" if outcome == "done" else f"{action}: {outcome} ({reason})"] += repeats
        if outcome == "denied":
            self.reasons[reason] += repeats
            self.principals[reason][f"{fields['actor_kind']} {fields['actor']}"] += repeats
            self.denials.add(fields, repeats)
        for section in sections_of(fields):
            self.sections[section].add(fields, repeats)

    def figures(self) -> dict[str, Any]:
        return {
            "calls": dict(self.calls),
            "calls by day": {day: dict(counts) for day, counts in self.days.items()},
            "logins": dict(self.logins),
            "denials by reason": dict(self.reasons),
            "denials by principal": {reason: dict(_most(counts)) for reason, counts in self.principals.items()},
            "denials": self.denials.figures(),
            **{section: listed.figures() for section, listed in self.sections.items()},
        }


def _most(counts: Counter[str]) -> list[tuple[str, int]]:
    """The twenty with the most; among equals, by name, so that everybody who counts says the same."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:20]


class Tally:
    """The figures of a period, from its entries in the record's order. ``account`` None: of all accounts.

    An entry that stands for many calls (``repeats``) counts as so many.
    """

    def __init__(self, start: str, end: str, account: str | None = None) -> None:
        self.start, self.end, self.account = start, end, account
        self.entries = 0
        self.actions = defaultdict[str, Counter[str]](Counter)
        self.accounts = defaultdict[str, AccountTally](AccountTally)
        self.silences, self.integrity = Listed(), Listed()
        self.earliest, self.latest = "", ""  # of all that was seen, whether in the period or not
        self._last: datetime | None = None

    def see(self, line: bytes) -> None:
        if verifier.withheld(line) is not None:
            return
        fields = json.loads(line)
        self.earliest, self.latest = self.earliest or fields["time"], max(self.latest, fields["time"])
        if not self.start <= fields["time"] < self.end:
            return
        self._silence(fields)
        if fields["reason"] in _DAMAGE or (fields["action"] in _BREAKS and fields["outcome"] == "done"):
            self.integrity.add(fields, 1)
        account = fields["account"] or NOBODYS
        if self.account in (None, account):
            repeats = _repeats(fields["action"], fields["details"])
            self.entries += 1
            self.actions[fields["action"]][fields["outcome"]] += repeats
            self.accounts[account].add(fields, repeats)

    def _silence(self, fields: Mapping[str, Any]) -> None:
        """The server writes an entry each minute, whosever account is looked at."""
        time = datetime.fromisoformat(fields["time"])
        if self._last is not None and time - self._last > verifier.SILENCE:
            self.silences.add({**dict.fromkeys(_SHOWN), "details": {"from": str(self._last), "to": str(time)}}, 1)
        self._last = time if self._last is None else max(time, self._last)

    def figures(self) -> dict[str, Any]:
        return {
            "entries": self.entries,
            "calls": {action: dict(counts) for action, counts in self.actions.items()},
            "silences": {"count": self.silences.count, "first": [each["details"] for each in self.silences.first]},
            "integrity": self.integrity.figures(),
            "accounts": {account: tally.figures() for account, tally in self.accounts.items()},
        }


def _repeats(action: str, details: Mapping[str, Any]) -> int:
    """Strangers' failures that were alike are one entry, and so are the refusals of a second."""
    count = details.get("items" if action == "call.admit" else "repeats")
    return count if type(count) is int and count > 0 else 1


# -- what is verified ----------------------------------------------------------------------------------------------


def manifest_text(name: str, start: str, end: str, hashes: Mapping[str, str]) -> str:
    """What is signed: whose report, of when, and its files. No checkpoint looks like it, which has three lines."""
    return f"{HEADER}\n{name}\n{start} to {end}\n" + "".join(f"{hashes[each]}  {each}\n" for each in sorted(hashes))


def file_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise verifier.Unreadable(f"{path.name} cannot be read") from error


def verify_report(folder: Path, key: verifier.Key, old: verifier.Checkpoint | None) -> tuple[verifier.Summary, Tally]:
    """Files, entries, period and figures, in this order: nothing is counted that is not the record's."""
    text = verifier.signed_text(verifier.read_text(folder / MANIFEST), replace(key, witnesses=()))
    hashes = _hashes_of(text)
    there = {path.name for path in folder.iterdir()} - {MANIFEST}
    if there != set(hashes):
        raise verifier.DoesNotHold(f"not the files of the manifest: {', '.join(sorted(there ^ set(hashes)))}")
    for name, expected in hashes.items():
        if file_hash(folder / name) != expected:
            raise verifier.DoesNotHold(f"{name} is not the file of the manifest")
    summary = verifier.read_json(folder / "summary.json")
    tally = _empty_tally(summary)
    if text != manifest_text(key.name, tally.start, tally.end, hashes):
        raise verifier.DoesNotHold("the manifest is not of this key's name, or not of the period of the summary")
    found = verifier.verify_bundle(folder, key, old)
    for line in verifier.read_lines(folder / "entries.jsonl"):
        try:
            tally.see(line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise verifier.Unreadable("an entry is not in the format") from error
    if tally.earliest >= tally.start and found.checkpoint.size != found.entries:
        raise verifier.DoesNotHold("the period begins before the first of the entries")
    if summary.get("record") != place_of(found.checkpoint, found.entries):
        raise verifier.DoesNotHold("the summary tells of another part of the record")
    counted, said = tally.figures(), summary.get("figures")
    if counted != said:
        raise verifier.DoesNotHold(f"the summary's figures are not those of the entries: {_difference(counted, said)}")
    return found, tally


def _hashes_of(text: str) -> dict[str, str]:
    lines = [_MANIFEST_LINE.fullmatch(line) for line in text.split("\n")[3:-1]]
    if not text.startswith(f"{HEADER}\n") or not all(lines):
        raise verifier.Unreadable("the manifest is not in the format")
    return {line[2]: line[1] for line in lines if line}


def _empty_tally(summary: Mapping[str, Any]) -> Tally:
    start, end, account = summary.get("from"), summary.get("to"), summary.get("account")
    if not isinstance(start, str) or not isinstance(end, str) or not isinstance(account, str | None):
        raise verifier.Unreadable("the summary says of no period")
    return Tally(start, end, account)


def place_of(checkpoint: verifier.Checkpoint, entries: int) -> dict[str, Any]:
    """Which part of the record: from where to where, under which root."""
    root = base64.b64encode(checkpoint.root).decode()
    return {"origin": checkpoint.origin, "start": checkpoint.size - entries, "size": checkpoint.size, "root": root}


def _difference(counted: Any, said: Any, path: str = "figures") -> str:
    """Where the two part, for a reader."""
    if isinstance(counted, dict) and isinstance(said, dict):
        for name in sorted(counted.keys() | said.keys()):
            if counted.get(name) != said.get(name):
                return _difference(counted.get(name), said.get(name), f"{path} > {name}")
    return f"{path}: {_short(said)} is said, and {_short(counted)} counted"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Verify a Keystead server's report of a period.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key", required=True, help="the verifier key, or a file that holds it")
    parser.add_argument("--old", type=Path, help="a checkpoint from an earlier visit")
    parser.add_argument("--witness", action="append", default=[], help="the key of a witness who must have cosigned")
    wanted = parser.parse_args(arguments)
    try:
        key = verifier.Key.parse(verifier.given(wanted.key))
        old = verifier.opened(verifier.read_text(wanted.old), key) if wanted.old else None
        witnesses = tuple(verifier.Witness.parse(verifier.given(each)) for each in wanted.witness)
        found, tally = verify_report(wanted.folder, replace(key, witnesses=witnesses), old)
    except verifier.DoesNotHold as error:
        print(f"DOES NOT HOLD: {error}")
        return 1
    except verifier.Unreadable as error:
        print(f"cannot be verified: {error}")
        return 2
    for silence in found.silences:
        print(f"note: {silence}")
    if found.withheld:
        print(f"note: of {found.withheld} entries there is the hash alone: they are withheld from you")
    if tally.latest < tally.end:
        print("note: the period was not over when the report was made")
    print(
        f"holds: {tally.entries} entries from {tally.start} to {tally.end} under {found.checkpoint.origin}, "
        "and the figures are theirs"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
