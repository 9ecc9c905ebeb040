"""Addresses of databases: DATABASE_URL taken apart, and where the embedded PostgreSQL listens.

Pure apart from `password_from_file`. Knows nothing of Django's connections, nor how a server is started.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

DATABASE_NAME = "keystead"
SERVER_ROLE = "keystead_server"
OWNER_ROLE = "keystead_owner"
SOCKET_PORT = 5432  # part of the socket's file name, .s.PGSQL.5432; no TCP port is opened

# sun_path holds 108 bytes on Linux and 104 on BSD, with the closing NUL; the file name takes 14 with its slash.
_LONGEST_SOCKET_DIRECTORY = 103 - len("/.s.PGSQL.5432")

# What libpq may be told through the address. A password in the query would end in the process list of psql: refused.
_OPTIONS = frozenset(
    {
        "application_name",
        "connect_timeout",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "options",
        "sslcert",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "target_session_attrs",
        "tcp_user_timeout",
    }
)


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """One role's way into one PostgreSQL database. `host` is a name, an address, or the folder of a unix socket."""

    name: str
    user: str = ""
    password: str = field(default="", repr=False)
    host: str = ""
    port: int | None = None
    options: tuple[tuple[str, str], ...] = ()

    def as_django(self) -> dict[str, Any]:
        """The connection part of a Django DATABASES entry."""
        return {
            "ENGINE": "kms.config.database_engine",
            "NAME": self.name,
            "USER": self.user,
            "PASSWORD": self.password,
            "HOST": self.host,
            "PORT": "" if self.port is None else str(self.port),
            "OPTIONS": dict(self.options),
        }

    def same_role_as(self, other: DatabaseAddress) -> bool:
        return self.user == other.user


def parse_database_url(url: str) -> DatabaseAddress:
    """`postgresql://user:password@host:port/name?sslmode=…`, or `postgresql://user@/name?host=/folder/of/socket`.

    Every part may be percent-encoded; a unix socket's folder may also stand, encoded, in the place of the host.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ValueError(f"must start with postgresql://, not {parts.scheme or 'nothing'}://")
    if parts.fragment:
        raise ValueError("has a '#': write it as %23")
    try:
        query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ValueError("has a query that is not name=value&name=value") from None
    try:
        port = parts.port
    except ValueError:
        raise ValueError("has a port that is not a number between 0 and 65535") from None
    host = query.pop("host", "") or _authority_host(parts.netloc)
    if "port" in query:
        port = _port(query.pop("port"))
    name = parts.path.removeprefix("/")
    if not name:
        raise ValueError("names no database: it ends in /name")
    if "/" in name:
        raise ValueError("has more than one '/' after the host: write one in a name as %2F")
    unknown = sorted(query.keys() - _OPTIONS)
    if unknown:
        raise ValueError(f"has an unknown option: {', '.join(unknown)}")
    return DatabaseAddress(
        name=unquote(name),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        host=host,
        port=port,
        options=tuple(sorted(query.items())),
    )


def _authority_host(netloc: str) -> str:
    """The host as written: urlsplit().hostname would lower-case a socket's folder."""
    host_and_port = netloc.rpartition("@")[2]
    if host_and_port.startswith("["):
        return host_and_port[1:].partition("]")[0]
    return unquote(host_and_port.partition(":")[0])


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ValueError("has a port that is not a number between 0 and 65535")
    return int(text)


def embedded_address(data: Path, role: str) -> DatabaseAddress:
    """Where the embedded PostgreSQL of this data folder answers; the same in every process, running or not."""
    return DatabaseAddress(
        name=DATABASE_NAME,
        user=role,
        host=str(socket_directory(data)),
        port=SOCKET_PORT,
    )


def socket_directory(data: Path) -> Path:
    """The folder of the unix socket: in the data folder, or under the temporary folder when that path is too long."""
    inside = data / "run"
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET_DIRECTORY:
        return inside
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"keystead-{os.geteuid()}-{digest}"


def with_password_from(address: DatabaseAddress, path: Path) -> DatabaseAddress:
    """The address with the first line of a file as its password."""
    return replace(address, password=path.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r"))
