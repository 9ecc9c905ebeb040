"""Certificate revocation lists (RFC 5280 §5 and §6.3): stored with a credential, or fetched where a certificate says.

What is not known to be good is refused: no list, an expired one, another issuer's, or one that says more than is
understood here. Fetching is apart from judging, so that nobody waits for a network inside a transaction. Only
certificates of a chain that was verified may name an address to fetch from.
"""

from __future__ import annotations

import base64
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from accounts import outbound
from accounts.errors import NotAuthenticated

SCHEMES = ("http", "https")  # a list is signed; §4.2.1.13 warns of https, which may need a list itself
REFRESH_SECONDS = 600.0  # a list is good until its next update, but a newer one may be out
RETRY_SECONDS = 15.0
DEADLINE_SECONDS = 10.0
MAX_ADDRESSES = 2  # of one certificate
MAX_LISTS = 256

_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_KNOWN_CRITICAL = (x509.IssuingDistributionPoint, x509.CRLNumber, x509.AuthorityKeyIdentifier)
_KNOWN_CRITICAL_OF_ENTRY = (x509.CRLReason, x509.InvalidityDate)


class Unusable(Exception):
    """A list that says nothing about this certificate."""


@dataclass(frozen=True, slots=True)
class _Held:
    found: x509.CertificateRevocationList | None
    due_at: float


class Lists:
    """Lists by address, of this process. A list that cannot be had again stays until it expires by itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def held(self, url: str) -> x509.CertificateRevocationList | None:
        with self._lock:
            entry = self._held.get(url)
        return None if entry is None else entry.found

    def refresh(self, chain: Sequence[x509.Certificate]) -> None:
        """Fetch what is missing or may be out of date. Waits for the network; failures show when it is judged."""
        ends = time.monotonic() + DEADLINE_SECONDS
        for certificate in chain[:-1]:
            for url in _addresses(certificate):
                with self._lock:
                    entry = self._held.get(url)
                if (entry is None or entry.due_at <= time.monotonic()) and time.monotonic() < ends:
                    self._put(url, _fetched(url))

    def clear(self) -> None:
        with self._lock:
            self._held.clear()

    def _put(self, url: str, found: x509.CertificateRevocationList | None) -> None:
        with self._lock:
            before = self._held.pop(url, None)
            pause = RETRY_SECONDS if found is None else REFRESH_SECONDS
            if before is not None and before.found is not None and _older(found, before.found):
                found = before.found  # unreachable, or an old list played again
            self._held[url] = _Held(found, time.monotonic() + pause)
            while len(self._held) > MAX_LISTS:
                self._held.popitem(last=False)


lists = Lists()


def check(chain: Sequence[x509.Certificate], stored: Iterable[str], now: datetime) -> datetime:
    """Until when every certificate but the authority's own is known to be good; raises NotAuthenticated."""
    parsed = [_stored(text) for text in stored]
    if len(chain) < 2:
        raise NotAuthenticated("revocation-unknown")
    return min(_check(certificate, issuer, parsed, now) for certificate, issuer in pairwise(chain))


def _check(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    stored: Iterable[x509.CertificateRevocationList],
    now: datetime,
) -> datetime:
    ends = []
    for found, url in _candidates(certificate, stored):
        try:
            ends.append(_judge(found, certificate, issuer, now, url=url))
        except Unusable:
            continue
        if found.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            raise NotAuthenticated("certificate-revoked")
    if not ends:
        raise NotAuthenticated("revocation-unknown")
    return max(ends)


def _candidates(
    certificate: x509.Certificate, stored: Iterable[x509.CertificateRevocationList]
) -> Iterator[tuple[x509.CertificateRevocationList, str | None]]:
    for found in stored:
        yield found, None
    for url in _addresses(certificate):
        fetched = lists.held(url)
        if fetched is not None:
            yield fetched, url


