"""What the process is told from outside: every environment variable Keystead reads, in one table.

The rest of the house asks `settings.KEYSTEAD`; nobody else reads os.environ. Knows nothing of Django, and opens no file
but the two that hold database passwords. README.md repeats the table, and a test compares the two.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kms.audit.cosignature import Witness
from kms.config import values
from kms.config.database import (
    OWNER_ROLE,
    SERVER_ROLE,
    DatabaseAddress,
    embedded_address,
    parse_database_url,
    with_password_from,
)

PREFIX = "KEYSTEAD_"
CHECKOUT = Path(__file__).resolve().parent.parent.parent


class ConfigurationError(Exception):
    """The environment asks for something that cannot be done. The message is meant for the operator."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One row of the table: a name, how its text is read, and what holds when it is not set."""

    name: str
    parse: Callable[[str], Any]
    default: str
    meaning: str


VARIABLES: tuple[Variable, ...] = (
    Variable(
        "KEYSTEAD_DATA",
        values.path,
        "",
        "Data folder: token, embedded PostgreSQL, certificates, PIN and secret key. Empty: `var` in the checkout.",
    ),
    Variable(
        "DATABASE_URL",
        parse_database_url,
        "",
        "PostgreSQL 16+ address of the role that serves. Empty: an embedded PostgreSQL in the data folder.",
    ),
    Variable(
        "KEYSTEAD_OWNER_DATABASE_URL",
        parse_database_url,
        "",
        "Address of the role that owns the tables and migrates. Needed with `DATABASE_URL`, as the role that serves"
        " must not be able to rewrite the record.",
    ),
    Variable(
        "KEYSTEAD_UNSAFE_REWRITABLE_RECORD",
        values.one_of("yes", "no"),
        "no",
        "`yes`: serve although the role that serves could rewrite the record. To try things out only.",
    ),
    Variable(
        "KEYSTEAD_DATABASE_PASSWORD_FILE",
        values.path,
        "",
        "File whose first line is the password for `DATABASE_URL`.",
    ),
    Variable(
        "KEYSTEAD_OWNER_DATABASE_PASSWORD_FILE",
        values.path,
        "",
        "File whose first line is the password for `KEYSTEAD_OWNER_DATABASE_URL`.",
    ),
    Variable(
        "KEYSTEAD_PKCS11_MODULE",
        values.path,
        "",
        "PKCS#11 library of the token. Empty: SoftHSM 2 where the distribution installs it.",
    ),
    Variable("KEYSTEAD_TOKEN_LABEL", values.token_label, "keystead", "Label of the token that holds the master keys."),
    Variable(
        "KEYSTEAD_PIN_FILE",
        values.path,
        "",
        "File whose first line is the token's user PIN. Empty: `token/user.pin` in the data folder.",
    ),
    Variable(
        "KEYSTEAD_LISTEN",
        values.listen,
        "https://127.0.0.1:8443",
        "Address the server answers on. `http://` is refused off loopback.",
    ),
    Variable(
        "KEYSTEAD_TLS_CERT",
        values.path,
        "",
        "Certificate chain in PEM. Empty: one made by Keystead's own CA, `tls/ca.pem` in the data folder.",
    ),
    Variable("KEYSTEAD_TLS_KEY", values.path, "", "Private key in PEM, together with `KEYSTEAD_TLS_CERT`."),
    Variable(
        "KEYSTEAD_ALLOWED_HOSTS",
        values.hosts,
        "",
        "Host names the server answers to, separated by commas, beside `localhost`, `127.0.0.1`, `::1` and the"
        " listen address.",
    ),
    Variable(
        "KEYSTEAD_SECRET_KEY_FILE",
        values.path,
        "",
        "File with Django's secret key. Empty: `secret_key` in the data folder.",
    ),
    Variable("KEYSTEAD_WORKERS", values.between(1, 256), "2", "Server processes."),
    Variable(
        "KEYSTEAD_HANDLE_CACHE",
        values.between(1, 1_000_000),
        "2000",
        "Opened keys each process keeps in the token.",
    ),
    Variable(
        "KEYSTEAD_KEEPER_SECONDS",
        values.between(1, 3600),
        "20",
        "How often a process looks for keys whose rotation is due.",
    ),
    Variable(
        "KEYSTEAD_PUBLIC_URL",
        values.url,
        "",
        "Origin by which browsers and tokens know the server: passkeys, links, audiences. Empty: the listen address,"
        " `localhost` for loopback.",
    ),
    Variable(
        "KEYSTEAD_SESSION_SECONDS",
        values.between(60, 30 * 86400),
        "86400",
        "How long a session lasts, used or not.",
    ),
    Variable(
        "KEYSTEAD_SESSION_IDLE_SECONDS",
        values.between(60, 30 * 86400),
        "3600",
        "How long a user's session lasts without being used.",
    ),
    Variable(
        "KEYSTEAD_CLIENT_CERTIFICATES",
        values.one_of("request", "off"),
        "request",
        "Whether TLS clients are asked for a certificate, for apps that log in with one: `request` or `off`.",
    ),
    Variable(
        "KEYSTEAD_TRUSTED_PROXIES",
        values.networks,
        "",
        "Addresses of proxies whose `X-Forwarded-For` is believed.",
    ),
    Variable(
        "KEYSTEAD_CLIENT_CERTIFICATE_HEADER",
        values.header_name,
        "",
        "Header in which a trusted proxy gives the client's certificate (URL-encoded PEM, or RFC 9440).",
    ),
    Variable(
        "KEYSTEAD_OUTBOUND_ALLOW",
        values.reachable,
        "",
        "Private addresses, CIDR ranges and host names that an account's settings may make the server call, beside"
        " public ones.",
    ),
    Variable(
        "KEYSTEAD_SMTP_URL",
        values.mail_server,
        "",
        "Mail server: `smtp://user@host:587` (STARTTLS) or `smtps://user@host`. Empty: mails go to standard error.",
    ),
    Variable("KEYSTEAD_SMTP_PASSWORD_FILE", values.path, "", "File whose first line is the mail user's password."),
    Variable("KEYSTEAD_MAIL_FROM", values.email, "keystead@localhost", "Sender of mails."),
    Variable(
        "KEYSTEAD_WITNESSES",
        values.witnesses,
        "",
        "Witnesses of the record: `KEY URL`, a C2SP verifier key (type 4) and the prefix of `add-checkpoint`, separated"
        " by commas.",
    ),
    Variable(
        "KEYSTEAD_WITNESS_SECONDS",
        values.between(1, 3600),
        "10",
        "How often witnesses are shown the newest checkpoint, when there is a newer one.",
    ),
    Variable(
        "KEYSTEAD_WITNESS_REQUIRED",
        values.one_of("yes", "no"),
        "no",
        "Whether a server that starts waits, sealed, until every witness has answered: `yes` or `no`.",
    ),
    Variable(
        "KEYSTEAD_EPOCH_OFFICERS",
        values.path,
        "",
        "File of those who together may let a record go on that was set back, as OpenSSH's `allowed_signers`. Empty:"
        " the host's operator alone.",
    ),
    Variable(
        "KEYSTEAD_EPOCH_QUORUM",
        values.between(1, 100),
        "",
        "How many of `KEYSTEAD_EPOCH_OFFICERS` have to sign.",
    ),
    Variable(
        "KEYSTEAD_METRICS_LISTEN",
        values.socket_address,
        "",
        "Where Prometheus reads metrics, as `host:port`: plain HTTP, for anybody who reaches it. Empty: nowhere.",
    ),
    Variable(
        "KEYSTEAD_LOG_ALARM_MINUTES",
        values.between(1, 1440),
        "15",
        "How long an account's log may wait for a receiver before its administrators are told.",
    ),
    Variable(
        "KEYSTEAD_MAX_BODY",
        values.between(1024, 1024**3),
        "4194304",
        "Largest request body in bytes.",
    ),
)

