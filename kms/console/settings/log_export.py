"""Where the account's log is sent: each receiver, how far behind it is, adding one, trying it, taking it away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.api.inside import Refused
from kms.console.screens import Screen
from kms.console.settings.durations import rough, spelled
from kms.console.settings.forms import mark_of
from kms.console.settings.sink_forms import FORMS, S3, SPLUNK, SYSLOG, WEBHOOK, SinkForm
from kms.console.settings.tabs import account_id, account_of, guarded, page
from kms.console.visit import Visit

_TAB = "settings-log-export"
KINDS: Mapping[str, tuple[str | Promise, str | Promise]] = {
    SYSLOG: (_("Syslog over TLS"), _("RFC 5424 and 5425, for rsyslog, syslog-ng and most SIEMs.")),
    SPLUNK: (_("Splunk"), _("By the HTTP Event Collector.")),
    WEBHOOK: (_("Webhook"), _("Signed calls to an address of yours.")),
    S3: (_("S3 bucket"), _("Objects in a store, locked against deletion if you like.")),
}
_GUARDED = "protect_logging_config"
# What says where something goes; what moves by itself is no change that somebody made.
_MOVING = frozenset(
    {
        "entries_behind",
        "seconds_behind",
        "failed_attempts",
        "last_error",
        "delivered_at",
        "next_attempt_at",
        "lagging_since",
    }
)


def sinks_of(account: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every receiver, in one shape: how it is, and how it is set."""
    known = account.get("logging_configs") or {}
    return {
        sink: {**(known.get(sink) or {}).get(shipped["kind"], {}), **shipped, "id": sink}
        for sink, shipped in (account.get("log_shipping") or {}).items()
    }


def _one(visit: Visit, sink_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    account = account_of(visit)
    found = sinks_of(account).get(sink_id)
    if found is None:
        raise Refused(HTTPStatus.NOT_FOUND, _t("The receiver does not exist."))
    return account, found


def _mark(sink: Mapping[str, Any]) -> str:
    return mark_of({name: value for name, value in sink.items() if name not in _MOVING})


def place_of(sink: Mapping[str, Any]) -> str:
    """Where it goes, in short."""
    if sink["kind"] == WEBHOOK:
        return str(sink["url"])
    if sink["kind"] == S3:
        return f"{sink['endpoint']}/{sink['bucket']}"
    return f"{sink['host']}:{sink['port']}"


# -- the list ------------------------------------------------------------------------------------------------------


def show_list(visit: Visit) -> HttpResponse:
    account = account_of(visit)
    rows = [
        {**sink, "place": place_of(sink), "words": KINDS[sink["kind"]][0], "behind": rough(sink["seconds_behind"])}
        for sink in sinks_of(account).values()
    ]
    alarm = visit.call("GetServerStatus")["server"]["log_alarm_minutes"]
    context = {
        "sinks": rows,
        "kinds": KINDS,
        "guarded": guarded(account, _GUARDED),
        "alarm": spelled(alarm * 60),
        "may": "log_shipping" in account or "MANAGE_LOGGING" in _held(visit),
        "lead": _t("Every sealed entry of this account's log, in order and at least once, to receivers of yours."),
    }
    return page(visit, _TAB, "log_export.html", context)


def _held(visit: Visit) -> frozenset[str]:
    shell = visit.shell
    return frozenset() if shell is None else shell.permissions


# -- adding and changing -------------------------------------------------------------------------------------------


def _new(kind: str) -> Callable[[Visit], HttpResponse]:
    def new(visit: Visit) -> HttpResponse:
        return _form_page(visit, kind, FORMS[kind](), None, account_of(visit))

    return new


def _create(kind: str) -> Callable[[Visit], HttpResponse]:
    def create(visit: Visit) -> HttpResponse:
        form, before = FORMS[kind](visit.form), account_of(visit)
        if form.is_valid() and form.save(visit, {"add_logging_configs": [{kind: form.settings({})}]}):
            visit.say(_t("The receiver was added. Test it before you rely on it."))
            return visit.redirect(_TAB)
        return _form_page(visit, kind, form, None, before, status=422)

    return create


def edit(visit: Visit, sink_id: str) -> HttpResponse:
    account, sink = _one(visit, sink_id)
    return _form_page(visit, sink["kind"], FORMS[sink["kind"]].of(sink, _mark(sink)), sink, account)


def save(visit: Visit, sink_id: str) -> HttpResponse:
    account, sink = _one(visit, sink_id)
    form = FORMS[sink["kind"]](visit.form)
    form.keep()
    if form.is_valid() and form.still(_mark(sink)):
        change = {"mod_logging_configs": {sink_id: {sink["kind"]: form.settings(sink)}}}
        if form.save(visit, change):
            visit.say(_t("The receiver was saved"))
            return visit.redirect(_TAB)
    return _form_page(visit, sink["kind"], form, sink, account, status=422)


def _form_page(
    visit: Visit,
    kind: str,
    form: SinkForm,
    sink: Mapping[str, Any] | None,
    account: Mapping[str, Any],
    *,
    status: int = 200,
) -> HttpResponse:
    words = KINDS[kind][0]
    context = {
        "form": form,
        "kind_name": words,
        "sink": sink,
        "place": "" if sink is None else place_of(sink),
        "guarded": guarded(account, _GUARDED),
        "title": _t("New receiver: %(kind)s") % {"kind": words} if sink is None else place_of(sink),
    }
    return page(visit, _TAB, "sink.html", context, status=status)


# -- trying and taking away ----------------------------------------------------------------------------------------


def try_out(visit: Visit, sink_id: str) -> HttpResponse:
    """The API sends one made-up entry, and says what came of it."""
    tried = visit.call("TestLoggingConfig", acct_id=account_id(visit), config_id=sink_id)
    if visit.by_htmx:
        return visit.render("console/settings/log_export.html#tried", {"tried": tried})
    level = messages.SUCCESS if tried["delivered"] else messages.ERROR
    told = _t("A test entry was taken") if tried["delivered"] else _t("The test entry was not taken")
    visit.say(f"{told}: {tried['detail']}" if tried["detail"] else told, level=level)
    return visit.redirect(_TAB)


def delete(visit: Visit, sink_id: str) -> HttpResponse:
    visit.call("UpdateAccount", acct_id=account_id(visit), body={"del_logging_configs": [sink_id]})
    visit.say(_t("The receiver was taken away"))
    return visit.redirect(_TAB)


_NEW = tuple(
    Screen(f"new-{kind}-sink", f"settings/log-export/new/{kind}", _("New receiver"), _new(kind), _create(kind))
    for kind in KINDS
)
SCREENS: tuple[Screen, ...] = (
    Screen(_TAB, "settings/log-export", _("Log export"), show_list),
    *_NEW,
    Screen("log-sink", "settings/log-export/<uuid:sink_id>", _("Receiver"), edit, save),
    Screen("test-log-sink", "settings/log-export/<uuid:sink_id>/test", _("Receiver"), act=try_out),
    Screen("delete-log-sink", "settings/log-export/<uuid:sink_id>/delete", _("Receiver"), act=delete),
)
