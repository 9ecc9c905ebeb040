"""A one-time password is no weaker way into an account that demands security keys: every road around one, tried.

The roads are swept over every route that shows or changes factors, so a new one is tried or fails the sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from accounts.models import Account, FidoCredential, Membership, RecoveryCode, TotpDevice
from accounts.second_factor import Factor
from kms.api.routes import ENDPOINTS
from kms.api.wire.base import Endpoint
from tests.architecture.test_operations import body_of
from tests.kit.authenticator import Authenticator
from tests.kit.factors import CONFIGURE, SHOW, USERS, Login, Person, Phone
from tests.kit.tenants import Tenant, new_tenant


@pytest.fixture(scope="module")
def strict(installation: None) -> Tenant:
    """An account that demands security keys."""
    tenant = new_tenant()
    Account.objects.filter(id=tenant.account.id).update(second_factor="fido2")
    return tenant


@pytest.fixture
def owner(newcomer: Person, strict: Tenant) -> Person:
    """A member of the strict account and of one that asks for nothing."""
    Membership.objects.create(user=newcomer.user, account=strict.account, role="administrator")
    return newcomer


def of_both(owner: Person) -> tuple[Authenticator, Phone]:
    return owner.given_key(), owner.given_phone()


def state(owner: Person) -> tuple[Any, ...]:
    """What a road around the key would change."""
    keys = FidoCredential.objects.filter(user=owner.user).order_by("id").values_list("name", "credential_id")
    apps = TotpDevice.objects.filter(user=owner.user).order_by("id").values_list("name", "confirmed")
    codes = RecoveryCode.objects.filter(user=owner.user).order_by("id").values_list("digest", flat=True)
    return [(n, bytes(c)) for n, c in keys], list(apps), [bytes(d) for d in codes]


# What each route that manages factors is sent; every one of them would succeed for somebody who showed the key.
MANAGING: dict[str, Callable[[Login, Phone], httpx.Response]] = {
    "Config2faAuth": lambda login, _: login.unlock(),
    "GenerateRecoveryCodes": lambda login, _: login.make_codes(),
    "GenerateRecoveryCode": lambda login, _: login.post(f"{USERS}/generate_recovery_code"),
    "AddTotpDevice": lambda login, _: login.post(f"{USERS}/totp_devices", {"name": "another"}),
    "ConfirmTotpDevice": lambda login, phone: login.confirm(phone),
    "DeleteTotpDevice": lambda login, phone: login.remove_phone(phone),
    "UpdateUser, adding": lambda login, _: login.add_key(Authenticator(), "mine"),
    "UpdateUser, removing": lambda login, _: login.change(del_mfa_devices=[{"name": "key"}]),
    "UpdateUser, removing as U2F": lambda login, _: login.change(del_u2f_devices=[{"name": "key"}]),
    "UpdateUser, renaming": lambda login, _: login.change(rename_mfa_devices=[{"old_name": "key", "new_name": "x"}]),
    "UpdateUser, adding a U2F key": lambda login, _: login.change(
        add_u2f_devices=[{"name": "mine", **Authenticator().u2f_register(login.enrolment("u2f")["u2f_challenge"])}]
    ),
    "UpdateUser, swapping": lambda login, _: login.change(
        del_mfa_devices=[{"name": "key"}],
        add_mfa_devices=[{"name": "mine", "attestationResult": Authenticator().create(login.enrolment())}],
    ),
}
HARMLESS = {"Config2faTerminate", "MfaNewChallenge", "ListFactors", "MfaAuthChallenge"}
SHOWING = {"CompleteFido2Auth", "U2fAuth", "RecoveryCodeAuth", "TotpAuth"}


def refused(answered: httpx.Response) -> bool:
    """Of a batch, every item."""
    if answered.status_code == 200 and isinstance(answered.json(), list):
        return {item.get("status") for item in answered.json()} <= {400, 403, 404}
    return answered.status_code in (400, 403, 404)


def sent(endpoint: Endpoint) -> bytes:
    """The least body that the route takes, so that what is refused is not the body."""
    return b"" if endpoint.body is None else msgspec.json.encode(body_of(endpoint))


def test_the_sweep_names_every_route_on_factors() -> None:
    paths = (SHOW, CONFIGURE, f"{USERS}/totp", f"{USERS}/second", f"{USERS}/generate")
    routes = {e.operation for e in ENDPOINTS if e.path.startswith(paths)}
    assert routes | {"UpdateUser"} == {name.partition(",")[0] for name in MANAGING} | HARMLESS | SHOWING


@pytest.mark.parametrize("shown", [Factor.NONE, Factor.TOTP])
@pytest.mark.parametrize("road", MANAGING)
def test_whoever_showed_less_than_the_key_changes_no_factor(owner: Person, road: str, shown: Factor) -> None:
    """Though the session is unlocked, as one is that was unlocked before the key was enrolled."""
    _, phone = of_both(owner)
    login = owner.unlocked(second_factor=shown)
    before = state(owner)
    answered = MANAGING[road](login, phone)
    assert answered.status_code in (400, 403, 409), answered.text
    assert state(owner) == before
    assert not _enters(login, owner)


@pytest.mark.parametrize("road", [r for r in MANAGING if r not in ("ConfirmTotpDevice",)])
def test_every_road_is_open_to_whoever_showed_the_key(owner: Person, road: str) -> None:
    """Otherwise the sweep above would prove nothing."""
    _, phone = of_both(owner)
    login = owner.unlocked(second_factor=Factor.FIDO2)
    answered = MANAGING[road](login, phone)
    if road == "Config2faAuth":  # newcomers have no password
        assert "password" in answered.text
    else:
        assert answered.is_success, answered.text


def _enters(login: Login, owner: Person) -> bool:
    strict = Membership.objects.exclude(account=owner.tenant.account).get(user=owner.user).account
    login.post("/sys/v1/session/select_account", {"acct_id": str(strict.id)})
    entered = login.get("/sys/v1/apps").is_success
    login.select()
    return entered


ROADS: dict[str, Callable[[Login, Phone], Any]] = {
    "the code": lambda login, phone: login.show_phone(phone),
    "the code twice": lambda login, phone: (login.show_phone(phone), login.show_phone(phone)),
    "the code, elsewhere": lambda login, phone: (login.select(), login.show_phone(phone)),
    "refreshing": lambda login, phone: (login.show_phone(phone), login.post("/sys/v1/session/refresh")),
    "listing": lambda login, phone: (login.show_phone(phone), login.factors()),
    "terminating": lambda login, phone: (login.show_phone(phone), login.post(f"{CONFIGURE}/terminate")),
    "a made-up recovery code": lambda login, _: login.show_code("AAAA-AAAA-AAAA-AAAA"),
    "somebody else's key": lambda login, _: login.show_key(Authenticator()),
}


@pytest.mark.parametrize("road", ROADS)
def test_no_road_leads_into_the_account_without_the_key(owner: Person, road: str) -> None:
    _, phone = of_both(owner)
    login = owner.session()
    ROADS[road](login, phone)
    assert not _enters(login, owner)


def test_the_key_leads_in(owner: Person) -> None:
    key, _ = of_both(owner)
    login = owner.session()
    assert login.show_key(key).status_code == 204
    assert _enters(login, owner)


def test_a_traded_session_has_shown_no_more(owner: Person) -> None:
    _, phone = of_both(owner)
    login = owner.session()
    login.show_phone(phone)
    token = login.post("/sys/v1/session/reauth").json()["access_token"]
    assert not _enters(Login(owner, {}, {"Authorization": f"Bearer {token}"}), owner)


def test_codes_made_while_only_a_phone_guarded_the_user_recover_no_key(owner: Person) -> None:
    login, _ = owner.with_phone()
    codes = login.make_codes().json()["recovery_codes"]
    assert login.add_key(Authenticator()).status_code == 200
    assert login.factors()["recovery_codes_left"] == 0
    other = owner.session()
    assert other.show_code(codes[0]).status_code == 403
    assert not _enters(other, owner)


def test_codes_left_from_before_the_last_factor_went_recover_none_that_comes(owner: Person) -> None:
    login, key = owner.with_key()
    codes = login.make_codes().json()["recovery_codes"]
    assert login.change(del_mfa_devices=[{"name": "key"}]).status_code == 200
    assert login.add_key(key).status_code == 200
    assert owner.session().show_code(codes[0]).status_code == 403


def test_a_recovery_code_without_a_key_is_no_key(owner: Person) -> None:
    """Of somebody who only has a phone: the account asks them to enrol a key."""
    login, _ = owner.with_phone()
    codes = login.make_codes().json()["recovery_codes"]
    other = owner.session()
    assert other.show_code(codes[0]).status_code == 204
    assert not _enters(other, owner)


def test_a_code_shown_after_the_key_does_not_refresh_what_the_key_proved(owner: Person) -> None:
    key, phone = of_both(owner)
    login = owner.session()
    assert login.show_key(key).status_code == 204
    assert _enters(login, owner)
    assert login.show_phone(phone).status_code == 204
    assert not _enters(login, owner)
    assert login.show_key(key).status_code == 204
    assert _enters(login, owner)


def test_a_session_unlocked_before_another_enrolled_the_first_key_is_locked_out(owner: Person) -> None:
    early = owner.unlocked()
    owner.with_key()
    assert early.add_key(Authenticator(), "mine").status_code == 403
    assert early.make_codes().status_code == 403


# -- who has no key yet --------------------------------------------------------------------------------------------

ENROLLING = {
    "GetSession", "Refresh", "Terminate", "Reauthenticate", "SelectAccount", "Config2faAuth", "MfaNewChallenge",
    "Config2faTerminate", "ListFactors", "GetUserAccounts", "GetUser", "AddTotpDevice", "GenerateRecoveryCodes",
    "GenerateRecoveryCode", "GetPubkey", "ChangePassword", "UpdateUser", "ListAccounts",
    # Open to all, and good for nothing but a mail.
    "ResendConfirmEmail", "ResendConfirmEmailById",
}  # fmt: skip


def test_an_account_that_demands_keys_lets_its_members_enrol_one_and_do_nothing_else(
    owner: Person, strict: Tenant
) -> None:
    login = owner.session()
    assert login.select(strict).status_code == 200
    assert "enrol one first" in login.get("/sys/v1/apps").text
    ids = dict.fromkeys(("group_id", "app_id", "acct_id", "key_id", "device_id"), str(strict.group.id))
    reached = set()
    for endpoint in ENDPOINTS:
        if endpoint.anonymous or endpoint.text or endpoint.batch or endpoint.operation in ENROLLING:
            continue
        path = endpoint.path.replace("{user_id}", str(owner.user.id))
        for name, value in ids.items():
            path = path.replace("{" + name + "}", value)
        answered = owner.client.request(endpoint.method, path, headers=login.headers, content=sent(endpoint))
        if not refused(answered):
            reached.add(endpoint.operation)
    assert reached == set()


def test_an_account_that_demands_keys_is_entered_by_enrolling_one(owner: Person, strict: Tenant) -> None:
    login = owner.unlocked()
    login.select(strict)
    key = Authenticator()
    assert login.add_key(key).status_code == 200
    assert _enters(login, owner)
    later = owner.session()
    later.select(strict)
    assert "Show your second factor" in later.get("/sys/v1/apps").text
    assert later.show_key(key).status_code == 204
    assert later.get("/sys/v1/apps").is_success


def test_a_phone_alone_is_no_enrolment_where_keys_are_demanded(owner: Person, strict: Tenant) -> None:
    login, phone = owner.with_phone()
    other = owner.session()
    assert other.show_phone(phone).status_code == 204
    other.select(strict)
    assert "enrol one first" in other.get("/sys/v1/apps").text
    assert not _enters(login, owner)
