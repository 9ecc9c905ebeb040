"""A program that uses the vendor's Python SDK, run by the interpreter of the clients' environment.

It stands alone: nothing of the project is importable there. Each step prints `ok NAME` or `FAIL NAME why`; a failed one
does not end the run, but what stands on it fails too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import operator
import os
import secrets
import warnings
from collections.abc import Callable
from typing import Any

warnings.simplefilter("ignore")  # the SDK's own regular expressions

import sdkms.v1 as sdk  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa  # noqa: E402
from cryptography.hazmat.primitives.ciphers import Cipher  # noqa: E402
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402
from cryptography.hazmat.primitives.ciphers.algorithms import AES  # noqa: E402
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB  # noqa: E402
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding  # noqa: E402
from sdkms.v1.rest import ApiException  # noqa: E402

URL, CA = os.environ["STEPS_URL"], os.environ["STEPS_CA"]
EMAIL, PASSWORD = os.environ["STEPS_EMAIL"], os.environ["STEPS_PASSWORD"]
NOBODY = "00000000-0000-4000-8000-000000000000"
TEXT = bytearray(b"what the SDK sends")
AD = bytearray(b"bound to it")

Step = Callable[[], None]
STEPS: list[Step] = []
kept: dict[str, Any] = {}


def step(function: Step) -> Step:
    STEPS.append(function)
    return function


def name_of(what: str) -> str:
    return f"sdk-{what}-{secrets.token_hex(4)}"


class Session:
    """One configuration of the SDK: who calls."""

    def __init__(self, *, username: str = "", password: str = "", api_key: str = "", token: str = "") -> None:
        configuration = sdk.configuration.Configuration()
        configuration.host = URL
        configuration.ssl_ca_cert = CA
        configuration.username, configuration.password = username, password
        configuration.app_api_key = api_key
        self._configuration = configuration
        if token:
            self._bear(token)
        self.client = sdk.ApiClient(configuration=configuration)

    def __getattr__(self, api: str) -> Any:
        return getattr(sdk, api)(api_client=self.client)

    def log_in(self) -> Any:
        answer = self.AuthenticationApi.authorize()
        self._bear(answer.access_token)
        return answer

    def _bear(self, token: str) -> None:
        self._configuration.api_key["Authorization"] = token
        self._configuration.api_key_prefix["Authorization"] = "Bearer"


def refused(status: int, said: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    """The SDK must raise its own exception, with the status and the server's text."""
    caught = None
    try:
        call(*arguments, **named)
    except ApiException as error:
        caught = error
    assert caught is not None, f"it was not refused with {status}"
    assert caught.status == status, f"status {caught.status}, not {status}: {caught.body}"
    assert said.lower() in caught.body.lower(), caught.body


def descriptor(key: Any) -> Any:
    return sdk.SobjectDescriptor(kid=key.kid)


def generated(session: Session, kind: str, operations: str, **fields: Any) -> Any:
    """A new object through the SDK's own classes."""
    request = sdk.SobjectRequest(
        name=name_of(kind.lower()),
        obj_type=getattr(sdk.ObjectType, kind),
        key_ops=[getattr(sdk.KeyOperations, word) for word in operations.split()],
        **fields,
    )
    return session.SecurityObjectsApi.generate_security_object(request)


# -- sessions --------------------------------------------------------------------------------------------------------


@step
def version_and_health() -> None:
    nobody = Session()
    answer = nobody.AuthenticationApi.get_server_version()
    assert answer.version
    assert answer.api_version.startswith("v1-")
    assert nobody.AuthenticationApi.check_health_with_http_info()[1] == 204


@step
def log_in_as_a_user() -> None:
    kept["admin"] = Session(username=EMAIL, password=PASSWORD)
    answer = kept["admin"].log_in()
    assert answer.token_type == "Bearer"
    assert answer.expires_in > 0
    kept["user"] = answer.entity_id


@step
def select_an_account() -> None:
    admin = kept["admin"]
    accounts = admin.UsersApi.get_user_account()
    kept["account"] = next(iter(accounts.keys()))
    admin.AuthenticationApi.select_account(sdk.SelectAccountRequest(kept["account"]))


@step
def refresh_a_session() -> None:
    kept["admin"].AuthenticationApi.refresh()


@step
def trade_a_session() -> None:
    admin = kept["admin"]
    before = Session(token=admin._configuration.api_key["Authorization"])
    answer = admin.AuthenticationApi.re_auth()
    admin._bear(answer.access_token)
    admin.GroupsApi.get_groups()
    refused(401, "session has ended", before.GroupsApi.get_groups)


@step
def second_factors_as_far_as_the_sdk_goes() -> None:
    """It can send no password, so it cannot unlock, and what needs that is refused; the rest it can call."""
    factors = kept["admin"].TwoFactorAuthenticationApi
    challenge = factors.generate_u2_f_challenge()
    assert len(base64.urlsafe_b64decode(challenge.u2f_challenge + "=")) == 32
    assert challenge.u2f_keys == []
    refused(403, "unlock", factors.generate_recovery_codes)
    refused(400, "body", factors.authorize_recovery_code)
    refused(400, "body", kept["admin"].AuthenticationApi.unlock2_f)
    factors.lock2_f()


@step
def terminate_a_session() -> None:
    other = Session(username=EMAIL, password=PASSWORD)
    other.log_in()
    other.AuthenticationApi.terminate()
    refused(401, "session has ended", other.UsersApi.get_user_account)


@step
def a_wrong_password_is_401() -> None:
    refused(401, "invalid credentials", Session(username=EMAIL, password="wrong").log_in)


@step
def no_credential_is_401() -> None:
    refused(401, "authentication", Session().GroupsApi.get_groups)


# -- accounts and users ----------------------------------------------------------------------------------------------


@step
def read_and_change_the_account() -> None:
    accounts = kept["admin"].AccountsApi
    assert [account.acct_id for account in accounts.get_accounts()] == [kept["account"]]
    changed = accounts.update_account(kept["account"], sdk.AccountRequest(description="changed by the SDK"))
    assert changed.description == "changed by the SDK"
    assert accounts.get_account(kept["account"]).description == "changed by the SDK"


