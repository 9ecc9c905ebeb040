"""Signing in, by whichever way there is; the account to work in; where links in mails lead; signing out."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from kms.console.screens import Handler, Screen
from kms.console.sign_in import accounts, enrolment, factor, mail_links, password, sso

_GATE: tuple[Screen, ...] = (
    Screen("sign-in", "sign-in", _("Sign in"), password.show, password.act, anonymous=True),
    Screen("sign-out", "sign-out", _("Sign out"), act=password.sign_out, anonymous=True),
    Screen("signed-on", "sign-on/oauth", _("Sign in"), sso.came_back, anonymous=True),
    Screen("saml-response", "saml/acs", _("Sign in"), act=sso.was_posted, anonymous=True, foreign=True),
)
# These look for themselves who is there: a login that is not finished is refused everywhere else.
_FACTORS: tuple[Screen, ...] = (
    Screen("second-factor", "second-factor", _("Second factor"), factor.show, factor.act, anonymous=True),
    Screen("key-challenge", "second-factor/challenge", "", act=factor.challenge, anonymous=True),
    Screen("enrol-factor", "second-factor/new", _("New factor"), enrolment.show, enrolment.act, anonymous=True),
    Screen("new-key-challenge", "second-factor/new/challenge", "", act=enrolment.challenge, anonymous=True),
)
_ACCOUNTS: tuple[Screen, ...] = (
    Screen("choose-account", "accounts", _("Choose an account"), accounts.choose, accounts.chosen, homeless=True),
    Screen("new-account", "accounts/new", _("New account"), accounts.new, accounts.create),
)


def _mailed(name: str, title: str | Promise, show: Handler, act: Handler) -> Screen:
    """Its address is its name."""
    return Screen(name, name, title, show, act, anonymous=True)


_MAILED: tuple[Screen, ...] = (
    _mailed("forgot-password", _("Forgotten password"), mail_links.forgot, mail_links.forgotten),
    _mailed("reset-password", _("New password"), mail_links.reset, mail_links.do_reset),
    _mailed("accept-invitation", _("Accept the invitation"), mail_links.invited, mail_links.accept),
    _mailed("confirm-email", _("Confirm your e-mail"), mail_links.confirm, mail_links.confirmed),
)
SCREENS: tuple[Screen, ...] = (*_GATE, *_FACTORS, *_ACCOUNTS, *_MAILED)
