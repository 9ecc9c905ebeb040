"""KEYSTEAD_SMTP_URL as Django's mail settings: off loopback nothing goes out in clear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kms.config import checks
from kms.config.environment import ConfigurationError, read_environment
from kms.config.mail import MailSettings, mail_settings

SMTP = "django.core.mail.backends.smtp.EmailBackend"


def made(tmp_path: Path, **variables: str) -> MailSettings:
    return mail_settings(read_environment({"KEYSTEAD_DATA": str(tmp_path), **variables}))


def test_without_a_server_mails_go_to_standard_error(tmp_path: Path) -> None:
    assert made(tmp_path).backend == "accounts.mail.StandardErrorBackend"


@pytest.mark.parametrize(
    ("url", "host", "port", "starttls", "tls"),
    [
        ("smtp://mail.example.org", "mail.example.org", 587, True, False),
        ("smtp://mail.example.org:25", "mail.example.org", 25, True, False),
        ("smtp://192.0.2.1:2525", "192.0.2.1", 2525, True, False),
        ("smtps://mail.example.org", "mail.example.org", 465, False, True),
        ("smtps://127.0.0.1:4650", "127.0.0.1", 4650, False, True),
        ("smtp://127.0.0.1:25", "127.0.0.1", 25, False, False),
        ("smtp://localhost", "localhost", 587, False, False),
        ("smtp://[::1]:25", "::1", 25, False, False),
    ],
)
def test_tls_is_demanded_off_loopback(
    tmp_path: Path, url: str, host: str, port: int, starttls: bool, tls: bool
) -> None:
    settings = made(tmp_path, KEYSTEAD_SMTP_URL=url)
    assert settings.backend == SMTP
    assert (settings.host, settings.port, settings.starttls, settings.tls) == (host, port, starttls, tls)


def test_the_password_is_the_first_line_of_its_file_and_hidden(tmp_path: Path) -> None:
    path = tmp_path / "smtp"
    path.write_text("of the server\nnot this\n")
    settings = made(
        tmp_path, KEYSTEAD_SMTP_URL="smtp://me%40example.org@mail.example.org", KEYSTEAD_SMTP_PASSWORD_FILE=str(path)
    )
    assert (settings.username, settings.password) == ("me@example.org", "of the server")
    assert "of the server" not in repr(settings)


def test_a_password_file_that_is_not_there_stops_the_server(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="KEYSTEAD_SMTP_PASSWORD_FILE"):
        made(
            tmp_path,
            KEYSTEAD_SMTP_URL="smtp://me@mail.example.org",
            KEYSTEAD_SMTP_PASSWORD_FILE=str(tmp_path / "missing"),
        )


def test_a_server_for_others_without_a_mail_server_is_named(tmp_path: Path, settings: Any) -> None:
    served = {"KEYSTEAD_DATA": str(tmp_path), "KEYSTEAD_LISTEN": "https://192.0.2.1:8443"}
    settings.KEYSTEAD = read_environment(served)
    assert [message.id for message in checks.mail_has_a_server(None)] == ["kms.W006"]
    settings.KEYSTEAD = read_environment({**served, "KEYSTEAD_SMTP_URL": "smtps://mail.example.org"})
    assert checks.mail_has_a_server(None) == []
    settings.KEYSTEAD = read_environment({"KEYSTEAD_DATA": str(tmp_path)})  # a bare checkout, on loopback
    assert checks.mail_has_a_server(None) == []
