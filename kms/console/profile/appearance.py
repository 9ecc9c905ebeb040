"""How the console looks for this browser: the theme, and the zone that times are shown in. Both are cookies."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from kms.console import cookies
from kms.console.forms import Form
from kms.console.visit import Visit

_YEAR = 365 * 86_400
_BROWSERS = "browser"  # no choice: the page's script says it again
# Of the database's names those of places, and UTC; the rest are old names and offsets.
_AREAS = ("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")


def _zones() -> list[tuple[str, str]]:
    places = sorted(name for name in available_timezones() if name.partition("/")[0] in _AREAS)
    return [
        (_BROWSERS, _t("As the browser says")),
        ("UTC", "UTC"),
        *((name, name.replace("_", " ")) for name in places),
    ]


class AppearanceForm(Form):
    theme = forms.ChoiceField(
        label=_("Theme"),
        choices=[("system", _("As the system")), ("light", _("Light")), ("dark", _("Dark"))],
        widget=forms.RadioSelect,
    )
    zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=_zones,
        help_text=_("Times are shown in it everywhere. Pointing at one shows it in UTC."),
    )


def show(visit: Visit) -> HttpResponse:
    chosen = {"theme": cookies.theme_of(visit.request), "zone": str(visit.zone)}
    return _page(visit, AppearanceForm(initial=chosen))


def act(visit: Visit) -> HttpResponse:
    form = AppearanceForm(visit.form)
    if not form.is_valid():
        return _page(visit, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    visit.say(_t("This browser shows it so from now on."))
    response = visit.redirect("profile-appearance")
    _keep(response, cookies.THEME, form.cleaned_data["theme"])
    zone = form.cleaned_data["zone"]
    _keep(response, cookies.ZONE, "" if zone == _BROWSERS else quote(zone, safe=""))
    return response


def _keep(response: HttpResponse, name: str, value: str) -> None:
    """Readable for the page's script, which says the browser's zone where none is chosen."""
    secure: bool = settings.SESSION_COOKIE_SECURE
    response.set_cookie(name, value, _YEAR if value else 0, path="/", secure=secure, samesite="Lax")


def _page(visit: Visit, form: AppearanceForm, *, status: int = 200) -> HttpResponse:
    return visit.render("console/profile/appearance.html", {"form": form, "now": timezone.now()}, status=status)
