"""One's own: name, address and password, second factors, sessions, accounts, how times and colours are shown."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from kms.console.profile import appearance, person, sessions
from kms.console.profile.factors import DESK
from kms.console.screens import Screen

SCREENS: tuple[Screen, ...] = (
    Screen("profile", "profile", _("Your profile"), person.show, person.act, homeless=True),
    Screen("profile-factors", "profile/factors", _("Second factors"), DESK.show, DESK.act, homeless=True),
    Screen("profile-sessions", "profile/sessions", _("Sessions"), sessions.show, sessions.end, homeless=True),
    Screen("profile-accounts", "profile/accounts", _("Accounts"), person.accounts, person.leave, homeless=True),
    Screen("profile-appearance", "profile/appearance", _("Appearance"), appearance.show, appearance.act, homeless=True),
)
