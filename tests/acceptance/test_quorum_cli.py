"""A master key that no one rotates alone, over the vendor's CLI and SDK as they are: asked, approved, done, recorded.

The officer works with `sdkms-cli`. It knows no request for a rotation, so that is asked for with the Python SDK, and
what came of it is read with the CLI's `task-result`. The officer has a place in the quorum and may not fill it.
"""

from __future__ import annotations

import json
import os
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding, aes_key_wrap_with_padding

from tests.acceptance.conftest import Cli, unique
from tests.acceptance.sdk import Refused, Sdk
from tests.acceptance.server import RunningServer
from tests.kit.authenticator import Authenticator

PASSWORD = "an initial password 1"
NEEDS_APPROVAL = "This operation requires approval"
APPROVALS = "ApprovalRequestsApi"


@dataclass
class Person:
    """Somebody who was invited, with a session in which a security key was shown if they have one."""

    id: str
    email: str
    token: str = ""
    key: Authenticator | None = None


class Office:
    """A group whose keys two of three guard, with second factors, and an officer who may rotate them: one of the three.

    Everything is set up over the CLI and the SDK.
    """

    def __init__(self, server: RunningServer, administrator: Cli, sdk: Sdk, officer: Cli) -> None:
        self.server, self.administrator, self.sdk, self.officer_cli = server, administrator, sdk, officer
        self.admin = server.administrator_session().removeprefix("Bearer ")
        self.account = next(iter(self.call(self.admin, "UsersApi", "get_user_account")))
        self.group_name, self.key_name = unique("vault"), unique("master")
        self.group = administrator("create-group", "--name", self.group_name).out
        self.key = administrator(
            "create-key", "--obj-type", "AES", "--key-size", "256", "--name", self.key_name, "--group-id", self.group
        ).last
        role = {
            "name": unique("rotation officer"),
            "details": {"kind": "group", "permissions": ["ROTATE_SOBJECTS", "GET_GROUP", "GET_AUDIT_LOGS"]},
        }
        self.role = sdk.fetch(self.admin, "POST", "/sys/v1/roles", role)["role_id"]
        self.ann, self.bob, self.eve = (self._person() for _ in range(3))
        joins = {"add_groups": {self.group: [self.role]}}
        self.call(self.admin, "UsersApi", "update_user", self.ann.id, joins)
        for reviewer in (self.bob, self.eve):
            self._enrol(reviewer)
        officer("user-login", "--username", self.ann.email, "--password", PASSWORD)
        places = ",".join(person.id for person in (self.ann, self.bob, self.eve))
        policy = ("--add-quorum-policy", "--n", "2", "--users", places, "--require-2fa")
        administrator("update-group", "--name", self.group_name, *policy)

    def call(self, token: str, api: str, name: str, *arguments: Any, **named: Any) -> Any:
        return self.sdk.call(token, api, name, *arguments, **named)

    def _person(self) -> Person:
        email = f"{unique('p')}@example.org"
        invitation = {"user_email": email, "user_password": PASSWORD, "account_role": ["ACCOUNTMEMBER"]}
        person = Person(self.call(self.admin, "UsersApi", "invite_user", invitation)["user_id"], email)
        person.token = self.sdk.log_in(email, PASSWORD)
        self.call(person.token, "UsersApi", "process_invitations", {"accepts": [self.account], "rejects": []})
        self._select(person)
        return person

    def _select(self, person: Person) -> None:
        self.call(person.token, "AuthenticationApi", "select_account", {"acct_id": self.account})

    def _enrol(self, person: Person) -> None:
        """A first security key, and a login with it."""
        ask, key = self.sdk.fetch, Authenticator(origin=self.server.origin)
        ask(person.token, "POST", "/sys/v1/session/config_2fa/auth", {"password": PASSWORD})
        options = ask(person.token, "POST", "/sys/v1/session/config_2fa/new_challenge?protocol=fido2")
        device = {"name": "key", "attestationResult": key.create(options)}
        ask(person.token, "PATCH", f"/sys/v1/users/{person.id}", {"add_mfa_devices": [device]})
        person.key, person.token = key, self.sdk.log_in(person.email, PASSWORD)
        shown = "/sys/v1/session/auth/2fa"
        options = ask(person.token, "POST", f"{shown}/challenge")["fido2_assertion_options"]
        ask(person.token, "POST", f"{shown}/fido2", key.get(options))
        self._select(person)

    # -- the way of a request --------------------------------------------------------------------------------------

    def ask(self) -> str:
        """By the officer, with the SDK: the call that the CLI was refused."""
        wanted = {"method": "POST", "operation": "/crypto/v1/keys/rekey", "body": {"name": self.key_name}}
        asked = self.call(self.ann.token, APPROVALS, "create_approval_request", wanted)
        assert asked["status"] == "PENDING"
        request: str = asked["request_id"]
        return request

    def shown(self, person: Person, request: str, *, key: Authenticator | None = None) -> dict[str, Any]:
        """What a security key says to this request."""
        options = self.sdk.fetch(person.token, "POST", f"/sys/v1/approval_requests/{request}/challenge?protocol=fido2")
        with_key = key or person.key
        assert with_key is not None
        return {"fido2_auth_request": with_key.get(options)}

    def approve(self, person: Person, request: str, proof: dict[str, Any] | None = None) -> None:
        self.call(person.token, APPROVALS, "approve", request, body=proof)

    def status(self, request: str) -> str:
        status: str = self.call(self.ann.token, APPROVALS, "get_approval_request", request)["status"]
        return status

    def task(self, request: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.officer_cli("task-result", "--request-id", request).out)
        return told

    def named(self) -> str:
        """The id of the key that the name leads to."""
        kid: str = json.loads(self.officer_cli("show-sobject", "--name", self.key_name).out)["kid"]
        return kid

    def recorded(self, **wanted: str) -> list[str]:
        return list(self.entries(**wanted).values())

    def entries(self, **wanted: str) -> dict[str, str]:
        """The newest, by id."""
        query = "&".join(f"{name}={value}" for name, value in wanted.items())
        hits = self.sdk.fetch(self.admin, "GET", f"/sys/v1/logs?size=200&{query}")["hits"]
        return {hit["_id"]: hit["_source"]["message"] for hit in hits}


