"""What no answer of a key may do: raise anything but KeyRejected, or hold after a single byte of it has changed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from fido2 import cbor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import fido
from tests.kit.authenticator import EDDSA, ES256, ORIGIN, RS256, Authenticator, b64, unb64

PARTY = fido.relying_party(ORIGIN)
CHALLENGE = bytes(range(32))
OPTIONS = {"challenge": b64(CHALLENGE)}
USER = bytes(16)
KEY = Authenticator(EDDSA)


def assertion_of(answer: dict[str, Any]) -> fido.Assertion:
    response = {name: unb64(value) for name, value in answer["response"].items()}
    return fido.Assertion(
        unb64(answer["id"]), response["clientDataJSON"], response["authenticatorData"], response["signature"]
    )


def known(key: Authenticator, *, u2f: bool = False) -> fido.KnownKey:
    return fido.KnownKey(key.credential_id, cbor.encode(key.cose()), 0, u2f)


def shown(answer: fido.Assertion, key: Authenticator = KEY) -> fido.Shown:
    return fido.shown(PARTY, answer, challenge=CHALLENGE, keys=[known(key)], user_handle=USER)


def registered(client_data: bytes, attestation: bytes) -> fido.NewKey:
    return fido.registered(PARTY, fido.Registration(client_data, attestation), challenge=CHALLENGE)


def changed(field: str, value: bytes) -> fido.Assertion:
    parts: dict[str, Any] = {field: value}
    return replace(HONEST, **parts)


HONEST = assertion_of(KEY.get(OPTIONS))
MADE = {name: unb64(value) for name, value in KEY.create(OPTIONS)["response"].items() if name != "getTransports"}
U2F_KEY = Authenticator()
U2F_MADE = U2F_KEY.u2f_register(OPTIONS["challenge"])
U2F_SHOWN = U2F_KEY.u2f_sign(OPTIONS["challenge"])
FIELDS = ("client_data", "authenticator_data", "signature")
_quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
@pytest.mark.parametrize("verified", [True, False])
def test_an_honest_key_is_taken_and_whether_it_knew_its_user_is_known(algorithm: int, verified: bool) -> None:
    key = Authenticator(algorithm, flags=5 if verified else 1)
    made = key.create(OPTIONS)["response"]
    new = registered(unb64(made["clientDataJSON"]), unb64(made["attestationObject"]))
    assert (new.credential_id, new.public_key) == (key.credential_id, cbor.encode(key.cose()))
    answer = shown(assertion_of(key.get(OPTIONS)), key)
    assert new.user_verified is answer.user_verified is verified
    assert answer.sign_count == 1


@_quick
@given(st.sampled_from(FIELDS), st.integers(0, 10_000), st.integers(1, 255))
def test_an_assertion_with_one_byte_changed_does_not_hold(field: str, place: int, change: int) -> None:
    value = bytearray(getattr(HONEST, field))
    value[place % len(value)] ^= change
    with pytest.raises(fido.KeyRejected):
        shown(changed(field, bytes(value)))


@_quick
@given(st.sampled_from(FIELDS), st.binary(max_size=120))
def test_an_assertion_of_any_bytes_is_refused_and_never_an_error_of_another_kind(field: str, value: bytes) -> None:
    with pytest.raises(fido.KeyRejected):
        shown(changed(field, value))


@_quick
@given(st.sampled_from(sorted(MADE)), st.integers(0, 10_000), st.integers(1, 255))
def test_a_registration_with_one_byte_changed_is_taken_whole_or_refused(field: str, place: int, change: int) -> None:
    """Nothing signs it, so some bytes (the key's own) may be others; what is taken verifies signatures."""
    made_of = dict(MADE)
    value = bytearray(made_of[field])
    value[place % len(value)] ^= change
    made_of[field] = bytes(value)
    try:
        made = registered(made_of["clientDataJSON"], made_of["attestationObject"])
    except fido.KeyRejected:
        return
    forged = replace(HONEST, credential_id=made.credential_id, signature=bytes(64))
    taken = fido.KnownKey(made.credential_id, made.public_key, 0)
    with pytest.raises(fido.KeyRejected, match="wrong-signature"):
        fido.shown(PARTY, forged, challenge=CHALLENGE, keys=[taken], user_handle=USER)


@_quick
@given(st.sampled_from(["clientDataJSON", "attestationObject"]), st.binary(max_size=200))
def test_a_registration_of_any_bytes_is_refused(field: str, value: bytes) -> None:
    made_of = MADE | {field: value}
    with pytest.raises(fido.KeyRejected):
        registered(made_of["clientDataJSON"], made_of["attestationObject"])


@_quick
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
def test_client_data_of_any_json_names_no_challenge_or_text(value: Any) -> None:
    for data in (value, {"challenge": value}, {"challenge": value, "type": value, "origin": value}):
        try:
            found = fido.challenge_in(json.dumps(data).encode())
        except fido.KeyRejected:
            continue
        assert isinstance(value, str)
        assert len(found) <= len(value)


@_quick
@given(st.sampled_from(["registrationData", "clientData"]), st.integers(0, 10_000), st.integers(1, 255))
def test_a_u2f_registration_with_one_byte_changed_does_not_hold(field: str, place: int, change: int) -> None:
    parts = {name: bytearray(unb64(U2F_MADE[name])) for name in ("registrationData", "clientData")}
    size = len(parts[field])
    parts[field][place % size] ^= change
    answer = fido.U2fRegistration(bytes(parts["clientData"]), bytes(parts["registrationData"]))
    try:
        made = fido.u2f_registered(PARTY, answer, challenge=CHALLENGE)
    except fido.KeyRejected:
        return
    # Bytes of the certificate beside its key are nobody's business: what is registered is what was signed.
    assert (made.credential_id, made.public_key) == (U2F_KEY.credential_id, cbor.encode(U2F_KEY.cose()))


@_quick
@given(st.sampled_from(["signatureData", "clientData", "keyHandle"]), st.integers(0, 10_000), st.integers(1, 255))
def test_a_u2f_answer_with_one_byte_changed_does_not_hold(field: str, place: int, change: int) -> None:
    parts = {name: bytearray(unb64(value)) for name, value in U2F_SHOWN.items()}
    parts[field][place % len(parts[field])] ^= change
    answer = fido.U2fAssertion(bytes(parts["keyHandle"]), bytes(parts["clientData"]), bytes(parts["signatureData"]))
    with pytest.raises(fido.KeyRejected):
        fido.u2f_shown(PARTY, answer, challenge=CHALLENGE, keys=[known(U2F_KEY, u2f=True)])


@pytest.mark.parametrize(
    ("url", "party_id", "origin"),
    [
        ("https://kms.example.org", "kms.example.org", "https://kms.example.org"),
        ("https://kms.example.org:443", "kms.example.org", "https://kms.example.org"),
        ("https://kms.example.org:8443", "kms.example.org", "https://kms.example.org:8443"),
        ("http://localhost:80", "localhost", "http://localhost"),
        ("http://localhost:8080", "localhost", "http://localhost:8080"),
    ],
)
def test_the_relying_party_is_the_public_urls_host(url: str, party_id: str, origin: str) -> None:
    party = fido.relying_party(url)
    assert (party.id, party.origin) == (party_id, origin)


@pytest.mark.parametrize("url", ["https://127.0.0.1:8443", "https://[::1]:8443", "https://10.1.2.3"])
def test_an_address_is_no_relying_party(url: str) -> None:
    with pytest.raises(fido.NoRelyingParty, match="KEYSTEAD_PUBLIC_URL"):
        fido.relying_party(url)
