"""An app's credential on the wire: one of several shapes, and what else of the vendor's is refused by name.

``audiences``, ``subjects``, ``algorithms``, ``max_age``, ``once``, ``crls`` and the keys' ``ca_certificates`` are ours.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from accounts.models import CredentialKind
from kms.api.wire.base import Request, Response, WireError, time_of, unsupported, wire_time
from kms.operations.app_credentials import CredentialView, Replacement
from kms.operations.app_trust import (
    DEFAULT_AGE_SECONDS,
    DEFAULT_CACHE_SECONDS,
    DEFAULT_SECRET_BYTES,
    DirectoryLogin,
    FetchedKeys,
    NewCredential,
    NewSecret,
    PinnedCertificate,
    SignedTokens,
    StoredKeys,
    TrustedAuthorities,
)
from kms.operations.apps import AppCredentials
from kms.secret import SecretBytes

AUTH_TYPES: Mapping[str, str] = {
    CredentialKind.SECRET: "Secret",
    CredentialKind.CERTIFICATE: "Certificate",
    CredentialKind.TRUSTED_CA: "TrustedCa",
    CredentialKind.SIGNED_JWT: "SignedJwt",
    CredentialKind.LDAP: "Ldap",
}


class SecretSize(Request):
    size: int | None = None


class Subject(Request, omit_defaults=True):
    """Whom a certificate is for: exactly one of these."""

    directory_name: list[tuple[str, str]] | None = None
    dns_name: str | None = None
    ip_address: str | None = None


class TrustedCa(Request, omit_defaults=True):
    subject: list[tuple[str, str]] | None = None
    subject_general: Subject | None = None
    subjects: list[Subject] | None = None
    ca_certificate: bytes | None = None
    ca_certificates: list[bytes] | None = None
    check_revocation: bool | None = None
    crls: list[bytes] | None = None


class SigningKeys(Request, omit_defaults=True):
    """Keys by id (DER or PEM) when they are ``stored``; an address when they are ``fetched``."""

    kind: str
    keys: dict[str, bytes] | None = None
    url: str | None = None
    cache_duration: int | None = None
    ca_certificates: list[bytes] | None = None


class SignedJwt(Request, omit_defaults=True):
    valid_issuers: list[str]
    signing_keys: SigningKeys
    private_claims_policy: Any = None
    audiences: list[str] | None = None
    subjects: list[str] | None = None
    algorithms: list[str] | None = None
    max_age: int | None = None
    once: bool | None = None


class CredentialRequest(Request):
    secret: str | SecretSize | None = None
    certificate: bytes | None = None
    trustedca: TrustedCa | None = None
    signedjwt: SignedJwt | None = None
    ldap: UUID | None = None
    googleserviceaccount: Any = None
    awsiam: Any = None
    awsxks: Any = None
    googleworkspacecse: Any = None
    all: Any = None


class Credential(Response):
    secret: str | None = None
    certificate: bytes | None = None
    trustedca: TrustedCa | None = None
    signedjwt: SignedJwt | None = None
    ldap: UUID | None = None


class PreviousCredential(Response):
    credential: Credential
    valid_until: str


class CredentialResponse(Response):
    app_id: UUID
    credential: Credential
    previous_credential: PreviousCredential | None = None
    credential_expires_at: str | None = None


# -- requests ------------------------------------------------------------------------------------------------------


def replacement(
    given: CredentialRequest | None, *, secret_size: int | None, period: int | None, expires_at: str | None
) -> Replacement | None:
    """What the fields around ``credential`` ask for; None when they ask for nothing new."""
    ends_at = time_of(expires_at, "credential_expires_at")
    credential = None if given is None else _credential(given, secret_size)
    if credential is None and secret_size is not None:
        credential = NewSecret(secret_size)
    if credential is None:
        return None
    return Replacement(credential, _period(period), ends_at)


def _period(seconds: int | None) -> timedelta:
    try:
        return timedelta(seconds=seconds or 0)
    except OverflowError:
        raise WireError("Invalid request: credential_migration_period is too long") from None


def _credential(given: CredentialRequest, secret_size: int | None) -> NewCredential | None:
    unsupported(
        googleserviceaccount=given.googleserviceaccount,
        awsiam=given.awsiam,
        awsxks=given.awsxks,
        googleworkspacecse=given.googleworkspacecse,
        all=given.all,
    )
    made: list[NewCredential] = []
    if isinstance(given.secret, SecretSize):
        made.append(NewSecret(given.secret.size or secret_size or DEFAULT_SECRET_BYTES))
    elif given.secret is not None:
        made.append(NewSecret(brought=SecretBytes(given.secret.encode())))
    if given.certificate is not None:
        made.append(PinnedCertificate(given.certificate))
    if given.trustedca is not None:
        made.append(_authorities(given.trustedca))
    if given.signedjwt is not None:
        made.append(_tokens(given.signedjwt))
    if given.ldap is not None:
        made.append(DirectoryLogin(given.ldap))
    if len(made) > 1:
        raise WireError("Invalid request: credential takes one of secret, certificate, trustedca, signedjwt and ldap")
    if made and secret_size is not None and not isinstance(given.secret, SecretSize):
        raise WireError("Invalid request: secret_size is for a secret that the server makes")
    return made[0] if made else None


def _authorities(given: TrustedCa) -> TrustedAuthorities:
    rules = list(given.subjects or ())
    rules += [given.subject_general] if given.subject_general is not None else []
    rules += [Subject(directory_name=given.subject)] if given.subject is not None else []
    if sum(each is not None for each in (given.subject, given.subject_general, given.subjects)) != 1:
        raise WireError("Invalid request: trustedca takes one of subject, subject_general and subjects")
    if (given.ca_certificate is None) == (given.ca_certificates is None):
        raise WireError("Invalid request: trustedca takes one of ca_certificate and ca_certificates")
    one = () if given.ca_certificate is None else (given.ca_certificate,)
    return TrustedAuthorities(
        certificates=(*one, *(given.ca_certificates or ())),
        subjects=tuple(_rule(each) for each in rules),
        check_revocation=bool(given.check_revocation),
        revocation_lists=tuple(given.crls or ()),
    )


def _rule(subject: Subject) -> Mapping[str, Any]:
    rule = {
        "directory_name": None if subject.directory_name is None else [list(pair) for pair in subject.directory_name],
        "dns_name": subject.dns_name,
        "ip_address": subject.ip_address,
    }
    return {name: value for name, value in rule.items() if value is not None}


def _tokens(given: SignedJwt) -> SignedTokens:
    unsupported(private_claims_policy=given.private_claims_policy)
    return SignedTokens(
        issuers=tuple(given.valid_issuers),
        keys=_keys(given.signing_keys),
        audiences=None if given.audiences is None else tuple(given.audiences),
        subjects=tuple(given.subjects or ()),
        algorithms=None if given.algorithms is None else tuple(given.algorithms),
        max_age=DEFAULT_AGE_SECONDS if given.max_age is None else given.max_age,
        once=bool(given.once),
    )


def _keys(given: SigningKeys) -> StoredKeys | FetchedKeys:
    of_fetched = (given.url, given.cache_duration, given.ca_certificates)
    if given.kind == "stored" and given.keys is not None and of_fetched == (None, None, None):
        return StoredKeys(given.keys)
    if given.kind == "fetched" and given.url is not None and given.keys is None:
        cache = DEFAULT_CACHE_SECONDS if given.cache_duration is None else given.cache_duration
        return FetchedKeys(given.url, cache, tuple(given.ca_certificates or ()))
    raise WireError("Invalid request: signing_keys is {kind: stored, keys} or {kind: fetched, url, cache_duration}")


# -- responses -----------------------------------------------------------------------------------------------------


def credentials(result: AppCredentials) -> CredentialResponse:
    previous = None
    if result.previous is not None:
        until = wire_time(result.previous.ends_at) or ""
        previous = PreviousCredential(credential=_wire(result.previous), valid_until=until)
    return CredentialResponse(
        app_id=result.app,
        credential=_wire(result.current),
        previous_credential=previous,
        credential_expires_at=wire_time(result.current.ends_at),
    )


def _wire(view: CredentialView) -> Credential:
    config = view.config
    if view.kind == CredentialKind.CERTIFICATE:
        return Credential(certificate=base64.b64decode(config["certificate"]))
    if view.kind == CredentialKind.TRUSTED_CA:
        return Credential(trustedca=_wire_authorities(config))
    if view.kind == CredentialKind.SIGNED_JWT:
        return Credential(signedjwt=_wire_tokens(config))
    if view.kind == CredentialKind.LDAP:
        return Credential(ldap=UUID(config["provider"]))
    return Credential(secret="" if view.secret is None else view.secret.reveal().decode())


def _wire_authorities(config: Mapping[str, Any]) -> TrustedCa:
    """In the older shapes where they can say it: the vendor's older clients know no others."""
    certificates = [base64.b64decode(text) for text in config["ca_certificates"]]
    rules = [Subject(**rule) for rule in config["subjects"]]
    body = TrustedCa(check_revocation=config["check_revocation"])
    if len(certificates) == 1:
        body.ca_certificate = certificates[0]
    else:
        body.ca_certificates = certificates
    if len(rules) > 1:
        body.subjects = rules
    elif rules[0].directory_name is not None:
        body.subject = rules[0].directory_name
    else:
        body.subject_general = rules[0]
    body.crls = [base64.b64decode(text) for text in config["crls"]] or None
    return body


def _wire_tokens(config: Mapping[str, Any]) -> SignedJwt:
    return SignedJwt(
        valid_issuers=config["issuers"],
        signing_keys=_wire_keys(config["keys"]),
        audiences=config["audiences"],
        subjects=config["subjects"],
        algorithms=config["algorithms"],
        max_age=config["max_age"],
        once=config["once"],
    )


def _wire_keys(keys: Mapping[str, Any]) -> SigningKeys:
    if keys["kind"] == "stored":
        stored = {kid: base64.b64decode(text) for kid, text in keys["keys"].items()}
        return SigningKeys(kind=keys["kind"], keys=stored)
    authorities = [base64.b64decode(text) for text in keys.get("ca_certificates", ())]
    return SigningKeys(
        kind=keys["kind"],
        url=keys["url"],
        cache_duration=keys["cache_duration"],
        ca_certificates=authorities or None,
    )
