"""The state of what the server stands on, and the commands of the host that look after its keys and its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console.screens import Screen
from kms.console.settings.tabs import page
from kms.console.visit import Visit

# The API's codes, and what they mean to whoever has to do something.
PROBLEMS: Mapping[str, tuple[str | Promise, str | Promise]] = {
    "token-down": (
        _("The token does not answer"),
        _("Keys cannot be used until it does. The server tries again by itself; its log says why."),
    ),
    "record-untrusted": (
        _("The record is not the one that the token remembers"),
        _("Nothing is served until the operator of the host has decided how to go on: manage.py open_epoch."),
    ),
    "database-down": (_("The database does not answer"), _("The server goes on as soon as it does.")),
    "rows-forged": (
        _("Rows were changed past the server"),
        _("Whoever they are about is refused. manage.py sweep_facts says which rows."),
    ),
    "sealing-late": (
        _("Entries of the record wait to be sealed"),
        _("Nothing is lost; when it lasts, the server stops serving. Its log says why."),
    ),
    "log-lagging": (
        _("A receiver does not get the log"),
        _("Entries wait and are sent once it answers. Log export says what is wrong."),
    ),
    "witness-silent": (
        _("A witness does not cosign the record"),
        _("Calls are served as before; the record is anchored no later than that witness's last cosignature."),
    ),
    "officers-unusable": (
        _("Who decides about the record cannot be told"),
        _("The list of officers in the environment is not the one that the token remembers."),
    ),
    "certificate-ends": (
        _("The server's certificate ends soon"),
        _("Put a new one in its place and restart the server."),
    ),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that the server stands on. ``problems`` are the codes that are about it."""

    icon: str
    name: str | Promise
    codes: frozenset[str]
    facts: list[tuple[str, Any, str]] = field(default_factory=list)
    problems: tuple[str, ...] = ()
    good: str | Promise = ""
    tone: str = "ok"


@dataclass(frozen=True, slots=True)
class HostCommand:
    """What the operator of the host runs; the console shows it only."""

    text: str
    about: str | Promise


KEYS = (
    HostCommand(
        "manage.py run --provision-only",
        _("Sets up what is missing: token, master keys, database, certificates. It makes no second set of keys."),
    ),
    HostCommand(
        "manage.py check --deploy --database default",
        _("Says what stands against production use. Silence is good."),
    ),
)
RECORD = (
    HostCommand(
        "manage.py sweep_facts", _("Says whether everything that decisions rest on is what the server once wrote.")
    ),
    HostCommand(
        "manage.py open_epoch",
        _("Lets a record go on that was set back, as after a restored backup. Auditors see it for ever."),
    ),
    HostCommand(
        "manage.py set_epoch_officers --old FILE --signature FILE",
        _("Lets the token remember other officers for that decision, at the word of the old ones."),
    ),
    HostCommand(
        "manage.py export_record FOLDER", _("Writes the sealed record with all that proves it, for an auditor.")
    ),
    HostCommand(
        "manage.py retain_record FOLDER", _("Hands old months over to an archive, and drops them once they are there.")
    ),
)
PEOPLE = (
    HostCommand(
        "manage.py forget_factors EMAIL",
        _("For somebody who lost every second factor. Make sure first who is asking."),
    ),
    HostCommand("manage.py unblock EMAIL", _("Forgets the failed attempts to log in as somebody.")),
)
BACKUP = (
    HostCommand(
        "pg_dump --format=custom --file=keystead.dump keystead",
        _("The database, with the record. The token comes first, so that it has every master key that this needs."),
    ),
)


def show(visit: Visit) -> HttpResponse:
    status = visit.call("GetServerStatus")
    problems = [PROBLEMS[code] for code in status["problems"] if code in PROBLEMS]
    context = {
        "status": status,
        "problems": problems,
        "parts": list(_parts(status)),
        "detailed": "epoch" in status["record"],
        "commands": ((_("Keys"), KEYS), (_("Record"), RECORD), (_("People"), PEOPLE), (_("Backup"), BACKUP)),
        "lead": _("What the server stands on, as it is now."),
    }
    return page(visit, "server-status", "server.html", context)


# -- parts ---------------------------------------------------------------------------------------------------------


def _parts(status: Mapping[str, Any]) -> Iterator[Part]:
    for part in (_token(status), _database(status), _record(status), _export(status), _front(status), _mail(status)):
        found = tuple(code for code in status["problems"] if code in part.codes)
        yield replace(part, problems=found, facts=[fact for fact in part.facts if fact[1] not in (None, "")])