@pytest.fixture(scope="module")
def sdk(clients: Path, server: RunningServer) -> Iterator[Sdk]:
    with Sdk(clients, server) as opened:
        yield opened


@pytest.fixture(scope="module")
def office(
    server: RunningServer, administrator: Cli, sdk: Sdk, clients: Path, tmp_path_factory: pytest.TempPathFactory
) -> Office:
    officer = Cli(clients / "sdkms-cli", server, tmp_path_factory.mktemp("officer"))
    return Office(server, administrator, sdk, officer)


def refused(call: Callable[[], Any]) -> Refused:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value


def test_a_rotation_asked_by_one_goes_through_only_after_two_others_approved(office: Office) -> None:
    direct = office.officer_cli.refused("rotate-key", "--name", office.key_name)
    assert "403" in direct
    assert NEEDS_APPROVAL in direct
    request = office.ask()
    assert office.task(request)["status"] == "PENDING"
    assert office.named() == office.key
    office.approve(office.bob, request, office.shown(office.bob, request))
    told = office.task(request)
    assert (told["status"], told["approvers"]) == ("PENDING", [{"user": office.bob.id}])
    assert office.named() == office.key
    office.approve(office.eve, request, office.shown(office.eve, request))
    result = office.task(request)
    assert result["status"] in (200, 201)
    new = office.named()
    assert (result["body"]["kid"], result["body"]["name"]) == (new, office.key_name)
    assert new != office.key
    assert office.status(request) == "APPROVED"
    approvers = f"approvers=user {office.bob.id}, user {office.eve.id}"
    (done,) = [line for line in office.recorded(actor_id=office.ann.id) if approvers in line]
    assert done.startswith("object.rotate")
    assert "done (approved)" in done
    # One approval is one rotation.
    assert NEEDS_APPROVAL in office.officer_cli.refused("rotate-key", "--name", office.key_name)
    office.task(request)
    assert office.named() == new


