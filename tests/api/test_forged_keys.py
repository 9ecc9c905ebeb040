"""Security keys that lie: every forgery is refused alike, the record says why, and nothing has changed."""

from __future__ import annotations

import json
import secrets
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from fido2 import cbor

from accounts.models import FidoCredential
from kms.audit.models import AuditRecord
from tests.kit.authenticator import AT, ORIGIN, RS256, UP, UV, Authenticator, b64, sha256, unb64
from tests.kit.factors import SHOW, Login, Person
from tests.kit.factors import newcomer as make_newcomer

Options = dict[str, Any]
Answer = dict[str, Any]
Forgery = Callable[[Authenticator, Options], Answer]


def recorded(action: str, login: Login) -> tuple[str, str]:
    entry = AuditRecord.objects.filter(action=action, actor_id=login.person.user.id).latest("sequence")
    return entry.outcome, entry.reason.removeprefix("security-key-")


def lying(**fields: Any) -> Forgery:
    """The right key, asked by somebody else or unwilling."""

    def forge(key: Authenticator, options: Options) -> Answer:
        for name, value in fields.items():
            setattr(key, name, value)
        return key.get(options)

    return forge


def _first(count: int, data: bytes) -> bytes:
    return data[:count]


def with_client_data(change: Callable[[dict[str, Any]], Any]) -> Forgery:
    """The right key signs, over client data of another shape."""

    def forge(key: Authenticator, options: Options) -> Answer:
        changed = change(json.loads(key.client_data("webauthn.get", options["challenge"])))
        client_data = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
        key.counter += 1
        data = key.authenticator_data(key.flags)
        return _answer(key, client_data, data, key.sign(data + sha256(client_data)))

    return forge


def with_data(change: Callable[[bytes], bytes]) -> Forgery:
    """The right key signs, over authenticator data of another shape."""

    def forge(key: Authenticator, options: Options) -> Answer:
        key.counter += 1
        client_data = key.client_data("webauthn.get", options["challenge"])
        data = change(key.authenticator_data(key.flags))
        return _answer(key, client_data, data, key.sign(data + sha256(client_data)))

    return forge


def _answer(key: Authenticator, client_data: bytes, data: bytes, signature: bytes) -> Answer:
    response = {"clientDataJSON": b64(client_data), "authenticatorData": b64(data), "signature": b64(signature)}
    return {"id": b64(key.credential_id), "type": "public-key", "response": response}


def with_signature(change: Callable[[bytes], bytes]) -> Forgery:
    def forge(key: Authenticator, options: Options) -> Answer:
        answer = key.get(options)
        answer["response"]["signature"] = b64(change(unb64(answer["response"]["signature"])))
        return answer

    return forge


def another_key(key: Authenticator, options: Options) -> Answer:
    return Authenticator(credential_id=key.credential_id, counter=key.counter).get(options)


def unknown_key(_key: Authenticator, options: Options) -> Answer:
    return Authenticator().get(options)


def by_app_id(key: Authenticator, options: Options) -> Answer:
    key.rp_id = ORIGIN
    return key.get(options) | {"clientExtensionResults": {"appid": True}}


def _origin(origin: str) -> tuple[Forgery, str]:
    return lying(origin=origin), "other-origin"


