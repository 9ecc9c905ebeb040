"""A certificate put into a TLS context that serves already: handshakes from then on show it."""

from __future__ import annotations

import os
import ssl


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def exchange(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """ssl.SSLError: they are none, or do not belong together. OpenSSL reads files only: this one is memory."""
    file = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(file, certificate.rstrip() + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
