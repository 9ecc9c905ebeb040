"""The life of an object over HTTP: each field that is acted on goes in and comes out, each other is refused by name."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from kms.operations.executor import execute
from kms.operations.groups import UpdateGroup
from tests.api.test_bad_input import login, plain_error
from tests.kit.objects import HOUR
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.operations.material import certificate, ec_key, pkcs8, spki

KEYS = "/crypto/v1/keys"
NOBODY = "00000000-0000-4000-8000-000000000000"


class Desk:
    """The administrator at work in one account."""

    def __init__(self, tenant: Tenant, client: httpx.Client) -> None:
        self.tenant, self._client = tenant, client
        self._headers = login(client, tenant.users["administrator"].email, tenant)

    def ask(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = self._client.request(method, path, json=body, headers=self._headers)
        if status >= 400:
            return plain_error(answer, status)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def made(self, **fields: Any) -> Any:
        return self.ask("POST", KEYS, self._new(fields), 201)

    def imported(self, value: bytes, **fields: Any) -> Any:
        return self.ask("PUT", KEYS, self._new({"value": base64.b64encode(value).decode(), **fields}), 201)

    def refused(self, method: str = "POST", **fields: Any) -> str:
        said: str = self.ask(method, KEYS, self._new(fields), 400)
        return said

    def _new(self, fields: dict[str, Any]) -> dict[str, Any]:
        group, kind = str(self.tenant.group.id), fields.get("obj_type", "AES")
        size = {} if kind != "AES" or "value" in fields else {"key_size": 256}
        return {"name": unique("k"), "group_id": group, "obj_type": kind, **size, **fields}

    def shown(self, kid: str, **query: str) -> Any:
        return self.ask(
            "GET", f"{KEYS}/{kid}?{'&'.join(f'{name}={value}' for name, value in query.items())}".rstrip("?")
        )

    def changed(self, kid: str, **fields: Any) -> Any:
        return self.ask("PATCH", f"{KEYS}/{kid}", fields)

    def listed(self, **query: str) -> list[str]:
        found = self.ask("GET", f"{KEYS}?{'&'.join(f'{name}={value}' for name, value in query.items())}".rstrip("?"))
        return [one["kid"] for one in found]

    def revoked(self, kid: str, code: str = "Superseded", **fields: Any) -> None:
        self.ask("POST", f"{KEYS}/{kid}/revoke", {"code": code, **fields}, 204)

    def destroyed(self, kid: str) -> None:
        self.ask("POST", f"{KEYS}/{kid}/destroy", status=204)

    def deleted(self, kid: str) -> None:
        self.ask("DELETE", f"{KEYS}/{kid}", status=204)


@pytest.fixture
def desk(tenant: Tenant, client: httpx.Client) -> Desk:
    return Desk(tenant, client)


def wire(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%SZ")


def ahead(days: float) -> str:
    return wire(datetime.now(UTC) + timedelta(days=days))


def moment_of(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


# -- fields that go in and come out --------------------------------------------------------------------------------

ROUND_TRIPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "description": ({}, {"description": "described"}),
    "metadata": ({}, {"custom_metadata": {"a": "b", "ä": "ö"}}),
    "disabled": ({}, {"enabled": False}),
    "operations": ({}, {"key_ops": ["ENCRYPT", "DECRYPT", "EXPORT"]}),
    "dates": ({}, {"activation_date": ahead(1), "deactivation_date": ahead(2), "state": "PreActive"}),
    "state": ({}, {"state": "PreActive"}),
    "aes": ({}, {"aes": {"cipher_mode": "GCM", "tag_length": 128, "iv_length": 12, "random_iv": True}}),
    "des3": ({"obj_type": "DES3", "key_size": 168}, {"des3": {"cipher_mode": "CBC"}}),
    "rsa": (
        {"obj_type": "RSA"},
        {
            "rsa": {
                "key_size": 2048,
                "encryption_policy": [
                    {"padding": {"OAEP": {"mgf": {"mgf1": {"hash": "SHA256"}}}}},
                    {"padding": {"PKCS1_V15": {}}},
                ],
                "signature_policy": [{"padding": {"PSS": {}}}],
            }
        },
    ),
    "export by any": (
        {"key_ops": ["ENCRYPT", "EXPORT"]},
        {"export_policy": {"$type": "Wrapped", "by": {"$type": "Any"}, "allow_weakening": True}},
    ),
    "export by named keys": (
        {"key_ops": ["ENCRYPT", "EXPORT"]},
        {
            "export_policy": {
                "$type": "Wrapped",
                "by": {"$type": "Only", "keys": [{"kid": NOBODY}]},
                "allow_weakening": False,
            }
        },
    ),
    "rotation by days": (
        {},
        {"rotation_policy": {"interval_days": 30, "effective_at": ahead(40), "deactivate_rotated_key": True}},
    ),
    "rotation by months": ({}, {"rotation_policy": {"interval_months": 6, "deactivate_rotated_key": False}}),
    "publication": (
        {"obj_type": "EC", "elliptic_curve": "NistP256"},
        {"publish_public_key": {"state": "enabled", "list_previous_version": True}},
    ),
}


@pytest.mark.parametrize("label", ROUND_TRIPS)
def test_what_goes_in_comes_out(desk: Desk, label: str) -> None:
    also, fields = ROUND_TRIPS[label]
    made = desk.made(**also, **fields)
    found = desk.shown(made["kid"])
    for one in (made, found):
        assert {name: _comparable(one.get(name)) for name in fields} == {
            name: _comparable(value) for name, value in fields.items()
        }
    assert found["original_key_ops"] == made["key_ops"]
    if "rotation_policy" in fields:
        due = moment_of(found["scheduled_rotation"])
        policy = fields["rotation_policy"]
        expected = moment_of(policy["effective_at"]) if "effective_at" in policy else None
        assert due == expected if expected else timedelta(days=180) < due - datetime.now(UTC) < timedelta(days=185)


def _comparable(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else value


def test_what_an_object_lacks_is_not_shown(desk: Desk) -> None:
    found = desk.shown(desk.made()["kid"])
    for name in (
        "aes",
        "fpe",
        "rsa",
        "links",
        "history",
        "rotation_policy",
        "scheduled_rotation",
        "publish_public_key",
        "export_policy",
        "revocation_reason",
        "compromise_date",
        "destruction_date",
        "deletion_date",
        "activation_date",
        "value",
        "certificate",
    ):
        assert name not in found


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "name": ({}, {"name": unique("renamed")}),
    "description": ({"description": "old"}, {"description": "new"}),
    "disabled": ({}, {"enabled": False}),
    "operations": ({}, {"key_ops": ["ENCRYPT", "DECRYPT"]}),
    "deactivation": ({}, {"deactivation_date": ahead(9)}),
    "activation": ({"state": "PreActive"}, {"activation_date": ahead(3)}),
    "rsa": (
        {"obj_type": "RSA", "key_size": 2048},
        {"rsa": {"key_size": 2048, "encryption_policy": [{}], "signature_policy": [{"padding": {"PKCS1_V15": {}}}]}},
    ),
    "export": (
        {"key_ops": ["ENCRYPT", "EXPORT"]},
        {"export_policy": {"$type": "Wrapped", "by": {"$type": "Any"}, "allow_weakening": False}},
    ),
    "rotation": ({}, {"rotation_policy": {"interval_days": 7, "deactivate_rotated_key": False}}),
    "publication": (
        {"obj_type": "EC", "elliptic_curve": "NistP256"},
        {"publish_public_key": {"state": "enabled", "list_previous_version": False}},
    ),
}


@pytest.mark.parametrize("label", CHANGES)
def test_a_change_is_answered_and_shown(desk: Desk, label: str) -> None:
    also, fields = CHANGES[label]
    kid = desk.made(**also)["kid"]
    for found in (desk.changed(kid, **fields), desk.shown(kid)):
        assert {name: found.get(name) for name in fields} == fields


def test_metadata_is_merged_and_emptied_values_go(desk: Desk) -> None:
    kid = desk.made(custom_metadata={"a": "1", "b": "2"})["kid"]
    assert desk.changed(kid, custom_metadata={"b": "", "c": "3"})["custom_metadata"] == {"a": "1", "c": "3"}


def test_null_ends_a_rotation_policy_and_leaving_it_out_does_not(desk: Desk) -> None:
    kid = desk.made(rotation_policy={"interval_days": 7})["kid"]
    assert "rotation_policy" in desk.changed(kid, description="d")
    ended = desk.changed(kid, rotation_policy=None)
    assert "rotation_policy" not in ended
    assert "scheduled_rotation" not in ended


def test_an_interval_may_be_one_level_deeper_as_the_python_client_sends_it(desk: Desk) -> None:
    kid = desk.made()["kid"]
    found = desk.changed(kid, rotation_policy={"interval": {"interval_months": 2}})["rotation_policy"]
    assert found == {"interval_months": 2, "deactivate_rotated_key": False}
    twice = {"interval": {"interval_days": 2}, "interval_days": 2}
    assert "given twice" in desk.ask("PATCH", f"{KEYS}/{kid}", {"rotation_policy": twice}, 400)


def test_a_publication_is_ended_by_its_state(desk: Desk) -> None:
    policy = {"state": "enabled", "list_previous_version": False}
    kid = desk.made(obj_type="EC", elliptic_curve="NistP256", publish_public_key=policy)["kid"]
    assert "publish_public_key" not in desk.changed(kid, publish_public_key={"state": "disabled"})


def test_an_export_policy_is_lifted_only_if_it_said_so(desk: Desk) -> None:
    operations = ["ENCRYPT", "EXPORT"]
    free = {"$type": "Unrestricted", "allow_weakening": False}
    wrapped = {"$type": "Wrapped", "by": {"$type": "Any"}}
    loose = desk.made(key_ops=operations, export_policy={**wrapped, "allow_weakening": True})["kid"]
    desk.ask("GET", f"{KEYS}/{loose}/export", status=400)
    assert "export_policy" not in desk.changed(loose, export_policy=free)
    desk.ask("GET", f"{KEYS}/{loose}/export")
    strict = desk.made(key_ops=operations, export_policy={**wrapped, "allow_weakening": False})["kid"]
    assert "cannot be weakened" in desk.ask("PATCH", f"{KEYS}/{strict}", {"export_policy": free}, 400)
    assert "export_policy" not in desk.made(export_policy=free)


def test_a_check_value_is_shown_and_compared_at_an_import(desk: Desk) -> None:
    value = bytes(16)
    made = desk.imported(value)
    assert made["kcv"] == "66E94B"
    assert desk.imported(value, kcv="66e94b")["kcv"] == "66E94B"
    wrong = base64.b64encode(value).decode()
    assert "kcv does not match" in desk.refused("PUT", value=wrong, kcv="000000")
    assert "kcv is for imports" in desk.refused(kcv="66E94B")


# -- refused by name -----------------------------------------------------------------------------------------------

UNSUPPORTED: dict[str, Any] = {
    "allow_credential_use": True,
    "allow_sign_hash": False,
    "bip32": {"derivation_path": [1]},
    "bls": {"variant": "small_signatures"},
    "deterministic_signatures": True,
    "eckcdsa": {"hash_alg": "SHA256"},
    "external": {"id": {}},
    "google_access_reason_policy": {"allow": ["CUSTOMER_INITIATED_SUPPORT"]},
    "kcdsa": {"hash_alg": "SHA256"},
    "links": {"parent": NOBODY},
    "lms": {"l1_height": 5},
    "slip10": {"derivation_path": [1]},
    "xmss": {"height": 10},
    "aria": {"cipher_mode": "CBC"},
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_not_acted_on_is_refused_by_name(desk: Desk, name: str) -> None:
    """In every request that makes or changes an object: ignoring one could make a weaker key than was asked for."""
    given = {name: UNSUPPORTED[name]}
    key = desk.made()
    for method, path, body in (
        ("POST", KEYS, {"name": "n", "obj_type": "AES", "key_size": 256, "group_id": key["group_id"]}),
        (
            "PUT",
            KEYS,
            {"name": "n", "obj_type": "AES", "value": "AAAAAAAAAAAAAAAAAAAAAA==", "group_id": key["group_id"]},
        ),
        ("PATCH", f"{KEYS}/{key['kid']}", {}),
        ("POST", f"{KEYS}/rekey", {"name": key["name"]}),
    ):
        assert name in desk.ask(method, path, {**body, **given}, 400)
    assert "history" not in desk.shown(key["kid"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("obj_type", "AES"),
        ("key_size", 128),
        ("elliptic_curve", "NistP256"),
        ("value", "AAAA"),
        ("kcv", "66E94B"),
        ("transient", True),
        ("pub_exponent", 3),
        ("state", "Active"),
        ("dsa", {"subgroup_size": 256}),
        ("mldsa", {"param_set": "MlDsa65"}),
        ("mlkem", {"param_set": "MlKem768"}),
        ("aes", {"cipher_mode": "GCM"}),
        ("des3", {"cipher_mode": "CBC"}),
        ("fpe", {}),
    ],
)
def test_what_an_object_is_for_good_is_not_updated(desk: Desk, field: str, value: Any) -> None:
    kid = desk.made()["kid"]
    assert field in desk.ask("PATCH", f"{KEYS}/{kid}", {field: value}, 400)


SENSELESS: list[tuple[dict[str, Any], str]] = [
    ({"state": "Destroyed"}, "state"),
    ({"activation_date": ahead(2), "deactivation_date": ahead(1)}, "after activation_date"),
    ({"deactivation_date": "2026-01-01"}, "deactivation_date is not a time"),
    ({"rotation_policy": {"interval_days": 1, "interval_months": 1}}, "interval_days or interval_months"),
    ({"rotation_policy": {"effective_at": ahead(1)}}, "interval_days or interval_months"),
    ({"rotation_policy": {"interval_days": 0}}, "a rotation interval is"),
    ({"rotation_policy": {"interval_days": 1, "rotate_copied_keys": "some"}}, "rotate_copied_keys is"),
    ({"rotation_policy": {"interval_days": 1, "hours": 1}}, "hours"),
    ({"publish_public_key": {"state": "enabled"}}, "no public key to publish"),
    ({"publish_public_key": {"state": "perhaps"}}, "enabled or disabled"),
    ({"export_policy": {"$type": "Wrapped"}}, "export_policy is"),
    ({"export_policy": {"$type": "Unrestricted", "by": {"$type": "Any"}}}, "export_policy is"),
    ({"export_policy": {"$type": "Wrapped", "by": {"$type": "Only", "keys": []}}}, "Only takes keys"),
    ({"export_policy": {"$type": "Wrapped", "by": {"$type": "Any", "keys": [{"kid": NOBODY}]}}}, "Any takes none"),
    ({"rsa": {"encryption_policy": []}}, "no rsa options"),
    ({"obj_type": "RSA", "key_size": 2048, "rsa": {"minimum_key_length": 2048}}, "minimum_key_length"),
    ({"obj_type": "RSA", "key_size": 2048, "rsa": {"signature_policy": [{"padding": {"X": {}}}]}}, "padding is"),
    ({"obj_type": "EC", "elliptic_curve": "NistP256", "mlkem": {"param_set": "MlKem768"}}, "exclude each other"),
    ({"name": " "}, "not blank"),
    ({"name": "two\nlines"}, "one line"),
    ({"transient": True, "rotation_policy": {"interval_days": 1}}, "carries no"),
    ({"transient": True, "state": "PreActive"}, "takes no dates"),
]


@pytest.mark.parametrize(
    ("fields", "says"), SENSELESS, ids=[f"{index} {says}" for index, (_, says) in enumerate(SENSELESS)]
)
def test_what_makes_no_sense_is_refused_with_the_reason(desk: Desk, fields: dict[str, Any], says: str) -> None:
    assert says in desk.refused(**fields)


# -- states --------------------------------------------------------------------------------------------------------


def test_an_object_goes_through_its_life(desk: Desk) -> None:
    kid = desk.made(state="PreActive")["kid"]
    assert desk.shown(kid)["state"] == "PreActive"
    desk.ask("POST", f"{KEYS}/{kid}/activate", status=204)
    found = desk.shown(kid)
    assert (found["state"], "activation_date" in found) == ("Active", True)
    assert "One cannot activate an object that is active" in desk.ask("POST", f"{KEYS}/{kid}/activate", status=400)
    assert "One cannot destroy an object that is active" in desk.ask("POST", f"{KEYS}/{kid}/destroy", status=400)
    desk.revoked(kid, "CessationOfOperation", message="no longer needed")
    found = desk.shown(kid)
    assert found["state"] == "Deactivated"
    assert found["revocation_reason"] == {"code": "CessationOfOperation", "message": "no longer needed"}
    assert "deactivation_date" in found
    desk.destroyed(kid)
    found = desk.shown(kid)
    assert (found["state"], "destruction_date" in found, "value" in found) == ("Destroyed", True, False)
    desk.deleted(kid)
    assert "does not exist" in desk.ask("GET", f"{KEYS}/{kid}", status=404)
    found = desk.shown(kid, show_deleted="true")
    assert (found["state"], "deletion_date" in found) == ("Deleted", True)
    assert desk.ask("POST", f"{KEYS}/info?show_deleted=true", {"kid": kid})["state"] == "Deleted"


def test_a_compromise_is_dated(desk: Desk) -> None:
    kid, when = desk.made()["kid"], ahead(-30)
    desk.revoked(kid, "KeyCompromise", message="on a laptop", compromise_occurance_date=when)
    found = desk.shown(kid)
    assert (found["state"], found["compromise_date"]) == ("Compromised", when)
    assert found["revocation_reason"] == {
        "code": "KeyCompromise",
        "message": "on a laptop",
        "compromise_occurance_date": when,
    }


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "code"),
        ({"code": "Because"}, "code is one of Unspecified"),
        (
            {"code": "KeyCompromise", "compromise_occurance_date": "yesterday"},
            "compromise_occurance_date is not a time",
        ),
        ({"code": "KeyCompromise", "compromise_occurance_date": ahead(1)}, "lies ahead"),
        ({"code": "Superseded", "compromise_occurance_date": ahead(-1)}, "goes with a compromise only"),
        ({"code": "Superseded", "message": "m" * 4097}, "at most 4096 characters"),
        ({"code": "Superseded", "reason": "x"}, "reason"),
    ],
)
def test_a_revocation_says_why_in_the_vendors_words(desk: Desk, body: dict[str, Any], says: str) -> None:
    kid = desk.made()["kid"]
    assert says in desk.ask("POST", f"{KEYS}/{kid}/revoke", body, 400)
    assert desk.shown(kid)["state"] == "Active"


def test_lists_hide_what_is_gone_unless_asked(desk: Desk) -> None:
    alive, destroyed, deleted, both = (desk.made()["kid"] for _ in range(4))
    for kid in (destroyed, both):
        desk.revoked(kid)
        desk.destroyed(kid)
    for kid in (deleted, both):
        desk.deleted(kid)
    assert set(desk.listed()) == {alive}
    assert set(desk.listed(show_destroyed="true")) == {alive, destroyed}
    assert set(desk.listed(show_deleted="true")) == {alive, deleted}
    assert set(desk.listed(show_deleted="true", show_destroyed="true")) == {alive, destroyed, deleted, both}


def test_a_private_key_is_removed(desk: Desk) -> None:
    made = desk.imported(pkcs8(ec_key()), obj_type="EC", key_ops=["SIGN", "VERIFY", "EXPORT"])
    desk.ask("DELETE", f"{KEYS}/{made['kid']}/private", status=204)
    found = desk.shown(made["kid"])
    assert (found["public_only"], sorted(found["key_ops"])) == (True, ["EXPORT", "VERIFY"])
    assert base64.b64decode(found["pub_key"]) == spki(ec_key())
    assert found["original_key_ops"] == made["key_ops"]
    assert "gone already" in desk.ask("DELETE", f"{KEYS}/{made['kid']}/private", status=400)


def test_a_certificate_says_what_it_is(desk: Desk) -> None:
    made = desk.imported(certificate(), obj_type="CERTIFICATE")
    assert made["certificate"]["subject"] == "CN=test"
    assert made["certificate"]["chain"] == []
    assert "der" not in made["certificate"]
    assert base64.b64decode(desk.ask("GET", f"{KEYS}/{made['kid']}/export")["value"]) == certificate()


# -- rotation ------------------------------------------------------------------------------------------------------


def test_a_key_is_rotated_by_its_name(desk: Desk) -> None:
    old = desk.made(key_size=192, description="d", rotation_policy={"interval_days": 7})
    body = {"name": old["name"], "deactivate_rotated_key": True}
    new = desk.ask("POST", f"{KEYS}/rekey", body, 201)
    assert (new["name"], new["key_size"], new["description"]) == (old["name"], 192, "d")
    assert (new["links"], new["rotation_policy"]) == ({"replaced": old["kid"]}, old["rotation_policy"])
    found = desk.shown(old["kid"])
    assert found["name"].startswith(f"{old['name']} (rotated at ")
    assert (found["links"], found["state"]) == ({"replacement": new["kid"]}, "Deactivated")
    assert "rotation_policy" not in found
    assert desk.ask("POST", f"{KEYS}/info", {"name": old["name"]})["kid"] == new["kid"]


def test_what_a_rotation_may_change_it_changes(desk: Desk) -> None:
    old = desk.made(key_size=128, enabled=False, aes={"cipher_mode": "GCM"}, rotation_policy={"interval_days": 7})
    changes = {
        "key_size": 256,
        "key_ops": ["ENCRYPT", "DECRYPT"],
        "description": "new",
        "enabled": True,
        "custom_metadata": {"a": "b"},
        "state": "PreActive",
        "deactivation_date": ahead(30),
        "activation_date": ahead(3),
        "aes": {"cipher_mode": "CBC"},
    }
    new = desk.ask("POST", f"{KEYS}/rekey", {"name": old["name"], **changes, "rotation_policy": None}, 201)
    assert {name: new.get(name) for name in changes} == changes
    assert "rotation_policy" not in new


def test_a_secret_is_rotated_to_a_value(desk: Desk) -> None:
    old = desk.imported(b"first", obj_type="SECRET")
    rekey = {"name": old["name"]}
    assert "to a value: give it" in desk.ask("POST", f"{KEYS}/rekey", rekey, 400)
    new = desk.ask("POST", f"{KEYS}/rekey", {**rekey, "value": base64.b64encode(b"second").decode()}, 201)
    assert base64.b64decode(desk.ask("GET", f"{KEYS}/{new['kid']}/export")["value"]) == b"second"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": None}, "name is needed"),
        ({"obj_type": "RSA"}, "is AES and is not rotated to RSA"),
        ({"transient": True}, "transient"),
        ({"kcv": "66E94B"}, "kcv goes with a value"),
        ({"key_ops": ["ENCRYPT", "EXPORT"]}, "does not make a key exportable"),
        ({"des3": {"cipher_mode": "CBC"}}, "is AES and is not rotated to DES3"),
        ({"rsa": {"signature_policy": [{}]}}, "no rsa options"),
    ],
)
def test_a_rotation_that_makes_no_sense_is_refused(desk: Desk, change: dict[str, Any], says: str) -> None:
    key = desk.made(key_ops=["ENCRYPT"])
    assert says in desk.ask("POST", f"{KEYS}/rekey", {"name": key["name"], **change}, 400)
    assert "links" not in desk.shown(key["kid"])


def test_an_unknown_name_is_not_rotated(desk: Desk) -> None:
    theirs = new_tenant().key(name="theirs")
    assert theirs
    for name in ("theirs", "nobody's"):
        assert "does not exist" in desk.ask("POST", f"{KEYS}/rekey", {"name": name}, 404)


def test_an_object_takes_anothers_place(desk: Desk) -> None:
    old, new = desk.made(custom_metadata={"a": "b"}), desk.made()
    body = {
        "replaced": {"name": old["name"]},
        "replaced_new_name": unique("former"),
        "replacement": {"kid": new["kid"]},
    }
    desk.ask("POST", f"{KEYS}/replace", body, 204)
    found = desk.shown(new["kid"])
    assert (found["name"], found["links"], found["custom_metadata"]) == (
        old["name"],
        {"replaced": old["kid"]},
        {"a": "b"},
    )
    assert desk.shown(old["kid"])["name"] == body["replaced_new_name"]
    assert "part of a rotation already" in desk.ask(
        "POST", f"{KEYS}/replace", {**body, "replaced": {"kid": old["kid"]}}, 400
    )
    for name in ("", " ", "n" * 2049):
        desk.ask("POST", f"{KEYS}/replace", {**body, "replaced_new_name": name}, 400)


def test_copies_follow_over_the_wire(desk: Desk) -> None:
    old = desk.made()
    copy = desk.ask("POST", f"{KEYS}/copy", {"key": {"kid": old["kid"]}, "name": unique("copy")}, 201)
    assert copy["links"] == {"copiedFrom": old["kid"]}
    policy = {"interval_days": 7, "deactivate_rotated_key": False, "rotate_copied_keys": {"select": [copy["kid"]]}}
    assert desk.changed(old["kid"], rotation_policy=policy)["rotation_policy"] == policy
    new = desk.ask("POST", f"{KEYS}/rekey", {"name": old["name"]}, 201)
    assert new == desk.shown(new["kid"])
    followed = desk.shown(desk.shown(copy["kid"])["links"]["replacement"])
    assert followed["name"] == copy["name"]
    assert followed["links"] == {"copiedFrom": new["kid"], "replaced": copy["kid"]}
    found = desk.shown(new["kid"])
    assert found["links"] == {"replaced": old["kid"], "copiedTo": [followed["kid"]]}
    assert found["rotation_policy"]["rotate_copied_keys"] == {"select": [followed["kid"]]}
    external = {"interval_days": 7, "rotate_copied_keys": "all_external"}
    assert "rotate_copied_keys" not in desk.changed(new["kid"], rotation_policy=external)["rotation_policy"]


# -- history -------------------------------------------------------------------------------------------------------


def test_an_undo_policy_is_set_shown_and_removed(desk: Desk) -> None:
    group, account = f"/sys/v1/groups/{desk.tenant.group.id}", f"/sys/v1/accounts/{desk.tenant.account.id}"
    for path in (group, account):
        policy = {"undo_time_window": 180 * 24 * 3600}
        assert desk.ask("PATCH", path, {"key_history_policy": policy})["key_history_policy"] == policy
        assert desk.ask("GET", path)["key_history_policy"] == policy
        for wrong in (180 * 24 * 3600 + 1, -1):
            desk.ask("PATCH", path, {"key_history_policy": {"undo_time_window": wrong}}, 400)
        assert not desk.ask("PATCH", path, {"key_history_policy": "remove"}).get("key_history_policy")


def test_a_change_is_in_the_history_and_taken_back(desk: Desk) -> None:
    execute(desk.tenant.alice, UpdateGroup(desk.tenant.group.id, undo_seconds=HOUR))
    made = desk.made(rotation_policy={"interval_days": 7}, activation_date=ahead(-1))
    kid = made["kid"]
    desk.revoked(kid, "KeyCompromise")
    desk.destroyed(kid)
    compromised, was = desk.shown(kid)["history"]
    assert set(was) == {"id", "created_at", "expiry", "state"}
    assert moment_of(was["expiry"]) - moment_of(was["created_at"]) == timedelta(hours=1)
    assert was["state"] == {
        "state": "Active",
        "key_ops": made["key_ops"],
        "public_only": False,
        "has_key": True,
        "group_id": made["group_id"],
        "activation_date": made["activation_date"],
        "rotation_policy": made["rotation_policy"],
    }
    assert compromised["state"]["state"] == "Compromised"
    assert compromised["state"]["revocation_reason"] == {"code": "KeyCompromise"}
    desk.ask("PUT", f"{KEYS}/{kid}/revert", {"ids": [compromised["id"], was["id"]]}, 204)
    found = desk.shown(kid)
    for name in ("state", "rotation_policy", "scheduled_rotation", "key_ops"):
        assert found[name] == made[name]
    for name in ("history", "destruction_date", "compromise_date", "revocation_reason"):
        assert name not in found
    body = {"key": {"kid": kid}, "alg": "AES", "mode": "GCM", "plain": "YWJj"}
    answer = desk._client.post("/crypto/v1/encrypt", json=body, auth=desk.tenant.api_key())
    assert answer.status_code == 200


def test_a_deleted_object_is_brought_back(desk: Desk) -> None:
    execute(desk.tenant.alice, UpdateGroup(desk.tenant.group.id, undo_seconds=HOUR))
    kid = desk.made()["kid"]
    changed = desk.changed(kid, key_ops=["ENCRYPT"])
    assert changed == desk.shown(kid)
    assert len(changed["history"]) == 1
    desk.deleted(kid)
    item, _ = desk.shown(kid, show_deleted="true")["history"]
    desk.ask("PUT", f"{KEYS}/{kid}/revert", {"ids": [item["id"]]}, 204)
    assert desk.shown(kid)["state"] == "Active"


def test_a_history_item_that_is_nobodys_is_not_found(desk: Desk) -> None:
    kid = desk.made()["kid"]
    assert "History item not found" in desk.ask("PUT", f"{KEYS}/{kid}/revert", {"ids": [NOBODY]}, 404)
    assert "ids names" in desk.ask("PUT", f"{KEYS}/{kid}/revert", {"ids": []}, 400)


def test_history_is_in_lists_too(desk: Desk) -> None:
    execute(desk.tenant.alice, UpdateGroup(desk.tenant.group.id, undo_seconds=HOUR))
    keys = [desk.made()["kid"] for _ in range(2)]
    for kid in keys:
        desk.changed(kid, key_ops=["ENCRYPT"])
    found = desk.ask("GET", KEYS)
    assert [len(one["history"]) for one in found] == [1, 1]


# -- links ---------------------------------------------------------------------------------------------------------


def test_where_an_object_comes_from_is_linked_both_ways(desk: Desk) -> None:
    tenant = desk.tenant
    parent = desk.imported(os.urandom(32), key_ops=["DERIVEKEY", "WRAPKEY", "UNWRAPKEY"])
    auth = tenant.api_key()
    derive = {"key": {"kid": parent["kid"]}, "name": unique("d"), "key_type": "AES", "key_size": 256}
    derive["mechanism"] = {"hkdf": {"hash_alg": "SHA256"}}
    derived = desk._client.post("/crypto/v1/derive", json={**derive, "group_id": parent["group_id"]}, auth=auth).json()
    wrapped = {"key": {"kid": parent["kid"]}, "alg": "AES", "mode": "KWP"}
    secret = desk.imported(b"0123456789abcdef", obj_type="SECRET")
    body = {**wrapped, "subject": {"kid": secret["kid"]}}
    sealed = desk._client.post("/crypto/v1/wrapkey", json=body, auth=auth)
    assert sealed.status_code == 200, sealed.text
    unwrap = {**wrapped, "wrapped_key": sealed.json()["wrapped_key"], "obj_type": "AES", "name": unique("u")}
    unwrapped = desk._client.post("/crypto/v1/unwrapkey", json={**unwrap, "group_id": parent["group_id"]}, auth=auth)
    assert unwrapped.status_code == 201, unwrapped.text
    assert desk.shown(derived["kid"])["links"] == {"parent": parent["kid"]}
    assert desk.shown(unwrapped.json()["kid"])["links"] == {"wrappingKey": parent["kid"]}
    assert desk.shown(parent["kid"])["links"] == {"subkeys": [derived["kid"]]}
    desk.deleted(derived["kid"])
    assert "links" not in desk.shown(parent["kid"])
