"""Django's mail settings, made from the Environment. It opens one file, the one with the mail user's password."""

from __future__ import annotations

from dataclasses import dataclass, field

from kms.config.environment import ConfigurationError, Environment

TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class MailSettings:
    """``starttls`` and ``tls`` verify the server's certificate and name against the system's authorities."""

    backend: str
    host: str = ""
    port: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    starttls: bool = False
    tls: bool = False


def mail_settings(environment: Environment) -> MailSettings:
    """STARTTLS is demanded off loopback (RFC 3207): a server that does not offer it gets no mail."""
    server = environment.smtp
    if server is None:
        return MailSettings("accounts.mail.StandardErrorBackend")
    return MailSettings(
        backend="django.core.mail.backends.smtp.EmailBackend",
        host=server.host,
        port=server.port,
        username=server.username or "",
        password=_password(environment),
        starttls=not server.implicit_tls and not server.loopback,
        tls=server.implicit_tls,
    )


def _password(environment: Environment) -> str:
    path = environment.smtp_password_file
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigurationError(f"KEYSTEAD_SMTP_PASSWORD_FILE cannot be read ({path}): {reason}.") from None
