"""What the process is told from outside: every environment variable Keystead reads, in one table.

The rest of the house asks `settings.KEYSTEAD`; nobody else reads os.environ. Knows nothing of Django, and opens no file
but the two that hold database passwords. README.md repeats the table, and a test compares the two.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
class Listen:
    """Where the server answers."""

    scheme: str
    host: str
    port: int

    @property
    def tls(self) -> bool:
        return self.scheme == "https"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self._bracketed}:{self.port}"

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


@dataclass(frozen=True, slots=True)
class Variable:
    """One row of the table: a name, how its text is read, and what holds when it is not set."""

    name: str
    parse: Callable[[str], Any]
    default: str
    meaning: str


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _text(value: str) -> str:
    return value


def _path(value: str) -> Path:
    return Path(os.path.abspath(Path(value).expanduser()))


def _listen(value: str) -> Listen:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"}:
        raise ValueError("must start with https:// (or http:// on a loopback address)")
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise ValueError("must be scheme://host:port and nothing more")
    listen = Listen(parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
    if not listen.tls and not listen.loopback:
        raise ValueError(
            f"may not be http:// on {listen.host}: keys and passwords would cross the network in clear. "
            "Use https://, or http:// on 127.0.0.1, ::1 or localhost"
        )
    return listen


def _hosts(value: str) -> tuple[str, ...]:
    hosts = tuple(dict.fromkeys(part.strip().lower() for part in value.split(",") if part.strip()))
    for host in hosts:
        if "/" in host or " " in host:
            raise ValueError(f"holds {host!r}: host names and addresses only, separated by commas, no scheme, no port")
    return hosts


def _between(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit()) or not lowest <= int(value) <= highest:
            raise ValueError(f"must be a whole number from {lowest} to {highest}")
        return int(value)

    return parse


def _token_label(value: str) -> str:
    # CK_TOKEN_INFO.label is 32 bytes, padded with blanks.
    if not 1 <= len(value.encode()) <= 32 or value != value.strip():
        raise ValueError("must be 1 to 32 bytes, without blanks around it")
    return value


VARIABLES: tuple[Variable, ...] = (
    Variable(
        "KEYSTEAD_DATA",
        _path,
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
        "Address of the role that owns the tables and migrates. Empty: the role that serves (not advised).",
    ),
    Variable(
        "KEYSTEAD_DATABASE_PASSWORD_FILE",
        _path,
        "",
        "File whose first line is the password for `DATABASE_URL`.",
    ),
    Variable(
        "KEYSTEAD_OWNER_DATABASE_PASSWORD_FILE",
        _path,
        "",
        "File whose first line is the password for `KEYSTEAD_OWNER_DATABASE_URL`.",
    ),
    Variable(
        "KEYSTEAD_PKCS11_MODULE",
        _path,
        "",
        "PKCS#11 library of the token. Empty: SoftHSM 2 where the distribution installs it.",
    ),
    Variable("KEYSTEAD_TOKEN_LABEL", _token_label, "keystead", "Label of the token that holds the master keys."),
    Variable(
        "KEYSTEAD_PIN_FILE",
        _path,
        "",
        "File whose first line is the token's user PIN. Empty: `token/user.pin` in the data folder.",
    ),
    Variable(
        "KEYSTEAD_LISTEN",
        _listen,
        "https://127.0.0.1:8443",
        "Address the server answers on. `http://` is refused off loopback.",
    ),
    Variable(
        "KEYSTEAD_TLS_CERT",
        _path,
        "",
        "Certificate chain in PEM. Empty: one made by Keystead's own CA, `tls/ca.pem` in the data folder.",
    ),
    Variable("KEYSTEAD_TLS_KEY", _path, "", "Private key in PEM, together with `KEYSTEAD_TLS_CERT`."),
    Variable(
        "KEYSTEAD_ALLOWED_HOSTS",
        _hosts,
        "",
        "Host names the server answers to, separated by commas, beside `localhost`, `127.0.0.1`, `::1` and the"
        " listen address.",
    ),
    Variable(
        "KEYSTEAD_SECRET_KEY_FILE",
        _path,
        "",
        "File with Django's secret key. Empty: `secret_key` in the data folder.",
    ),
    Variable("KEYSTEAD_WORKERS", _between(1, 256), "2", "Server processes."),
    Variable(
        "KEYSTEAD_HANDLE_CACHE",
        _between(1, 1_000_000),
        "2000",
        "Opened keys each process keeps in the token.",
    ),
    Variable(
        "KEYSTEAD_KEEPER_SECONDS",
        _between(1, 3600),
        "20",
        "How often a process looks for keys whose rotation is due.",
    ),
    Variable(
        "KEYSTEAD_MAX_BODY",
        _between(1024, 1024**3),
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
    listen: Listen
    tls_cert: Path
    tls_key: Path
    tls_generated: bool
    allowed_hosts: tuple[str, ...]
    secret_key_file: Path
    workers: int
    handle_cache: int
    keeper_seconds: int
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
    values = {variable.name: _value(variable, source.get(variable.name, "")) for variable in VARIABLES}
    return _assemble(values)


def _value(variable: Variable, text: str) -> Any:
    text = text.strip() or variable.default
    if not text:
        return None
    try:
        return variable.parse(text)
    except ValueError as error:
        raise ConfigurationError(f"{variable.name} {error}.") from None


def _assemble(values: dict[str, Any]) -> Environment:
    data = values["KEYSTEAD_DATA"] or CHECKOUT / "var"
    database, owner = _databases(values, data)
    cert, key = values["KEYSTEAD_TLS_CERT"], values["KEYSTEAD_TLS_KEY"]
    if (cert is None) != (key is None):
        raise ConfigurationError("KEYSTEAD_TLS_CERT and KEYSTEAD_TLS_KEY belong together: set both or neither.")
    listen: Listen = values["KEYSTEAD_LISTEN"]
    listen_host = () if listen.host in _WILDCARD_ADDRESSES else (listen.host,)
    return Environment(
        data=data,
        database=database,
        owner_database=owner,
        embedded_database=values["DATABASE_URL"] is None,
        pkcs11_module=values["KEYSTEAD_PKCS11_MODULE"],
        token_label=values["KEYSTEAD_TOKEN_LABEL"],
        pin_file=values["KEYSTEAD_PIN_FILE"] or data / "token" / "user.pin",
        pin_file_generated=values["KEYSTEAD_PIN_FILE"] is None,
        listen=listen,
        tls_cert=cert or data / "tls" / "server.pem",
        tls_key=key or data / "tls" / "server.key",
        tls_generated=cert is None,
        allowed_hosts=tuple(dict.fromkeys((*_ALWAYS_ALLOWED, *listen_host, *(values["KEYSTEAD_ALLOWED_HOSTS"] or ())))),
        secret_key_file=values["KEYSTEAD_SECRET_KEY_FILE"] or data / "secret_key",
        workers=values["KEYSTEAD_WORKERS"],
        handle_cache=values["KEYSTEAD_HANDLE_CACHE"],
        keeper_seconds=values["KEYSTEAD_KEEPER_SECONDS"],
        max_body=values["KEYSTEAD_MAX_BODY"],
    )


def _databases(values: dict[str, Any], data: Path) -> tuple[DatabaseAddress, DatabaseAddress]:
    server: DatabaseAddress | None = values["DATABASE_URL"]
    owner: DatabaseAddress | None = values["KEYSTEAD_OWNER_DATABASE_URL"]
    if server is None:
        if owner is not None:
            raise ConfigurationError("KEYSTEAD_OWNER_DATABASE_URL needs DATABASE_URL beside it.")
        return embedded_address(data, SERVER_ROLE), embedded_address(data, OWNER_ROLE)
    server = _with_password(server, values, "KEYSTEAD_DATABASE_PASSWORD_FILE")
    if owner is None:
        return server, server
    return server, _with_password(owner, values, "KEYSTEAD_OWNER_DATABASE_PASSWORD_FILE")


def _with_password(address: DatabaseAddress, values: dict[str, Any], name: str) -> DatabaseAddress:
    path: Path | None = values[name]
    if path is None:
        return address
    try:
        return with_password_from(address, path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigurationError(f"{name} cannot be read ({path}): {reason}.") from None
