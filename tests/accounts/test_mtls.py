"""Which certificates an app takes for its own, and a table of those that only look like it (abuse cases E)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.certificates import PresentedCertificate
from accounts.errors import NotAuthenticated
from accounts.models import CredentialKind
from accounts.mtls import MAX_INTERMEDIATES, Verified, verify
from tests.kit.certificates import (
    CLIENT,
    DAY,
    SERVER,
    Identity,
    authority,
    common_name,
    leaf,
    name,
    now,
    signed_with_sha1,
    trusted_ca,
)

ROOT = authority("Root of the tenant")
RSA_KEY = rsa.generate_private_key(65537, 2048)
RSA_ROOT = authority("Old root of the tenant", key=RSA_KEY)
MIDDLE = authority("Issuing authority", ROOT)
GOOD = leaf("worker", ROOT)
NAMED = common_name("worker")


def judged(presented: PresentedCertificate, config: dict[str, Any], *, after: Any = 0 * DAY) -> Verified:
    kind = CredentialKind.CERTIFICATE if "certificate" in config else CredentialKind.TRUSTED_CA
    return verify(presented, kind, config, now() + after)


def refusal(presented: PresentedCertificate, config: dict[str, Any], *, after: Any = 0 * DAY) -> str:
    with pytest.raises(NotAuthenticated) as refused:
        judged(presented, config, after=after)
    return refused.value.reason


# -- what is taken -------------------------------------------------------------------------------------------------


KEYS: dict[str, Any] = {
    "RSA": RSA_KEY,
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "Ed448": ed448.Ed448PrivateKey.generate(),
}


def keyed(key: Any) -> tuple[Identity, dict[str, Any]]:
    return leaf("worker", RSA_ROOT, key=key), trusted_ca(RSA_ROOT, subjects=[NAMED])


TAKEN: dict[str, Callable[[], tuple[Identity, dict[str, Any]]]] = {
    "pinned, self-signed": lambda: pin(leaf("worker", None)),
    "pinned, issued by anybody": lambda: pin(leaf("worker", authority("Stranger"))),
    "pinned, without usages": lambda: pin(leaf("worker", None, usages=None)),
    "issued by the root": lambda: (GOOD, trusted_ca(ROOT, subjects=[NAMED])),
    "issued through an intermediate": lambda: (leaf("worker", MIDDLE), trusted_ca(ROOT, subjects=[NAMED])),
    "issued by a trusted intermediate": lambda: (leaf("worker", MIDDLE), trusted_ca(MIDDLE, subjects=[NAMED])),
    "without usages": lambda: (leaf("worker", ROOT, usages=None), trusted_ca(ROOT, subjects=[NAMED])),
    "for clients and servers": lambda: (
        leaf("worker", ROOT, usages=(SERVER, CLIENT)),
        trusted_ca(ROOT, subjects=[NAMED]),
    ),
    "second of two authorities": lambda: (GOOD, trusted_ca(RSA_ROOT, ROOT, subjects=[NAMED])),
    "second of two subjects": lambda: (GOOD, trusted_ca(ROOT, subjects=[common_name("other"), NAMED])),
    "under an authority's constraints": lambda: constrained(x509.DNSName("example.org"), "a.example.org"),
    **{f"a key of {kind}": partial(keyed, key) for kind, key in KEYS.items()},
}


def pin(identity: Identity) -> tuple[Identity, dict[str, Any]]:
    return identity, {"certificate": identity.encoded}


def constrained(permitted: x509.GeneralName, dns: str, *, critical: bool = True) -> tuple[Identity, dict[str, Any]]:
    constraints = x509.NameConstraints(permitted_subtrees=[permitted], excluded_subtrees=None)
    issuer = authority("Constrained", ROOT, extensions=[(constraints, critical)])
    return leaf("worker", issuer, names=[x509.DNSName(dns)]), trusted_ca(ROOT, subjects=[NAMED])


@pytest.mark.parametrize("case", TAKEN)
def test_it_is_taken(case: str) -> None:
    identity, config = TAKEN[case]()
    verified = judged(identity.presented(), config)
    assert verified.chain[0] == identity.certificate
    assert verified.ends_at == min(each.not_valid_after_utc for each in verified.chain)


def test_it_is_taken_until_the_first_of_its_chain_ends() -> None:
    brief = authority("Brief", ROOT, until=2 * DAY)
    config = trusted_ca(ROOT, subjects=[NAMED])
    identity = leaf("worker", brief)
    assert judged(identity.presented(), config).ends_at == brief.certificate.not_valid_after_utc
    assert refusal(identity.presented(), config, after=2 * DAY + DAY / 2) == "certificate-not-trusted"


# -- what only looks like it ---------------------------------------------------------------------------------------


def twin(identity: Identity, *, key: Any = None, subject: x509.Name | None = None, **fields: Any) -> Identity:
    """Another certificate like it, from the same issuer."""
    issuer = identity.issuers[0] if identity.issuers else None
    return leaf(subject or identity.certificate.subject, issuer, key=key, **fields)


def sha1() -> Identity:
    return signed_with_sha1(leaf("worker", RSA_ROOT), RSA_KEY)


def weak() -> Identity:
    return leaf("worker", ROOT, key=rsa.generate_private_key(65537, 1024))  # noqa: S505 - the defect


def spoofed_issuer() -> Identity:
    """By an authority that names itself as ours does; with and without telling key identifiers."""
    return leaf("worker", authority(ROOT.certificate.subject))


CA = {"subjects": [NAMED]}
PINNED_LEAF = leaf("worker", ROOT)

# Presented certificate, configuration, reason.
ABUSES: dict[str, Callable[[], tuple[PresentedCertificate, dict[str, Any], str]]] = {
    "pinned: same name, another key": lambda: (twin(GOOD).presented(), pin(GOOD)[1], "certificate-not-pinned"),
    "pinned: same key, another name": lambda: (
        twin(GOOD, key=GOOD.key, subject=name("boss")).presented(),
        pin(GOOD)[1],
        "certificate-not-pinned",
    ),
    "pinned: same key and name, issued anew": lambda: (
        twin(GOOD, key=GOOD.key).presented(),
        pin(GOOD)[1],
        "certificate-not-pinned",
    ),
    "pinned: issued by the pinned leaf": lambda: (
        leaf("worker", PINNED_LEAF).presented(PINNED_LEAF),
        pin(PINNED_LEAF)[1],
        "certificate-not-pinned",
    ),
    "pinned: expired": lambda: (*expired_pin(), "certificate-expired"),
    "pinned: not yet valid": lambda: (*future_pin(), "certificate-not-yet-valid"),
    "pinned: for servers": lambda: (*presented_pin(leaf("worker", None, usages=(SERVER,))), "certificate-usage-wrong"),
    "pinned: RSA of 1024 bits": lambda: (*presented_pin(weak()), "certificate-key-weak"),
    "same key, another name": lambda: (
        twin(GOOD, key=GOOD.key, subject=name("boss")).presented(),
        trusted_ca(ROOT, **CA),
        "certificate-subject-differs",
    ),
    "same name, another issuer": lambda: (
        leaf("worker", authority("Stranger")).presented(),
        trusted_ca(ROOT, **CA),
        "certificate-not-trusted",
    ),
    "same name, self-signed": lambda: (
        leaf("worker", None).presented(),
        trusted_ca(ROOT, **CA),
        "certificate-not-trusted",
    ),
    "self-signed with the authority's name": lambda: (
        leaf(ROOT.certificate.subject, None).presented(),
        trusted_ca(ROOT, **CA),
        "certificate-not-trusted",
    ),
    "issuer with the authority's name": lambda: (
        spoofed_issuer().presented(),
        trusted_ca(ROOT, **CA),
        "certificate-not-trusted",
    ),
    "issuer with the authority's name, brought along": lambda: (
        spoofed_issuer().presented(*spoofed_issuer().issuers),
        trusted_ca(ROOT, **CA),
        "certificate-not-trusted",
    ),
    "the stranger's root brought along": lambda: (
        (stranger := leaf("worker", authority("Stranger"))).presented(*stranger.issuers),
        trusted_ca(ROOT, **CA),
        "certificate-not-trusted",
    ),
    "chain through a trusted leaf": lambda: (
        leaf("worker", GOOD).presented(GOOD),
        trusted_ca(ROOT, **CA),
        "certificate-not-trusted",
    ),
    "a leaf as the app's authority": lambda: (
        leaf("worker", GOOD).presented(),
        trusted_ca(GOOD, **CA),
        "certificate-not-trusted",
    ),
    "an issuer that may not issue": lambda: (
        leaf("worker", authority("No", ROOT, usage=(False, True))).presented(),
        trusted_ca(ROOT, **CA),
        "certificate-not-trusted",
    ),
    "the authority itself": lambda: (
        ROOT.presented(),
        trusted_ca(ROOT, subjects=[common_name("Root of the tenant")]),
        "certificate-usage-wrong",
    ),
    "an intermediate itself": lambda: (
        authority("worker", ROOT, extensions=[(x509.ExtendedKeyUsage([CLIENT]), False)]).presented(),
        trusted_ca(ROOT, **CA),
        "certificate-usage-wrong",
    ),
    "intermediate missing": lambda: (
        PresentedCertificate(leaf("worker", MIDDLE).der),
        trusted_ca(ROOT, **CA),
        "certificate-not-trusted",
    ),
    "intermediate expired": lambda: (
        leaf("worker", authority("Old", ROOT, since=-9 * DAY, until=-DAY)).presented(),
        trusted_ca(ROOT, **CA),
        "certificate-not-trusted",
    ),
    "authority expired": lambda: (
        (old := leaf("worker", authority("Old", since=-9 * DAY, until=-DAY))).presented(),
        trusted_ca(old.issuers[0], **CA),
        "certificate-not-trusted",
    ),
    "expired": lambda: (
        leaf("worker", ROOT, since=-9 * DAY, until=-DAY).presented(),
        trusted_ca(ROOT, **CA),
        "certificate-expired",
    ),
    "not yet valid": lambda: (
        leaf("worker", ROOT, since=DAY).presented(),
        trusted_ca(ROOT, **CA),
        "certificate-not-yet-valid",
    ),
    "for servers": lambda: (
        leaf("worker", ROOT, usages=(SERVER,)).presented(),
        trusted_ca(ROOT, **CA),
        "certificate-usage-wrong",
    ),
    "for anything, by name": lambda: (
        leaf("worker", ROOT, usages=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)).presented(),
        trusted_ca(ROOT, **CA),
        "certificate-usage-wrong",
    ),
    "a key that may not sign": lambda: (
        leaf("worker", ROOT, extensions=[(no_signatures(), True)]).presented(),
        trusted_ca(ROOT, **CA),
        "certificate-usage-wrong",
    ),
    "signed with SHA-1": lambda: (sha1().presented(), trusted_ca(RSA_ROOT, **CA), "certificate-not-trusted"),
    "RSA of 1024 bits": lambda: (weak().presented(), trusted_ca(ROOT, **CA), "certificate-key-weak"),
    "a curve nobody asked for": lambda: (
        leaf("worker", ROOT, key=ec.generate_private_key(ec.SECP256K1())).presented(),
        trusted_ca(ROOT, **CA),
        "certificate-key-weak",
    ),
    "name constraints violated": lambda: (
        *presented_with(constrained(x509.DNSName("example.org"), "evil.example.com")),
        "certificate-not-trusted",
    ),
    "name constraints of a kind that is not enforced": lambda: (
        *presented_with(constrained(x509.DirectoryName(name("else")), "a.example.org", critical=False)),
        "certificate-constraints-unsupported",
    ),
    "critical name constraints of a kind that is not enforced": lambda: (
        *presented_with(constrained(x509.DirectoryName(name("else")), "a.example.org")),
        "certificate-not-trusted",
    ),
    "an unknown critical extension": lambda: (
        leaf("worker", ROOT, extensions=[(unknown_extension(), True)]).presented(),
        trusted_ca(ROOT, **CA),
        "certificate-not-trusted",
    ),
    "a chain too deep": lambda: (deep(8).presented(), trusted_ca(ROOT, **CA), "certificate-not-trusted"),
    "too much brought along": lambda: (
        GOOD.presented(*[MIDDLE] * (MAX_INTERMEDIATES + 1)),
        trusted_ca(ROOT, **CA),
        "certificate-chain-too-long",
    ),
    "rubbish brought along": lambda: (
        PresentedCertificate(GOOD.der, (b"rubbish",)),
        trusted_ca(ROOT, **CA),
        "certificate-malformed",
    ),
    "not a certificate": lambda: (PresentedCertificate(b"rubbish"), trusted_ca(ROOT, **CA), "certificate-malformed"),
    "cut short": lambda: (PresentedCertificate(GOOD.der[:-1]), trusted_ca(ROOT, **CA), "certificate-malformed"),
    "something behind it": lambda: (
        PresentedCertificate(GOOD.der + b"\0"),
        trusted_ca(ROOT, **CA),
        "certificate-malformed",
    ),
    "one bit of the signature": lambda: (flipped(GOOD), trusted_ca(ROOT, **CA), "certificate-not-trusted"),
    "no subjects meant": lambda: (GOOD.presented(), trusted_ca(ROOT), "certificate-subject-differs"),
    "no authorities": lambda: (GOOD.presented(), trusted_ca(**CA), "credential-unreadable"),
    "an authority that cannot be read": lambda: (
        GOOD.presented(),
        {"ca_certificates": ["!"], **CA},
        "credential-unreadable",
    ),
}


def presented_pin(identity: Identity) -> tuple[PresentedCertificate, dict[str, Any]]:
    return presented_with(pin(identity))


def presented_with(case: tuple[Identity, dict[str, Any]]) -> tuple[PresentedCertificate, dict[str, Any]]:
    return case[0].presented(), case[1]


def expired_pin() -> tuple[PresentedCertificate, dict[str, Any]]:
    return presented_pin(leaf("worker", None, since=-9 * DAY, until=-DAY))


def future_pin() -> tuple[PresentedCertificate, dict[str, Any]]:
    return presented_pin(leaf("worker", None, since=DAY))


def unknown_extension() -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


def no_signatures() -> x509.KeyUsage:
    return x509.KeyUsage(False, False, True, False, False, False, False, False, False)


def deep(levels: int) -> Identity:
    issuer = ROOT
    for level in range(levels):
        issuer = authority(f"Level {level}", issuer)
    return leaf("worker", issuer)


def flipped(identity: Identity) -> PresentedCertificate:
    signature = bytearray(identity.certificate.signature)
    signature[-1] ^= 1
    return PresentedCertificate(identity.der.replace(identity.certificate.signature, bytes(signature)))


@pytest.mark.parametrize("case", ABUSES)
def test_it_is_refused(case: str) -> None:
    presented, config, reason = ABUSES[case]()
    assert refusal(presented, config) == reason


def test_a_credential_of_another_kind_takes_no_certificate() -> None:
    for kind in set(CredentialKind) - {CredentialKind.CERTIFICATE, CredentialKind.TRUSTED_CA}:
        with pytest.raises(NotAuthenticated):
            verify(GOOD.presented(), kind, trusted_ca(ROOT, subjects=[NAMED]), now())


# A serial number that is not positive is one of the changes, and cryptography warns of it.
@pytest.mark.filterwarnings("ignore:Parsed a serial number:cryptography.utils.CryptographyDeprecationWarning")
@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, len(GOOD.der) - 1), change=st.integers(1, 255))
def test_no_changed_byte_passes(position: int, change: int) -> None:
    der = bytearray(GOOD.der)
    der[position] ^= change
    with pytest.raises(NotAuthenticated):
        judged(PresentedCertificate(bytes(der)), trusted_ca(ROOT, subjects=[NAMED]))
