"""Cryptographic and key metadata policies over HTTP: what is set comes back, what is bad or forbidden is refused."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from kms.api.wire.cryptographic_policies import NO_KINDS, WireCryptographicPolicy
from tests.api.test_lifecycle_wire import Desk
from tests.kit.tenants import Tenant, new_tenant, unique

FORMAT = {"radix": 10, "min_length": 6, "max_length": 16, "preserve": []}
KINDS = [name for name in WireCryptographicPolicy.__struct_fields__ if name not in NO_KINDS]
PSS = {"padding": {"PSS": {"mgf": {"mgf1": {"hash": "SHA256"}}}}}
CRYPTOGRAPHIC: list[dict[str, Any]] = [
    {},
    {
        "aes": {"key_sizes": [192, 256], "random_iv": True, "fpe": FORMAT},
        "aria": {"key_sizes": [256], "random_iv": False},
        "des": {"random_iv": True},
        "des3": {"key_sizes": [168], "random_iv": True},
        "seed": {"random_iv": True},
        "rsa": {
            "minimum_key_length": 3072,
            "encryption_policy": [{"padding": {"OAEP": {}}}],
            "signature_policy": [PSS],
        },
        "ec": {"elliptic_curves": ["Ed25519", "NistP256"]},
        "hmac": {"minimum_key_length": 112},
        "key_ops": ["SIGN", "VERIFY", "ENCRYPT", "DECRYPT", "HIGHVOLUME"],
        "legacy_policy": "unprotect_only",
        "protection": ["sealed", "token"],
        "digests": ["SHA256", "SHA3_256"],
    },
    {name: {} for name in KINDS},
    {"rsa": {"encryption_policy": [], "signature_policy": [{}]}, "key_ops": [], "legacy_policy": "allowed"},
    {"ec": {"elliptic_curves": []}, "legacy_policy": "prohibited", "protection": [], "digests": []},
]
SPAN = {"min": {"seconds": 0}, "default": {"hours": 2}, "max": {"days": 400}}
METADATA: list[dict[str, Any]] = [
    {"base": {"custom_metadata": {}}, "for_obj_type": {}, "legacy_objects": "allowed"},
    {
        "base": {
            "description": {"required": {"non_empty_after_trim": True}},
            "custom_metadata": {"owner": {"required": {"allowed_values": ["a", "b"]}}, "secret": {"forbidden": {}}},
            "activation_date": {"forbidden": {}},
            "deactivation_date": {"required": {"allowed_values": SPAN}},
        },
        "for_obj_type": {
            "AES": {"custom_metadata": {}, "description": {"forbidden": {}}},
            "LEDABETA": {"custom_metadata": {}, "deactivation_date": {"required": {}}},
        },
        "legacy_objects": "unprotect_only",
    },
]
GOOD = [("cryptographic_policy", each) for each in CRYPTOGRAPHIC] + [("key_metadata_policy", each) for each in METADATA]


@pytest.fixture
def desk(tenant: Tenant, client: httpx.Client) -> Desk:
    return Desk(tenant, client)


def places(tenant: Tenant) -> list[str]:
    return [f"/sys/v1/accounts/{tenant.account.id}", f"/sys/v1/groups/{tenant.group.id}"]


@pytest.mark.parametrize(("field", "policy"), GOOD)
def test_what_is_set_comes_back_until_it_is_taken_away(desk: Desk, field: str, policy: dict[str, Any]) -> None:
    for place in places(desk.tenant):
        assert field not in desk.ask("GET", place)
        assert desk.ask("PATCH", place, {field: policy})[field] == policy
        assert desk.ask("GET", place)[field] == policy
        assert field not in desk.ask("PATCH", place, {field: "remove"})
        assert field not in desk.ask("GET", place)


def test_a_group_is_made_with_its_policies(desk: Desk) -> None:
    fields = {"cryptographic_policy": CRYPTOGRAPHIC[1], "key_metadata_policy": METADATA[1]}
    made = desk.ask("POST", "/sys/v1/groups", {"name": unique("g"), **fields}, 201)
    listed = next(each for each in desk.ask("GET", "/sys/v1/groups") if each["group_id"] == made["group_id"])
    for name, policy in fields.items():
        assert made[name] == listed[name] == policy


def test_one_policy_is_set_and_the_other_stays(desk: Desk) -> None:
    for place in places(desk.tenant):
        desk.ask("PATCH", place, {"cryptographic_policy": CRYPTOGRAPHIC[1]})
        desk.ask("PATCH", place, {"key_metadata_policy": METADATA[0]})
        desk.ask("PATCH", place, {"name": unique("renamed")})
        found = desk.ask("GET", place)
        assert found["cryptographic_policy"] == CRYPTOGRAPHIC[1]
        assert found["key_metadata_policy"] == METADATA[0]
        for field in ("cryptographic_policy", "key_metadata_policy"):
            desk.ask("PATCH", place, {field: "remove"})


def rules(**fields: Any) -> dict[str, Any]:
    return {"base": {"custom_metadata": {}, **fields}, "for_obj_type": {}, "legacy_objects": "allowed"}


def end(**limits: Any) -> dict[str, Any]:
    return rules(deactivation_date={"required": {"allowed_values": limits}})


NO_SUCH_HASH = {"padding": {"PSS": {"mgf": {"mgf1": {"hash": "MD5"}}}}}
BAD: list[tuple[str, Any]] = [
    *(
        ("cryptographic_policy", bad)
        for bad in [
            "removed",
            [],
            7,
            {"nonsense": {}},
            {"aes": True},
            {"aes": {"nonsense": 1}},
            {"aes": {"key_sizes": [-1]}},
            {"aes": {"key_sizes": [2**32]}},
            {"aes": {"key_sizes": ["256"]}},
            {"aes": {"fpe": {"radix": 1}}},
            {"aes": {"fpe": {}}},
            {"des": {"key_sizes": [56]}},
            {"des3": {"key_sizes": list(range(65))}},
            {"rsa": {"minimum_key_length": -1}},
            {"rsa": {"signature_policy": [{"padding": {"OAEP": {}}}]}},
            {"rsa": {"signature_policy": [NO_SUCH_HASH]}},
            {"rsa": {"signature_policy": [{"nonsense": 1}]}},
            {"rsa": {"signature_policy": [{}] * 65}},
            {"rsa": {"encryption_policy": [{"padding": "OAEP"}]}},
            {"ec": {"elliptic_curves": ["NistP257"]}},
            {"hmac": {"minimum_key_length": 1.5}},
            {"secret": {"minimum_key_length": 1}},
            {"key_ops": ["NONSENSE"]},
            {"legacy_policy": "unprotect-only"},
            {"protection": ["hardware"]},
            {"digests": ["MD5"]},
        ]
    ),
    *(
        ("key_metadata_policy", bad)
        for bad in [
            "removed",
            {},
            {"base": {"custom_metadata": {}}, "for_obj_type": {}},
            {"base": {"custom_metadata": {}}, "for_obj_type": {}, "legacy_objects": "forbidden"},
            {"base": {}, "for_obj_type": {}, "legacy_objects": "allowed"},
            {
                "base": {"custom_metadata": {}},
                "for_obj_type": {"QUANTUM": {"custom_metadata": {}}},
                "legacy_objects": "allowed",
            },
            rules(nonsense=1),
            rules(description={}),
            rules(description={"forbidden": {}, "required": {}}),
            rules(description={"required": {"allowed_values": ["", "a"]}}),
            rules(description={"required": {"allowed_values": [" "], "non_empty_after_trim": True}}),
            rules(description={"required": {"allowed_values": [str(number) for number in range(300)]}}),
            rules(custom_metadata={"": {"required": {}}}),
            rules(custom_metadata={str(number): {"required": {}} for number in range(40)}),
            end(max={"days": 1, "hours": 1}),
            end(max={}),
            end(max={"days": -1}),
            end(max={"days": 2**32 - 1}),
            end(max={"weeks": 1}),
            end(min={"days": 2}, max={"hours": 1}),
            end(min={"days": 2}, default={"hours": 1}),
            end(default={"days": 2}, max={"hours": 1}),
        ]
    ),
]


@pytest.fixture(scope="module")
def counter(installation: None, client: httpx.Client) -> Desk:
    return Desk(new_tenant(), client)


@pytest.mark.parametrize(("field", "policy"), BAD)
def test_a_bad_policy_is_refused_and_changes_nothing(counter: Desk, field: str, policy: Any) -> None:
    for place in places(counter.tenant):
        counter.ask("PATCH", place, {field: policy}, 400)
        assert field not in counter.ask("GET", place)
    counter.ask("POST", "/sys/v1/groups", {"name": unique("g"), field: policy}, 400)


def test_nobody_sets_another_accounts(desk: Desk, counter: Desk) -> None:
    for place in places(desk.tenant):
        for field, policy in (("cryptographic_policy", {}), ("key_metadata_policy", METADATA[0])):
            counter.ask("PATCH", place, {field: policy}, 404)
            assert field not in desk.ask("GET", place)


def test_an_account_is_not_made_with_policies(desk: Desk) -> None:
    """Its maker is its administrator from then on, and may set them."""
    for field in ("cryptographic_policy", "key_metadata_policy"):
        desk.ask("POST", "/sys/v1/accounts", {"name": unique("a"), field: dict(GOOD)[field]}, 400)


def test_what_a_policy_forbids_is_said_by_name(desk: Desk) -> None:
    group = places(desk.tenant)[1]
    old = desk.made(key_size=128)["kid"]
    policy = {"aes": {"key_sizes": [256]}, "key_ops": ["ENCRYPT", "DECRYPT"], "legacy_policy": "prohibited"}
    desk.ask("PATCH", group, {"cryptographic_policy": policy})
    said = desk.ask("POST", "/crypto/v1/keys", desk._new({"key_size": 128}), 403)
    assert said == "The cryptographic policy does not allow AES objects of 128 bits"
    assert desk.made(key_size=256)["key_ops"] == ["ENCRYPT", "DECRYPT"]
    desk.ask("PATCH", f"/crypto/v1/keys/{old}", {"key_ops": ["DECRYPT"]})
    desk.ask("PATCH", f"/crypto/v1/keys/{old}", {"key_ops": ["DECRYPT", "MACVERIFY"]}, 403)
    asked = rules(description={"required": {}}, deactivation_date={"required": {"allowed_values": SPAN}})
    desk.ask("PATCH", group, {"key_metadata_policy": asked})
    said = desk.ask("POST", "/crypto/v1/keys", desk._new({"key_size": 256}), 403)
    assert said == "The key metadata policy is not met: description is needed"
    assert desk.made(key_size=256, description="d")["deactivation_date"]
