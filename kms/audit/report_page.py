"""The summary of a report as a page for people: one file, no script, as good on paper as on a screen.

It shows what summary.json says, with names for ids and pictures for numbers, and nothing else. It must not know rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.template.loader import render_to_string

from kms.audit.keystead_report import LISTED, NOBODYS

TEMPLATE = "record/summary.html"
Summary = Mapping[str, Any]

# What is shown one by one of an account, in this order; approvals have a table of their own.
SECTIONS = (
    *("people", "programs", "groups", "roles", "settings"),
    *("keys created", "keys rotated", "keys exported", "keys destroyed", "keys changed", "record"),
)
ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
# Details that the other columns say already.
_UNSAID = frozenset({"permission", "subject"})
# An announcement precedes what is counted again when it is done.
OUTCOMES = ("done", "pending", "denied", "failed")
WIDTH, HEIGHT, MOST_BARS = 680, 120, 100
_PLACES = {"account": "on the account", "all-groups": "in all groups"}
_ALL_OUTCOMES = ("done", "announced", "pending", "denied", "failed")


def page(summary: Summary) -> str:
    figures = summary["figures"]
    days = _days(summary, figures["accounts"].values())
    context = {
        "summary": summary,
        "first": summary["from"][:10],
        "last": _last_day(summary["to"]),
        "scope": summary["accounts"].get(summary["account"]) or "all accounts",
        "numbers": _numbers(figures),
        "calls": chart(days, OUTCOMES),
        "denials": chart([(day, {"denied": counts.get("denied", 0)}) for day, counts in days], ("denied",)),
        "integrity": list(_events(figures["integrity"]["first"], summary)),
        "accounts": [_account(summary, each, figures["accounts"][each]) for each in _in_order(summary)],
        "actions": [(action, _counts(counts)) for action, counts in sorted(figures["calls"].items())],
        "outcomes": _ALL_OUTCOMES,
        "listed": LISTED,
        "start": _number(summary["record"]["start"]),
        "size": _number(summary["record"]["size"]),
        "entries": _number(figures["entries"]),
        "up_to_now": summary["to"] >= summary["made"],
    }
    return render_to_string(TEMPLATE, context)


def _last_day(end: str) -> str:
    """The day on which a period ends whose end is not in it."""
    day = date.fromisoformat(end[:10])
    return str(day - timedelta(days=1) if end[11:] == "00:00:00.000000Z" else day)


def _number(number: int) -> str:
    return f"{number:,}"


def _counts(counts: Mapping[str, int]) -> list[str]:
    return [_number(counts[outcome]) if counts.get(outcome) else "" for outcome in _ALL_OUTCOMES]


def _numbers(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    total: Counter[str] = Counter()
    for account in figures["accounts"].values():
        total.update(account["calls"])
    return [(outcome, _number(total[outcome])) for outcome in OUTCOMES]


def _in_order(summary: Summary) -> list[str]:
    """Accounts by name, and what belongs to none at the end."""
    names = summary["accounts"]
    found = summary["figures"]["accounts"].keys() | summary["rights"].keys()
    there = [each for each in found if each in summary["figures"]["accounts"]]
    return sorted(there, key=lambda each: (each == NOBODYS, names.get(each, each), each))


# -- an account ----------------------------------------------------------------------------------------------------


def _account(summary: Summary, identity: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    rights = summary["rights"].get(identity)
    listed = [
        {"title": title, "count": figures[title]["count"], "events": list(_events(figures[title]["first"], summary))}
        for title in SECTIONS
        if title in figures
    ]
    return {
        "id": identity,
        "name": summary["accounts"].get(identity) or ("No account" if identity == NOBODYS else identity),
        "nobodys": identity == NOBODYS,
        "calls": [(outcome, _number(figures["calls"].get(outcome, 0))) for outcome in OUTCOMES],
        "rights": rights,
        "roles": [] if rights is None else _roles(rights),
        "sections": listed,
        "approvals": list(_approvals(figures.get("approvals", {"first": []})["first"], summary)),
        "approval_count": figures.get("approvals", {"count": 0})["count"],
        "logins": sorted(figures["logins"].items()),
        "reasons": list(_reasons(figures, summary)),
        "denials": list(_events(figures["denials"]["first"], summary)),
        "denial_count": figures["denials"]["count"],
    }


def _roles(rights: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Each role that somebody holds, and what it gives there."""
    held = [right for holder in (*rights["people"], *rights["programs"]) for right in holder["rights"]]
    return sorted(
        {(right["role"], _PLACES.get(right["where"], "in a group"), ", ".join(right["permissions"])) for right in held}
    )


def _reasons(figures: Mapping[str, Any], summary: Summary) -> Iterator[tuple[str, int, str]]:
    """Why, how often, and who most."""
    for reason, count in sorted(figures["denials by reason"].items(), key=lambda pair: (-pair[1], pair[0])):
        principals = figures["denials by principal"].get(reason, {})
        top = sorted(principals.items(), key=lambda pair: (-pair[1], pair[0]))[:5]
        yield reason, count, ", ".join(f"{_principal(who, summary)} ({times})" for who, times in top)


def _principal(words: str, summary: Summary) -> str:
    kind, _, identity = words.partition(" ")
    return _who(kind, identity, summary)


