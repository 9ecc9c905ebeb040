"""Second factors as people use them: a login that asks for one, enrolment, step-up, the day the phone is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from accounts.clock import clock
from accounts.models import Account, FidoCredential, RecoveryCode, Session, TotpDevice
from kms.api.routes import ENDPOINTS
from kms.audit.models import AuditRecord
from tests.api.test_factor_ranks import refused, sent
from tests.kit.authenticator import EDDSA, ES256, ORIGIN, RS256, Authenticator
from tests.kit.factors import CONFIGURE, SHOW, USERS, Login, Person

WRONG = "The second factor was not accepted"


def reason_of(action: str) -> str:
    return AuditRecord.objects.filter(action=f"second-factor.{action}").latest("sequence").reason


def session_of(login: Login) -> Session:
    return Session.objects.filter(user=login.person.user).latest("created_at")


# -- logging in ----------------------------------------------------------------------------------------------------


def test_a_login_without_factors_says_nothing_of_them(person: Person) -> None:
    answer = person.log_in().answer
    assert answer.keys() == {"token_type", "expires_in", "access_token", "entity_id"}


def test_a_login_of_who_owns_a_key_asks_for_it_and_is_good_for_nothing_until_then(person: Person) -> None:
    _, key = person.with_key()
    login = person.log_in()
    options = login.answer["fido2_assertion_options"]
    assert options["rpId"] == "localhost"
    assert options["userVerification"] == "preferred"
    assert [one["type"] for one in options["allowCredentials"]] == ["public-key"]
    (method,) = login.answer["allowed_mfa_methods"]
    assert method["Fido2"]["challenge"] == options
    assert method["Fido2"]["mfa_devices"] == [{"name": "key", "type": "Fido2", "origin": ORIGIN}]
    assert login.answer["second_factor"] == {"lack": "second-factor-needed", "owned": ["fido2"]}
    assert not login.works()
    assert login.show_key(key, options).status_code == 204
    assert login.select().status_code == 200
    assert login.works()


def test_a_login_of_who_owns_a_phone_asks_for_a_code(person: Person) -> None:
    _, phone = person.with_phone()
    login = person.log_in()
    assert login.select().status_code == 200
    assert login.answer["second_factor"] == {"lack": "second-factor-needed", "owned": ["totp"]}
    assert "fido2_assertion_options" not in login.answer
    assert not login.works()
    assert login.show_phone(phone).status_code == 204
    assert login.works()


UNFINISHED = {"GetSession", "MfaAuthChallenge", "SelectAccount", "Refresh", "Terminate", "Reauthenticate", "GetPubkey"}


def test_an_unfinished_login_is_good_for_nothing_but_finishing_it(newcomer: Person) -> None:
    """Every route, so that a new one is in it."""
    newcomer.with_phone()
    ids = dict.fromkeys(("group_id", "app_id", "acct_id", "key_id", "device_id"), str(newcomer.tenant.group.id))
    login = newcomer.session()
    for endpoint in ENDPOINTS:
        if endpoint.anonymous or endpoint.operation in UNFINISHED or endpoint.text or endpoint.batch:
            continue
        path = endpoint.path.replace("{user_id}", str(newcomer.user.id))
        for name, value in ids.items():
            path = path.replace("{" + name + "}", value)
        answered = newcomer.client.request(endpoint.method, path, headers=login.headers, content=sent(endpoint))
        assert refused(answered), f"{endpoint.operation}: {answered.status_code}"
        if answered.status_code == 403 and not path.startswith(SHOW):
            assert "second factor" in answered.text, endpoint.operation


def test_what_is_shown_stays_with_the_session_that_showed_it(newcomer: Person) -> None:
    _, phone = newcomer.with_phone()
    first, second = newcomer.session(), newcomer.session()
    assert first.show_phone(phone).status_code == 204
    assert (first.works(), second.works()) == (True, False)


def test_a_session_that_is_traded_keeps_what_was_shown(newcomer: Person) -> None:
    login, _ = newcomer.with_key()
    traded = login.post("/sys/v1/session/reauth").json()
    new = Login(newcomer, traded, {"Authorization": f"Bearer {traded['access_token']}"})
    assert new.works()
    assert new.add_key(Authenticator(), "second").status_code == 403  # but not that it was unlocked


def test_who_enrols_the_first_factor_goes_on_and_every_other_session_stops(newcomer: Person) -> None:
    other = newcomer.session()
    assert other.works()
    login, key = newcomer.with_key()
    assert login.works()
    assert not other.works()
    assert "Show your second factor first" in other.get("/sys/v1/apps").text
    assert other.show_key(key).status_code == 204
    assert other.works()


# -- one-time passwords --------------------------------------------------------------------------------------------


def test_a_phone_is_enrolled_by_a_qr_code_and_a_first_code(newcomer: Person) -> None:
    login = newcomer.unlocked()
    made = login.post(f"{USERS}/totp_devices", {"name": "my phone"}).json()
    assert made["qr_code"].startswith("<svg")
    assert parse_qs(urlsplit(made["uri"]).query)["secret"] == [made["secret"]]
    assert newcomer.user.email in made["uri"]
    (device,) = TotpDevice.objects.filter(user=newcomer.user)
    assert made["secret"].encode() not in bytes(device.key_sealed)
    assert not device.confirmed
    assert newcomer.session().works()  # it counts when it is confirmed
    phone = login.begin_phone("another name")
    assert not TotpDevice.objects.filter(key_id=made["device_id"]).exists()
    assert login.confirm(phone, "000000" if phone.code() != "000000" else "000001").status_code == 403
    phone.forgotten()
    assert login.confirm(phone).status_code == 204
    assert login.confirm(phone).status_code == 409
    assert [one["name"] for one in login.factors()["totp_devices"]] == ["another name"]


def test_a_code_is_taken_once_however_it_is_spelt(person: Person) -> None:
    _, phone = person.with_phone()
    code = phone.code()
    login = person.log_in()
    assert login.post(f"{SHOW}/totp", {"code": f"{code[:3]} {code[3:]}"}).status_code == 204
    for again in (code, f" {code} ", f"{code[:3]} {code[3:]}", f"{code}\n", code.lstrip("0").zfill(7)):
        refused = person.session().post(f"{SHOW}/totp", {"code": again})
        assert (refused.status_code, refused.text) == (403, WRONG)


def test_no_code_of_an_earlier_step_is_taken_after_a_later_one(newcomer: Person) -> None:
    _, phone = newcomer.with_phone()
    earlier, later = phone.code(), phone.code()
    assert newcomer.session().post(f"{SHOW}/totp", {"code": later}).status_code == 204
    assert newcomer.session().post(f"{SHOW}/totp", {"code": earlier}).status_code == 403


def test_a_key_that_was_moved_to_another_device_makes_no_codes(person: Person) -> None:
    """Sealed keys are bound to their row."""
    login, phone = person.with_phone()
    login.post(f"{SHOW}/totp", {"code": phone.code()})
    login.unlock()
    other = login.begin_phone("other")
    sealed = TotpDevice.objects.get(key_id=phone.device).key_sealed
    TotpDevice.objects.filter(key_id=other.device).update(key_sealed=sealed)
    assert login.confirm(other, phone.code()).status_code == 409
    assert "does not match" in login.confirm(other, "123456").text


# -- security keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
def test_keys_of_each_algorithm_are_enrolled_and_shown(newcomer: Person, algorithm: int) -> None:
    login, key = newcomer.unlocked(), Authenticator(algorithm)
    options = login.enrolment()
    assert {"type": "public-key", "alg": algorithm} in options["pubKeyCredParams"]
    assert login.add_key(key).status_code == 200
    assert newcomer.session().show_key(key).status_code == 204


def test_creation_options_are_what_browsers_and_the_vendors_client_look_for(newcomer: Person) -> None:
    login, key = newcomer.with_key()
    options = login.enrolment()
    assert options["rp"] == {"name": "Keystead", "id": "localhost", "entity": {"id": "localhost"}}
    assert options["user"]["name"] == newcomer.user.email
    assert options["user"]["entity"]["id"] == options["user"]["id"]
    assert options["attestation"] == "none"
    assert [one["id"] for one in options["excludeCredentials"]] == [key.create(options)["id"]]


def test_the_user_sees_the_devices_and_renames_and_removes_them(newcomer: Person) -> None:
    login, _ = newcomer.with_key()
    shown = login.change(rename_mfa_devices=[{"old_name": "key", "new_name": "blue"}]).json()
    assert shown["mfa_devices"] == [{"name": "blue", "type": "Fido2", "origin": ORIGIN}]
    assert shown["u2f_devices"] == []
    assert login.get(f"{USERS}/{newcomer.user.id}").json()["mfa_devices"] == shown["mfa_devices"]
    (listed,) = [one for one in login.get(USERS).json() if one["user_id"] == str(newcomer.user.id)]
    assert listed["mfa_devices"] == shown["mfa_devices"]
    assert login.add_key(Authenticator(), "blue").status_code == 409
    assert login.add_key(Authenticator(), " ").status_code == 400
    assert login.change(del_mfa_devices=[{"name": "key"}]).status_code == 404
    assert login.change(del_mfa_devices=[{"name": "blue"}]).json()["mfa_devices"] == []
    assert newcomer.session().works()


def test_u2f_keys_are_enrolled_and_shown_by_both_protocols(person: Person) -> None:
    login, key = person.unlocked(), Authenticator()
    added = {"name": "old key", **key.u2f_register(login.enrolment("u2f")["u2f_challenge"])}
    shown = login.change(add_u2f_devices=[added]).json()
    assert shown["u2f_devices"] == [{"name": "old key", "type": "U2f", "origin": ORIGIN}]
    again = person.log_in()
    challenge = again.answer["challenge"]
    assert [one["version"] for one in challenge["u2f_keys"]] == ["U2F_V2"]
    assert again.post(f"{SHOW}/u2f", key.u2f_sign(challenge["u2f_challenge"])).status_code == 204
    by_webauthn = person.log_in()
    options = by_webauthn.answer["fido2_assertion_options"]
    assert options["extensions"] == {"appid": ORIGIN}
    key.rp_id = ORIGIN  # what a browser does for the appid extension
    answer = key.get(options) | {"get_client_extension_results": {"appid": True}}
    assert by_webauthn.post(f"{SHOW}/fido2", answer).status_code == 204
    assert login.enrolment()["extensions"] == {"appidExclude": ORIGIN}


def test_a_server_without_a_name_says_what_it_needs_for_keys(person: Person, settings: Any) -> None:
    login, _ = person.with_key()
    made = login.make_codes().json()["recovery_codes"]
    settings.KEYSTEAD = replace(settings.KEYSTEAD, public_url="https://127.0.0.1:8443")
    refused = login.post(f"{CONFIGURE}/new_challenge?protocol=fido2")
    assert refused.status_code == 400
    assert "KEYSTEAD_PUBLIC_URL" in refused.text
    other = person.log_in()
    assert "fido2_assertion_options" not in other.answer
    assert other.show_code(made[0]).status_code == 204  # nobody is locked out by it


# -- unlocking -----------------------------------------------------------------------------------------------------


def test_factors_are_changed_only_while_unlocked(person: Person) -> None:
    login, key = person.session(), Authenticator()
    assert "Unlock" in login.add_key(key).text
    assert login.unlock("not the password").status_code == 403
    assert login.add_key(key).status_code == 403
    assert login.unlock().json() == {}
    assert login.post(f"{CONFIGURE}/terminate").status_code == 204
    assert login.add_key(key).status_code == 403
    assert login.unlock().status_code == 200
    Session.objects.filter(user=person.user).update(factors_unlocked_until=clock.now() - timedelta(seconds=1))
    assert login.add_key(key).status_code == 403
    assert not FidoCredential.objects.filter(user=person.user).exists()


def test_who_owns_a_factor_unlocks_right_after_showing_it(person: Person) -> None:
    login, phone = person.with_phone()
    stale = clock.now() - timedelta(minutes=6)
    Session.objects.filter(user=person.user).update(second_factor_at=stale, factors_unlocked_until=None)
    assert "again" in login.unlock().text
    assert login.show_phone(phone).status_code == 204
    assert login.unlock().status_code == 200


def test_devices_are_changed_alone_one_at_a_time_and_ones_own_only(person: Person) -> None:
    login, _ = person.with_key()
    assert login.change(del_mfa_devices=[{"name": "key"}], first_name="A").status_code == 400
    keys = [{"name": name, "attestationResult": Authenticator().create(login.enrolment())} for name in ("one", "two")]
    assert login.change(add_mfa_devices=keys).status_code == 400
    colleague = person.tenant.member("member")
    path, body = f"{USERS}/{colleague.id}", {"del_mfa_devices": [{"name": "key"}]}
    assert person.client.patch(path, json=body, headers=login.headers).status_code == 400
    assert FidoCredential.objects.filter(user=person.user).count() == 1


def test_apps_and_calls_without_a_session_have_no_second_factors(newcomer: Person) -> None:
    """Every operation on factors, so that a new one is in it."""
    paths = [e for e in ENDPOINTS if e.path.startswith((SHOW, CONFIGURE)) or "totp" in e.path or "recovery" in e.path]
    assert len(paths) >= 12
    for endpoint in paths:
        path = endpoint.path.replace("{device_id}", str(newcomer.user.id))
        body = {"code": "1", "recovery_code": "1", "password": "1", "name": "1"}
        wanted = {} if endpoint.body is None else {f: body[f] for f in endpoint.body.__struct_fields__ if f in body}
        if endpoint.operation in ("CompleteFido2Auth", "U2fAuth"):
            wanted = Authenticator().get({"challenge": "eA"})
            wanted = wanted if endpoint.operation != "U2fAuth" else Authenticator().u2f_sign("eA")
        answered = newcomer.client.request(endpoint.method, path, json=wanted, auth=newcomer.tenant.api_key())
        assert (answered.status_code, "people" in answered.text) == (403, True), endpoint.operation


# -- recovery codes ------------------------------------------------------------------------------------------------


def test_recovery_codes_are_shown_once_kept_as_digests_and_good_once(newcomer: Person) -> None:
    login, _ = newcomer.with_key()
    codes = login.make_codes().json()["recovery_codes"]
    assert len(set(codes)) == 10
    assert all(len(code.replace("-", "")) == 16 for code in codes)
    kept = b"".join(bytes(row.digest) for row in RecoveryCode.objects.filter(user=newcomer.user))
    assert len(kept) == 320
    assert not [code for code in codes if code.encode() in kept]
    for spelt in (codes[0], codes[1].lower(), codes[2].replace("-", ""), codes[3].replace("-", " ")):
        assert newcomer.session().show_code(spelt).status_code == 204
        refused = newcomer.session().show_code(spelt)
        assert (refused.status_code, refused.text) == (403, WRONG)
    assert login.factors()["recovery_codes_left"] == 6


def test_a_new_set_of_codes_voids_the_one_before_it(newcomer: Person) -> None:
    login, _ = newcomer.with_key()
    old, new = (login.make_codes().json()["recovery_codes"] for _ in range(2))
    assert newcomer.session().show_code(old[0]).status_code == 403
    assert newcomer.session().show_code(new[0]).status_code == 204


def test_codes_of_another_user_open_nothing(person: Person, client: httpx.Client) -> None:
    login, _ = person.with_key()
    codes = login.make_codes().json()["recovery_codes"]
    person.tenant.member("member")
    other = Person(client, person.tenant, person.tenant.users["member"])
    other.with_key()
    assert other.session().show_code(codes[0]).status_code == 403
    assert person.session().show_code(codes[0]).status_code == 204


def test_who_has_no_factor_has_nothing_to_recover(person: Person) -> None:
    login = person.session()
    login.unlock()
    assert login.make_codes().status_code == 400


def test_a_lost_key_is_replaced_with_a_recovery_code(person: Person) -> None:
    login, lost = person.with_key()
    codes = login.make_codes().json()["recovery_codes"]
    again = person.session()
    assert again.show_code(codes[0]).status_code == 204
    assert again.works()
    assert again.unlock().status_code == 200
    assert again.change(del_mfa_devices=[{"name": "key"}]).status_code == 200
    found = Authenticator()
    assert again.add_key(found, "new").status_code == 200
    assert again.make_codes().status_code == 200
    last = person.session()
    assert last.post(f"{SHOW}/fido2", lost.get(last.challenge()["fido2_assertion_options"])).status_code == 403
    assert last.show_code(codes[1]).status_code == 403
    assert last.show_key(found).status_code == 204
    assert last.works()


# -- step-up -------------------------------------------------------------------------------------------------------


def test_step_up_asks_for_the_factor_again_when_it_was_shown_too_long_ago(person: Person) -> None:
    login, key = person.with_key()
    exported = person.tenant.key(operations=["encrypt", "export"])
    Account.objects.filter(id=person.tenant.account.id).update(step_up_seconds=60)
    body = {"kid": str(exported.id)}
    assert login.post("/crypto/v1/keys/export", body).status_code == 200
    Session.objects.filter(user=person.user).update(second_factor_at=clock.now() - timedelta(seconds=61))
    refused = login.post("/crypto/v1/keys/export", body)
    assert refused.status_code == 403
    assert "show your second factor" in refused.text
    assert login.show_key(key).status_code == 204
    assert login.post("/crypto/v1/keys/export", body).status_code == 200
