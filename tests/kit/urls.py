"""Addresses that no setting may make the server call, in every spelling that some reader takes for one of them."""

from __future__ import annotations

import socket
from typing import Any

_HOSTS = (
    "127.0.0.1",
    "127.0.0.2:8080",
    "127.255.255.254",
    "0.0.0.0",
    "localhost",
    "LOCALHOST.",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff02::1]",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "00127.0.0.1",
    "127.0.0.0x1",
    "user@127.0.0.1",
    "user:password@login.example.org",
    "@127.0.0.1",
    "login.example.org@127.0.0.1",
    "127.0.0.1\\@login.example.org",
    "login.example.org\\",
    "%31%32%37.0.0.1",
    "１２７.0.0.1",  # noqa: RUF001 - full-width digits, which NFKC makes ASCII
    "127。0。0。1",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "login.example.org#@127.0.0.1",
    "login.example.org\r\nHost: x",
    "login.example.org\t",
    " 127.0.0.1",
    "",
    ":443",
    "[::1",
    "login.example.org:99999",
    "login.example.org:port",
    "*",
)
_OTHERS = (
    "http://login.example.org/",
    "HTTP://login.example.org/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:25/_HELO",
    "ftp://login.example.org/",
    "ldap://login.example.org/",
    "dict://127.0.0.1:11211/",
    "data:application/json,{}",
    "jar:https://login.example.org!/",
    "unix:/run/postgresql",
    "//login.example.org/",
    "login.example.org",
    "https:login.example.org",
    "https:///login.example.org",
    "javascript:alert(1)",
    "https://login.example.org/" + "a" * 3000,
    "https://login.example.org/a b",
    "https://login.example.org/\x00",
)
FORBIDDEN_URLS = tuple(f"https://{host}/" for host in _HOSTS) + _OTHERS

# Names look public until they are resolved.
NAMES = {
    "loopback.example.org": ("127.0.0.1",),
    "metadata.example.org": ("169.254.169.254",),
    "private.example.org": ("10.0.0.1",),
    "six.example.org": ("::1",),
    "mapped.example.org": ("::ffff:127.0.0.1",),
    "scoped.example.org": ("fe80::1%eth0",),
    "mixed.example.org": ("93.184.216.34", "127.0.0.1"),
}
RESOLVED_URLS = tuple(f"https://{name}/" for name in NAMES)


def forbidden_resolver(host: str, *_: Any, **__: Any) -> list[Any]:
    """In place of socket.getaddrinfo."""
    if host not in NAMES:
        raise socket.gaierror(host)
    families = {True: socket.AF_INET6, False: socket.AF_INET}
    return [(families[":" in found], socket.SOCK_STREAM, 6, "", (found, 0)) for found in NAMES[host]]
