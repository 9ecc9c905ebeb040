"""The webhook's authority and certificate: when each is exchanged, and that nobody ever meets one it can't trust."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from k8s.webhook.certificates.issuing import (
    CA,
    CA_KEY,
    LEAF,
    LEAF_KEY,
    NEXT,
    PREVIOUS,
    Lifetimes,
    advanced,
    bundle,
)
from k8s.webhook.certificates.loading import exchange, server_context

DAY = datetime.timedelta(days=1)
LIVES = Lifetimes(365 * DAY, 30 * DAY, datetime.timedelta(minutes=10))
NAMES = ["keystead-webhook.keystead.svc", "127.0.0.1"]
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

Kept = dict[str, bytes]


def trusted(leaf: bytes, authorities: bytes, at: datetime.datetime) -> None:
    """As a verifier of TLS sees it."""
    store = Store(x509.load_pem_x509_certificates(authorities))
    verifier = PolicyBuilder().store(store).time(at).build_server_verifier(x509.DNSName(NAMES[0]))
    verifier.verify(x509.load_pem_x509_certificate(leaf), [])


def made() -> Kept:
    return advanced({}, NAMES, LIVES, START)


def test_the_first_certificate_is_trusted_and_kept() -> None:
    kept = made()
    trusted(kept[LEAF], bundle(kept), START)
    assert advanced(kept, NAMES, LIVES, START + DAY) == kept
    exchange(server_context(), kept[LEAF], kept[LEAF_KEY])


def test_through_two_years_every_certificate_is_trusted_by_whoever_looked_before_and_after() -> None:
    """Looked at twice a day. An API server may have the bundle of one look ago, a replica the certificate."""
    kept, leaves, authorities = made(), set(), set()
    now = START
    while now < START + 2 * 365 * DAY:
        now += datetime.timedelta(hours=12)
        after = advanced(kept, NAMES, LIVES, now)
        if after != kept:
            trusted(after[LEAF], bundle(kept), now)
            trusted(kept[LEAF], bundle(after), now)
            trusted(after[LEAF], bundle(after), now)
        kept = after
        leaves.add(kept[LEAF])
        authorities.add(kept[CA])
    assert len(authorities) >= 3
    assert len(leaves) >= 2 * 365 / 20 - 5
    assert len(x509.load_pem_x509_certificates(bundle(kept))) <= 3


def test_an_authority_is_announced_before_it_signs() -> None:
    kept = made()
    due = START + 250 * DAY
    announced = advanced(kept, NAMES, LIVES, due)
    assert announced[CA] == kept[CA]
    assert announced[NEXT] in bundle(announced)
    assert advanced(announced, NAMES, LIVES, due + datetime.timedelta(minutes=9)) == announced
    exchanged = advanced(announced, NAMES, LIVES, due + datetime.timedelta(minutes=10))
    assert exchanged[CA] == announced[NEXT]
    assert exchanged[PREVIOUS] == kept[CA]
    assert NEXT not in exchanged


def test_other_names_ask_for_another_certificate_under_the_same_authority() -> None:
    kept = made()
    other = advanced(kept, [*NAMES, "other.example"], LIVES, START)
    assert other[CA] == kept[CA]
    assert other[LEAF] != kept[LEAF]


@pytest.mark.parametrize("name", [CA, CA_KEY, LEAF, LEAF_KEY])
@pytest.mark.parametrize("content", [b"", b"x", None, b"another's"])
def test_what_somebody_broke_is_made_anew(name: str, content: bytes | None) -> None:
    kept = made()
    if content is None:
        del kept[name]
    else:
        kept[name] = made()[name] if content == b"another's" else content
    after = advanced(kept, NAMES, LIVES, START)
    assert after != kept
    trusted(after[LEAF], bundle(after), START)
    exchange(server_context(), after[LEAF], after[LEAF_KEY])


def test_an_authority_that_ended_while_nobody_looked_is_made_anew() -> None:
    late = START + 400 * DAY
    after = advanced(made(), NAMES, LIVES, late)
    trusted(after[LEAF], bundle(after), late)