@step
def invite_and_list_users() -> None:
    users = kept["admin"].UsersApi
    email = f"{name_of('user')}@example.org"
    request = sdk.UserRequest(
        user_email=email,
        user_password="an initial password 1",
        first_name="Ada",
        account_role=[sdk.UserAccountFlags.ACCOUNTMEMBER],
    )
    kept["invited"] = users.invite_user(request)
    assert kept["invited"].user_email == email
    assert email in [user.user_email for user in users.get_users()]
    assert users.get_user(kept["invited"].user_id).first_name == "Ada"


@step
def the_invited_user_accepts_and_sees_no_keys() -> None:
    invited = Session(username=kept["invited"].user_email, password="an initial password 1")
    invited.log_in()
    invited.UsersApi.process_invitations(sdk.ProcessInviteRequest(accepts=[kept["account"]], rejects=[]))
    invited.AuthenticationApi.select_account(sdk.SelectAccountRequest(kept["account"]))
    assert invited.SecurityObjectsApi.get_security_objects() == []
    kept["member"] = invited


@step
def a_member_inviting_users_is_403() -> None:
    request = sdk.UserRequest(user_email="x@example.org", account_role=[sdk.UserAccountFlags.ACCOUNTMEMBER])
    refused(403, "invite users", kept["member"].UsersApi.invite_user, request)


@step
def disable_and_remove_a_user() -> None:
    users = kept["admin"].UsersApi
    users.update_user(kept["invited"].user_id, sdk.UserRequest(enabled=False))
    refused(403, "disabled", kept["member"].GroupsApi.get_groups)
    users.update_user(kept["invited"].user_id, sdk.UserRequest(enabled=True))
    kept["member"].GroupsApi.get_groups()
    users.delete_user(kept["invited"].user_id)
    refused(404, "user does not exist", users.get_user, kept["invited"].user_id)


# -- groups and apps -------------------------------------------------------------------------------------------------


@step
def create_and_change_a_group() -> None:
    groups = kept["admin"].GroupsApi
    kept["group"] = groups.create_group(sdk.GroupRequest(name=name_of("group"), description="one"))
    changed = groups.update_group(kept["group"].group_id, sdk.GroupRequest(description="two"))
    assert changed.description == groups.get_group(kept["group"].group_id).description == "two"
    assert kept["group"].group_id in [group.group_id for group in groups.get_groups()]
    assert changed.creator.user == kept["user"]


@step
def a_second_group_of_the_name_is_409() -> None:
    refused(409, "name", kept["admin"].GroupsApi.create_group, sdk.GroupRequest(name=kept["group"].name))


@step
def an_unknown_group_is_404() -> None:
    refused(404, "group does not exist", kept["admin"].GroupsApi.get_group, NOBODY)


@step
def create_an_app() -> None:
    data = ["SIGN", "VERIFY", "ENCRYPT", "DECRYPT", "WRAPKEY", "UNWRAPKEY", "MACGENERATE", "MACVERIFY"]
    data += ["DERIVEKEY", "AGREEKEY"]
    group = kept["group"].group_id
    request = sdk.AppRequest(
        name=name_of("app"),
        add_groups={group: [getattr(sdk.AppPermissions, word) for word in (*data, "EXPORT", "MANAGE")]},
        default_group=group,
        description="made by the SDK",
    )
    kept["app_row"] = kept["admin"].AppsApi.create_app(request)
    assert list(kept["app_row"].groups) == [group]
    secret = kept["admin"].AppsApi.get_credential(kept["app_row"].app_id).credential.secret
    kept["api_key"] = base64.b64encode(f"{kept['app_row'].app_id}:{secret}".encode()).decode()


@step
def list_and_change_apps() -> None:
    apps = kept["admin"].AppsApi
    identity = kept["app_row"].app_id
    assert identity in [app.app_id for app in apps.get_apps(group_id=kept["group"].group_id)]
    assert apps.update_app(identity, sdk.AppRequest(description="again")).description == "again"
    assert apps.get_app(identity).description == "again"


@step
def log_in_as_an_app() -> None:
    kept["app"] = Session(api_key=kept["api_key"])
    assert kept["app"].log_in().entity_id == kept["app_row"].app_id


@step
def a_wrong_api_key_is_401() -> None:
    wrong = base64.b64encode(f"{kept['app_row'].app_id}:wrong".encode()).decode()
    refused(401, "invalid credentials", Session(api_key=wrong).log_in)


@step
def an_app_creating_groups_is_403() -> None:
    refused(403, "create groups", kept["app"].GroupsApi.create_group, sdk.GroupRequest(name=name_of("group")))


@step
def a_reset_secret_replaces_the_key() -> None:
    apps = kept["admin"].AppsApi
    group = kept["group"].group_id
    row = apps.create_app(sdk.AppRequest(name=name_of("app"), add_groups={group: []}, default_group=group))
    before = apps.get_credential(row.app_id).credential.secret
    apps.regenerate_api_key(row.app_id, sdk.AppResetSecretRequest(secret_size=24))
    after = apps.get_credential(row.app_id).credential.secret
    assert before != after
    apps.delete_app(row.app_id)
    refused(404, "app does not exist", apps.get_app, row.app_id)


# -- objects ---------------------------------------------------------------------------------------------------------


@step
def generate_an_aes_key() -> None:
    operations = "ENCRYPT DECRYPT WRAPKEY UNWRAPKEY EXPORT APPMANAGEABLE"
    kept["aes"] = generated(kept["app"], "AES", operations, key_size=256, custom_metadata={"owner": "sdk"})
    assert kept["aes"].obj_type == sdk.ObjectType.AES
    assert kept["aes"].custom_metadata == {"owner": "sdk"}
    assert kept["aes"].creator.app == kept["app_row"].app_id


@step
def generate_an_rsa_key() -> None:
    kept["rsa"] = generated(kept["app"], "RSA", "SIGN VERIFY APPMANAGEABLE", key_size=2048)
    assert kept["rsa"].rsa.key_size == 2048
    public = serialization.load_der_public_key(bytes(kept["rsa"].pub_key))
    assert isinstance(public, rsa.RSAPublicKey)