# -- every attempt to cheat ----------------------------------------------------------------------------------------
# Each is made on a request of its own that Bob has approved, so that one more vote would do. A line says who tries,
# what, how it is refused, and what the record says of it.

Cheat = Callable[[Office, str], Any]


def _another_requests_key(office: Office, request: str) -> None:
    office.approve(office.eve, request, office.shown(office.eve, office.ask()))


def _bobs_key(office: Office, request: str) -> None:
    office.approve(office.eve, request, office.shown(office.eve, request, key=office.bob.key))


def _key_shown_before(office: Office, request: str) -> None:
    """The same touch for two requests."""
    other = office.ask()
    proof = office.shown(office.eve, other)
    office.approve(office.eve, other, proof)
    office.approve(office.eve, request, proof)


def _weaker_policy(office: Office, _request: str) -> None:
    weaker = {"approval_policy": {"quorum": {"n": 1, "members": [{"user": office.eve.id}]}}}
    office.sdk.fetch(office.admin, "PATCH", f"/sys/v1/groups/{office.group}", weaker)


def _admin_call(api: str, name: str, *arguments: Any) -> Cheat:
    return lambda office, _request: office.call(
        office.admin, api, name, *(each(office) if callable(each) else each for each in arguments)
    )


CHEATS: dict[str, tuple[str, Cheat, int, str, str]] = {
    "the requester's own vote": ("ann", lambda o, r: o.approve(o.ann, r), 403, "asked for themselves", "own-request"),
    "a vote without a second factor": ("eve", lambda o, r: o.approve(o.eve, r), 403, "second factor", "proof-needed"),
    "a password instead": (
        "eve",
        lambda o, r: o.approve(o.eve, r, {"password": PASSWORD}),
        403,
        "second factor",
        "proof-needed",
    ),
    "a key that said yes to another request": ("eve", _another_requests_key, 403, "not accepted", "approval.approve"),
    "somebody else's key": ("eve", _bobs_key, 403, "not accepted", "approval.approve"),
    "a key shown before": ("eve", _key_shown_before, 403, "not accepted", "approval.approve"),
    "a second vote": ("bob", lambda o, r: o.approve(o.bob, r, o.shown(o.bob, r)), 409, "already", "approval."),
    "an administrator's vote": ("admin", lambda o, r: o.approve(_admin(o), r), 403, "no reviewer", "not-a-reviewer"),
    "an administrator's no": (
        "admin",
        lambda o, r: o.call(o.admin, APPROVALS, "deny", r),
        403,
        "no reviewer",
        "not-a-reviewer",
    ),
    "a request taken back by another": (
        "eve",
        lambda o, r: o.call(o.eve.token, APPROVALS, "delete_approval_request", r),
        403,
        "only who asked",
        "not-the-requester",
    ),
    "the result read by another": (
        "eve",
        lambda o, r: o.call(o.eve.token, APPROVALS, "get_result", r),
        403,
        "only who asked",
        "not-the-requester",
    ),
    "the result before it is there": (
        "ann",
        lambda o, r: o.call(o.ann.token, APPROVALS, "get_result", r),
        409,
        "not been decided",
        "approval-pending",
    ),
    "the rotation by an administrator": (
        "admin",
        _admin_call("SecurityObjectsApi", "rotate_security_object", lambda o: {"name": o.key_name}),
        403,
        NEEDS_APPROVAL,
        "approval-needed",
    ),
    "a weaker policy": ("admin", _weaker_policy, 403, NEEDS_APPROVAL, "approval-needed"),
    "the group taken away": (
        "admin",
        _admin_call("GroupsApi", "delete_group", lambda o: o.group),
        403,
        NEEDS_APPROVAL,
        "approval-needed",
    ),
    "an app that may do it": (
        "admin",
        lambda o, _r: o.sdk.fetch(
            o.admin, "POST", "/sys/v1/apps", {"name": unique("app"), "add_groups": [o.group], "default_group": o.group}
        ),
        403,
        NEEDS_APPROVAL,
        "approval-needed",
    ),
    "the key moved out": (
        "admin",
        lambda o, _r: o.sdk.fetch(o.admin, "PATCH", f"/crypto/v1/keys/{o.named()}", {"group_id": _elsewhere(o)}),
        403,
        NEEDS_APPROVAL,
        "approval-needed",
    ),
    "a request for somebody else's rights": (
        "bob",
        lambda o, _r: o.call(
            o.bob.token,
            APPROVALS,
            "create_approval_request",
            {"method": "POST", "operation": "/crypto/v1/keys/rekey", "body": {"name": o.key_name}},
        ),
        404,
        "does not exist",
        "approval.request",
    ),
}