FORGERIES: dict[str, tuple[Forgery, str]] = {
    **{f"origin {origin}": _origin(origin) for origin in (
        "https://evil.example", "http://localhost:8443", "https://localhost", "https://localhost:8444", f"{ORIGIN}/",
        "https://LOCALHOST:8443", "https://sub.localhost:8443", "https://localhost:8443.evil.example", "null", "",
    )},
    "relying party": (lying(rp_id="evil.example"), "other-relying-party"),
    "relying party, the AppID without the extension": (lying(rp_id=ORIGIN), "other-relying-party"),
    "relying party, the AppID for a key that is no U2F key": (by_app_id, "unknown-key"),
    "a frame in another page": (lying(cross_origin=True), "cross-origin"),
    "a frame, said otherwise": (with_client_data(lambda d: d | {"crossOrigin": "no"}), "cross-origin"),
    "nobody present": (lying(flags=UV), "nobody-present"),
    "another key": (another_key, "wrong-signature"),
    "a key nobody knows": (unknown_key, "unknown-key"),
    "the other ceremony": (with_client_data(lambda d: d | {"type": "webauthn.create"}), "other-ceremony"),
    "no ceremony": (with_client_data(lambda d: d | {"type": None}), "other-ceremony"),
    "U2F's ceremony": (with_client_data(lambda d: d | {"type": "navigator.id.getAssertion"}), "other-ceremony"),
    "another challenge": (with_client_data(lambda d: d | {"challenge": b64(bytes(32))}), "unknown-challenge"),
    "no challenge": (with_client_data(lambda d: d | {"challenge": ""}), "unknown-challenge"),
    "a challenge that is a number": (with_client_data(lambda d: d | {"challenge": 10**12}), "malformed"),
    "a challenge that is a list": (with_client_data(lambda d: d | {"challenge": [1, 2]}), "malformed"),
    "a challenge that is missing": (with_client_data(lambda d: {"type": d["type"]}), "malformed"),
    "the challenge twice": (
        with_client_data(
            lambda d: json.dumps(d)[:-1].encode() + b', "challenge": "' + b64(bytes(32)).encode() + b'"}'
        ),
        "unknown-challenge",
    ),
    "client data that is a list": (with_client_data(lambda d: [d]), "malformed"),
    "client data that is no JSON": (with_client_data(lambda _d: b"{"), "malformed"),
    "client data in UTF-16": (with_client_data(lambda d: json.dumps(d).encode("utf-16")), "malformed"),
    "client data, nested": (with_client_data(lambda _d: b"[" * 100_000), "malformed"),
    "no signature": (with_signature(lambda _s: b""), "wrong-signature"),
    "a signature cut short": (with_signature(lambda s: s[:-1]), "wrong-signature"),
    "a signature with more": (with_signature(lambda s: s + b"\0"), "wrong-signature"),
    "a signature of zeros": (with_signature(lambda _s: bytes.fromhex("3006020100020100")), "wrong-signature"),
    **{f"data of {n} bytes": (with_data(partial(_first, n)), "malformed") for n in (0, 1, 31, 32, 33, 36)},
    "data with more": (with_data(lambda d: d + b"\0"), "malformed"),
    "data that promises a key": (with_data(lambda d: d[:32] + bytes([UP | AT]) + d[33:]), "malformed"),
    "data that promises extensions": (with_data(lambda d: d[:32] + bytes([UP | 0x80]) + d[33:]), "malformed"),
    "extensions, nested": (
        with_data(lambda d: d[:32] + bytes([UP | 0x80]) + d[33:] + b"\x81" * 50_000 + b"\x00"), "malformed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_assertion_is_refused(name: str, owner: tuple[Login, Authenticator, FidoCredential]) -> None:
    forge, reason = FORGERIES[name]
    login, key, row = owner
    options = login.challenge()["fido2_assertion_options"]
    copy = Authenticator(counter=key.counter, credential_id=key.credential_id)
    copy.key = key.key
    answered = login.post(f"{SHOW}/fido2", forge(copy, options))
    assert (answered.status_code, answered.text) == (403, "The second factor was not accepted")
    assert recorded("second-factor.show-key", login) == ("denied", reason)
    row.refresh_from_db()
    assert (row.sign_count, row.last_used_at) == (0, None)
    assert not login.works()


@pytest.fixture
def owner(newcomer: Person) -> tuple[Login, Authenticator, FidoCredential]:
    """A login that lacks its key, the key, and its row."""
    key = newcomer.given_key()
    return newcomer.session(), key, FidoCredential.objects.get(user=newcomer.user)


def test_the_same_answer_without_a_lie_is_accepted(owner: tuple[Login, Authenticator, FidoCredential]) -> None:
    login, key, _ = owner
    honest = with_client_data(lambda d: d)(key, login.challenge()["fido2_assertion_options"])
    assert login.post(f"{SHOW}/fido2", honest).status_code == 204


def test_another_users_key_does_not_open_this_users_session(newcomer: Person) -> None:
    other = make_newcomer(newcomer.client, newcomer.tenant)
    stolen = other.given_key()
    newcomer.given_key()
    login = newcomer.session()
    assert login.show_key(stolen).status_code == 403
    assert recorded("second-factor.show-key", login) == ("denied", "unknown-key")


def test_an_answer_in_another_users_name_is_refused(owner: tuple[Login, Authenticator, FidoCredential]) -> None:
    login, key, row = owner
    options = login.challenge()["fido2_assertion_options"]
    refused = login.post(f"{SHOW}/fido2", key.get(options, userHandle=b64(secrets.token_bytes(16))))
    assert refused.status_code == 403
    assert recorded("second-factor.show-key", login) == ("denied", "other-user")
    accepted = login.post(f"{SHOW}/fido2", key.get(options, userHandle=b64(row.user_id.bytes)))
    assert accepted.status_code == 204


def test_a_counter_that_does_not_grow_refuses_and_alarms(
    owner: tuple[Login, Authenticator, FidoCredential], caplog: pytest.LogCaptureFixture
) -> None:
    login, key, _ = owner
    key.counter = 10
    assert login.show_key(key).status_code == 204
    for back in (0, -1, -11):
        answer = key.get(login.challenge()["fido2_assertion_options"], counts=back)
        assert login.post(f"{SHOW}/fido2", answer).status_code == 403
        assert recorded("second-factor.show-key", login) == ("denied", "counter-went-back")
        key.counter = 11
    assert caplog.text.count("counted backwards") == 3
    assert login.show_key(key).status_code == 204


def test_a_key_that_never_counts_is_accepted(newcomer: Person) -> None:
    """Passkeys that are synced answer nought always (WebAuthn Level 2 §6.1.1)."""
    login, key = newcomer.session(), newcomer.given_key()
    for _ in range(2):
        answer = key.get(login.challenge()["fido2_assertion_options"], counts=0)
        assert login.post(f"{SHOW}/fido2", answer).status_code == 204


# -- registration --------------------------------------------------------------------------------------------------


def registering(**fields: Any) -> Forgery:
    def forge(key: Authenticator, options: Options) -> Answer:
        for name, value in fields.items():
            setattr(key, name, value)
        return key.create(options)

    return forge


def with_key(change: Callable[[dict[int, Any]], dict[int, Any]], *, algorithm: int = -7) -> Forgery:
    def forge(_key: Authenticator, options: Options) -> Answer:
        key = Authenticator(algorithm)
        cose = change(key.cose())
        key.cose = lambda: cose  # type: ignore[method-assign]  # a forged public key
        return key.create(options)

    return forge


def with_attestation(change: Callable[[bytes], bytes]) -> Forgery:
    def forge(key: Authenticator, options: Options) -> Answer:
        answer = key.create(options)
        answer["response"]["attestationObject"] = b64(change(unb64(answer["response"]["attestationObject"])))
        return answer

    return forge


def with_client_fields(**fields: Any) -> Forgery:
    def forge(key: Authenticator, options: Options) -> Answer:
        answer = key.create(options)
        given = json.loads(unb64(answer["response"]["clientDataJSON"]))
        answer["response"]["clientDataJSON"] = b64(json.dumps(given | fields).encode())
        return answer

    return forge


def _without_credential(attestation: bytes) -> bytes:
    data = sha256(b"localhost") + struct.pack(">BI", UP, 0)
    return cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})


