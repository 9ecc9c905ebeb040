"""Asking TLS clients for certificates: which ones the handshake takes, kept up with what the apps' credentials say.

OpenSSL judges a client's chain in the handshake and Python has no say in it, so the handshake must trust whatever any
app trusts: the union of all pinned certificates and authorities. It proves that the caller has the key and keeps
strangers out early; which app a certificate is good for is judged at login, by that app's own credential alone.

A certificate that no app trusts ends the handshake; a client without one is served. When no app has certificates,
nobody is asked. The event loop calls no database: a thread makes a new context, and connections take the latest.
"""

from __future__ import annotations

import base64
import logging
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import psycopg
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from django.db import DatabaseError, close_old_connections
from django.db.models import Q

from accounts.clock import clock
from accounts.connections import own_connection
from accounts.credentials import end_of
from accounts.models import AppCredential, CredentialKind

logger = logging.getLogger(__name__)

CHANNEL = "keystead_client_trust"  # notified by triggers (accounts' migrations)
FIRST_LOOK_SECONDS = 5.0
POLL_SECONDS = 5.0  # a notification may be lost, and an overlap ends without one

_AT_ONCE = 50  # OpenSSL reads certificates without letting other threads run

Anchors = tuple[bytes, ...]
# What credentials say, of whom: an app's id and the certificates that it trusts.
Stated = tuple[tuple[str, tuple[str, ...]], ...]


class ClientTrust(ssl.SSLContext):
    """The context that the server listens with: each connection gets the latest of the real ones.

    A store of OpenSSL's only grows, so what is not trusted any more needs a new context. Tickets are of one context, so
    none outlives the trust it was issued under.
    """

    _latest: ssl.SSLContext
    _make: Callable[[], ssl.SSLContext]

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        return self._latest.wrap_bio(*arguments, **options)

    def trust(self, anchors: Anchors) -> None:
        """From the next connection on."""
        context = self._make()
        if anchors:
            for start in range(0, len(anchors), _AT_ONCE):
                context.load_verify_locations(cadata=b"".join(anchors[start : start + _AT_ONCE]))
            # A certificate that is pinned is its own anchor, and so is an intermediate authority that an app trusts.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.verify_mode = ssl.CERT_OPTIONAL
        self._latest = context


def client_trust(_config: object, make: Callable[[], ssl.SSLContext]) -> ClientTrust:
    """Uvicorn's factory. Trusts nobody until it is told; ``make`` gives the server's own context, anew each time."""
    made = ClientTrust(ssl.PROTOCOL_TLS_SERVER)
    made._make = make
    made.trust(())
    return made


def start(trust: ClientTrust) -> Follower:
    """Trust what the database says now, and follow it in a thread until the process ends.

    The caller may be on the event loop, which may wait for a thread but not ask the database itself.
    """
    follower = Follower(trust)
    threading.Thread(target=follower.run, name="client-trust", daemon=True).start()
    follower.looked.wait(FIRST_LOOK_SECONDS)  # without a database the thread goes on trying, and nobody is trusted
    return follower


class Follower:
    """Keeps one context up to date. It has a connection of its own to listen on."""

    def __init__(self, trust: ClientTrust) -> None:
        self._trust = trust
        self._stated: Stated = ()
        self._stopped = threading.Event()
        self.looked = threading.Event()

    def stop(self) -> None:
        """With the next notification, or the next poll."""
        self._stopped.set()

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._follow()
            except Exception as error:
                # The last trust stays, and logins are judged anew anyway; a thread that ended would freeze it.
                defect = not isinstance(error, psycopg.Error | DatabaseError)
                reason = type(error).__name__
                logger.warning("client certificates: apps' credentials cannot be followed: %s", reason, exc_info=defect)
                self._stopped.wait(POLL_SECONDS)

    def _follow(self) -> None:
        with own_connection() as listening:
            listening.execute(f"LISTEN {CHANNEL}")
            while not self._stopped.is_set():
                self.look()
                self.looked.set()
                for _ in listening.notifies(timeout=POLL_SECONDS, stop_after=1):
                    pass

    def look(self) -> None:
        """One look at the credentials; the context changes when they did."""
        try:
            stated = stated_by(_credentials())
        finally:
            close_old_connections()
        if stated != self._stated:
            self._trust.trust(anchors_of(stated))
            self._stated = stated
        self.looked.set()


