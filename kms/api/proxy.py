"""Who is at the other end: the TLS peer, or whom a trusted proxy speaks for.

A header is evidence only when the peer is a proxy that the operator named (KEYSTEAD_TRUSTED_PROXIES); from anybody else
it is not even looked at. Headers are read as they came, in bytes and under their own names: CGI's names, which Django's
META keeps, make one of ``X-Ssl-Cert`` and ``X_SSL_CERT``. It must not know routes, apps or rights.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from django.conf import settings

from accounts.certificates import PresentedCertificate

# Where the server's protocol puts the certificate of the connection (kms.config.protocol).
SCOPE_KEY = "keystead.certificate"

MAX_HOPS = 32
MAX_CERTIFICATE_HEADER = 32 * 1024
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
_FORWARDED_FOR = b"x-forwarded-for"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Peer(NamedTuple):
    """The caller as the outside shows it. A tuple, because one is made in every call."""

    client_ip: str | None
    certificate: PresentedCertificate | None


def peer_of(scope: Mapping[str, Any]) -> Peer:
    client = scope.get("client")
    address = client[0] if client else None
    if settings.KEYSTEAD.trusted_proxies and address is not None and _trusted(_address(address)):
        return _behind_proxy(address, scope["headers"])
    return Peer(address, scope.get(SCOPE_KEY))


def _behind_proxy(proxy: str, headers: list[tuple[bytes, bytes]]) -> Peer:
    """The connection's own certificate is the proxy's, and never its caller's."""
    hops = [hop for name, value in headers if name == _FORWARDED_FOR for hop in value.decode("latin-1").split(",")]
    name = settings.KEYSTEAD.client_certificate_header
    given = [] if name is None else [value for key, value in headers if key == name.encode()]
    # Two lines are one too many: the proxy adds its own to the caller's instead of replacing it.
    certificate = _certificate(given[0]) if len(given) == 1 else None
    return Peer(_nearest_stranger(proxy, hops[-MAX_HOPS:]), certificate)


def _nearest_stranger(proxy: str, hops: list[str]) -> str:
    """The last address that no trusted proxy has: what stands before it is hearsay. Text that is no address ends it."""
    nearest = proxy
    for hop in reversed(hops):
        address = _address(hop)
        if address is None:
            break
        nearest = str(address)
        if not _trusted(address):
            break
    return nearest


def _address(text: str) -> Address | None:
    """IPv4 in IPv6 is IPv4. Some proxies add a port, and brackets for that."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped


def _trusted(address: Address | None) -> bool:
    return address is not None and any(address in network for network in settings.KEYSTEAD.trusted_proxies)


@lru_cache(maxsize=256)
def _certificate(value: bytes) -> PresentedCertificate | None:
    """URL-encoded PEM, leaf first (nginx's $ssl_client_escaped_cert), or a byte sequence (RFC 9440 §2.1).

    What is neither is no certificate; so is the empty value that proxies send when there is none.
    """
    value = value.strip()
    if not value or len(value) > MAX_CERTIFICATE_HEADER:
        return None
    try:
        if value.startswith(b":") and value.endswith(b":") and len(value) > 2:
            return PresentedCertificate(base64.b64decode(value[1:-1], validate=True))
        leaf, *others = _ders(unquote_to_bytes(value))
    except ValueError:  # binascii.Error, a PEM that is none
        return None
    return PresentedCertificate(leaf, tuple(others))


def _ders(pem: bytes) -> list[bytes]:
    parts = pem.split(_BEGIN)
    if parts[0].strip() or len(parts) < 2:
        raise ValueError("not PEM")
    return [_der(part) for part in parts[1:]]


def _der(part: bytes) -> bytes:
    body, end, rest = part.partition(_END)
    if not end or rest.strip():
        raise ValueError("not PEM")
    return base64.b64decode(b"".join(body.split()), validate=True)
