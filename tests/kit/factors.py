"""People with second factors, over HTTP: they log in, enrol, show, and lose things."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
from django.contrib.auth.hashers import make_password

from accounts import totp
from accounts.clock import clock
from accounts.models import FidoCredential, Membership, TotpDevice, User
from accounts.principal import AuthenticationMethod
from accounts.sessions import issue
from kms.operations.second_factors import seal_key
from kms.secret import SecretBytes
from tests.kit.authenticator import ORIGIN, Authenticator
from tests.kit.tenants import PASSWORD, Tenant, unique, user_principal

SHOW = "/sys/v1/session/auth/2fa"
CONFIGURE = "/sys/v1/session/config_2fa"
USERS = "/sys/v1/users"
NO_PASSWORD = make_password(None)


@dataclass
class Phone:
    """An authenticator app: it has a key and shows codes, each later than the one before."""

    device: str
    key: bytes
    last_step: int = -1

    def code(self) -> str:
        """The earliest code that still holds and was not shown before. Good three times within a step."""
        self.last_step = max(self.last_step + 1, totp.step_at(clock.now()) - totp.WINDOW)
        return totp.code_of(self.key, self.last_step)

    def forgotten(self) -> None:
        """Behind the corridor's back: no code was ever used, so that a test need not wait for the next."""
        TotpDevice.objects.filter(key_id=self.device).update(last_step=-1)
        self.last_step = -1


@dataclass
class Login:
    """One session of a person. ``answer`` is what the login said."""

    person: Person
    answer: dict[str, Any]
    headers: dict[str, str]

    def post(self, path: str, body: Any = None) -> httpx.Response:
        return self.person.client.post(path, json=body, headers=self.headers)

    def get(self, path: str) -> httpx.Response:
        return self.person.client.get(path, headers=self.headers)

    def works(self) -> bool:
        """Whether the session may do what a finished login may."""
        return self.get(f"{USERS}/{self.person.user.id}").status_code == 200 and self.get("/sys/v1/apps").is_success

    def select(self, tenant: Tenant | None = None) -> httpx.Response:
        account = (tenant or self.person.tenant).account
        return self.post("/sys/v1/session/select_account", {"acct_id": str(account.id)})

    # -- showing -----------------------------------------------------------------------------------------------------

    def challenge(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.post(f"{SHOW}/challenge").json()
        return answer

    def show_key(self, key: Authenticator, options: dict[str, Any] | None = None) -> httpx.Response:
        return self.post(f"{SHOW}/fido2", key.get(options or self.challenge()["fido2_assertion_options"]))

    def show_phone(self, phone: Phone) -> httpx.Response:
        return self.post(f"{SHOW}/totp", {"code": phone.code()})

    def show_code(self, code: str) -> httpx.Response:
        return self.post(f"{SHOW}/recovery_code", {"recovery_code": code})

    # -- managing ----------------------------------------------------------------------------------------------------

    def unlock(self, password: str = PASSWORD) -> httpx.Response:
        return self.post(f"{CONFIGURE}/auth", {"password": password})

    def enrolment(self, protocol: str = "fido2") -> dict[str, Any]:
        """Creation options; where they are refused, a challenge that is nobody's."""
        answered = self.post(f"{CONFIGURE}/new_challenge?protocol={protocol}")
        made: dict[str, Any] = answered.json() if answered.is_success else {"challenge": "eA", "u2f_challenge": "eA"}
        return made

    def add_key(self, key: Authenticator, name: str = "key") -> httpx.Response:
        return self.change(add_mfa_devices=[{"name": name, "attestationResult": key.create(self.enrolment())}])

    def change(self, **fields: Any) -> httpx.Response:
        return self.person.client.patch(f"{USERS}/{self.person.user.id}", json=fields, headers=self.headers)

    def begin_phone(self, name: str = "phone") -> Phone:
        made = self.post(f"{USERS}/totp_devices", {"name": name})
        assert made.status_code == 201, made.text
        secret = made.json()["secret"]
        return Phone(made.json()["device_id"], base64.b32decode(secret + "=" * (-len(secret) % 8)))

    def confirm(self, phone: Phone, code: str | None = None) -> httpx.Response:
        return self.post(f"{USERS}/totp_devices/{phone.device}/confirm", {"code": code or phone.code()})

    def remove_phone(self, phone: Phone) -> httpx.Response:
        return self.person.client.delete(f"{USERS}/totp_devices/{phone.device}", headers=self.headers)

    def make_codes(self) -> httpx.Response:
        return self.post(f"{USERS}/generate_recovery_codes")

    def factors(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.get(f"{USERS}/second_factors").json()
        return answer


@dataclass
class Person:
    """A user with a password, and what they carry."""

    client: httpx.Client
    tenant: Tenant
    user: User
    keys: list[Authenticator] = field(default_factory=list)

    def log_in(self) -> Login:
        """With the password, over HTTP, to see what is answered."""
        answered = self.client.post("/sys/v1/session/auth", auth=(self.user.email, PASSWORD))
        assert answered.status_code == 200, answered.text
        return Login(self, answered.json(), {"Authorization": f"Bearer {answered.json()['access_token']}"})

    def session(self, **carried: Any) -> Login:
        """Behind the corridor's back: what a login leaves, with the account selected, without its slow password."""
        principal = user_principal(self.user, self.tenant.account.id)
        now = clock.now()
        _, token = issue(principal, AuthenticationMethod.PASSWORD, now, now, client_ip="127.0.0.1", **carried)
        return Login(self, {}, {"Authorization": f"Bearer {token}"})

    def unlocked(self, **carried: Any) -> Login:
        return self.session(factors_unlocked_until=clock.now() + timedelta(minutes=5), **carried)

    def given_key(self, name: str = "key") -> Authenticator:
        """Behind the corridor's back: a key that was enrolled some time ago."""
        key = Authenticator()
        FidoCredential.objects.create(
            user=self.user,
            name=name,
            protocol="fido2",
            credential_id=key.credential_id,
            public_key=key.encoded_cose(),
            origin=ORIGIN,
        )
        return key

    def given_phone(self, name: str = "phone") -> Phone:
        device = TotpDevice(user=self.user, name=name, confirmed=True)
        key = totp.new_key()
        seal_key(device, SecretBytes(key))
        device.save()
        return Phone(str(device.key_id), key)

    def with_key(self) -> tuple[Login, Authenticator]:
        """A first security key, enrolled: the session that did it, and the key."""
        login, key = self.unlocked(), Authenticator()
        added = login.add_key(key)
        assert added.status_code == 200, added.text
        return login, key

    def with_phone(self) -> tuple[Login, Phone]:
        login = self.unlocked()
        phone = login.begin_phone()
        assert login.confirm(phone).status_code == 204
        return login, phone


def newcomer(client: httpx.Client, tenant: Tenant) -> Person:
    """Another member of the account, without a password: hashing one takes longer than most tests."""
    user = User.objects.create(email=f"{unique('user')}@example.org", email_verified=True, password=NO_PASSWORD)
    Membership.objects.create(user=user, account=tenant.account, role="administrator")
    return Person(client, tenant, user)