def _who(kind: str, identity: str, summary: Summary) -> str:
    """Strangers and the server are one each."""
    if kind in ("anonymous", "system"):
        return {"anonymous": "a stranger", "system": "the server or its host"}[kind]
    return str(summary["names"].get(identity, f"{kind} {identity}"))


def _events(entries: Iterable[Mapping[str, Any]], summary: Summary) -> Iterator[dict[str, str]]:
    for entry in entries:
        details = {name: value for name, value in entry["details"].items() if value is not None and name not in _UNSAID}
        thing = entry["object"]
        yield {
            "time": _minute(entry["time"]),
            "who": _who(entry["actor_kind"], entry["actor"], summary),
            "what": entry["action"],
            "reason": entry["reason"],
            "on": "" if thing is None else summary["names"].get(thing, f"{entry['object_kind']} {thing}"),
            "details": ", ".join(f"{name} {_named(value, summary)}" for name, value in details.items()),
        }


def _named(value: Any, summary: Summary) -> str:
    """Ids in it are shown as names."""
    return ID.sub(lambda found: str(summary["names"].get(found[0], found[0])), str(value))


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _approvals(entries: Sequence[Mapping[str, Any]], summary: Summary) -> Iterator[dict[str, Any]]:
    """One row a request: what for, who asked, and each vote with how the voter was known."""
    requests: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        own = entry["object"] if entry["object_kind"] == "approval" else None
        requests.setdefault(entry["details"].get("approval") or own or str(entry["sequence"]), []).append(entry)
    for identity, steps in requests.items():
        kinds = [str(step["details"]["kind"]) for step in steps if step["details"].get("kind")]
        yield {
            "id": identity,
            "what": kinds[0] if kinds else steps[0]["action"],
            "steps": [_step(step, summary) for step in steps],
        }


def _step(entry: Mapping[str, Any], summary: Summary) -> str:
    details, (noun, _, verb) = entry["details"], entry["action"].partition(".")
    proofs = [
        word
        for word, shown in (("password", details.get("by_password")), (details.get("factor"), "factor" in details))
        if shown
    ]
    how = (
        f" by {' and '.join(map(str, proofs))}"
        if proofs
        else f" ({entry['method']})"
        if entry["method"] != "none"
        else ""
    )
    did = verb if noun == "approval" else f"{entry['action']}: {entry['outcome']}"
    return f"{_minute(entry['time'])} {did}, {_who(entry['actor_kind'], entry['actor'], summary)}{how}"


# -- pictures ------------------------------------------------------------------------------------------------------

Day = tuple[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a bar, in the picture's units, and what it stands for."""

    x: str
    y: str
    width: str
    height: str
    outcome: str
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    bars: tuple[Bar, ...]
    most: str
    ticks: tuple[tuple[str, str], ...]
    step: str
    outcomes: tuple[str, ...]


def _days(summary: Summary, accounts: Iterable[Mapping[str, Any]]) -> list[Day]:
    """Every day of the period until the report was made, those without a call among them."""
    counted: dict[str, Counter[str]] = {}
    for account in accounts:
        for day, counts in account["calls by day"].items():
            counted.setdefault(day, Counter()).update(counts)
    first, last = date.fromisoformat(summary["from"][:10]), date.fromisoformat(_last_day(summary["to"]))
    last = max(first, min(last, date.fromisoformat(summary["made"][:10])))
    all_days = (str(first + timedelta(days=number)) for number in range((last - first).days + 1))
    return [(day, counted.get(day, {})) for day in all_days]


def chart(days: Sequence[Day], outcomes: tuple[str, ...]) -> Chart:
    """Bars of a day each, or of so many days that there are not more than MOST_BARS."""
    together = -(-len(days) // MOST_BARS)
    bins = [days[start : start + together] for start in range(0, len(days), together)]
    sums = [sum((Counter(counts) for _, counts in each), Counter[str]()) for each in bins]
    most = max((sum(counts[outcome] for outcome in outcomes) for counts in sums), default=0)
    wide = WIDTH / max(len(bins), 1)
    bars = tuple(
        bar
        for number, (each, counts) in enumerate(zip(bins, sums, strict=True))
        for bar in _stack(number * wide, wide, each[0][0], counts, most, outcomes)
    )
    every = -(-len(bins) // 6)
    ticks = tuple((f"{number * wide:.1f}", each[0][0]) for number, each in enumerate(bins) if number % every == 0)
    return Chart(bars, _number(most), ticks, "day" if together == 1 else f"{together} days", outcomes)


def _stack(
    x: float, wide: float, day: str, counts: Mapping[str, int], most: int, outcomes: tuple[str, ...]
) -> Iterator[Bar]:
    """Outcomes one above the other. What is there at all is seen."""
    y, gap = float(HEIGHT), min(2.0, wide / 5)
    for outcome in outcomes:
        count = counts.get(outcome, 0)
        if count:
            high = max(1.0, HEIGHT * count / most)
            y -= high
            place = (f"{x + gap / 2:.2f}", f"{y:.2f}", f"{wide - gap:.2f}", f"{high:.2f}")
            yield Bar(*place, outcome, f"{day}: {count} {outcome}")
