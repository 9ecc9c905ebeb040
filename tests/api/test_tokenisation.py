"""Format-preserving encryption over REST: a key with a format, tokens of the same format, masked answers, rights."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

import httpx
import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from accounts.principal import Principal
from kms.audit.models import AuditRecord
from kms.crypto import ff1
from kms.crypto.options import CipherOptions, KeyOptions
from kms.operations.command import ObjectRef
from kms.operations.errors import InvalidRequest
from kms.operations.executor import execute
from kms.operations.updating import UpdateObject
from policies.permissions import Permission
from tests.crypto.local_cipher import LocalCipher
from tests.kit.tenants import Tenant, new_tenant, unique

MATERIAL = bytes(range(32))
CARD = {
    "format": {
        "char_set": [["0", "9"]],
        "min_length": 13,
        "max_length": 19,
        "preserve": [-4, -3, -2, -1],
        "mask": [0, 1, 2, 3],
    },
    "description": "card number",
}
DIGITS = {"radix": 10, "min_length": 6, "max_length": 20, "preserve": [], "mask": [0, 1]}
PAN = "4929123456781234"


@pytest.fixture(scope="module")
def owner(installation: None) -> Tenant:
    return new_tenant()


def b64(data: bytes | str) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


class Rest:
    """One app at the REST API."""

    def __init__(self, client: httpx.Client, owner: Tenant, app: Principal | None = None) -> None:
        self._client, self._owner, self._auth = client, owner, owner.api_key(app)

    def post(self, path: str, body: dict[str, Any], *, method: str = "POST") -> httpx.Response:
        return self._client.request(method, path, json=body, auth=self._auth)

    def key(self, **fields: Any) -> dict[str, Any]:
        body = {"name": unique("fpe"), "obj_type": "AES", "group_id": str(self._owner.group.id), **fields}
        if "value" not in body:
            body.setdefault("key_size", 256)
        response = self.post("/crypto/v1/keys", body, method="PUT" if "value" in body else "POST")
        assert response.status_code == 201, response.text
        made: dict[str, Any] = response.json()
        return made

    def encrypt(self, kid: str, text: str, **fields: Any) -> httpx.Response:
        body = {"key": {"kid": kid}, "alg": "AES", "mode": "FF1", "plain": b64(text), **fields}
        return self.post("/crypto/v1/encrypt", body)

    def decrypt(self, kid: str, token: str, **fields: Any) -> httpx.Response:
        body = {"key": {"kid": kid}, "alg": "AES", "mode": "FF1", "cipher": b64(token), **fields}
        return self.post("/crypto/v1/decrypt", body)


@pytest.fixture
def rest(client: httpx.Client, owner: Tenant) -> Rest:
    return Rest(client, owner)


def text(response: httpx.Response, field: str) -> str:
    assert response.status_code == 200, response.text
    return base64.b64decode(response.json()[field]).decode()


# -- tokens --------------------------------------------------------------------------------------------------------


def test_a_card_number_becomes_another_that_ends_alike_and_comes_back(rest: Rest) -> None:
    key = rest.key(fpe=CARD)
    token = text(rest.encrypt(key["kid"], PAN), "cipher")
    assert token != PAN
    assert (len(token), token[-4:], token.isdigit()) == (16, "1234", True)
    assert text(rest.decrypt(key["kid"], token), "plain") == PAN
    assert rest.encrypt(key["kid"], PAN).json().keys() == {"kid", "cipher"}


def test_the_key_says_what_it_is(rest: Rest) -> None:
    key = rest.key(aes={"fpe": CARD, "cipher_mode": "FF1"})
    assert key["obj_type"] == "AES"
    assert set(key["key_ops"]) == {"ENCRYPT", "DECRYPT", "APPMANAGEABLE"}
    assert key["aes"]["fpe"] == CARD


def test_a_plain_format_is_ff1_as_everybody_computes_it(rest: Rest) -> None:
    """Under the same key, `ff1` over `cryptography` gives the token; the tweak is the additional data."""
    key = rest.key(fpe=DIGITS, value=b64(MATERIAL))
    for tweak in (b"", b"tweak of any length"):
        token = text(rest.encrypt(key["kid"], "0123456789", **({"ad": b64(tweak)} if tweak else {})), "cipher")
        expected = ff1.encrypt(LocalCipher(AES(MATERIAL)), list(range(10)), radix=10, tweak=tweak)
        assert token == "".join(map(str, expected))


def test_another_tweak_gives_another_token_and_not_the_text(rest: Rest) -> None:
    key = rest.key(fpe=DIGITS)
    token = text(rest.encrypt(key["kid"], "0123456789", ad=b64("a")), "cipher")
    assert text(rest.encrypt(key["kid"], "0123456789", ad=b64("b")), "cipher") != token
    assert text(rest.decrypt(key["kid"], token, ad=b64("a")), "plain") == "0123456789"
    assert text(rest.decrypt(key["kid"], token, ad=b64("b")), "plain") != "0123456789"


def test_the_mode_may_be_left_out(rest: Rest) -> None:
    key = rest.key(fpe=DIGITS)
    token = text(rest.encrypt(key["kid"], "0123456789", mode=None), "cipher")
    assert text(rest.decrypt(key["kid"], token, mode=None), "plain") == "0123456789"


# -- masks and rights ----------------------------------------------------------------------------------------------


def test_a_masked_answer_hides_the_masked_characters(rest: Rest, owner: Tenant) -> None:
    key = rest.key(fpe=CARD)
    token = text(rest.encrypt(key["kid"], PAN), "cipher")
    assert text(rest.decrypt(key["kid"], token, masked=True), "plain") == "****123456781234"
    assert text(rest.decrypt(key["kid"], token, masked=False), "plain") == PAN
    recorded = AuditRecord.objects.filter(object_id=key["kid"], action="object.decrypt").order_by("sequence")
    assert [entry.details.get("masked") for entry in recorded] == [True, None]


def test_an_app_that_may_only_decrypt_masked_never_sees_more(client: httpx.Client, rest: Rest, owner: Tenant) -> None:
    clerk = Rest(client, owner, owner.new_app([Permission.OBJECT_MASK_DECRYPT]))
    key = rest.key(fpe=CARD)
    token = text(rest.encrypt(key["kid"], PAN), "cipher")
    for masked in (True, False, None):
        assert text(clerk.decrypt(key["kid"], token, masked=masked), "plain") == "****123456781234"
    item = {"kid": key["kid"], "request": {"alg": "AES", "mode": "FF1", "cipher": b64(token)}}
    (batched,) = clerk.post("/crypto/v1/keys/batch/decrypt", [item]).json()  # type: ignore[arg-type]  # a list
    assert base64.b64decode(batched["body"]["plain"]).decode() == "****123456781234"
    assert clerk.encrypt(key["kid"], PAN).status_code == 403


def test_the_right_to_masked_answers_is_none_to_other_data(client: httpx.Client, rest: Rest, owner: Tenant) -> None:
    clerk = Rest(client, owner, owner.new_app([Permission.OBJECT_MASK_DECRYPT]))
    key = rest.key()
    made = rest.encrypt(key["kid"], "data", mode="CBC").json()
    body = {"key": {"kid": key["kid"]}, "mode": "CBC", "iv": made["iv"], "cipher": made["cipher"], "masked": True}
    assert clerk.post("/crypto/v1/decrypt", body).status_code == 403


def test_an_app_without_either_right_gets_nothing(client: httpx.Client, rest: Rest, owner: Tenant) -> None:
    stranger = Rest(client, owner, owner.new_app([Permission.OBJECT_ENCRYPT]))
    key = rest.key(fpe=CARD)
    assert stranger.decrypt(key["kid"], PAN, masked=True).status_code == 403


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["ECB", "CBC", "CTR", "GCM", "CCM", "KW", "KWP", "OFB"])
def test_a_key_that_tokenises_does_nothing_else(rest: Rest, mode: str) -> None:
    key = rest.key(fpe=DIGITS)
    for response in (rest.encrypt(key["kid"], PAN, mode=mode), rest.decrypt(key["kid"], PAN, mode=mode)):
        assert response.status_code == 400
        assert "only mode is FF1" in response.text
    mac = rest.post("/crypto/v1/mac", {"key": {"kid": key["kid"]}, "data": b64("data")})
    assert (mac.status_code, "does not permit" in mac.text) == (403, True)


@pytest.mark.parametrize("operation", ["MACGENERATE", "WRAPKEY", "DERIVEKEY", "UNWRAPKEY"])
def test_it_is_not_given_other_operations(rest: Rest, owner: Tenant, operation: str) -> None:
    body = {"name": unique("fpe"), "obj_type": "AES", "key_size": 256, "group_id": str(owner.group.id), "fpe": DIGITS}
    refused = rest.post("/crypto/v1/keys", {**body, "key_ops": ["ENCRYPT", operation]})
    assert (refused.status_code, "that tokenise" in refused.text) == (400, True)


def test_a_format_stays_what_it_is(rest: Rest, owner: Tenant) -> None:
    tokenising, plain = rest.key(fpe=DIGITS), rest.key()
    changes = [CipherOptions(fpe=CARD), CipherOptions(random_iv=True), CipherOptions(mode="CBC")]
    for key, change in [*((tokenising, change) for change in changes), (plain, CipherOptions(fpe=DIGITS))]:
        with pytest.raises(InvalidRequest, match="fpe cannot change"):
            execute(owner.alice, UpdateObject(ObjectRef(id=UUID(key["kid"])), options=KeyOptions(cipher=change)))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"fpe": {"radix": 10, "min_length": 1, "max_length": 5, "preserve": []}}, "1,000,000"),
        ({"fpe": {"radix": 99, "min_length": 6, "max_length": 9, "preserve": []}}, "radix"),
        ({"fpe": {"format_v2": {}}}, "format_v2"),
        ({"fpe": {}}, "fpe"),
        ({"aes": {"cipher_mode": "FF1"}}, "needs fpe"),
        ({"aes": {"cipher_mode": "GCM", "fpe": DIGITS}}, "no other mode"),
        ({"aes": {"iv_length": 16, "fpe": DIGITS}}, "iv_length"),
        ({"aes": {"tag_length": 128, "fpe": DIGITS}}, "tag_length"),
        ({"aes": {"random_iv": True, "fpe": DIGITS}}, "random_iv"),
        ({"obj_type": "DES3", "key_size": 168, "fpe": DIGITS}, "fpe"),
    ],
    ids=str,
)
def test_a_bad_format_makes_no_key(rest: Rest, owner: Tenant, fields: dict[str, Any], says: str) -> None:
    body = {"name": unique("fpe"), "obj_type": "AES", "key_size": 256, "group_id": str(owner.group.id), **fields}
    response = rest.post("/crypto/v1/keys", body)
    assert (response.status_code, says in response.text) == (400, True), response.text


@pytest.mark.parametrize(
    ("plain", "fields", "says"),
    [
        ("12345", {}, "does not fit the format"),
        ("12345a", {}, "does not fit the format"),
        ("", {}, "does not fit the format"),
        ("123456", {"iv": b64(bytes(16))}, "takes no iv"),
        ("123456", {"tag_len": 128}, "takes no tag_len"),
    ],
)
def test_text_and_parameters_that_do_not_fit_are_refused(
    rest: Rest, plain: str, fields: dict[str, Any], says: str
) -> None:
    key = rest.key(fpe=DIGITS)
    response = rest.encrypt(key["kid"], plain, **fields)
    assert (response.status_code, says in response.text) == (400, True), response.text


def test_bytes_that_are_no_text_are_refused(rest: Rest) -> None:
    key = rest.key(fpe=DIGITS)
    for response in (
        rest.encrypt(key["kid"], "", plain=b64(b"\xff" * 8)),
        rest.decrypt(key["kid"], "", cipher=b64(b"\xff" * 8)),
    ):
        assert (response.status_code, "UTF-8" in response.text) == (400, True)


def test_a_key_without_a_format_does_not_tokenise(rest: Rest) -> None:
    response = rest.encrypt(rest.key()["kid"], "123456")
    assert (response.status_code, "needs a key with fpe" in response.text) == (400, True)