@step
def generate_an_ec_key() -> None:
    kept["ec"] = generated(kept["app"], "EC", "SIGN VERIFY APPMANAGEABLE", elliptic_curve=sdk.EllipticCurve.NISTP256)
    assert kept["ec"].elliptic_curve == sdk.EllipticCurve.NISTP256


@step
def generate_an_hmac_key() -> None:
    kept["hmac"] = generated(kept["app"], "HMAC", "MACGENERATE MACVERIFY EXPORT", key_size=256)


@step
def generate_a_transient_key() -> None:
    key = generated(kept["app"], "AES", "ENCRYPT DECRYPT", key_size=256, transient=True)
    assert key.transient_key
    assert key.kid is None
    request = sdk.EncryptRequestEx(
        key=sdk.SobjectDescriptor(transient_key=key.transient_key),
        alg=sdk.ObjectType.AES,
        plain=TEXT,
        mode=sdk.CryptMode.CBC,
    )
    assert kept["app"].EncryptionAndDecryptionApi.encrypt_ex(request).cipher


@step
def export_a_value() -> None:
    objects = kept["app"].SecurityObjectsApi
    value = objects.get_security_object_value(kept["aes"].kid).value
    assert len(value) == 32
    assert objects.get_security_object_value_ex(descriptor(kept["aes"])).value == value
    kept["aes_value"] = bytes(value)
    kept["hmac_value"] = bytes(objects.get_security_object_value(kept["hmac"].kid).value)


@step
def import_a_secret() -> None:
    request = sdk.SobjectRequest(
        name=name_of("secret"),
        obj_type=sdk.ObjectType.SECRET,
        value=bytearray(b"not for everyone"),
        key_ops=[sdk.KeyOperations.EXPORT, sdk.KeyOperations.APPMANAGEABLE],
    )
    key = kept["app"].SecurityObjectsApi.import_security_object(request)
    assert kept["app"].SecurityObjectsApi.get_security_object_value(key.kid).value == b"not for everyone"


@step
def get_by_id_and_by_name() -> None:
    objects = kept["app"].SecurityObjectsApi
    assert objects.get_security_object(kept["aes"].kid).name == kept["aes"].name
    by_name = objects.get_security_object_ex(sdk.SobjectDescriptor(name=kept["aes"].name))
    assert by_name.kid == kept["aes"].kid


@step
def list_with_filters_and_sort() -> None:
    objects = kept["app"].SecurityObjectsApi
    group = kept["group"].group_id
    names = [key.name for key in objects.get_security_objects(group_id=group, sort="name:desc")]
    assert names == sorted(names, reverse=True)
    assert kept["aes"].name in names
    assert [key.kid for key in objects.get_security_objects(name=kept["aes"].name)] == [kept["aes"].kid]
    kids = [key.kid for key in objects.get_security_objects(sort="kid:asc")]
    assert [key.kid for key in objects.get_security_objects(sort="kid:asc", limit=1, offset=1)] == kids[1:2]
    assert [key.kid for key in objects.get_security_objects(sort="kid:asc", start=kids[0])] == kids[1:]
    assert objects.get_security_objects(creator=NOBODY) == []


@step
def change_an_object() -> None:
    objects = kept["app"].SecurityObjectsApi
    request = sdk.SobjectRequest(description="changed", custom_metadata={"owner": "", "stage": "test"})
    objects.update_security_object(kept["aes"].kid, request)
    found = objects.get_security_object(kept["aes"].kid)
    assert (found.description, found.custom_metadata) == ("changed", {"stage": "test"})


@step
def disable_an_object() -> None:
    objects = kept["app"].SecurityObjectsApi
    objects.update_security_object(kept["hmac"].kid, sdk.SobjectRequest(enabled=False))
    request = sdk.MacGenerateRequestEx(key=descriptor(kept["hmac"]), alg=sdk.DigestAlgorithm.SHA256, data=TEXT)
    refused(403, "disabled", kept["app"].DigestApi.compute_mac_ex, request)
    objects.update_security_object(kept["hmac"].kid, sdk.SobjectRequest(enabled=True))


@step
def a_second_object_of_the_name_is_409() -> None:
    request = sdk.SobjectRequest(name=kept["aes"].name, obj_type=sdk.ObjectType.AES, key_size=256)
    refused(409, "name", kept["app"].SecurityObjectsApi.generate_security_object, request)


@step
def a_key_of_impossible_size_is_400() -> None:
    request = sdk.SobjectRequest(name=name_of("bad"), obj_type=sdk.ObjectType.AES, key_size=100)
    refused(400, "128, 192 or 256", kept["app"].SecurityObjectsApi.generate_security_object, request)


@step
def a_type_that_is_not_offered_is_400() -> None:
    request = sdk.SobjectRequest(name=name_of("bad"), obj_type=sdk.ObjectType.LEDABETA)
    refused(400, "LEDABETA", kept["app"].SecurityObjectsApi.generate_security_object, request)


@step
def an_id_that_is_none_is_404() -> None:
    refused(404, "no such path", kept["app"].SecurityObjectsApi.get_security_object, "not-an-id")


@step
def exporting_what_may_not_leave_is_403() -> None:
    refused(403, "export", kept["app"].SecurityObjectsApi.get_security_object_value, kept["rsa"].kid)


# -- data ------------------------------------------------------------------------------------------------------------


def _encrypt_request(**fields: Any) -> Any:
    return sdk.EncryptRequestEx(
        key=descriptor(kept["aes"]),
        alg=sdk.ObjectType.AES,
        plain=TEXT,
        mode=sdk.CryptMode.GCM,
        ad=AD,
        tag_len=128,
        **fields,
    )


@step
def encrypt_and_decrypt_gcm() -> None:
    data = kept["app"].EncryptionAndDecryptionApi
    sealed = data.encrypt_ex(_encrypt_request())
    assert sealed.kid == kept["aes"].kid
    whole = bytes(sealed.cipher) + bytes(sealed.tag)
    assert AESGCM(kept["aes_value"]).decrypt(bytes(sealed.iv), whole, bytes(AD)) == TEXT
    request = sdk.DecryptRequestEx(
        key=descriptor(kept["aes"]),
        alg=sdk.ObjectType.AES,
        cipher=sealed.cipher,
        mode=sdk.CryptMode.GCM,
        iv=sealed.iv,
        ad=AD,
        tag=sealed.tag,
    )
    assert data.decrypt_ex(request).plain == TEXT


