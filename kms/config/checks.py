"""What `manage.py check --deploy` says about settings that would work and be weak.

A file is judged when it was named or exists, so a bare checkout passes; the database is asked only with `--database`.
Reads modes and privileges, never contents.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Critical, Error, Tags, Warning, register

from kms.config.environment import Environment
from kms.config.provision.schema import rewritable
from kms.config.values import is_loopback


@register(Tags.security, deploy=True)
def transport_is_protected(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    listen = _environment().listen
    if listen.tls or listen.loopback:
        return []
    return [
        Critical(
            f"The server listens on {listen.url}: keys and passwords cross the network in clear.",
            hint="Use https:// in KEYSTEAD_LISTEN.",
            id="kms.E001",
        )
    ]


@register(Tags.security, deploy=True)
def hosts_are_named(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    if "*" not in _environment().allowed_hosts and "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Warning(
            "The server answers to every host name, so a name that somebody else controls reaches it.",
            hint="Name the hosts in KEYSTEAD_ALLOWED_HOSTS.",
            id="kms.W002",
        )
    ]


@register(Tags.security, deploy=True)
def mail_has_a_server(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """On loopback it is one person's own, who reads what it says."""
    environment = _environment()
    if environment.smtp is not None or environment.listen.loopback:
        return []
    return [
        Warning(
            "There is no mail server: invitations and new passwords, with their codes, are written to standard error.",
            hint="Name one in KEYSTEAD_SMTP_URL.",
            id="kms.W006",
        )
    ]


@register(Tags.security, deploy=True)
def the_public_address_is_known(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """A passkey, a link in a mail and a token's audience name the server as its users do."""
    environment = _environment()
    if environment.listen.loopback or not is_loopback(urlsplit(environment.public_url).hostname or ""):
        return []
    return [
        Warning(
            "Others reach the server, but its public address is this machine's own.",
            hint="Set KEYSTEAD_PUBLIC_URL to the address that people and programs use.",
            id="kms.W009",
        )
    ]


@register(Tags.security, deploy=True)
def proxies_are_named(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Whoever counts as a proxy says who is calling, and with which certificate."""
    environment = _environment()
    messages: list[CheckMessage] = []
    if environment.client_certificate_header is not None and not environment.trusted_proxies:
        messages.append(
            Warning(
                "A header for clients' certificates is named, but no proxy that may send it: it is never looked at.",
                hint="Name the proxies in KEYSTEAD_TRUSTED_PROXIES.",
                id="kms.W007",
            )
        )
    if any(network.prefixlen == 0 for network in environment.trusted_proxies):
        messages.append(
            Warning(
                "Every address counts as a trusted proxy, so every caller may say who it is.",
                hint="Name the proxies alone in KEYSTEAD_TRUSTED_PROXIES.",
                id="kms.W008",
            )
        )
    return messages


@register(Tags.security, deploy=True)
def secret_files_are_private(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    environment = _environment()
    files = [
        ("PIN file", "KEYSTEAD_PIN_FILE", environment.pin_file, not environment.pin_file_generated),
        (
            "secret key",
            "KEYSTEAD_SECRET_KEY_FILE",
            environment.secret_key_file,
            environment.secret_key_file != environment.data / "secret_key",
        ),
        ("TLS key", "KEYSTEAD_TLS_KEY", environment.tls_key, not environment.tls_generated),
        ("CA key", "KEYSTEAD_DATA", environment.tls_folder / "ca.key", False),
        ("security officer's PIN", "KEYSTEAD_DATA", environment.token_folder / "so.pin", False),
    ]
    if environment.smtp_password_file is not None:
        files.append(("mail password", "KEYSTEAD_SMTP_PASSWORD_FILE", environment.smtp_password_file, True))
    return [message for file in files for message in _judge(*file)]


def _judge(what: str, variable: str, path: Path, named: bool) -> Iterator[CheckMessage]:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if named:
            yield Error(f"The {what} {path} does not exist.", hint=f"Correct {variable}.", id="kms.E003")
        return
    except OSError as error:
        yield Error(f"The {what} {path} cannot be looked at: {error.strerror}.", id="kms.E003")
        return
    if mode & (stat.S_IRWXO | stat.S_IWGRP):  # its group may read: that is how orchestrators hand secrets over
        yield Error(
            f"The {what} {path} is open to other users (mode {stat.S_IMODE(mode):04o}).",
            hint=f"chmod 600 {path}",
            id="kms.E004",
        )


@register(Tags.database)
def record_is_append_only(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Whether the role that serves could change what was recorded (THREAT_MODEL.md)."""
    return [_rewritable(table, excess) for table, excess in rewritable().items()] if databases else []


def _rewritable(table: str, excess: list[str]) -> CheckMessage:
    return Warning(
        f"The role that serves may {', '.join(excess)} on {table}, so a stolen server can rewrite the record.",
        hint="Let another role own the tables (KEYSTEAD_OWNER_DATABASE_URL) and run `manage.py migrate`.",
        id="kms.W005",
    )


def _environment() -> Environment:
    environment: Environment = settings.KEYSTEAD
    return environment