REGISTRATIONS: dict[str, tuple[Forgery, str]] = {
    "origin": (registering(origin="https://evil.example"), "other-origin"),
    "relying party": (registering(rp_id="evil.example"), "other-relying-party"),
    "relying party, the AppID": (registering(rp_id=ORIGIN), "other-relying-party"),
    "a frame in another page": (registering(cross_origin=True), "cross-origin"),
    "nobody present": (registering(flags=UV), "nobody-present"),
    "the other ceremony": (with_client_fields(type="webauthn.get"), "other-ceremony"),
    "another challenge": (with_client_fields(challenge=b64(bytes(32))), "unknown-challenge"),
    "no credential": (with_attestation(_without_credential), "no-credential"),
    "no credential id": (registering(credential_id=b""), "credential-id-length"),
    "a credential id too long": (registering(credential_id=bytes(1024)), "credential-id-length"),
    "an algorithm not asked for": (with_key(lambda k: k | {3: -35, -1: 2}), "algorithm-not-asked-for"),
    "an algorithm nobody knows": (with_key(lambda k: k | {3: -999}), "algorithm-not-asked-for"),
    "no algorithm": (with_key(lambda k: {1: 2}), "malformed"),
    "another curve": (with_key(lambda k: k | {-1: 2}), "malformed"),
    "a point off the curve": (with_key(lambda k: k | {-3: bytes(32)}), "malformed"),
    "half a point": (with_key(lambda k: {n: v for n, v in k.items() if n != -3}), "malformed"),
    "coordinates that are numbers": (with_key(lambda k: k | {-2: 5}), "malformed"),
    "an Ed25519 key cut short": (with_key(lambda k: k | {-2: k[-2][:31]}, algorithm=-8), "malformed"),
    "an RSA key of 1024 bits": (
        with_key(lambda k: k | {-1: b"\0" * 128 + k[-1][:128]}, algorithm=RS256), "key-too-short",
    ),
    "an RSA key of 16384 bits": (with_key(lambda k: k | {-1: b"\xff" * 2048}, algorithm=RS256), "key-too-long"),
    "an RSA exponent of one": (with_key(lambda k: k | {-2: b"\x01"}, algorithm=RS256), "malformed"),
    **{f"cut to {n} bytes": (with_attestation(partial(_first, n)), "malformed") for n in (0, 1, 20, 60, 120, 180)},
    "more after it": (with_attestation(lambda a: a + b"\0"), "malformed"),
    "nested": (with_attestation(lambda _a: b"\x81" * 50_000 + b"\x00"), "malformed"),
    "a list": (with_attestation(lambda _a: cbor.encode([1])), "malformed"),
}  # fmt: skip


