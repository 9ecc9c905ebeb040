"""Mails that carry a code, announce an invitation or tell news: their text, and the back end that needs no mail server.

It must not know when they are due, and it decides nothing about who gets one.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core.mail import EmailMessage
from django.core.mail.backends.console import EmailBackend as ConsoleBackend
from django.template.loader import render_to_string

from accounts.models import CodePurpose, NewsPurpose

SUBJECTS: dict[CodePurpose | NewsPurpose, str] = {
    CodePurpose.INVITATION: "You are invited to Keystead",
    CodePurpose.CONFIRM_EMAIL: "Confirm your address for Keystead",
    CodePurpose.RESET_PASSWORD: "Set a new password for Keystead",
    NewsPurpose.LOG_LAGGING: "A receiver of your log in Keystead gets nothing",
}
# Where the console lets a person use the code. It is in the fragment, which no server and no log sees.
PAGES: dict[CodePurpose | NewsPurpose, str] = {
    CodePurpose.INVITATION: "/accept-invitation",
    CodePurpose.CONFIRM_EMAIL: "/confirm-email",
    CodePurpose.RESET_PASSWORD: "/reset-password",
    NewsPurpose.LOG_LAGGING: "/account",
}
_LONGEST_NAME = 80


class StandardErrorBackend(ConsoleBackend):
    """For a server that has no mail server: the operator reads the mail, code and all, where the server logs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("stream", sys.stderr)
        super().__init__(*arguments, **options)


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail's facts. Without a ``code`` it only tells: the person has a password already."""

    purpose: CodePurpose | NewsPurpose
    to: str
    user: UUID
    public_url: str
    code: str | None = field(default=None, repr=False)
    account_name: str = ""

    def message(self) -> EmailMessage:
        text = render_to_string(f"mail/{self.purpose}.txt", self._context())
        return plain(SUBJECTS[self.purpose], text, self.to)

    def _context(self) -> dict[str, Any]:
        page = self.public_url + PAGES[self.purpose]
        link = page if self.code is None else f"{page}#{urlencode({'user': str(self.user), 'code': self.code})}"
        account = one_line(self.account_name)
        return {"link": link, "code": self.code, "user": self.user, "server": self.public_url, "account": account}


def plain(subject: str, text: str, to: str) -> EmailMessage:
    """Plain text. ``Auto-Submitted`` keeps other robots from answering (RFC 3834)."""
    return EmailMessage(subject, text, to=[to], headers={"Auto-Submitted": "auto-generated"})


def one_line(name: str) -> str:
    """A name that somebody chose, of an account or an app: on one line, and short, it cannot pass for our text."""
    line = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return line if len(line) <= _LONGEST_NAME else line[: _LONGEST_NAME - 1] + "…"
