"""What a new account still lacks, in the order in which it is done; nothing once it has all of it."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.lru import Lru
from kms.console.visit import Visit


@dataclass(frozen=True, slots=True)
class Step:
    done: bool
    label: str | Promise
    about: str | Promise
    url: str


# Who has done all of it in which account, so that it is not asked again on every look.
_done: Lru[tuple[str, str], bool] = Lru(4096)


def steps(visit: Visit) -> list[Step]:
    """Empty when all is done. One row of each is enough to know that."""
    shell = visit.shell
    where = (visit.user_id, str(shell.account["acct_id"]) if shell and shell.account else "")
    if _done.get(where):
        return []
    found = _steps(visit)
    if all(step.done for step in found):
        _done.put(where, True)
        return []
    return found


def _steps(visit: Visit) -> list[Step]:
    one = {"limit": 1}
    factors = visit.call("ListFactors")
    groups = visit.call("ListGroups", query={"limit": 50})
    return [
        Step(
            bool(factors["totp_devices"] or factors["mfa_devices"]),
            _("Protect your sign-in"),
            _("Add an authenticator app or a passkey, and keep the recovery codes."),
            reverse("profile-factors"),
        ),
        Step(
            bool(groups),
            _("Make a group"),
            _("Keys belong to groups; a group says who may use them."),
            reverse("new-group"),
        ),
        Step(
            bool(visit.call("ListSobjects", query=one)),
            _("Generate a key"),
            _("It is made in the token and never leaves it unless you say so."),
            reverse("new-object"),
        ),
        Step(
            bool(visit.call("ListApps", query=one)),
            _("Register an app"),
            _("It gets an API key, a certificate or signs tokens, and may do what you choose."),
            reverse("new-app"),
        ),
        Step(
            any(group.get("approval_policy") for group in groups),
            _("Guard what matters"),
            _("Let two of three people approve before a key is changed: a quorum policy on its group."),
            reverse("groups"),
        ),
    ]