@pytest.mark.parametrize("name", REGISTRATIONS)
def test_a_forged_registration_is_refused(name: str, newcomer: Person) -> None:
    forge, reason = REGISTRATIONS[name]
    login = newcomer.unlocked()
    added = {"name": "key", "attestationResult": forge(Authenticator(), login.enrolment())}
    answered = login.change(add_mfa_devices=[added])
    assert (answered.status_code, answered.text) == (400, "The security key's answer was not accepted")
    assert recorded("second-factor.change-keys", login) == ("failed", reason)
    assert not FidoCredential.objects.filter(user=newcomer.user).exists()
    assert newcomer.session().works()


def test_a_credential_id_is_one_users(newcomer: Person) -> None:
    key = newcomer.given_key()
    login = make_newcomer(newcomer.client, newcomer.tenant).unlocked()
    assert login.add_key(Authenticator(credential_id=key.credential_id)).status_code == 409


# -- U2F -----------------------------------------------------------------------------------------------------------


def u2f(**fields: Any) -> Forgery:
    def forge(key: Authenticator, challenge: Options) -> Answer:
        kind = fields.pop("kind", "navigator.id.getAssertion")
        for name, value in fields.items():
            setattr(key, name, value)
        return key.u2f_sign(challenge["u2f_challenge"], kind=kind)

    return forge


def _cut(answer: Answer, field: str, size: int) -> Answer:
    return answer | {field: b64(unb64(answer[field])[:size])}


