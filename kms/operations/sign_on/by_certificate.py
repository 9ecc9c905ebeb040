"""Login of an app with the certificate of its TLS connection. It must not know the wire or HTTP.

Without the right certificate the app's id is a name and no more; whoever has none learns nothing of who exists.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts import mtls, revocation, row_seals
from accounts.certificates import PresentedCertificate
from accounts.clock import clock
from accounts.errors import NotAuthenticated
from accounts.models import AppCredential, CredentialKind
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from accounts.row_seals import Verified
from accounts.validity import account_of, credentials_of, end_of
from kms.audit.entry import CallContext
from kms.operations.command import Call
from kms.operations.sign_on.proof import Method, refuse_disabled_app

_KINDS = (CredentialKind.CERTIFICATE, CredentialKind.TRUSTED_CA)


@dataclass(frozen=True, slots=True)
class CertificateCredential:
    """An app's id. The certificate is in the call's context: a caller cannot say which one it showed."""

    app: str


def prove(call: Call, credential: CertificateCredential) -> Principal:
    """The session ends with the certificate, with the credential, or with what is known of its revocation."""
    app_id, presented = _app_id(credential), call.context.certificate
    if presented is None:
        raise NotAuthenticated("no-certificate")
    held = row_seals.verified([app_id])
    _row, ends_at = _accepting(_rows(held, app_id, call.now), presented, call.now)
    principal = Principal(
        PrincipalKind.APP,
        app_id,
        account_of(held, app_id),
        AuthenticationMethod.CERTIFICATE,
        proof_version=held.versions[app_id],
        expires_at=ends_at,
        certificate=presented.thumbprint,
    )
    refuse_disabled_app(principal)
    return principal


def _app_id(credential: CertificateCredential) -> UUID:
    try:
        return UUID(credential.app)
    except ValueError:
        raise NotAuthenticated("unknown-app") from None


def _rows(held: Verified, app_id: UUID, now: datetime) -> list[AppCredential]:
    return [row for row in credentials_of(held, app_id, *_KINDS) if not _ended(row, now)]


def _ended(row: AppCredential, now: datetime) -> bool:
    ends_at = end_of(row)
    return ends_at is not None and ends_at <= now


def _accepting(
    rows: list[AppCredential], presented: PresentedCertificate, now: datetime
) -> tuple[AppCredential, datetime]:
    """The credential that takes this certificate, and until when; the newest one's reason when there is none."""
    refused = NotAuthenticated("unknown-app")
    for row in reversed(rows):
        try:
            return row, _judged(row, presented, now)
        except NotAuthenticated as error:
            refused = error
    raise refused


def _judged(row: AppCredential, presented: PresentedCertificate, now: datetime) -> datetime:
    verified = mtls.verify(presented, row.kind, row.config, now)
    ends = [verified.ends_at]
    if row.config.get("check_revocation"):
        ends.append(revocation.check(verified.chain, row.config.get("crls") or (), now))
    ends_at = end_of(row)
    return min(ends if ends_at is None else [*ends, ends_at])


def admit(credential: CertificateCredential, context: CallContext) -> None:
    """Have the revocation lists at hand before the transaction. What is wrong shows when the proof is judged."""
    if context.certificate is None:
        return
    with contextlib.suppress(NotAuthenticated):
        for chain in _chains_to_check(_app_id(credential), context.certificate):
            revocation.lists.refresh(chain)


def _chains_to_check(app_id: UUID, presented: PresentedCertificate) -> Iterator[mtls.Chain]:
    """Only of certificates that the app's authority issued: no stranger's names an address to call."""
    now = clock.now()
    for row in _rows(row_seals.verified([app_id]), app_id, now):
        if row.config.get("check_revocation"):
            with contextlib.suppress(NotAuthenticated):
                yield mtls.verify(presented, row.kind, row.config, now).chain


METHOD = Method(CertificateCredential, prove, lambda credential: credential.app, admit)