def _admin(office: Office) -> Person:
    return Person("", "", office.admin)


def _elsewhere(office: Office) -> str:
    made: str = office.sdk.fetch(office.admin, "POST", "/sys/v1/groups", {"name": unique("elsewhere")})["group_id"]
    return made


@pytest.mark.parametrize("name", CHEATS)
def test_each_attempt_to_cheat_is_refused_and_on_the_record(name: str, office: Office) -> None:
    who, cheat, status, said, written = CHEATS[name]
    before, request = office.named(), office.ask()
    office.approve(office.bob, request, office.shown(office.bob, request))
    actor = office.sdk.call(office.admin, "UsersApi", "get_users")
    ids = {user["user_email"]: user["user_id"] for user in actor}
    person = ids[office.server.email] if who == "admin" else getattr(office, who).id
    had = office.entries(actor_id=person)
    error = refused(lambda: cheat(office, request))
    assert (error.status, said.lower() in error.said.lower()) == (status, True), error
    assert office.status(request) == "PENDING"
    assert office.named() == before
    lines = [line for entry, line in office.entries(actor_id=person).items() if entry not in had]
    assert [line for line in lines if written in line and ": done" not in line], lines


# -- the CLI's own tasks -------------------------------------------------------------------------------------------


class Desk:
    """An app that does with `--quorum` what one of two has to approve, in a group where cryptography is guarded too."""

    def __init__(self, office: Office, cli: Cli) -> None:
        self.office, self.cli, administrator = office, cli, office.administrator
        name = unique("desk")
        group = administrator("create-group", "--name", name).out
        app = administrator("create-app", "--name", name, "--groups", name, "--default-group", name).out
        api_key = administrator("get-app-api-key", "--app-id", app).out
        cli("app-login", "--api-key", api_key)
        self.rsa = cli("create-key", "--obj-type", "RSA", "--key-size", "2048", "--name", unique("rsa")).last
        self.aes, self.kek = (self._exportable() for _ in range(2))
        self.material = {kid: cli("export-object", "--kid", kid, "--der").stdout for kid in (self.aes, self.kek)}
        self.public = json.loads(cli("show-sobject", "--kid", self.rsa).out)["pub_key"]
        places = [{"user": person.id} for person in (office.bob, office.eve)]
        policy = {"quorum": {"n": 1, "members": places}, "protect_crypto_operations": True}
        office.sdk.fetch(office.admin, "PATCH", f"/sys/v1/groups/{group}", {"approval_policy": policy})

    def _exportable(self) -> str:
        arguments = ("--obj-type", "AES", "--key-size", "256", "--name", unique("aes"), "--exportable", "--force")
        return self.cli("create-key", *arguments).last

    def task(self, *arguments: str | Path) -> str:
        """Refused when it is made directly; the request that the CLI makes of it instead, approved."""
        assert NEEDS_APPROVAL in self.cli.refused(*arguments)
        said = self.cli(*arguments, "--quorum").out
        found = re.search(r"request_id: (\S+) Status: PENDING", said)
        assert found is not None, said
        self.office.approve(self.office.bob, found[1])
        return found[1]

    def result(self, request: str, *out: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.cli("task-result", "--request-id", request, *out).out.splitlines()[0])
        assert told["status"] in (200, 201), told
        return told


