"""Mails about requests for approval: their text, and the sender's turns. They tell what is asked, and let nobody in.

What a requester wrote is not in them, but for names: nobody makes us send their words. It must not know the wire.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.template.loader import render_to_string

from accounts.clock import clock
from accounts.mail import one_line, plain
from accounts.models import App, Membership, User
from accounts.principal import PrincipalKind
from kms.operations import notices
from kms.operations.alone import alone
from kms.operations.notices import Sent
from policies.models import ApprovalEvent, ApprovalRequest, ApprovalStatus, Notice

logger = logging.getLogger(__name__)

NOTICE_LOCK = 668_423  # "notice" on a telephone's keys
AT_ONCE = 50
MOST_SUBJECTS = 5
# Where the console shows a request. The id is in the fragment, which no server and no log sees.
PAGE = "/approvals"
_ENDED = MappingProxyType(
    {
        ApprovalEvent.APPROVED: "was approved and carried out",
        ApprovalEvent.DENIED: "was denied",
        ApprovalEvent.FAILED: "has failed",
    }
)


@dataclass(frozen=True, slots=True)
class _Letter:
    row: Notice
    message: EmailMessage


def message_of(notice: Notice, public_url: str) -> EmailMessage:
    request, user, event = notice.request, notice.user, ApprovalEvent(notice.event)
    assert request is not None  # what is due has its request
    assert user is not None  # a webhook's notice is no mail
    context = _context(request, public_url)
    if event is ApprovalEvent.ASKED:
        return plain("A request for your approval in Keystead", _text("approval-asked", context), user.email)
    context["ended"] = _ENDED[event]
    return plain("Your request for approval in Keystead", _text("approval-ended", context), user.email)


def _context(request: ApprovalRequest, public_url: str) -> dict[str, Any]:
    return {
        "server": public_url,
        "account": one_line(request.account.name),
        "requester": _requester(request),
        "action": request.action,
        "subjects": _subjects(request.subjects),
        "request": request.id,
        "expires": f"{request.expires_at:%Y-%m-%d %H:%M} UTC",
        "link": f"{public_url}{PAGE}#{request.id}",
    }


def _text(name: str, context: dict[str, Any]) -> str:
    return render_to_string(f"mail/{name}.txt", context)


def _requester(request: ApprovalRequest) -> str:
    if request.requester_kind == PrincipalKind.USER:
        email = User.objects.filter(id=request.requester_id).values_list("email", flat=True).first()
        return email or "Somebody who is gone"
    name = App.objects.filter(id=request.requester_id).values_list("name", flat=True).first()
    return "An app that is gone" if name is None else f'The app "{one_line(name)}"'


def _subjects(ids: Sequence[UUID]) -> list[str]:
    shown = [str(each) for each in ids[:MOST_SUBJECTS]]
    return shown if len(ids) <= MOST_SUBJECTS else [*shown, f"and {len(ids) - MOST_SUBJECTS} more"]


# -- turns ---------------------------------------------------------------------------------------------------------


class NoticeMailer:
    """Every process may run it; one at a time sends. ``public_url`` is the origin in the mails' links."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url

    def turn(self) -> Sent:
        with alone(NOTICE_LOCK) as ours:
            return self._work(clock.now()) if ours else Sent(ours=False)

    def _work(self, now: datetime) -> Sent:
        given_up = notices.tidy(now)
        if given_up:
            logger.error("%s notices of requests for approval could not be sent for a day and are given up", given_up)
        letters = []
        for row in notices.due(now).filter(user__isnull=False)[:AT_ONCE]:
            if _has_reason(row):
                letters.append(_Letter(row, message_of(row, self._public_url)))
            else:
                notices.sent(row, now)
        outcomes = _deliver(letters, now) if letters else []
        return Sent(True, outcomes.count(True), outcomes.count(False))


def _has_reason(row: Notice) -> bool:
    """Whoever is told is a member still, and a reviewer has something to do still."""
    request, user = row.request, row.user_id
    assert request is not None  # what is due has its request
    assert user is not None  # a webhook's notice is no mail
    if row.event == ApprovalEvent.ASKED and request.status != ApprovalStatus.PENDING:
        return False
    own = Membership.objects.filter(user_id=user, account_id=request.account_id)
    return own.filter(enabled=True, invitation_pending=False).exists()


def _deliver(letters: Sequence[_Letter], now: datetime) -> list[bool]:
    """One connection for all. What goes wrong with one mail, or with the connection, leaves the rest for later."""
    mails = get_connection()
    try:
        mails.open()
    except Exception as error:  # of the mail server's making: whatever it is, the mails wait
        mails.close()
        return [_failed(each.row, error, now) for each in letters]
    try:
        return [_send(mails, each, now) for each in letters]
    finally:
        mails.close()


def _send(mails: BaseEmailBackend, letter: _Letter, now: datetime) -> bool:
    letter.message.connection = mails
    try:
        letter.message.send()
    except Exception as error:  # the others are to be sent
        return _failed(letter.row, error, now)
    notices.sent(letter.row, now)
    return True


def _failed(row: Notice, error: Exception, now: datetime) -> bool:
    """The error's text may hold the address, so the log has its kind only."""
    notices.failed(row, now)
    logger.warning("notice %s (%s) was not sent and will be tried again: %s", row.pk, row.event, type(error).__name__)
    return False
