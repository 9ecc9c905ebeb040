"""TLS as we want it: which authorities, which public keys, which certificate of our own."""

from __future__ import annotations

import hashlib
import ssl
from typing import cast

from k8s.client.settings import CredentialSettings, ServerSettings, pin_digest


def tls_context(server: ServerSettings, credential: CredentialSettings) -> ssl.SSLContext:
    """OSError or ssl.SSLError when a file is not there or not what it should be."""
    context = ssl.create_default_context(cafile=server.ca_file or None, cadata=server.ca or None)
    if credential.certificate_file:
        context.load_cert_chain(credential.certificate_file, credential.key_file)
    if server.pins:
        context.sslsocket_class = _pinned(frozenset(map(pin_digest, server.pins)))
    return context


def _pinned(pins: frozenset[bytes]) -> type[ssl.SSLSocket]:
    """Sockets whose handshake fails unless the server's own key is pinned: before anything of ours is sent."""

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            # The server's own certificate: of the chain that was verified Python shows no more before 3.13.
            if spki_digest(cast(bytes, self.getpeercert(binary_form=True))) not in pins:
                raise ssl.SSLCertVerificationError("the server's public key is not a pinned one")

    return PinnedSocket


def spki_digest(certificate: bytes) -> bytes:
    # It takes 25 MB, and only those who pin need it.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = x509.load_der_x509_certificate(certificate).public_key()
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