def _token(status: Mapping[str, Any]) -> Part:
    token = status["token"]
    made = " ".join(filter(None, (token.get("manufacturer"), token.get("model"))))
    facts = [
        (_t("Label"), token.get("label"), ""),
        (_t("Made by"), made, ""),
        (_t("Firmware"), token.get("firmware"), ""),
        (_t("Mechanisms"), token.get("mechanisms"), ""),
        (_t("Master keys"), _generation(token), ""),
        (_t("Keys open now"), token.get("open_handles"), ""),
    ]
    return Part("cpu", _("Token"), frozenset({"token-down"}), facts, good=_("Open"))


def _generation(token: Mapping[str, Any]) -> str | None:
    number = token.get("generation")
    return None if number is None else _t("generation %(number)s") % {"number": number}


def _database(status: Mapping[str, Any]) -> Part:
    database = status["database"]
    embedded = database.get("embedded")
    kind = None if embedded is None else (_t("embedded, for trying out") if embedded else _t("of your own"))
    facts = [(_t("PostgreSQL"), database.get("version"), ""), (_t("Kind"), kind, "")]
    return Part("database", _("Database"), frozenset({"database-down", "rows-forged"}), facts, good=_("Working"))


def _record(status: Mapping[str, Any]) -> Part:
    record = status["record"]
    facts = [
        (_t("Entries sealed"), record.get("size"), "number"),
        (_t("Waiting to be sealed"), record.get("unsealed_entries"), "number"),
        (_t("Last checkpoint"), record.get("checkpoint_at"), "moment"),
        (_t("Epoch"), record.get("epoch"), ""),
        (_t("Oldest month here"), _month(record.get("oldest_month")), ""),
    ]
    codes = frozenset({"record-untrusted", "sealing-late", "witness-silent", "officers-unusable"})
    return Part("scroll-text", _("Record"), codes, facts, good=_("Trusted"))


def _month(time: str | None) -> str | None:
    return None if time is None else f"{time[:4]}-{time[4:6]}"


def _export(status: Mapping[str, Any]) -> Part:
    sinks = status["log_sinks"]
    facts = [
        (_t("Receivers"), len(sinks), "number"),
        (_t("Entries behind"), max((sink["entries_behind"] for sink in sinks), default=0), "number"),
        (_t("Told as late after"), _t("%(minutes)s minutes") % {"minutes": status["server"]["log_alarm_minutes"]}, ""),
    ]
    good, tone = (_("Delivered"), "ok") if sinks else (_("None set up"), "muted")
    return Part("send", _("Log export"), frozenset({"log-lagging"}), facts, good=good, tone=tone)


def _front(status: Mapping[str, Any]) -> Part:
    server = status["server"]
    by = server.get("certificate_generated")
    authority = None if by is None else (_t("the server's own authority") if by else _t("an authority of yours"))
    facts = [
        (_t("Address"), server["public_url"], ""),
        (_t("Certificate ends"), server.get("certificate_ends"), "moment"),
        (_t("Issued by"), authority, ""),
        (_t("Version"), server["version"], ""),
        (_t("Processes"), server["workers"], ""),
    ]
    return Part("globe", _("Server"), frozenset({"certificate-ends"}), facts, good=_("Serving"))


def _mail(status: Mapping[str, Any]) -> Part:
    server = status["server"]
    facts = [(_t("Sender"), server["mail_from"], ""), (_t("Mails waiting"), server.get("mails_waiting"), "number")]
    good, tone = (_("Set up"), "ok") if server["mail_server"] else (_("No mail server"), "warn")
    return Part("mail", _("Mail"), frozenset(), facts, good=good, tone=tone)


# -- licences ------------------------------------------------------------------------------------------------------

# What the console's bundle brings along, and the file beside it that says on what terms.
_VENDORED = (("htmx", "LICENSE.htmx"), ("Lucide", "LICENSE.lucide"), ("uPlot", "LICENSE.uplot"))


def licences(visit: Visit) -> HttpResponse:
    folder = Path(settings.BASE_DIR) / "static" / "vendor"
    texts = [(name, (folder / file).read_text(encoding="utf-8")) for name, file in _VENDORED]
    own = (Path(settings.BASE_DIR) / "LICENSE").read_text(encoding="utf-8")
    return page(visit, "server-status", "licences.html", {"texts": [("Keystead", own), *texts]})


SCREENS: tuple[Screen, ...] = (
    Screen("server-status", "settings/server", _("Server"), show),
    Screen("licences", "settings/licences", _("Licences"), licences),
)