_KNOWN = {variable.name for variable in VARIABLES}
_ALWAYS_ALLOWED = ("localhost", "127.0.0.1", "::1")
_WILDCARD_ADDRESSES = {"0.0.0.0", "::"}  # noqa: S104 (compared with, not bound)


@dataclass(frozen=True, slots=True)
class Environment:
    """The configuration of one process, checked. Made by `read_environment` and never changed."""

    data: Path
    database: DatabaseAddress
    owner_database: DatabaseAddress
    embedded_database: bool
    pkcs11_module: Path | None
    token_label: str
    pin_file: Path
    pin_file_generated: bool
    listen: values.Listen
    tls_cert: Path
    tls_key: Path
    tls_generated: bool
    allowed_hosts: tuple[str, ...]
    secret_key_file: Path
    workers: int
    handle_cache: int
    keeper_seconds: int
    public_url: str
    session_seconds: int
    session_idle_seconds: int
    client_certificates: str
    trusted_proxies: tuple[values.Network, ...]
    client_certificate_header: str | None
    outbound_allow: values.Reachable
    smtp: values.MailServer | None
    smtp_password_file: Path | None
    mail_from: str
    metrics_listen: tuple[str, int] | None
    log_alarm_minutes: int
    witnesses: tuple[Witness, ...]
    witness_seconds: int
    witness_required: bool
    unsafe_rewritable_record: bool
    epoch_officers: Path | None
    epoch_quorum: int | None
    max_body: int

    @property
    def token_folder(self) -> Path:
        return self.data / "token"

    @property
    def tls_folder(self) -> Path:
        return self.data / "tls"

    @property
    def ca_file(self) -> Path:
        return self.tls_folder / "ca.pem"

    @property
    def certificate_hosts(self) -> tuple[str, ...]:
        """The names the generated certificate stands for; patterns and wildcards cannot be in one."""
        return tuple(host for host in self.allowed_hosts if host != "*" and not host.startswith("."))


