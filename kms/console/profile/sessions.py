"""One's own sessions: where one is signed in, this one marked, and ended where one is not any more."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from kms.api.inside import Refused
from kms.console import cookies
from kms.console.tables import Column, table
from kms.console.visit import Visit

_COLUMNS = (
    Column(_("Signed in by")),
    Column(_("From")),
    Column(_("Account")),
    Column(_("Began")),
    Column(_("Last used")),
    Column(_("Ends")),
    Column(_("Action")),
)
_VOUCHED = "vouched-for"


def show(visit: Visit) -> HttpResponse:
    try:
        rows = visit.call("ListSessions")
    except Refused as refused:
        if refused.reason != _VOUCHED:
            raise
        return visit.render("console/profile/sessions.html", {"vouched": refused.message})
    names = {account["acct_id"]: account["name"] for account in visit.call("ListAccounts")}
    shown = table(visit.query, _COLUMNS, rows, lambda _row: {}, size=len(rows) or 1)
    context = {"table": shown, "names": names, "others": len(rows) > 1}
    return visit.render("console/profile/sessions.html", context)


def end(visit: Visit) -> HttpResponse:
    """One, all others, or all with this one."""
    if "others" in visit.form or "all" in visit.form:
        count = visit.call("EndOtherSessions")["ended"]
        if "all" in visit.form:
            return _out(visit)
        said = ngettext("%(count)s other session was ended.", "%(count)s other sessions were ended.", count)
        visit.say(said % {"count": count})
    else:
        visit.call("EndSession", session_id=visit.form.get("session", ""))
        visit.say(_t("The session was ended."))
    return visit.redirect("profile-sessions")


def _out(visit: Visit) -> HttpResponse:
    visit.call("Terminate")
    visit.forget_shell()
    visit.say(_t("You are signed out everywhere."))
    response = visit.redirect("sign-in")
    cookies.drop_session(response)
    return response