U2F_FORGERIES: dict[str, tuple[Forgery, str]] = {
    "origin": (u2f(origin="https://evil.example"), "other-origin"),
    "nobody present": (u2f(flags=0), "nobody-present"),
    "the other ceremony": (u2f(kind="navigator.id.finishEnrollment"), "other-ceremony"),
    "WebAuthn's ceremony": (u2f(kind="webauthn.get"), "other-ceremony"),
    "counter": (u2f(counter=0), "counter-went-back"),
    "another challenge": (lambda k, _c: k.u2f_sign(b64(bytes(32))), "unknown-challenge"),
    "another key": (
        lambda k, c: Authenticator(credential_id=k.credential_id, counter=50).u2f_sign(c["u2f_challenge"]),
        "wrong-signature",
    ),
    "a key nobody knows": (lambda _k, c: Authenticator().u2f_sign(c["u2f_challenge"]), "unknown-key"),
    "signature cut": (lambda k, c: _cut(k.u2f_sign(c["u2f_challenge"]), "signatureData", 20), "wrong-signature"),
    "head cut": (lambda k, c: _cut(k.u2f_sign(c["u2f_challenge"]), "signatureData", 3), "malformed"),
    "client data cut": (lambda k, c: _cut(k.u2f_sign(c["u2f_challenge"]), "clientData", 9), "malformed"),
}


def _with_u2f_key(newcomer: Person) -> tuple[Login, Authenticator]:
    login, key = newcomer.unlocked(), Authenticator(counter=5)
    added = {"name": "old", **key.u2f_register(login.enrolment("u2f")["u2f_challenge"])}
    assert login.change(add_u2f_devices=[added]).status_code == 200
    login = newcomer.session()
    challenge = login.challenge()["challenge"]
    assert login.post(f"{SHOW}/u2f", key.u2f_sign(challenge["u2f_challenge"])).status_code == 204
    return newcomer.session(), key


@pytest.mark.parametrize("name", U2F_FORGERIES)
def test_a_forged_u2f_answer_is_refused(name: str, newcomer: Person) -> None:
    forge, reason = U2F_FORGERIES[name]
    login, key = _with_u2f_key(newcomer)
    answered = login.post(f"{SHOW}/u2f", forge(key, login.challenge()["challenge"]))
    assert (answered.status_code, answered.text) == (403, "The second factor was not accepted")
    assert recorded("second-factor.show-u2f-key", login) == ("denied", reason)
    assert not login.works()


def test_a_key_answers_by_its_own_protocol_only(newcomer: Person) -> None:
    login, old = _with_u2f_key(newcomer)
    assert login.show_key(old).status_code == 403
    assert recorded("second-factor.show-key", login) == ("denied", "unknown-key")
    other = Authenticator()
    owner = newcomer.unlocked(second_factor="fido2")
    assert owner.add_key(other, "new").status_code == 200
    other.origin = ORIGIN
    challenge = login.challenge()["challenge"]
    assert login.post(f"{SHOW}/u2f", other.u2f_sign(challenge["u2f_challenge"])).status_code == 403
    assert recorded("second-factor.show-u2f-key", login) == ("denied", "unknown-key")


@pytest.mark.parametrize("cut", [0, 10, 66, 80, 150, 300])
def test_a_forged_u2f_registration_is_refused(cut: int, newcomer: Person) -> None:
    login, key = newcomer.unlocked(), Authenticator()
    made = key.u2f_register(login.enrolment("u2f")["u2f_challenge"])
    answered = login.change(add_u2f_devices=[{"name": "old", **_cut(made, "registrationData", cut)}])
    assert answered.status_code == 400
    key.origin = "https://evil.example"
    elsewhere = key.u2f_register(login.enrolment("u2f")["u2f_challenge"])
    assert login.change(add_u2f_devices=[{"name": "old", **elsewhere}]).status_code == 400
    assert not FidoCredential.objects.filter(user=newcomer.user).exists()