def read_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """Read and check the environment. Raises ConfigurationError naming the variable, never its secret value."""
    source = os.environ if variables is None else variables
    unknown = sorted(name for name in source if name.startswith(PREFIX) and name not in _KNOWN)
    if unknown:
        raise ConfigurationError(f"Unknown variable {', '.join(unknown)}. README.md lists the ones that exist.")
    return _assemble({variable.name: _value(variable, source.get(variable.name, "")) for variable in VARIABLES})


def _value(variable: Variable, text: str) -> Any:
    text = text.strip() or variable.default
    if not text:
        return None
    try:
        return variable.parse(text)
    except ValueError as error:
        raise ConfigurationError(f"{variable.name} {error}.") from None


def _assemble(given: dict[str, Any]) -> Environment:
    data = given["KEYSTEAD_DATA"] or CHECKOUT / "var"
    database, owner = _databases(given, data)
    cert, key = given["KEYSTEAD_TLS_CERT"], given["KEYSTEAD_TLS_KEY"]
    if (cert is None) != (key is None):
        raise ConfigurationError("KEYSTEAD_TLS_CERT and KEYSTEAD_TLS_KEY belong together: set both or neither.")
    if (given["KEYSTEAD_EPOCH_OFFICERS"] is None) != (given["KEYSTEAD_EPOCH_QUORUM"] is None):
        raise ConfigurationError("KEYSTEAD_EPOCH_OFFICERS and KEYSTEAD_EPOCH_QUORUM belong together: set both or none.")
    listen: values.Listen = given["KEYSTEAD_LISTEN"]
    listen_host = () if listen.host in _WILDCARD_ADDRESSES else (listen.host,)
    return Environment(
        data=data,
        database=database,
        owner_database=owner,
        embedded_database=given["DATABASE_URL"] is None,
        pkcs11_module=given["KEYSTEAD_PKCS11_MODULE"],
        token_label=given["KEYSTEAD_TOKEN_LABEL"],
        pin_file=given["KEYSTEAD_PIN_FILE"] or data / "token" / "user.pin",
        pin_file_generated=given["KEYSTEAD_PIN_FILE"] is None,
        listen=listen,
        tls_cert=cert or data / "tls" / "server.pem",
        tls_key=key or data / "tls" / "server.key",
        tls_generated=cert is None,
        allowed_hosts=tuple(dict.fromkeys((*_ALWAYS_ALLOWED, *listen_host, *(given["KEYSTEAD_ALLOWED_HOSTS"] or ())))),
        secret_key_file=given["KEYSTEAD_SECRET_KEY_FILE"] or data / "secret_key",
        workers=given["KEYSTEAD_WORKERS"],
        handle_cache=given["KEYSTEAD_HANDLE_CACHE"],
        keeper_seconds=given["KEYSTEAD_KEEPER_SECONDS"],
        public_url=given["KEYSTEAD_PUBLIC_URL"] or _public_url(listen),
        session_seconds=given["KEYSTEAD_SESSION_SECONDS"],
        session_idle_seconds=given["KEYSTEAD_SESSION_IDLE_SECONDS"],
        client_certificates=given["KEYSTEAD_CLIENT_CERTIFICATES"],
        trusted_proxies=given["KEYSTEAD_TRUSTED_PROXIES"] or (),
        client_certificate_header=given["KEYSTEAD_CLIENT_CERTIFICATE_HEADER"],
        outbound_allow=given["KEYSTEAD_OUTBOUND_ALLOW"] or values.Reachable(),
        smtp=given["KEYSTEAD_SMTP_URL"],
        smtp_password_file=given["KEYSTEAD_SMTP_PASSWORD_FILE"],
        mail_from=given["KEYSTEAD_MAIL_FROM"],
        metrics_listen=given["KEYSTEAD_METRICS_LISTEN"],
        log_alarm_minutes=given["KEYSTEAD_LOG_ALARM_MINUTES"],
        witnesses=given["KEYSTEAD_WITNESSES"] or (),
        witness_seconds=given["KEYSTEAD_WITNESS_SECONDS"],
        witness_required=given["KEYSTEAD_WITNESS_REQUIRED"] == "yes",
        unsafe_rewritable_record=given["KEYSTEAD_UNSAFE_REWRITABLE_RECORD"] == "yes",
        epoch_officers=given["KEYSTEAD_EPOCH_OFFICERS"],
        epoch_quorum=given["KEYSTEAD_EPOCH_QUORUM"],
        max_body=given["KEYSTEAD_MAX_BODY"],
    )


