"""A real mail server on loopback, in the test process: it demands STARTTLS and a password, and keeps what it gets."""

from __future__ import annotations

import email
import email.policy
import logging
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from django.contrib.auth.hashers import Argon2PasswordHasher

from accounts import outbox
from accounts.clock import clock
from kms.config.provision.tls import TlsFiles, ensure_certificates
from kms.operations.mailing import Mailer

PUBLIC_URL = "https://kms.example.org"
USERNAME, PASSWORD = "keystead", "of the mail server"

logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # the library's own account of every line

_CODE = re.compile(r"^[A-Za-z0-9_-]{43}$", re.MULTILINE)


class QuickArgon2(Argon2PasswordHasher):
    """For tests that set passwords by the dozen: the same function, for less."""

    time_cost = 1
    memory_cost = 64
    parallelism = 1


@dataclass(frozen=True)
class Letter:
    """A mail as it arrived."""

    sender: str
    to: tuple[str, ...]
    message: EmailMessage
    encrypted: bool

    @property
    def text(self) -> str:
        content: str = self.message.get_content()
        return content.replace("\r\n", "\n")

    @property
    def code(self) -> str:
        (found,) = _CODE.findall(self.text)
        return str(found)


class PostOffice:
    """The server, and every letter it took."""

    def __init__(self, folder: Path, *, port: int | None = None, starttls: bool = True) -> None:
        self.letters: list[Letter] = []
        self.refused: set[str] = set()
        files = TlsFiles(folder)
        ensure_certificates(files, ["localhost"], now=datetime.now(UTC))
        self.ca = files.ca
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(files.certificate, files.key)
        self.port = port or _free_port()
        secure: dict[str, Any] = {
            "require_starttls": True,
            "tls_context": context,
            "authenticator": self._authenticate,
            "auth_required": True,
        }
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **(secure if starttls else {}))
        self._controller.start()

    def close(self) -> None:
        self._controller.stop()

    def to(self, address: str) -> list[Letter]:
        return [letter for letter in self.letters if address in letter.to]

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        to = tuple(envelope.rcpt_tos)
        self.letters.append(Letter(envelope.mail_from or "", to, message, session.ssl is not None))
        return "250 OK"

    @staticmethod
    def _authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        return AuthResult(success=(given.login, given.password) == (USERNAME.encode(), PASSWORD.encode()))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def open_post_office(folder: Path, **options: Any) -> Iterator[PostOffice]:
    office = PostOffice(folder, **options)
    try:
        yield office
    finally:
        office.close()


def use(office: PostOffice, settings: Any, monkeypatch: Any) -> None:
    """Have Django send by it, as with KEYSTEAD_SMTP_URL=smtp://keystead@localhost and STARTTLS."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "localhost", office.port
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = USERNAME, PASSWORD
    settings.EMAIL_USE_TLS, settings.EMAIL_USE_SSL = True, False
    settings.EMAIL_TIMEOUT = 2  # the server is slow to answer a wrong password
    monkeypatch.setenv("SSL_CERT_FILE", str(office.ca))


def deliver() -> None:
    """Turn until nothing is due, whatever other tests have left in the box."""
    mailer = Mailer(PUBLIC_URL)
    for _ in range(100):
        if not outbox.due(clock.now()).exists():
            return
        mailer.turn()
    raise AssertionError("mails stay due")