def _credentials() -> Iterator[AppCredential]:
    """Of apps that may log in, those that hold now, the oldest first."""
    now = clock.now()
    rows = AppCredential.objects.filter(
        Q(replaced_at__isnull=True) | Q(valid_until__gt=now),
        kind__in=(CredentialKind.CERTIFICATE, CredentialKind.TRUSTED_CA),
        app__enabled=True,
        app__account__enabled=True,
    )
    for row in rows.order_by("created_at", "id"):
        ends_at = end_of(row)
        if ends_at is None or ends_at > now:
            yield row


def stated_by(rows: Iterable[AppCredential]) -> Stated:
    return tuple((str(row.app_id), tuple(_texts(row))) for row in rows)


def _texts(row: AppCredential) -> Sequence[str]:
    if row.kind == CredentialKind.CERTIFICATE:
        return (row.config.get("certificate", ""),)
    return row.config.get("ca_certificates") or ()


def anchors_of(stated: Stated) -> Anchors:
    """What a handshake has to trust for these, each once, the oldest first."""
    kept = _Kept()
    for app, texts in stated:
        for text in texts:
            kept.add(text, app)
    return tuple(kept.anchors)


class _Kept:
    """Anchors that do not get into each other's way.

    OpenSSL finds an issuer by its name and key identifier and does not look for another when the signature fails. So an
    app's authority that has the name and identifier of another app's, but not its key, would end the handshakes of that
    other app's clients; and one with the name of a pinned certificate's issuer, those of the pinned one. Who came first
    stays; who comes with somebody else's name is not trusted in the handshake.
    """

    def __init__(self) -> None:
        self.anchors: dict[bytes, None] = {}
        self._by_name: dict[bytes, list[x509.Certificate]] = {}
        self._by_issuer: dict[bytes, list[x509.Certificate]] = {}

    def add(self, text: str, app: str) -> None:
        try:
            der = base64.b64decode(text, validate=True)
            certificate = x509.load_der_x509_certificate(der)
            name, issuer = certificate.subject.public_bytes(), certificate.issuer.public_bytes()
            if der in self.anchors:
                return
            in_the_way = self._in_the_way(certificate, name)
        except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension):
            logger.warning("client certificates: a certificate of app %s cannot be read", app)
            return
        if in_the_way:
            logger.warning("client certificates: app %s trusts one that passes for another app's; left out", app)
            return
        self.anchors[der] = None
        self._by_name.setdefault(name, []).append(certificate)
        self._by_issuer.setdefault(issuer, []).append(certificate)

    def _in_the_way(self, certificate: x509.Certificate, name: bytes) -> bool:
        identifier = _identifier(certificate)
        for other in self._by_name.get(name, ()):
            theirs = _identifier(other)
            confused = identifier is None or theirs is None or identifier == theirs
            if confused and other.public_key() != certificate.public_key():
                return True
        return any(_would_be_mistaken(certificate, identifier, issued) for issued in self._by_issuer.get(name, ()))


def _identifier(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None


def _would_be_mistaken(candidate: x509.Certificate, identifier: bytes | None, issued: x509.Certificate) -> bool:
    """As the issuer of ``issued``, whose name it has: not told apart by key identifier, and it did not sign it."""
    try:
        wanted = issued.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        wanted = None
    if wanted is not None and identifier is not None and wanted != identifier:
        return False
    try:
        issued.verify_directly_issued_by(candidate)
    except (ValueError, TypeError, InvalidSignature):
        return True
    return False