@pytest.fixture(scope="module")
def desk(office: Office, server: RunningServer, clients: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(office, Cli(clients / "sdkms-cli", server, tmp_path_factory.mktemp("desk")))


def test_an_export_that_was_approved_is_written_to_a_file(desk: Desk) -> None:
    request = desk.task("export-object", "--kid", desk.aes)
    desk.result(request, "--out", "exported")
    assert desk.cli.read("exported") == desk.material[desk.aes]


def test_a_signature_that_was_approved_holds(desk: Desk) -> None:
    data = desk.cli.file("data", b"to be signed")
    request = desk.task("sign", "--kid", desk.rsa, "--hash-alg", "SHA256", "--in", data, "--out", "direct")
    desk.result(request, "--out", "signature")
    public: Any = serialization.load_der_public_key(b64decode(desk.public))
    public.verify(desk.cli.read("signature"), b"to be signed", padding.PKCS1v15(), hashes.SHA256())


def test_a_wrapped_key_that_was_approved_opens(desk: Desk) -> None:
    common = ("--alg", "AES", "--mode", "KWP", "--wrapping-kid", desk.kek)
    request = desk.task("wrap-key", *common, "--kid", desk.aes, "--out", "direct")
    desk.result(request, "--out", "wrapped")
    opened = aes_key_unwrap_with_padding(desk.material[desk.kek], desk.cli.read("wrapped"))
    assert opened == desk.material[desk.aes]


def test_a_key_is_unwrapped_when_that_was_approved(desk: Desk) -> None:
    material = os.urandom(32)
    wrapped = desk.cli.file("brought", aes_key_wrap_with_padding(desk.material[desk.kek], material))
    common = ("--alg", "AES", "--mode", "KWP", "--wrapping-kid", desk.kek, "--obj-type", "AES", "--name", unique("in"))
    made = desk.result(desk.task("unwrap-key", *common, "--in", wrapped, "--exportable"))["body"]
    assert (made["obj_type"], made["key_size"]) == ("AES", 256)
    request = desk.task("export-object", "--kid", made["kid"])
    desk.result(request, "--out", "unwrapped")
    assert desk.cli.read("unwrapped") == material


def test_an_object_is_updated_when_that_was_approved(desk: Desk) -> None:
    request = desk.task("update-object", "--kid", desk.aes, "--description", "approved by one of two")
    assert desk.result(request)["body"]["description"] == "approved by one of two"


def test_a_task_that_is_denied_says_by_whom_and_that_nothing_came_of_it(desk: Desk) -> None:
    said = desk.cli("export-object", "--kid", desk.aes, "--quorum").out
    request = re.findall(r"request_id: (\S+)", said)[0]
    desk.office.call(desk.office.eve.token, APPROVALS, "deny", request)
    told = json.loads(desk.cli("task-result", "--request-id", request, "--out", "nothing").out)
    assert (told["status"], told["denier"]) == ("DENIED", {"user": desk.office.eve.id})
    assert not (desk.cli.folder / "nothing").exists()


def test_a_task_that_is_nobodys_is_not_found(desk: Desk) -> None:
    nobodys = "00000000-0000-4000-8000-000000000000"
    assert "404" in desk.cli.refused("task-result", "--request-id", nobodys)
