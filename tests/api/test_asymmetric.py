"""Asymmetric keys over REST: the vendor's modes, parameter sets and options, as a client writes and reads them."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.crypto.curve_lab import der
from tests.kit.tenants import Tenant, new_tenant, unique

KEYS = "/crypto/v1/keys"
SHA256_OAEP = {"OAEP": {"mgf": {"mgf1": {"hash": "SHA256"}}}}
ANY_PADDING: dict[str, Any] = {"encryption_policy": [{}]}


@pytest.fixture(scope="module")
def owner(installation: None) -> Tenant:
    return new_tenant()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def unb64(text: str) -> bytes:
    return base64.b64decode(text)


class Rest:
    """One app at the REST API."""

    def __init__(self, client: httpx.Client, owner: Tenant) -> None:
        self._client, self._owner, self._auth = client, owner, owner.api_key()

    def call(self, path: str, body: Any, *, method: str = "POST") -> httpx.Response:
        return self._client.request(method, path, json=body, auth=self._auth)

    def done(self, path: str, body: Any, *, method: str = "POST") -> Any:
        response = self.call(path, body, method=method)
        assert response.status_code in (200, 201), response.text
        return response.json()

    def key(self, kind: str, **fields: Any) -> dict[str, Any]:
        body = {"name": unique(kind.lower()), "obj_type": kind, "group_id": str(self._owner.group.id), **fields}
        made: dict[str, Any] = self.done(KEYS, body, method="PUT" if "value" in fields else "POST")
        return made

    def signed(self, kid: str, **fields: Any) -> bytes:
        return unb64(self.done("/crypto/v1/sign", {"key": {"kid": kid}, **fields})["signature"])

    def holds(self, kid: str, signature: bytes, **fields: Any) -> bool:
        body = {"key": {"kid": kid}, "signature": b64(signature), **fields}
        result: bool = self.done("/crypto/v1/verify", body)["result"]
        return result


@pytest.fixture(params=["client", "django_client"])
def rest(request: pytest.FixtureRequest, owner: Tenant) -> Rest:
    """Past Django and through it: both edges read the same bodies."""
    return Rest(request.getfixturevalue(request.param), owner)


@pytest.fixture(scope="module")
def ours() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


# -- RSA -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "theirs"),
    [
        (SHA256_OAEP, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"label")),
        ({"OAEP": {}}, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), b"label")),  # noqa: S303 - the default
        (None, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), b"label")),  # noqa: S303 - likewise
        ("OAEP_MGF1_SHA256", padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"label")),
        ({"PKCS1_V15": {}}, padding.PKCS1v15()),
        ("PKCS1_V15", padding.PKCS1v15()),
    ],
)
def test_encryption_takes_the_modes_of_the_wire(rest: Rest, ours: rsa.RSAPrivateKey, mode: Any, theirs: Any) -> None:
    kid = rest.key("RSA", value=b64(der(ours)), rsa=ANY_PADDING)["kid"]
    extra = {} if isinstance(theirs, padding.PKCS1v15) else {"label": b64(b"label")}
    body = {"key": {"kid": kid}, "alg": "RSA", **extra, **({} if mode is None else {"mode": mode})}
    made = rest.done("/crypto/v1/encrypt", {**body, "plain": b64(b"data")})
    assert made.keys() == {"cipher", "kid"}
    assert ours.decrypt(unb64(made["cipher"]), theirs) == b"data"
    sent = b64(ours.public_key().encrypt(b"for you", theirs))
    assert unb64(rest.done("/crypto/v1/decrypt", {**body, "cipher": sent})["plain"]) == b"for you"


def test_raw_decryption_takes_its_mode(rest: Rest, ours: rsa.RSAPrivateKey) -> None:
    kid = rest.key("RSA", value=b64(der(ours)), rsa=ANY_PADDING)["kid"]
    sent = b64(ours.public_key().encrypt(b"data", padding.PKCS1v15()))
    plain = rest.done(f"{KEYS}/{kid}/decrypt", {"cipher": sent, "mode": {"RAW_DECRYPT": {}}})["plain"]
    assert unb64(plain).startswith(b"\0\2")


def test_the_key_shows_what_its_policy_is_and_keeps_to_it(rest: Rest) -> None:
    made = rest.key("RSA", key_size=2048)
    assert made["rsa"]["encryption_policy"] == [{"padding": {"OAEP": {}}}]
    body = {"key": {"kid": made["kid"]}, "alg": "RSA", "mode": {"PKCS1_V15": {}}, "plain": b64(b"data")}
    refused = rest.call("/crypto/v1/encrypt", body)
    assert (refused.status_code, "policy does not allow PKCS1_V15" in refused.text) == (400, True)
    only = rest.key("RSA", key_size=2048, rsa={"encryption_policy": [{"padding": {"PKCS1_V15": {}}}]})
    assert rest.call("/crypto/v1/encrypt", {**body, "key": {"kid": only["kid"]}}).status_code == 200


@pytest.mark.parametrize(
    "mode",
    [
        {},
        {"OAEP": {}, "PKCS1_V15": {}},
        {"PSS": {}},
        {"OAEP": {"mgf": {}}},
        {"OAEP": {"mgf": {"mgf1": {}}}},
        {"OAEP": {"mgf": {"mgf1": {"hash": 1}}}},
        {"OAEP": {"mgf": {"mgf1": {"hash": "SHA256", "salt": 1}}}},
        {"OAEP": {"mgf": "mgf1"}},
        {"OAEP": []},
        {"PKCS1_V15": {"mgf": {"mgf1": {"hash": "SHA256"}}}},
        ["GCM"],
        7,
    ],
)
def test_malformed_modes_of_encryption_are_refused(rest: Rest, mode: Any) -> None:
    body = {"key": {"name": "any"}, "alg": "RSA", "mode": mode, "plain": b64(b"data")}
    answer = rest.call("/crypto/v1/encrypt", body)
    assert (answer.status_code, answer.text.startswith("Invalid request:")) == (400, True)


def test_a_batch_takes_the_modes_too(rest: Rest) -> None:
    kid = rest.key("RSA", key_size=2048)["kid"]
    items = [{"kid": kid, "request": {"alg": "RSA", "plain": b64(bytes([n])), "mode": SHA256_OAEP}} for n in range(3)]
    made = rest.done(f"{KEYS}/batch/encrypt", items)
    back = rest.done(
        f"{KEYS}/batch/decrypt",
        [
            {"kid": kid, "request": {"alg": "RSA", "cipher": item["body"]["cipher"], "mode": SHA256_OAEP}}
            for item in made
        ],
    )
    assert [unb64(item["body"]["plain"]) for item in back] == [bytes([n]) for n in range(3)]
    signed = rest.done(
        f"{KEYS}/batch/sign",
        [{"key": {"kid": kid}, "hash_alg": "SHA256", "data": b64(b"data"), "mode": {"PSS": {}}} for _ in range(2)],
    )
    held = rest.done(
        f"{KEYS}/batch/verify",
        [
            {
                "key": {"kid": kid},
                "hash_alg": "SHA256",
                "data": b64(b"data"),
                "mode": {"PSS": {"mgf": {"mgf1": {"hash": "SHA256"}}}},
                "signature": item["body"]["signature"],
            }
            for item in signed
        ],
    )
    assert [item["body"]["result"] for item in held] == [True, True]


def test_a_key_is_wrapped_under_rsa_and_its_check_value_guards_it(rest: Rest, ours: rsa.RSAPrivateKey) -> None:
    subject = rest.key("AES", value=b64(bytes(range(16))), key_ops=["ENCRYPT", "EXPORT"])
    kid = rest.key("RSA", value=b64(der(ours)))["kid"]
    body = {"alg": "RSA", "key": {"kid": kid}, "mode": SHA256_OAEP}
    wrapped = rest.done("/crypto/v1/wrapkey", {**body, "subject": {"kid": subject["kid"]}})["wrapped_key"]
    scheme = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    assert ours.decrypt(unb64(wrapped), scheme) == bytes(range(16))
    back = {**body, "wrapped_key": wrapped, "obj_type": "AES", "name": unique("aes"), "kcv": subject["kcv"]}
    made = rest.done("/crypto/v1/unwrapkey", back)
    assert (made["key_size"], made["kcv"]) == (128, subject["kcv"])
    wrong = rest.call("/crypto/v1/unwrapkey", {**back, "name": unique("aes"), "kcv": "000000", "kcv_method": "Cmac"})
    assert (wrong.status_code, "kcv does not match" in wrong.text) == (400, True)


# -- signatures that hash themselves -------------------------------------------------------------------------------


def test_ed25519_signs_without_a_hash(rest: Rest) -> None:
    made = rest.key("EC", elliptic_curve="Ed25519")
    assert (made["elliptic_curve"], made["key_ops"]) == ("Ed25519", ["SIGN", "VERIFY", "APPMANAGEABLE"])
    assert "key_size" not in made
    public = load_der_public_key(unb64(made["pub_key"]))
    assert isinstance(public, Ed25519PublicKey)
    signature = rest.signed(made["kid"], data=b64(b"data"))
    public.verify(signature, b"data")
    assert rest.signed(made["kid"], data=b64(b"data"), hash_alg="SHA512") == signature
    assert rest.holds(made["kid"], signature, data=b64(b"data"))


@pytest.mark.parametrize("name", ["MlDsa44", "MlDsa65", "MlDsa87"])
def test_ml_dsa_takes_its_parameter_set_variants_and_context(rest: Rest, name: str) -> None:
    made = rest.key("MLDSA", mldsa={"param_set": name})
    assert made["mldsa"] == {"param_set": name}
    assert "key_size" not in made
    public: Any = load_der_public_key(unb64(made["pub_key"]))
    assert type(public).__name__ == name.upper() + "PublicKey"
    data, context, kid = b64(b"data"), b64(b"a context"), made["kid"]
    pure = rest.signed(kid, data=data, context=context, mode={"variant": "PURE"})
    public.verify(pure, b"data", b"a context")
    assert rest.holds(kid, pure, data=data, context=context)
    assert not rest.holds(kid, pure, data=data)
    hashed = rest.signed(kid, data=data, hash_alg="SHA512", mode={"variant": "PRE_HASH"})
    assert rest.holds(kid, hashed, data=data, hash_alg="SHA512", mode={"variant": "PRE_HASH"})
    mu = b64(bytes(64))
    external = rest.signed(kid, hash=mu, mode={"variant": "EXTERNAL_MU"})
    assert rest.holds(kid, external, hash=mu, mode={"variant": "EXTERNAL_MU"})


def test_an_ml_dsa_key_is_imported_and_exported(rest: Rest) -> None:
    private = mldsa.MLDSA65PrivateKey.generate()
    made = rest.key("MLDSA", value=b64(der(private)), key_ops=["SIGN", "VERIFY", "EXPORT"])
    assert made["mldsa"] == {"param_set": "MlDsa65"}
    assert unb64(rest.done(f"{KEYS}/export", {"kid": made["kid"]})["value"]) == der(private)


def test_ml_kem_takes_its_parameter_set(rest: Rest) -> None:
    made = rest.key("MLKEM", mlkem={"param_set": "MlKem768"})
    assert (made["mlkem"], made["key_ops"]) == (
        {"param_set": "MlKem768"},
        ["APPMANAGEABLE", "ENCAPSULATE", "DECAPSULATE"],
    )


def test_dsa_takes_its_subgroup(rest: Rest) -> None:
    made = rest.key("DSA", key_size=2048, dsa={"subgroup_size": 256})
    assert (made["key_size"], made["dsa"]) == (2048, {"subgroup_size": 256})
    signature = rest.signed(made["kid"], data=b64(b"data"), hash_alg="SHA256")
    public = load_der_public_key(unb64(made["pub_key"]))
    assert isinstance(public, dsa.DSAPublicKey)
    public.verify(signature, b"data", hashes.SHA256())


@pytest.mark.parametrize(
    "mode", [{}, {"variant": "OTHER"}, {"variant": None}, {"OAEP": {}}, {"PKCS1_V15": {"x": 1}}, "PSS", {"PSS": 1}]
)
def test_malformed_modes_of_signatures_are_refused(rest: Rest, mode: Any) -> None:
    for path, extra in (("sign", {}), ("verify", {"signature": b64(b"x")})):
        body = {"key": {"name": "any"}, "data": b64(b"x"), "hash_alg": "SHA256", "mode": mode, **extra}
        answer = rest.call(f"/crypto/v1/{path}", body)
        assert (answer.status_code, answer.text.startswith("Invalid request:")) == (400, True)


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("RSA", {"key_size": 2048}, "hash_alg is needed"),
        ("EC", {"elliptic_curve": "NistP256"}, "hash_alg is needed"),
        ("EC", {"elliptic_curve": "X25519", "key_ops": ["AGREEKEY"]}, ""),
    ],
)
def test_a_scheme_that_needs_a_hash_says_so(rest: Rest, kind: str, fields: dict[str, Any], words: str) -> None:
    kid = rest.key(kind, **fields)["kid"]
    answer = rest.call("/crypto/v1/sign", {"key": {"kid": kid}, "data": b64(b"data")})
    assert answer.status_code in (400, 403)
    assert words in answer.text
