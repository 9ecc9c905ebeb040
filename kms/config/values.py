"""How the text of an environment variable becomes a value: one parser a kind; ValueError says what it must be."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kms.audit.cosignature import Witness, witness_key

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
class MailServer:
    """Where mail is handed in (RFC 5321). Without ``implicit_tls`` (port 465) STARTTLS is demanded off loopback."""

    host: str
    port: int
    username: str | None
    implicit_tls: bool

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class Reachable:
    """What the server may call beyond public addresses, when an administrator's setting names it."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def text(value: str) -> str:
    return value


def path(value: str) -> Path:
    return Path(os.path.abspath(Path(value).expanduser()))


def listen(value: str) -> Listen:
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


def socket_address(value: str) -> tuple[str, int]:
    parts = urlsplit(f"//{value}")
    if not parts.hostname or not parts.port or parts.netloc != value or parts.username:
        raise ValueError("must be host:port and nothing more")
    return parts.hostname, parts.port


def hosts(value: str) -> tuple[str, ...]:
    hosts = tuple(dict.fromkeys(part.strip().lower() for part in value.split(",") if part.strip()))
    for host in hosts:
        if "/" in host or " " in host:
            raise ValueError(f"holds {host!r}: host names and addresses only, separated by commas, no scheme, no port")
    return hosts


def between(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit()) or not lowest <= int(value) <= highest:
            raise ValueError(f"must be a whole number from {lowest} to {highest}")
        return int(value)

    return parse


def token_label(value: str) -> str:
    # CK_TOKEN_INFO.label is 32 bytes, padded with blanks.
    if not 1 <= len(value.encode()) <= 32 or value != value.strip():
        raise ValueError("must be 1 to 32 bytes, without blanks around it")
    return value


def url(value: str) -> str:
    """Where browsers and tokens find this server: an origin, without a path."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise ValueError("must be https://host or https://host:port")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be scheme://host:port and nothing more")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must be https:// off loopback")
    return origin(parts.scheme, parts.hostname, parts.port)


def origin(scheme: str, host: str, port: int | None) -> str:
    """As browsers write one: lower case, and no port where it is the scheme's own (RFC 6454 §6.2)."""
    name = f"[{host}]" if ":" in host else host
    own = port in (None, {"https": 443, "http": 80}[scheme])
    return f"{scheme}://{name}".lower() + ("" if own else f":{port}")


def witnesses(value: str) -> tuple[Witness, ...]:
    """``KEY URL``, separated by commas; a key has neither blanks nor commas in it."""
    found = tuple(_witness(part.split()) for part in value.split(",") if part.strip())
    if len({witness.key.label for witness in found}) < len(found):
        raise ValueError("names one witness twice")
    return found


def _witness(words: list[str]) -> Witness:
    if len(words) != 2:
        raise ValueError("must be a witness's verifier key and its address, for several with commas between them")
    key, address = words
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ValueError("must give an address that starts with https://")
    if parts.query or parts.fragment:
        raise ValueError("must give an address without ? and #")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must give an address that starts with https:// off loopback")
    try:
        return Witness(witness_key(key), address)
    except ValueError as error:
        raise ValueError(f"holds a key that {error}") from None


def mail_server(value: str) -> MailServer:
    parts = urlsplit(value)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("must be smtp://user@host:port, or smtps:// for TLS from the start")
    if parts.password is not None:
        raise ValueError("must not hold a password; KEYSTEAD_SMTP_PASSWORD_FILE names the file with it")
    implicit = parts.scheme == "smtps"
    username = None if parts.username is None else unquote(parts.username)
    return MailServer(parts.hostname, parts.port or (465 if implicit else 587), username, implicit)


def networks(value: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be addresses or CIDR ranges, separated by commas") from None


def reachable(value: str) -> Reachable:
    """Addresses, ranges and host names, mixed."""
    ranges: list[Network] = []
    names: list[str] = []
    for part in filter(None, (part.strip().lower() for part in value.split(","))):
        try:
            ranges.append(ipaddress.ip_network(part))
        except ValueError:
            names.extend(hosts(part))
    return Reachable(tuple(ranges), frozenset(names))


def header_name(value: str) -> str:
    """A field name of HTTP (RFC 9110 §5.1) without underscores, which some servers take for hyphens."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", value):
        raise ValueError("must be the name of a header: letters, digits and hyphens")
    return value.lower()


def one_of(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return value

    return parse


def email(value: str) -> str:
    if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", value):
        raise ValueError("must be an e-mail address")
    return value