@step
def encrypt_and_decrypt_by_the_older_paths() -> None:
    data = kept["app"].EncryptionAndDecryptionApi
    mode = sdk.CryptMode.CBC
    sealed = data.encrypt(kept["aes"].kid, sdk.EncryptRequest(alg=sdk.ObjectType.AES, plain=TEXT, mode=mode))
    request = sdk.DecryptRequest(alg=sdk.ObjectType.AES, cipher=sealed.cipher, mode=mode, iv=sealed.iv)
    assert data.decrypt(kept["aes"].kid, request).plain == TEXT


@step
def encrypt_and_decrypt_in_batches() -> None:
    data = kept["app"].EncryptionAndDecryptionApi
    batch = sdk.BatchEncryptRequest()
    for kid in (kept["aes"].kid, NOBODY):
        request = sdk.EncryptRequest(alg=sdk.ObjectType.AES, plain=TEXT, mode=sdk.CryptMode.CBC)
        batch.append(sdk.BatchEncryptRequestInner(kid=kid, request=request))
    good, bad = data.batch_encrypt(batch)
    assert (good.status, bad.status) == (200, 404)
    assert "does not exist" in bad.error
    back = sdk.BatchDecryptRequest()
    request = sdk.DecryptRequest(
        alg=sdk.ObjectType.AES, cipher=good.body.cipher, mode=sdk.CryptMode.CBC, iv=good.body.iv
    )
    back.append(sdk.BatchDecryptRequestInner(kid=kept["aes"].kid, request=request))
    assert data.batch_decrypt(back)[0].body.plain == TEXT


@step
def a_wrong_iv_is_400() -> None:
    request = _encrypt_request(iv=bytearray(7))
    refused(400, "at least 8 bytes", kept["app"].EncryptionAndDecryptionApi.encrypt_ex, request)


@step
def encrypt_and_decrypt_gcm_in_parts() -> None:
    api, key = kept["app"].EncryptionAndDecryptionApi, descriptor(kept["aes"])
    pieces = [bytearray(os.urandom(size)) for size in (5, 100_000, 0, 33)]
    begin = sdk.EncryptInitRequestEx(key=key, alg=sdk.ObjectType.AES, mode=sdk.CipherMode.GCM, ad=AD)
    begun = api.encrypt_init_ex(begin)
    assert begun.kid == kept["aes"].kid
    state, cipher = begun.state, bytearray()
    for piece in pieces:
        part = api.encrypt_update_ex(sdk.EncryptUpdateRequestEx(key=key, plain=piece, state=state))
        state, cipher = part.state, cipher + part.cipher
    final = api.encrypt_final_ex(sdk.EncryptFinalRequestEx(key=key, state=state, tag_len=96))
    whole = AESGCM(kept["aes_value"]).encrypt(bytes(begun.iv), b"".join(map(bytes, pieces)), bytes(AD))
    assert (bytes(cipher + final.cipher), bytes(final.tag)) == (whole[:-16], whole[-16:-4])
    state, plain = (
        api.decrypt_init_ex(
            sdk.DecryptInitRequestEx(key=key, alg=sdk.ObjectType.AES, mode=sdk.CipherMode.GCM, iv=begun.iv, ad=AD)
        ).state,
        bytearray(),
    )
    for start in range(0, len(cipher), 40_000):
        chunk = bytearray(cipher[start : start + 40_000])
        opened = api.decrypt_update_ex(sdk.DecryptUpdateRequestEx(key=key, cipher=chunk, state=state))
        state, plain = opened.state, plain + opened.plain
    last = api.decrypt_final_ex(sdk.DecryptFinalRequestEx(key=key, state=state, tag=final.tag))
    assert bytes(plain + last.plain) == b"".join(map(bytes, pieces))
    wrong = sdk.DecryptFinalRequestEx(key=key, state=state, tag=bytearray(12))
    refused(400, "could not be processed", api.decrypt_final_ex, wrong)


@step
def tokenise_a_card_number() -> None:
    """The SDK's option classes lose their fields: the format is the dictionary. Only its older request knows masks."""
    digits = {"char_set": [["0", "9"]], "min_length": 13, "max_length": 19, "preserve": [-4, -3, -2, -1]}
    fpe = {"format": {**digits, "mask": [0, 1]}, "description": "card"}
    key = generated(kept["app"], "AES", "ENCRYPT DECRYPT", key_size=256, fpe=fpe)
    api, mode = kept["app"].EncryptionAndDecryptionApi, sdk.CipherMode("FF1")
    card = bytearray(b"4929123456781234")
    request = sdk.EncryptRequestEx(key=descriptor(key), alg=sdk.ObjectType.AES, plain=card, mode=mode)
    token = api.encrypt_ex(request).cipher
    assert token != card
    assert (len(token), token[-4:], bytes(token).isdigit()) == (16, b"1234", True)
    back = sdk.DecryptRequestEx(key=descriptor(key), alg=sdk.ObjectType.AES, cipher=token, mode=mode)
    assert api.decrypt_ex(back).plain == card
    masked = sdk.DecryptRequest(alg=sdk.ObjectType.AES, cipher=token, mode=mode, masked=True)
    assert bytes(api.decrypt(key.kid, masked).plain) == b"**29123456781234"


@step
def a_key_without_the_operation_is_403() -> None:
    request = sdk.SignRequestEx(key=descriptor(kept["aes"]), hash_alg=sdk.DigestAlgorithm.SHA256, data=TEXT)
    refused(403, "sign", kept["app"].SignAndVerifyApi.sign_ex, request)


@step
def an_administrator_encrypting_is_403() -> None:
    refused(403, "encrypt", kept["admin"].EncryptionAndDecryptionApi.encrypt_ex, _encrypt_request())