def _judge(
    found: x509.CertificateRevocationList,
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    now: datetime,
    *,
    url: str | None,
) -> datetime:
    """When the list ends; raises Unusable (§6.3.3)."""
    next_update = found.next_update_utc
    if found.last_update_utc > now or next_update is None or next_update <= now:
        raise Unusable
    if found.issuer.public_bytes() != certificate.issuer.public_bytes() or not _may_sign_lists(issuer):
        raise Unusable
    if not isinstance(found.signature_hash_algorithm, _HASHES) and found.signature_hash_algorithm is not None:
        raise Unusable
    try:
        if not found.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]  # other keys raise
            raise Unusable
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise Unusable from None
    _refuse_partial(found, certificate, url)
    return next_update


def _may_sign_lists(issuer: x509.Certificate) -> bool:
    try:
        return bool(issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign)
    except x509.ExtensionNotFound:
        return True  # §6.3.3 f: only if the extension is there


def _refuse_partial(found: x509.CertificateRevocationList, certificate: x509.Certificate, url: str | None) -> None:
    """Deltas, indirect lists, lists of some reasons, of other kinds or places, and what nobody here has heard of."""
    for extension in found.extensions:
        if extension.critical and not isinstance(extension.value, _KNOWN_CRITICAL):
            raise Unusable
        if isinstance(extension.value, x509.DeltaCRLIndicator):
            raise Unusable
        if isinstance(extension.value, x509.IssuingDistributionPoint):
            _refuse_elsewhere(extension.value, certificate, url)


def _refuse_elsewhere(point: x509.IssuingDistributionPoint, certificate: x509.Certificate, url: str | None) -> None:
    authority = _is_authority(certificate)
    if point.indirect_crl or point.only_some_reasons or point.only_contains_attribute_certs or point.relative_name:
        raise Unusable
    if (point.only_contains_user_certs and authority) or (point.only_contains_ca_certs and not authority):
        raise Unusable
    if point.full_name is not None:
        named = {name.value for name in point.full_name if isinstance(name, x509.UniformResourceIdentifier)}
        if not named & (set(_addresses(certificate)) if url is None else {url}):
            raise Unusable


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def _addresses(certificate: x509.Certificate) -> tuple[str, ...]:
    """Where whole lists of the certificate's own issuer are (§4.2.1.13)."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return ()
    whole = [point for point in points if not point.reasons and not point.crl_issuer]
    names = [name for point in whole for name in point.full_name or ()]
    urls = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    return tuple(url for url in urls if url.lower().startswith(("http://", "https://")))[:MAX_ADDRESSES]


def _fetched(url: str) -> x509.CertificateRevocationList | None:
    try:
        answer = outbound.fetch(url, schemes=SCHEMES)
        return _parsed(answer.body) if answer.status == 200 else None
    except (outbound.OutboundRefused, outbound.OutboundFailed, ValueError):
        return None


def _stored(text: str) -> x509.CertificateRevocationList:
    try:
        return _parsed(base64.b64decode(text, validate=True))
    except ValueError:
        raise NotAuthenticated("credential-unreadable") from None


def _parsed(content: bytes) -> x509.CertificateRevocationList:
    """DER, or PEM as some authorities serve it; ValueError for anything else, and for entries not understood (§5.3)."""
    load = x509.load_pem_x509_crl if content.startswith(b"-----BEGIN") else x509.load_der_x509_crl
    try:
        found = load(content)
        for entry in found:
            for extension in entry.extensions:
                if extension.critical and not isinstance(extension.value, _KNOWN_CRITICAL_OF_ENTRY):
                    raise ValueError("an entry says more than is understood")
        _ = found.issuer, found.extensions, found.next_update_utc
    except (UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError("the list cannot be read") from error
    return found


def _older(found: x509.CertificateRevocationList | None, before: x509.CertificateRevocationList) -> bool:
    return found is None or found.last_update_utc < before.last_update_utc