def _public_url(listen: values.Listen) -> str:
    """By a name where there is one: a passkey belongs to a name, never to an address (WebAuthn §5.1.2)."""
    nameless = listen.loopback or listen.host in _WILDCARD_ADDRESSES
    return values.origin(listen.scheme, "localhost" if nameless else listen.host, listen.port)


def _databases(given: dict[str, Any], data: Path) -> tuple[DatabaseAddress, DatabaseAddress]:
    server: DatabaseAddress | None = given["DATABASE_URL"]
    owner: DatabaseAddress | None = given["KEYSTEAD_OWNER_DATABASE_URL"]
    if server is None:
        if owner is not None:
            raise ConfigurationError("KEYSTEAD_OWNER_DATABASE_URL needs DATABASE_URL beside it.")
        return embedded_address(data, SERVER_ROLE), embedded_address(data, OWNER_ROLE)
    server = _with_password(server, given, "KEYSTEAD_DATABASE_PASSWORD_FILE")
    if owner is None:
        return server, server
    return server, _with_password(owner, given, "KEYSTEAD_OWNER_DATABASE_PASSWORD_FILE")


def _with_password(address: DatabaseAddress, given: dict[str, Any], name: str) -> DatabaseAddress:
    path: Path | None = given[name]
    if path is None:
        return address
    try:
        return with_password_from(address, path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigurationError(f"{name} cannot be read ({path}): {reason}.") from None