@step
def an_unknown_key_is_404() -> None:
    request = _encrypt_request()
    request.key = sdk.SobjectDescriptor(name="no such key")
    refused(404, "does not exist", kept["app"].EncryptionAndDecryptionApi.encrypt_ex, request)


def _signed(key: Any, mode: Any = None) -> bytes:
    request = sdk.SignRequestEx(key=descriptor(key), hash_alg=sdk.DigestAlgorithm.SHA256, data=TEXT, mode=mode)
    signature = kept["app"].SignAndVerifyApi.sign_ex(request).signature
    verify = sdk.VerifyRequestEx(
        key=descriptor(key), hash_alg=sdk.DigestAlgorithm.SHA256, data=TEXT, signature=signature, mode=mode
    )
    assert kept["app"].SignAndVerifyApi.verify_ex(verify).result is True
    verify.data = AD
    assert kept["app"].SignAndVerifyApi.verify_ex(verify).result is False
    return bytes(signature)


@step
def sign_and_verify_rsa_pkcs1() -> None:
    public: Any = serialization.load_der_public_key(bytes(kept["rsa"].pub_key))
    public.verify(_signed(kept["rsa"]), bytes(TEXT), padding.PKCS1v15(), hashes.SHA256())


@step
def sign_and_verify_rsa_pss() -> None:
    public: Any = serialization.load_der_public_key(bytes(kept["rsa"].pub_key))
    mgf = sdk.Mgf(mgf1=sdk.MgfMgf1(hash=sdk.DigestAlgorithm.SHA256))
    signature = _signed(kept["rsa"], sdk.SignatureMode(pss=sdk.RsaSignaturePaddingPSS(mgf=mgf)))
    public.verify(signature, bytes(TEXT), padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


@step
def encrypt_and_decrypt_rsa() -> None:
    key = generated(kept["app"], "RSA", "ENCRYPT DECRYPT APPMANAGEABLE", key_size=2048)
    public: Any = serialization.load_der_public_key(bytes(key.pub_key))
    api, alg = kept["app"].EncryptionAndDecryptionApi, sdk.ObjectType.RSA
    mgf = sdk.Mgf(mgf1=sdk.MgfMgf1(hash=sdk.DigestAlgorithm.SHA256))
    oaep = sdk.RsaEncryptionPadding(oaep=sdk.RsaEncryptionPaddingOAEP(mgf=mgf))
    made = api.encrypt_ex(sdk.EncryptRequestEx(key=descriptor(key), alg=alg, plain=TEXT, mode=oaep)).cipher
    scheme = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    for cipher in (made, bytearray(public.encrypt(bytes(TEXT), scheme))):
        for mode in (oaep, sdk.CryptMode.OAEP_MGF1_SHA256):
            request = sdk.DecryptRequestEx(key=descriptor(key), alg=alg, cipher=cipher, mode=mode)
            assert bytes(api.decrypt_ex(request).plain) == bytes(TEXT)


@step
def sign_and_verify_ec() -> None:
    public: Any = serialization.load_der_public_key(bytes(kept["ec"].pub_key))
    public.verify(_signed(kept["ec"]), bytes(TEXT), ec.ECDSA(hashes.SHA256()))


@step
def sign_and_verify_by_the_older_paths() -> None:
    api = kept["app"].SignAndVerifyApi
    digest = bytearray(hashlib.sha256(TEXT).digest())
    request = sdk.SignRequest(hash_alg=sdk.DigestAlgorithm.SHA256, hash=digest)
    signature = api.sign(kept["ec"].kid, request).signature
    verify = sdk.VerifyRequest(hash_alg=sdk.DigestAlgorithm.SHA256, hash=digest, signature=signature)
    assert api.verify(kept["ec"].kid, verify).result is True


@step
def sign_and_verify_in_batches() -> None:
    api = kept["app"].SignAndVerifyApi
    batch = sdk.BatchSignRequest()
    for key in (kept["rsa"], kept["ec"]):
        batch.append(sdk.SignRequestEx(key=descriptor(key), hash_alg=sdk.DigestAlgorithm.SHA256, data=TEXT))
    answers = api.batch_sign(batch)
    back = sdk.BatchVerifyRequest()
    for key, answer in zip((kept["rsa"], kept["ec"]), (answers[0], answers[1]), strict=True):
        back.append(
            sdk.VerifyRequestEx(
                key=descriptor(key),
                hash_alg=sdk.DigestAlgorithm.SHA256,
                data=TEXT,
                signature=answer.body.signature,
            )
        )
    assert [api.batch_verify(back)[number].body.result for number in range(2)] == [True, True]


@step
def wrap_and_unwrap() -> None:
    api = kept["app"].WrappingAndUnwrappingApi
    wrap = sdk.WrapKeyRequestEx(
        key=descriptor(kept["aes"]),
        subject=descriptor(kept["hmac"]),
        alg=sdk.ObjectType.AES,
        mode=sdk.CryptMode.KWP,
    )
    wrapped = api.wrap_key_ex(wrap).wrapped_key
    assert aes_key_unwrap_with_padding(kept["aes_value"], bytes(wrapped)) == kept["hmac_value"]
    unwrap = sdk.UnwrapKeyRequestEx(
        key=descriptor(kept["aes"]),
        alg=sdk.ObjectType.AES,
        mode=sdk.CryptMode.KWP,
        obj_type=sdk.ObjectType.HMAC,
        wrapped_key=wrapped,
        name=name_of("unwrapped"),
        key_ops=[sdk.KeyOperations.MACGENERATE],
    )
    kid = api.unwrap_key_ex(unwrap).kid
    request = sdk.MacGenerateRequest(alg=sdk.DigestAlgorithm.SHA256, data=TEXT)
    mac = kept["app"].DigestApi.compute_mac(kid, request).digest
    assert mac == hmac.new(kept["hmac_value"], TEXT, "sha256").digest()


@step
def wrap_and_unwrap_by_the_older_paths() -> None:
    api = kept["app"].WrappingAndUnwrappingApi
    wrap = sdk.WrapKeyRequest(kid=kept["hmac"].kid, alg=sdk.ObjectType.AES, mode=sdk.CryptMode.GCM, tag_len=128)
    wrapped = api.wrap_key(kept["aes"].kid, wrap)
    unwrap = sdk.UnwrapKeyRequest(
        alg=sdk.ObjectType.AES,
        mode=sdk.CryptMode.GCM,
        obj_type=sdk.ObjectType.HMAC,
        wrapped_key=wrapped.wrapped_key,
        iv=wrapped.iv,
        tag=wrapped.tag,
        name=name_of("unwrapped"),
    )
    assert api.unwrap_key(kept["aes"].kid, unwrap).obj_type == sdk.ObjectType.HMAC


@step
def wrapping_what_may_not_leave_is_403() -> None:
    request = sdk.WrapKeyRequestEx(
        key=descriptor(kept["aes"]),
        subject=descriptor(kept["ec"]),
        alg=sdk.ObjectType.AES,
        mode=sdk.CryptMode.KWP,
    )
    refused(403, "export", kept["app"].WrappingAndUnwrappingApi.wrap_key_ex, request)


@step
def mac_and_verify() -> None:
    api = kept["app"].DigestApi
    alg = sdk.DigestAlgorithm.SHA256
    mac = api.compute_mac_ex(sdk.MacGenerateRequestEx(key=descriptor(kept["hmac"]), alg=alg, data=TEXT)).digest
    assert mac == hmac.new(kept["hmac_value"], TEXT, "sha256").digest()
    verify = sdk.MacVerifyRequestEx(key=descriptor(kept["hmac"]), alg=alg, data=TEXT, mac=mac)
    assert api.verify_mac_ex(verify).result is True
    older = sdk.MacVerifyRequest(alg=alg, data=AD, digest=mac)
    assert api.verify_mac(kept["hmac"].kid, older).result is False


@step
def mac_and_verify_in_batches() -> None:
    api = kept["app"].DigestApi
    alg = sdk.DigestAlgorithm.SHA256
    batch = sdk.BatchMacRequest()
    batch.append(sdk.MacGenerateRequestEx(key=descriptor(kept["hmac"]), alg=alg, data=TEXT))
    mac = api.batch_mac(batch)[0].body.digest
    back = sdk.BatchMacVerifyRequest()
    back.append(sdk.MacVerifyRequestEx(key=descriptor(kept["hmac"]), alg=alg, data=TEXT, mac=mac))
    assert api.batch_mac_verify(back)[0].body.result is True


@step
def digest_data() -> None:
    request = sdk.DigestRequest(alg=sdk.DigestAlgorithm.SHA512, data=TEXT)
    assert kept["app"].DigestApi.compute_digest(request).digest == hashlib.sha512(TEXT).digest()


# -- keys from keys --------------------------------------------------------------------------------------------------


@step
def derive_by_encryption() -> None:
    objects = kept["app"].SecurityObjectsApi
    parent = generated(kept["app"], "AES", "DERIVEKEY EXPORT", key_size=256)
    iv, plain = secrets.token_bytes(16), secrets.token_bytes(32)
    fields = {
        "name": name_of("derived"),
        "key_size": 256,
        "key_type": sdk.ObjectType.AES,
        "mechanism": sdk.DeriveKeyMechanism(
            encrypt_data=sdk.EncryptRequest(
                alg=sdk.ObjectType.AES, plain=bytearray(plain), mode=sdk.CryptMode.CBC, iv=bytearray(iv)
            )
        ),
        "key_ops": [sdk.KeyOperations.EXPORT],
    }
    derived = objects.derive_key_ex(sdk.DeriveKeyRequestEx(key=descriptor(parent), **fields))
    older = objects.derive_key(parent.kid, sdk.DeriveKeyRequest(**{**fields, "name": name_of("derived")}))
    value = bytes(objects.get_security_object_value(parent.kid).value)
    encryptor = Cipher(AES(value), CBC(iv)).encryptor()
    expected = encryptor.update(plain)
    for made in (derived, older):
        assert bytes(objects.get_security_object_value(made.kid).value) == expected


@step
def agree_on_a_key() -> None:
    objects = kept["app"].SecurityObjectsApi
    pair = [generated(kept["app"], "EC", "AGREEKEY", elliptic_curve=sdk.EllipticCurve.NISTP256) for _ in range(2)]
    values = []
    for private, public in (pair, reversed(pair)):
        request = sdk.AgreeKeyRequest(
            private_key=descriptor(private),
            public_key=descriptor(public),
            mechanism=sdk.AgreeKeyMechanism.HELLMAN,
            name=name_of("agreed"),
            key_size=256,
            key_type=sdk.ObjectType.SECRET,
            key_ops=[sdk.KeyOperations.EXPORT],
        )
        agreed = objects.agree_key(request)
        values.append(bytes(objects.get_security_object_value(agreed.kid).value))
    assert values[0] == values[1]
    assert len(values[0]) == 32


@step
def check_values() -> None:
    """The SDK takes the answer's hexadecimal digits for base64, so it is read as it came."""
    objects = kept["app"].SecurityObjectsApi
    answer = objects.get_security_object_kcv(descriptor(kept["aes"]), _preload_content=False)
    kcv = json.loads(answer.data)["kcv"]
    assert kcv == Cipher(AES(kept["aes_value"]), ECB()).encryptor().update(bytes(16))[:3].hex().upper()  # noqa: S305
    value = base64.b64encode(kept["aes_value"]).decode()
    for claimed, holds in ((kcv, True), ("000000", False)):
        request = sdk.VerifyKcvRequest(kcv=claimed, value=value, obj_type=sdk.ObjectType.AES)
        assert objects.verify_kcv(request).verified is holds


@step
def digest_a_key() -> None:
    request = sdk.ObjectDigestRequest(key=descriptor(kept["aes"]), alg=sdk.DigestAlgorithm.SHA256)
    digest = kept["admin"].SecurityObjectsApi.get_security_object_digest(request).digest
    assert bytes(digest) == hashlib.sha256(kept["aes_value"]).digest()


@step
def keep_a_transient_key() -> None:
    objects = kept["app"].SecurityObjectsApi
    key = generated(kept["app"], "AES", "ENCRYPT DECRYPT EXPORT", key_size=256, transient=True)
    request = sdk.PersistTransientKeyRequest(
        name=name_of("kept"),
        transient_key=key.transient_key,
        description="kept by the SDK",
        custom_metadata={"kept": "yes"},
    )
    found = objects.persist_security_object(request)
    assert (found.origin.value, found.description) == ("Transient", "kept by the SDK")
    assert found.custom_metadata == {"kept": "yes"}
    value = bytes(objects.get_security_object_value(found.kid).value)
    transient = _encrypt_request()
    transient.key = sdk.SobjectDescriptor(transient_key=key.transient_key)
    sealed = kept["app"].EncryptionAndDecryptionApi.encrypt_ex(transient)
    whole = bytes(sealed.cipher) + bytes(sealed.tag)
    assert AESGCM(value).decrypt(bytes(sealed.iv), whole, bytes(AD)) == TEXT


@step
def an_altered_transient_key_is_not_kept() -> None:
    key = generated(kept["app"], "AES", "ENCRYPT DECRYPT", key_size=256, transient=True)
    altered = bytearray(base64.b64decode(key.transient_key))
    altered[-1] ^= 1
    request = sdk.PersistTransientKeyRequest(name=name_of("no"), transient_key=base64.b64encode(altered).decode())
    refused(400, "not valid", kept["app"].SecurityObjectsApi.persist_security_object, request)


def _custodians() -> list[Any]:
    return [sdk.CreatorType(user=kept["user"]), sdk.CreatorType(app=kept["app_row"].app_id)]


@step
def export_and_import_by_components() -> None:
    """The SDK takes check values for base64, so the answer is read as it came."""
    objects = kept["admin"].SecurityObjectsApi
    request = sdk.ExportSobjectComponentsRequest(
        key=descriptor(kept["aes"]),
        custodians=_custodians(),
        method=sdk.SplittingMethod.XOR,
        description="for two",
    )
    answer = json.loads(objects.export_sobject_components(request, _preload_content=False).data)
    first, second = (base64.b64decode(part["component"]) for part in answer["components"])
    assert bytes(map(operator.xor, first, second)) == kept["aes_value"]
    assert [part["custodian"] for part in answer["components"]] == [
        {"user": kept["user"]},
        {"app": kept["app_row"].app_id},
    ]
    assert answer["key_kcv"] == Cipher(AES(kept["aes_value"]), ECB()).encryptor().update(bytes(16))[:3].hex().upper()  # noqa: S305
    key = sdk.SobjectRequest(
        name=name_of("joined"),
        obj_type=sdk.ObjectType.AES,
        group_id=kept["group"].group_id,
        key_ops=[sdk.KeyOperations.EXPORT],
    )
    parts = [
        sdk.SobjectComponent(component=bytearray(value), custodian=custodian)
        for value, custodian in zip((first, second), _custodians(), strict=True)
    ]
    joined = sdk.ImportSobjectComponentsRequest(
        key=key, custodians=_custodians(), components=parts, method=sdk.SplittingMethod.XOR
    )
    found = objects.import_sobject_components(joined)
    assert bytes(objects.get_security_object_value(found.kid).value) == kept["aes_value"]


@step
def an_import_without_components_says_why_not() -> None:
    key = sdk.SobjectRequest(name=name_of("no"), obj_type=sdk.ObjectType.AES, group_id=kept["group"].group_id)
    request = sdk.ImportSobjectComponentsRequest(key=key, custodians=_custodians(), method=sdk.SplittingMethod.XOR)
    refused(400, "approval", kept["admin"].SecurityObjectsApi.import_sobject_components, request)


def public_der(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded


@step
def attest_a_key() -> None:
    request = sdk.KeyAttestationRequest(key=descriptor(kept["ec"]))
    answer = kept["app"].SecurityObjectsApi.get_key_attestation(request)
    assert answer.attestation_statement.format == "x509_certificate"
    statement = x509.load_der_x509_certificate(base64.b64decode(answer.attestation_statement.statement))
    authority = x509.load_der_x509_certificate(base64.b64decode(answer.authority_chain[0]))
    assert statement.issuer == authority.subject
    signed = statement.tbs_certificate_bytes
    issuer: Any = authority.public_key()
    issuer.verify(statement.signature, signed, ec.ECDSA(hashes.SHA256()))
    own, attested = serialization.load_der_public_key(bytes(kept["ec"].pub_key)), statement.public_key()
    assert public_der(attested) == public_der(own)


@step
def attesting_a_symmetric_key_is_400() -> None:
    request = sdk.KeyAttestationRequest(key=descriptor(kept["aes"]))
    refused(400, "no public key", kept["app"].SecurityObjectsApi.get_key_attestation, request)


# -- the end ---------------------------------------------------------------------------------------------------------


# -- the life of objects ---------------------------------------------------------------------------------------------


def _sealed(name: str) -> Any:
    request = sdk.EncryptRequestEx(
        key=sdk.SobjectDescriptor(name=name), alg=sdk.ObjectType.AES, plain=TEXT, mode=sdk.CryptMode.CBC
    )
    return kept["app"].EncryptionAndDecryptionApi.encrypt_ex(request)


def _opens(sealed: Any) -> None:
    request = sdk.DecryptRequestEx(
        key=sdk.SobjectDescriptor(kid=sealed.kid),
        alg=sdk.ObjectType.AES,
        cipher=sealed.cipher,
        mode=sdk.CryptMode.CBC,
        iv=sealed.iv,
    )
    assert kept["app"].EncryptionAndDecryptionApi.decrypt_ex(request).plain == TEXT


@step
def rotate_a_key() -> None:
    """The SDK shows no links."""
    objects = kept["app"].SecurityObjectsApi
    old = generated(kept["app"], "AES", "ENCRYPT DECRYPT APPMANAGEABLE", key_size=192)
    before = _sealed(old.name)
    new = objects.rotate_security_object(sdk.SobjectRequest(name=old.name))
    after = _sealed(old.name)
    assert (new.name, new.key_size) == (old.name, 192)
    assert (before.kid, after.kid) == (old.kid, new.kid)
    assert objects.get_security_object(old.kid).name.startswith(f"{old.name} (rotated at ")
    _opens(before)
    _opens(after)


@step
def set_a_rotation_policy() -> None:
    objects = kept["app"].SecurityObjectsApi
    policy = sdk.RotationPolicy(interval=sdk.RotationInterval(interval_days=30), deactivate_rotated_key=True)
    key = generated(kept["app"], "AES", "ENCRYPT", key_size=128, rotation_policy=policy)
    objects.update_security_object(key.kid, sdk.SobjectRequest(rotation_policy=policy))
    wrong = sdk.RotationPolicy(interval=sdk.RotationInterval(interval_days=0))
    request = sdk.SobjectRequest(rotation_policy=wrong)
    refused(400, "a rotation interval is", objects.update_security_object, key.kid, request)


@step
def revoke_and_destroy_a_key() -> None:
    objects = kept["app"].SecurityObjectsApi
    key = generated(kept["app"], "AES", "ENCRYPT DECRYPT", key_size=256)
    sealed = _sealed(key.name)
    refused(400, "cannot destroy an object that is active", objects.destroy_security_object, key.kid)
    reason = sdk.RevocationReason(code=sdk.RevocationReasonCode.KEYCOMPROMISE, message="on a laptop")
    objects.revoke_security_object(key.kid, reason)
    assert objects.get_security_object(key.kid).state == sdk.KeyObjectState.COMPROMISED
    refused(403, "is compromised", _sealed, key.name)
    _opens(sealed)
    objects.destroy_security_object(key.kid)
    assert objects.get_security_object(key.kid).state == sdk.KeyObjectState.DESTROYED
    assert key.kid not in [one.kid for one in objects.get_security_objects()]
    assert key.kid in [one.kid for one in objects.get_security_objects(show_destroyed=True)]
    objects.delete_security_object(key.kid)
    refused(404, "does not exist", objects.get_security_object, key.kid)
    assert objects.get_security_object(key.kid, show_deleted=True).state == sdk.KeyObjectState.DELETED


@step
def remove_a_private_key() -> None:
    objects = kept["app"].SecurityObjectsApi
    key = generated(kept["app"], "EC", "SIGN VERIFY APPMANAGEABLE", elliptic_curve=sdk.EllipticCurve.NISTP256)
    objects.delete_private_key(key.kid)
    found = objects.get_security_object(key.kid)
    assert found.pub_key == key.pub_key
    assert sdk.KeyOperations.SIGN not in found.key_ops


@step
def take_a_deletion_back() -> None:
    """The SDK's name for the group's policy, key_undo_policy, is an older one; it is set with the SDK's bare client."""
    objects = kept["app"].SecurityObjectsApi
    _undo({"undo_time_window": 3600})
    key = generated(kept["app"], "AES", "ENCRYPT DECRYPT", key_size=256)
    sealed = _sealed(key.name)
    objects.delete_security_object(key.kid)
    (item,) = objects.get_security_object(key.kid, show_deleted=True).history
    assert item.state.state == sdk.KeyObjectState.ACTIVE
    objects.revert_history_item(key.kid, sdk.RevertRequest(ids=[item.id]))
    _opens(sealed)
    _undo("remove")


def _undo(policy: Any) -> None:
    kept["admin"].client.call_api(
        f"/sys/v1/groups/{kept['group'].group_id}",
        "PATCH",
        header_params={"Content-Type": "application/json"},
        body={"key_history_policy": policy},
        auth_settings=["bearerToken"],
    )


@step
def no_plugins_are_listed() -> None:
    assert kept["admin"].PluginsApi.get_plugins() == []


@step
def read_the_audit_log() -> None:
    hits = kept["admin"].LogsApi.get_audit_logs(size=10, object_id=kept["aes"].kid, _preload_content=False)
    assert kept["aes"].kid.encode() in hits.data
    assert kept["admin"].LogsApi.get_audit_logs(size=1) is not None


@step
def delete_an_object() -> None:
    objects = kept["app"].SecurityObjectsApi
    objects.delete_security_object(kept["ec"].kid)
    refused(404, "does not exist", objects.get_security_object, kept["ec"].kid)


@step
def deleting_a_group_in_use_is_409() -> None:
    refused(409, "", kept["admin"].GroupsApi.delete_group, kept["group"].group_id)


@step
def change_a_password_and_ask_for_codes() -> None:
    first, second = "an initial password 1", "seven tall giraffes drink 12 lakes"
    email, users = f"{name_of('person')}@example.org", kept["admin"].UsersApi
    invited = users.invite_user(sdk.UserRequest(user_email=email, user_password=first)).user_id
    users.resend_invitation(invited)
    person = Session(username=email, password=first)
    person.log_in()
    person.UsersApi.resend_confirm_email(invited)
    wrong = sdk.PasswordChangeRequest(current_password="not this one", new_password=second)
    refused(403, "current password", person.UsersApi.change_password, wrong)
    person.UsersApi.change_password(sdk.PasswordChangeRequest(current_password=first, new_password=second))
    Session(username=email, password=second).log_in()
    stranger = Session().UsersApi
    stranger.forgot_password(sdk.ForgotPasswordRequest(user_email=email))
    stranger.forgot_password(sdk.ForgotPasswordRequest(user_email="nobody@example.org"))
    refused(
        403,
        "not valid",
        stranger.validate_password_reset_token,
        invited,
        sdk.ValidateTokenRequest(reset_token="made up"),
    )
    reset = sdk.PasswordResetRequest(reset_token="made up", new_password=first)
    refused(403, "not valid", stranger.reset_password, invited, reset)
    confirm = sdk.ConfirmEmailRequest(confirm_token="made up")
    refused(403, "not valid", person.UsersApi.confirm_email, invited, confirm)


def main() -> None:
    for function in STEPS:
        try:
            function()
        except Exception as error:
            text = f"{error.status} {error.body}" if isinstance(error, ApiException) else f"{error}"
            first = " / ".join(f"{type(error).__name__}: {text}".split("\n"))
            print(f"FAIL {function.__name__} {first}")
        else:
            print(f"ok {function.__name__}")


if __name__ == "__main__":
    main()
