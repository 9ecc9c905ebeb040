"""HTTP over TLS as uvicorn speaks it, with the client's certificate in every request's scope.

It is read once a connection. Whether anybody trusts it is not judged here.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import OrderedDict
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from accounts.certificates import PresentedCertificate
from kms.api.proxy import SCOPE_KEY

MAX_REMEMBERED = 4096


class _Companions:
    """What came along with a leaf at its full handshake: a resumed session brings back the leaf alone.

    Tickets are of one process, so it is this one that saw the full handshake. Forgetting is safe: the caller's chain is
    then incomplete.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._others: OrderedDict[bytes, tuple[bytes, ...]] = OrderedDict()

    def put(self, certificate: PresentedCertificate) -> None:
        with self._lock:
            self._others[certificate.thumbprint] = certificate.others
            self._others.move_to_end(certificate.thumbprint)
            while len(self._others) > MAX_REMEMBERED:
                self._others.popitem(last=False)

    def of(self, leaf: PresentedCertificate) -> tuple[bytes, ...]:
        with self._lock:
            return self._others.get(leaf.thumbprint, ())


_companions = _Companions()


class CertificateProtocol(HttpToolsProtocol):
    """uvicorn's protocol; it adds one key to the scope."""

    certificate: PresentedCertificate | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.certificate = presented(tls)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self.certificate is not None:
            scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # a TypedDict without our key
            scope[SCOPE_KEY] = self.certificate


def presented(tls: ssl.SSLObject) -> PresentedCertificate | None:
    """The certificate of the connection's client, if it showed one."""
    leaf = tls.getpeercert(binary_form=True)
    if not leaf:
        return None
    if tls.session_reused:
        alone = PresentedCertificate(leaf)
        return PresentedCertificate(leaf, _companions.of(alone))
    certificate = PresentedCertificate(leaf, tuple(other for other in _chain(tls) if other != leaf))
    if certificate.others:
        _companions.put(certificate)
    return certificate


def _chain(tls: ssl.SSLObject) -> list[bytes]:
    """As it was sent. Public since Python 3.13; before that it is one level down, in certificates of OpenSSL's."""
    public = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return [bytes(der) for der in public()]
    inner = tls._sslobj  # type: ignore[attr-defined]  # not public yet
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in inner.get_unverified_chain() or ()]
