"""Keys are read strictly, and sets of them are kept as long as they may be: not longer, and no shorter by a fault."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from accounts.jwk import KeyRejected, der_of, key_of_bytes, key_of_jwk, key_set
from accounts.jwks import FetchedKeys, KeysUnavailable
from accounts.outbound import OutboundFailed
from tests.kit.tokens import ec_key, ed_key, jwk, rsa_key, spki

URL = "https://issuer.example/jwks.json"


def unusable() -> Iterator[tuple[str, dict[str, Any]]]:
    good = jwk(rsa_key(), kid="a")
    yield "encrypts", {**good, "use": "enc"}
    yield "operations", {**good, "key_ops": ["encrypt"]}
    yield "operations as text", {**good, "key_ops": "verify"}
    yield "another algorithm", {**good, "alg": "ES256"}
    yield "an algorithm for secrets", {**good, "alg": "HS256"}
    yield "a secret", {"kty": "oct", "k": "c2VjcmV0", "kid": "a"}
    yield "private", {**good, "d": good["n"]}
    yield "no kind", {**good, "kty": None}
    yield "kind of another", {**good, "kty": "EC"}
    yield "kid of a number", {**good, "kid": 1}
    yield "exponent 1", {**good, "e": "AQ"}
    yield "no modulus", {name: value for name, value in good.items() if name != "n"}
    yield "short", jwk(rsa.generate_private_key(65537, 1024), kid="a")  # noqa: S505 - which is what is refused
    yield "secp256k1", jwk(ec.generate_private_key(ec.SECP256K1()), kid="a")
    yield "off the curve", {**jwk(ec_key(), kid="a"), "y": jwk(ec_key())["x"]}
    yield "another curve", {**jwk(ec_key(), kid="a"), "crv": "P-384"}
    yield "not for signatures", {**jwk(ed_key(), kid="a"), "crv": "X25519"}


@pytest.mark.parametrize(("member"), [pytest.param(member, id=name) for name, member in unusable()])
def test_a_key_that_is_not_for_signatures_is_passed_over(member: dict[str, Any]) -> None:
    with pytest.raises(KeyRejected):
        key_of_jwk(member)
    found = key_set(json.dumps({"keys": [member, jwk(ec_key(), kid="good")]}).encode())
    assert [key.kid for key in found.keys] == ["good"]


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": 1}', b"<html>", b'{"keys": [], "keys": []}', b"\xff",
     json.dumps({"keys": [{}] * 65}).encode()],
)  # fmt: skip
def test_what_is_no_set_is_refused(document: bytes) -> None:
    with pytest.raises(KeyRejected):
        key_set(document)


def test_two_keys_that_could_be_meant_are_none() -> None:
    twins = key_set(json.dumps({"keys": [jwk(ec_key(), kid="a"), jwk(ec_key(), kid="a")]}).encode())
    assert twins.find("a", "ES256") is None
    several = key_set(json.dumps({"keys": [jwk(ec_key(), kid="a"), jwk(rsa_key(), kid="b")]}).encode())
    assert several.find(None, "RS256") == several.find("b", "RS256") is not None
    assert several.find("a", "RS256") is None


def test_a_key_does_no_more_than_it_says() -> None:
    assert "PS256" in key_of_jwk(jwk(rsa_key(), kid="a")).algorithms
    assert key_of_jwk(jwk(rsa_key(), kid="a", alg="RS256")).algorithms == {"RS256"}


def test_keys_whose_checking_would_take_long_are_refused() -> None:
    """A modulus of 16,384 bits takes fifty times as long as one of 4096, and anybody may send tokens."""
    modulus = base64.urlsafe_b64encode(((1 << 16383) + 1).to_bytes(2048, "big")).rstrip(b"=").decode()
    with pytest.raises(KeyRejected, match="bits"):
        key_of_jwk({"kty": "RSA", "n": modulus, "e": "AQAB"})


def test_stored_keys_are_public_ones_as_der_or_pem() -> None:
    assert der_of(key_of_bytes("a", spki(rsa_key(), Encoding.PEM))) == spki(rsa_key())
    private = rsa_key().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for wrong in (private, b"", b"x", b"-----BEGIN PUBLIC KEY-----", spki(x25519.X25519PrivateKey.generate())):
        with pytest.raises(KeyRejected):
            key_of_bytes("a", wrong)
    with pytest.raises(KeyRejected):
        key_of_bytes("a", spki(dsa.generate_private_key(2048)))


# -- sets at an address --------------------------------------------------------------------------------------------


class Address:
    """An issuer's address whose keys, health and clock a test sets."""

    def __init__(self) -> None:
        self.kids, self.now, self.asked, self.down = ["a"], 1000.0, 0, False
        self.kept = FetchedKeys(self.fetch, lambda: self.now)

    def fetch(self, _url: str) -> bytes:
        self.asked += 1
        if self.down:
            raise OutboundFailed("no answer")
        return json.dumps({"keys": [jwk(ec_key(), kid=kid) for kid in self.kids]}).encode()

    def knows(self, kid: str, cache_seconds: int = 300) -> bool:
        return self.kept.keys(URL, kid, cache_seconds).find(kid, "ES256") is not None


def test_a_set_is_asked_for_once_while_it_may_be_kept() -> None:
    issuer = Address()
    assert issuer.knows("a")
    issuer.now += 299
    assert issuer.knows("a")
    assert issuer.asked == 1
    issuer.now += 1
    assert issuer.knows("a")
    assert issuer.asked == 2


def test_a_new_key_is_found_at_once_and_a_withdrawn_one_ends_with_the_set() -> None:
    issuer = Address()
    assert issuer.knows("a")
    issuer.kids, issuer.now = ["b"], issuer.now + 11
    assert issuer.knows("b")
    assert not issuer.knows("a")


def test_made_up_keys_make_nobody_ask_more_than_every_ten_seconds() -> None:
    issuer = Address()
    for number in range(1000):
        assert not issuer.knows(f"made up {number}")
    assert issuer.asked == 1
    issuer.now += 10
    for number in range(1000):
        assert not issuer.knows(f"made up {number}")
    assert issuer.asked == 2


def test_while_the_address_is_silent_its_last_word_counts_for_an_hour_longer() -> None:
    issuer = Address()
    assert issuer.knows("a")
    issuer.down, issuer.now = True, issuer.now + 300
    assert issuer.knows("a")
    issuer.now += 3599
    assert issuer.knows("a")
    issuer.now += 1
    with pytest.raises(KeysUnavailable):
        issuer.knows("a")
    issuer.down, issuer.now = False, issuer.now + 10
    assert issuer.knows("a")


def test_an_address_that_never_answered_gives_nothing_and_is_not_hammered() -> None:
    issuer = Address()
    issuer.down = True
    for _ in range(100):
        with pytest.raises(KeysUnavailable):
            issuer.knows("a")
    assert issuer.asked == 1


def test_many_at_once_ask_once() -> None:
    issuer = Address()
    slow, go = issuer.fetch, threading.Event()

    def fetch(url: str) -> bytes:
        go.wait(5)
        return slow(url)

    issuer.kept = FetchedKeys(fetch, lambda: issuer.now)
    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(issuer.knows("a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert found == [True] * 8
    assert issuer.asked == 1


def test_no_more_addresses_are_kept_than_there_is_room_for() -> None:
    issuer = Address()
    for number in range(1200):
        issuer.kept.keys(f"{URL}?{number}", "a", 300)
    issuer.kept.keys(f"{URL}?1199", "a", 300)
    assert issuer.asked == 1200
    issuer.kept.keys(f"{URL}?0", "a", 300)
    assert issuer.asked == 1201
