"""The vendor's command line client, unmodified, against the server as `make run` starts it.

What it prints and writes is checked with `cryptography` wherever the key can be known.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import hmac
import json
import re
import time
from base64 import b64decode, urlsafe_b64decode
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_unwrap_with_padding
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from tests.acceptance.conftest import Cli, Place, unique
from tests.acceptance.server import RunningServer
from tests.kit.certificates import Identity, authority, leaf

IV = bytes(range(16))
NONCE = bytes(range(12))
AD = b"what is bound to it"
BLOCKS = b"two whole blocks, 32 bytes long."
TEXT = b"any length will do"

# Sub-commands that ask for something the server does not offer. They must fail, and say so.
NOT_SERVED = {
    "create-plugin": "plugins",
    "delete-plugin": "plugins",
    "invoke-plugin": "plugins",
    "update-plugin": "plugins",
}


class Key:
    """A key and, when it can be exported, its material."""

    def __init__(self, kid: str, name: str, material: bytes = b"") -> None:
        self.kid = kid
        self.name = name
        self.material = material


def made(cli: Cli, kind: str, *arguments: str, export: bool = False) -> Key:
    name = unique(kind.lower())
    exportable = ("--exportable", "--force") if export else ()
    kid = cli("create-key", "--obj-type", kind, "--name", name, *arguments, *exportable).out
    return Key(kid, name, cli("export-object", "--kid", kid, "--der").stdout if export else b"")


def shown(cli: Cli, kid: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli("show-sobject", "--kid", kid).out)
    return found


def public_key(cli: Cli, kid: str) -> Any:
    return serialization.load_der_public_key(b64decode(shown(cli, kid)["pub_key"]))


@pytest.fixture(scope="module")
def aes(app: Cli) -> Key:
    return made(app, "AES", "--key-size", "256", export=True)


@pytest.fixture(scope="module")
def rsa_key(app: Cli) -> Key:
    return made(app, "RSA", "--key-size", "2048")


@pytest.fixture(scope="module")
def ec_key(app: Cli) -> Key:
    return made(app, "EC", "--ec-name", "NistP256")


@pytest.fixture(scope="module")
def hmac_key(app: Cli) -> Key:
    return made(app, "HMAC", "--key-size", "256", export=True)


# -- the whole of it -------------------------------------------------------------------------------------------------


def test_every_sub_command_is_tested_here_or_named_as_not_served(cli: Cli) -> None:
    usage = cli("--help").out
    listed = re.search(r"\{([a-z0-9,-]+)\}", usage)
    assert listed is not None
    known = set(listed[1].split(","))
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*cli*.py"))
    untested = {command for command in known - NOT_SERVED.keys() if f'"{command}"' not in source}
    assert not untested
    assert NOT_SERVED.keys() <= known


@pytest.mark.parametrize(
    "arguments",
    [(command, "--id", "00000000-0000-4000-8000-000000000000") for command in ("delete-plugin", "invoke-plugin")],
    ids=lambda arguments: arguments[0],
)
def test_a_sub_command_for_what_is_not_offered_fails_and_says_so(
    app: Cli, arguments: tuple[str, ...], aes: Key, rsa_key: Key, ec_key: Key, place: Place
) -> None:
    given = {"aes": aes.kid, "rsa": rsa_key.kid, "ec": ec_key.kid, "group": place.group}
    given["file"] = str(app.file("anything", TEXT))
    error = app.refused(*(argument.format(**given) for argument in arguments))
    assert re.search(r"40[45]", error), error
    assert re.search(r"There is no such path on this server|Method not allowed", error), error


# -- the server ------------------------------------------------------------------------------------------------------


def test_the_version_is_shown_to_anyone(cli: Cli) -> None:
    out = cli("server-version").out
    assert "API Version : v1-" in out
    assert "Server Mode : ServerMode.Software" in out


def test_the_health_is_shown_to_anyone(cli: Cli) -> None:
    assert cli("server-health").out == "Server is Healthy"


def test_a_client_that_does_not_know_the_ca_does_not_connect(clients: Path, server: RunningServer, cli: Cli) -> None:
    stranger = Cli(clients / "sdkms-cli", server, cli.folder)
    stranger._command = stranger._command[:3]
    ran = stranger.run("server-version")
    assert ran.status != 0
    assert "CERTIFICATE_VERIFY_FAILED" in ran.err


# -- sessions --------------------------------------------------------------------------------------------------------


def test_a_user_logs_in_and_out(cli: Cli, server: RunningServer) -> None:
    cli("user-login", "--username", server.email, "--password", server.password)
    assert server.email in cli("list-users").out
    held = cli.read("token")
    cli("user-logout")
    assert "Please use sdkms-cli user-login" in cli.refused("list-users")
    cli.file("token", held)
    assert "The session has ended; log in again" in cli.refused("list-users")


def test_an_app_logs_in_and_out(cli: Cli, place: Place) -> None:
    cli("app-login", "--api-key", place.api_key)
    cli("list-keys")
    held = cli.read("token")
    cli("app-logout")
    assert "Not logged in" in cli.refused("list-keys")
    cli.file("token", held)
    assert "The session has ended; log in again" in cli.refused("list-keys")


def test_an_app_logs_in_with_its_certificate_and_encrypts(administrator: Cli, cli: Cli, place: Place) -> None:
    worker = leaf("worker", authority())
    chain, key = worker.files(cli.folder)
    login = ("app-certificate-login", "--app-id", _app_by(administrator, place, worker), "--certificate-path", chain)
    _until_it_works(cli, *login, "--key-path", key)
    kid = made(cli, "AES", "--key-size", "256").kid
    plain = cli.file("plain", BLOCKS)
    cli("encrypt", "--kid", kid, "--alg", "AES", "--mode", "CBC", "--iv", IV.hex(), "--in", plain, "--out", "cipher")
    held = cli.read("token")
    stolen = held.replace(str(chain).encode(), b"None").replace(str(key).encode(), b"None")
    cli.file("token", stolen)
    assert "bound to a client certificate" in cli.refused("list-keys")
    cli.file("token", held)
    cli("list-keys")
    twin = leaf("worker", worker.issuers[0]).files(cli.folder, "twin")
    refused = cli.run(*login[:3], "--certificate-path", twin[0], "--key-path", twin[1])
    assert refused.status != 0
    assert "closed connection" in refused.err, "no app trusts it, so TLS ends before any answer"


def test_both_log_out_at_once(cli: Cli, server: RunningServer, place: Place) -> None:
    cli("user-login", "--username", server.email, "--password", server.password)
    cli("app-login", "--api-key", place.api_key)
    cli("logout")
    assert "Not logged in" in cli.refused("list-keys")


def test_an_account_is_selected_and_another_one_is_not_found(cli: Cli, server: RunningServer) -> None:
    cli("user-login", "--username", server.email, "--password", server.password)
    account = cli("list-accounts").out.split()[0]
    cli("select-account", "--account-id", account)
    error = cli.refused("select-account", "--account-id", "00000000-0000-4000-8000-000000000000")
    assert "404" in error
    assert "The account does not exist" in error


@pytest.mark.parametrize("password", ["wrong", ""], ids=["wrong", "blank"])
def test_a_wrong_password_is_refused_without_saying_which_half_is_wrong(
    cli: Cli, server: RunningServer, password: str
) -> None:
    arguments = ("--username", server.email, "--password", password or " ")
    wrong = cli.refused("user-login", *arguments)
    unknown = cli.refused("user-login", "--username", "nobody@example.org", "--password", password or " ")
    assert "status:   401" in wrong
    assert _response(wrong) == _response(unknown)
    assert _response(wrong)


def test_a_wrong_api_key_is_refused(cli: Cli, place: Place) -> None:
    assert "status:   401" in cli.refused("app-login", "--api-key", place.api_key[:-8] + "AAAAAAA=")


# -- accounts, users, groups, apps -----------------------------------------------------------------------------------


def test_accounts_are_listed_and_shown(administrator: Cli) -> None:
    account, name, kind, state = administrator("list-accounts").out.split()
    assert UUID(account)
    assert (name, kind, state) == ("Keystead", "AuthType.Fortanix", "Activated")
    assert json.loads(administrator("list-accounts", "--detail").out)["acct_id"] == account
    assert json.loads(administrator("show-account", "--account-id", account).out)["name"] == "Keystead"


def test_users_are_listed_and_shown(administrator: Cli, server: RunningServer) -> None:
    user, email = administrator("list-users").out.splitlines()[0].split()
    assert email == server.email
    found = json.loads(administrator("show-user", "--user-id", user).out)
    assert found["user_email"] == server.email
    assert "ACCOUNTADMINISTRATOR" in found["account_role"]


def test_a_group_is_created_shown_changed_and_deleted(administrator: Cli) -> None:
    name = unique("group")
    group = administrator("create-group", "--name", name, "--description", "first").out
    assert f'{group} "{name}"' in administrator("list-groups").out
    assert administrator("update-group", "--name", name, "--description", "second").out == group
    found = json.loads(administrator("show-group", "--group-id", group).out)
    assert (found["name"], found["description"]) == (name, "second")
    administrator("delete-group", "--name", name)
    assert group not in administrator("list-groups").out


def test_a_group_with_an_app_in_it_is_not_deleted(administrator: Cli, place: Place) -> None:
    assert "status:   409" in administrator.refused("delete-group", "--group-id", place.group)


def test_a_second_group_of_the_same_name_is_refused(administrator: Cli, place: Place) -> None:
    assert "status:   409" in administrator.refused("create-group", "--name", place.group_name)


def test_an_app_is_created_shown_and_deleted(administrator: Cli, place: Place) -> None:
    name = unique("app")
    arguments = ("--groups", place.group_name, "--default-group", place.group_name, "--type", "tester")
    app = administrator("create-app", "--name", name, "--description", "described", *arguments).out
    assert f'{app} "{name}"' in administrator("list-apps").out
    found = json.loads(administrator("show-app", "--app-id", app).out)
    assert (found["name"], found["description"], found["app_type"]) == (name, "described", "tester")
    assert found["default_group"] == place.group
    administrator("delete-app", "--app-id", app)
    assert app not in administrator("list-apps", "--detail").out


def test_apps_are_listed_in_pages(administrator: Cli, place: Place) -> None:
    for _ in range(2):
        arguments = ("--groups", place.group_name, "--default-group", place.group_name)
        administrator("create-app", "--name", unique("app"), *arguments)
    everything = administrator("list-apps").out.splitlines()
    pages = [
        administrator("list-apps", "--offset", str(offset), "--limit", "1").out for offset in range(len(everything))
    ]
    assert pages == everything


def test_a_regenerated_api_key_replaces_the_old_one(administrator: Cli, cli: Cli, place: Place) -> None:
    name = unique("app")
    administrator("create-app", "--name", name, "--groups", place.group, "--default-group", place.group)
    old = administrator("get-app-api-key", "--name", name).out
    new = administrator("regenerate-app-api-key", "--name", name, "--secret-size", "32").out
    assert new not in ("", old)
    assert len(urlsafe_b64decode(b64decode(new).partition(b":")[2] + b"==")) == 32
    assert "status:   401" in cli.refused("app-login", "--api-key", old)
    cli("app-login", "--api-key", new)


# -- objects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "arguments", "shape"),
    [
        ("AES", ("--key-size", "128"), {"key_size": 128}),
        ("AES", ("--key-size", "192"), {"key_size": 192}),
        ("AES", ("--key-size", "256"), {"key_size": 256}),
        ("HMAC", ("--key-size", "512"), {"key_size": 512}),
        ("RSA", ("--key-size", "3072"), {"key_size": 3072}),
        ("EC", ("--ec-name", "NistP256"), {"elliptic_curve": "NistP256"}),
        ("EC", ("--ec-name", "NistP384"), {"elliptic_curve": "NistP384"}),
        ("EC", ("--ec-name", "NistP521"), {"elliptic_curve": "NistP521"}),
        ("EC", ("--ec-name", "SecP256K1"), {"elliptic_curve": "SecP256K1"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value[1:]) if isinstance(value, tuple) else "",
)
def test_a_key_is_created_and_shown(app: Cli, kind: str, arguments: tuple[str, ...], shape: dict[str, Any]) -> None:
    metadata = json.dumps({"owner": "acceptance"})
    key = made(app, kind, *arguments, "--description", "made here", "--custom-metadata", metadata)
    found = shown(app, key.kid)
    assert found["name"] == key.name
    assert found["obj_type"] == kind
    assert found["description"] == "made here"
    assert found["custom_metadata"] == {"owner": "acceptance"}
    assert found["state"] == "Active"
    assert found["origin"] == "FortanixHSM"
    assert "EXPORT" not in found["key_ops"]
    assert shape.items() <= found.items()


def test_the_public_key_of_a_pair_is_shown(app: Cli, rsa_key: Key, ec_key: Key) -> None:
    public_rsa, public_ec = public_key(app, rsa_key.kid), public_key(app, ec_key.kid)
    assert isinstance(public_rsa, rsa.RSAPublicKey)
    assert (public_rsa.key_size, public_rsa.public_numbers().e) == (2048, 65537)
    assert isinstance(public_ec, ec.EllipticCurvePublicKey)
    assert isinstance(public_ec.curve, ec.SECP256R1)


def test_a_user_creates_a_key_in_a_group(administrator: Cli, place: Place) -> None:
    key = made(administrator, "AES", "--key-size", "256", "--group-id", place.group)
    assert shown(administrator, key.kid)["group_id"] == place.group


def test_keys_are_listed_by_name_and_in_pages(app: Cli, aes: Key) -> None:
    assert app("list-keys", "--name", aes.name).out.startswith(f'{aes.kid} "{aes.name}"')
    everything = app("list-objects").out.splitlines()
    first = app("list-objects", "--limit", "1").out.splitlines()
    second = app("list-objects", "--limit", "1", "--offset", "1").out.splitlines()
    assert first + second == everything[:2]


def test_an_object_is_updated_by_name(app: Cli) -> None:
    key = made(app, "AES", "--key-size", "256", "--custom-metadata", '{"stays": "1", "goes": "1"}')
    app("update-object", "--name", key.name, "--description", "new", "--custom-metadata", '{"goes": "", "comes": "2"}')
    found = shown(app, key.kid)
    assert found["description"] == "new"
    assert found["custom_metadata"] == {"stays": "1", "comes": "2"}


def test_giving_up_export_is_final(app: Cli) -> None:
    key = made(app, "AES", "--key-size", "256", export=True)
    app("update-object", "--kid", key.kid, "--disable-export")
    assert "status:   403" in app.refused("export-object", "--kid", key.kid)
    error = app.refused("update-object", "--kid", key.kid, "--key-ops", "ENCRYPT,EXPORT")
    assert "cannot become exportable" in error


def test_a_key_still_decrypts_what_it_encrypted_before_it_lost_its_export(app: Cli) -> None:
    key = made(app, "AES", "--key-size", "256", export=True)
    plain = app.file("plain", BLOCKS)
    aes_arguments = ("--kid", key.kid, "--alg", "AES", "--mode", "ECB")
    app("encrypt", *aes_arguments, "--in", plain, "--out", "cipher")
    app("update-object", "--kid", key.kid, "--disable-export")
    app("decrypt", *aes_arguments, "--in", "cipher", "--out", "again")
    assert app.read("again") == BLOCKS


def test_a_key_that_waits_for_its_activation_is_activated(app: Cli, server: RunningServer, place: Place) -> None:
    """The CLI cannot ask for an activation date itself."""
    later = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)).strftime("%Y%m%dT%H%M%SZ")
    body = {"name": unique("aes"), "obj_type": "AES", "key_size": 256, "activation_date": later}
    created = server.request("POST", "/crypto/v1/keys", body, authorization=place.basic)
    assert created.status == 201, created.text
    kid = created.json["kid"]
    plain = app.file("plain", BLOCKS)
    encrypt = ("encrypt", "--kid", kid, "--alg", "AES", "--mode", "ECB", "--in", plain, "--out", "cipher")
    assert "status:   403" in app.refused(*encrypt)
    app("activate-object", "--kid", kid)
    app(*encrypt)


def test_a_deleted_key_is_gone(app: Cli) -> None:
    key = made(app, "AES", "--key-size", "256")
    app("delete-key", "--kid", key.kid)
    plain = app.file("plain", BLOCKS)
    error = app.refused("encrypt", "--kid", key.kid, "--alg", "AES", "--mode", "ECB", "--in", plain, "--out", "cipher")
    assert "status:   404" in error
    assert key.kid not in app("list-keys").out


def test_a_second_key_of_the_same_name_is_refused(app: Cli, aes: Key) -> None:
    error = app.refused("create-key", "--obj-type", "AES", "--key-size", "256", "--name", aes.name)
    assert "status:   409" in error


# -- import and export -----------------------------------------------------------------------------------------------


def test_an_imported_aes_key_encrypts_as_itself(app: Cli) -> None:
    material = hashlib.sha256(b"an acceptance test").digest()
    file = app.file("aes.hex", material.hex().encode())
    kid = app("import-key", "--in", file, "--obj-type", "AES", "--name", unique("imported")).out
    plain = app.file("plain", BLOCKS)
    app("encrypt", "--kid", kid, "--alg", "AES", "--mode", "ECB", "--in", plain, "--out", "cipher")
    assert app.read("cipher") == _ecb(material).encryptor().update(BLOCKS)


def test_an_imported_aes_key_comes_back_as_hex(app: Cli) -> None:
    material = hashlib.sha256(b"another").digest()
    file = app.file("aes.bin", material)
    arguments = ("--obj-type", "AES", "--name", unique("imported"), "--der", "--exportable", "--force")
    kid = app("import-key", "--in", file, *arguments).out
    assert app("export-object", "--kid", kid).out == material.hex()
    assert shown(app, kid)["origin"] == "External"


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_an_imported_rsa_key_signs_as_itself(app: Cli, form: str) -> None:
    private = rsa.generate_private_key(65537, 2048)
    pem = _pem(private, getattr(serialization.PrivateFormat, form))
    kid = app("import-key", "--in", app.file("rsa.pem", pem), "--obj-type", "RSA", "--name", unique("imported")).out
    data = app.file("data", TEXT)
    app("sign", "--kid", kid, "--hash-alg", "SHA256", "--in", data, "--out", "signature")
    private.public_key().verify(app.read("signature"), TEXT, padding.PKCS1v15(), hashes.SHA256())


def test_an_imported_ec_key_signs_as_itself(app: Cli) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    file = app.file("ec.pem", _pem(private, serialization.PrivateFormat.PKCS8))
    arguments = ("--obj-type", "EC", "--ec-curve", "NistP256", "--name", unique("imported"))
    kid = app("import-key", "--in", file, *arguments).out
    app("sign", "--kid", kid, "--hash-alg", "SHA256", "--in", app.file("data", TEXT), "--out", "signature")
    private.public_key().verify(app.read("signature"), TEXT, ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_an_exported_private_key_is_a_pem_file_that_others_read(app: Cli, kind: str) -> None:
    """The client writes `BEGIN RSA PRIVATE KEY` or `BEGIN EC PRIVATE KEY` around what the server says."""
    shape = ("--key-size", "2048") if kind == "RSA" else ("--ec-name", "NistP256")
    key = made(app, kind, *shape, export=True)
    private: Any = serialization.load_pem_private_key(app("export-object", "--kid", key.kid).stdout, None)
    assert private.public_key() == public_key(app, key.kid)


@pytest.mark.parametrize("kind", ["SECRET", "OPAQUE"])
def test_a_secret_is_imported_and_comes_back(app: Cli, kind: str) -> None:
    name = unique("secret")
    file = app.file("secret", b"correct horse battery staple\n")
    kid = app("import-secret", "--in", file, "--name", name, "--obj-type", kind).out
    assert app("export-object", "--name", name).stdout == b"correct horse battery staple"
    assert kid in app("list-keys", "--name", name).out
    assert kid in app("list-objects", "--name", name).out


def test_a_certificate_is_imported_and_comes_back(app: Cli) -> None:
    certificate, _ = _certificate()
    pem = app.file("certificate.pem", certificate.public_bytes(serialization.Encoding.PEM))
    kid = app("import-cert", "--in", pem, "--name", unique("certificate")).out
    assert x509.load_der_x509_certificate(app("export-object", "--kid", kid, "--der").stdout) == certificate
    der = app.file("certificate.der", certificate.public_bytes(serialization.Encoding.DER))
    app("import-cert", "--in", der, "--der", "--name", unique("certificate"))


def test_a_key_and_its_certificate_leave_as_one_pkcs12_file(app: Cli) -> None:
    certificate, private = _certificate()
    pem = app.file("key.pem", _pem(private, serialization.PrivateFormat.PKCS8))
    key = app("import-key", "--in", pem, "--obj-type", "RSA", "--name", unique("key"), "--exportable", "--force").out
    der = app.file("certificate.der", certificate.public_bytes(serialization.Encoding.DER))
    cert = app("import-cert", "--in", der, "--der", "--name", unique("certificate")).out
    app("export-pfx", "--out", "both.p12", "--password", "open", "--cert-uuid", cert, "--key-uuid", key)
    loaded, held, _ = pkcs12.load_key_and_certificates(app.read("both.p12"), b"open")
    assert held == certificate
    assert isinstance(loaded, rsa.RSAPrivateKey)
    assert loaded.private_numbers() == private.private_numbers()


def test_a_key_made_without_export_does_not_leave(app: Cli, rsa_key: Key) -> None:
    error = app.refused("export-object", "--kid", rsa_key.kid)
    assert "status:   403" in error
    assert "export" in _response(error).lower()


@pytest.mark.parametrize(
    ("kind", "content"),
    [("AES", b"00" * 15), ("RSA", b"bm90IGEga2V5"), ("EC", b"bm90IGEga2V5")],
    ids=["short", "no RSA key", "no EC key"],
)
def test_what_is_no_key_is_not_imported(app: Cli, kind: str, content: bytes) -> None:
    error = app.refused("import-key", "--in", app.file("bad", content), "--obj-type", kind, "--name", unique("bad"))
    assert "status:   400" in error
    assert kind in _response(error) or "key" in _response(error)


# -- encryption ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "plain", "iv", "expected"),
    [
        ("ECB", BLOCKS, None, lambda key, data: _ecb(key).encryptor().update(data)),
        ("CBCNOPAD", BLOCKS, IV, lambda key, data: _cbc(key).encryptor().update(data)),
        ("CBC", TEXT, IV, lambda key, data: _cbc(key).encryptor().update(_padded(data))),
        ("CTR", TEXT, IV, lambda key, data: Cipher(algorithms.AES(key), modes.CTR(IV)).encryptor().update(data)),
    ],
    ids=["ECB", "CBCNOPAD", "CBC", "CTR"],
)
def test_a_file_is_encrypted_as_the_standard_says_and_decrypted_again(
    app: Cli, aes: Key, mode: str, plain: bytes, iv: bytes | None, expected: Any
) -> None:
    arguments = ("--name", aes.name, "--alg", "AES", "--mode", mode, *(("--iv", iv.hex()) if iv else ()))
    app("encrypt", *arguments, "--in", app.file("plain", plain), "--out", "cipher")
    assert app.read("cipher") == expected(aes.material, plain)
    app("decrypt", *arguments, "--in", "cipher", "--out", "again")
    assert app.read("again") == plain


@pytest.mark.parametrize("tag_bits", [128, 96])
def test_gcm_binds_additional_data_and_a_tag(app: Cli, aes: Key, tag_bits: int) -> None:
    arguments = ("--kid", aes.kid, "--alg", "AES", "--mode", "GCM", "--iv", NONCE.hex(), "--ad", AD.hex())
    tagged = ("--tag-len", str(tag_bits))
    app("encrypt", *arguments, *tagged, "--in", app.file("plain", TEXT), "--out", "cipher")
    whole = AESGCM(aes.material).encrypt(NONCE, TEXT, AD)
    assert app.read("cipher") == whole[: len(TEXT)]
    assert bytes.fromhex(app.read("cipher.tag").decode()) == whole[len(TEXT) :][: tag_bits // 8]
    app("decrypt", *arguments, "--tag", "cipher.tag", "--in", "cipher", "--out", "again")
    assert app.read("again") == TEXT
    app.file("cipher", b"x" + app.read("cipher")[1:])
    error = app.refused("decrypt", *arguments, "--tag", "cipher.tag", "--in", "cipher", "--out", "again")
    assert "status:   400" in error


def test_without_an_iv_the_server_chooses_a_new_one_each_time(app: Cli, aes: Key) -> None:
    arguments = ("--kid", aes.kid, "--alg", "AES", "--mode", "CBC")
    plain = app.file("plain", TEXT)
    chosen = set()
    for _ in range(2):
        app("encrypt", *arguments, "--in", plain, "--out", "cipher")
        iv = app.read("cipher.iv").decode()
        chosen.add(iv)
        app("decrypt", *arguments, "--iv", iv, "--in", "cipher", "--out", "again")
        assert app.read("again") == TEXT
    assert len(chosen) == 2


def test_a_transient_key_encrypts_and_decrypts_without_being_kept(app: Cli) -> None:
    name = unique("transient")
    out = app("create-key", "--obj-type", "AES", "--key-size", "256", "--name", name, "--transient").out
    arguments = ("--transient-key", out, "--alg", "AES", "--mode", "CBC", "--iv", IV.hex())
    app("encrypt", *arguments, "--in", app.file("plain", TEXT), "--out", "cipher")
    app("decrypt", *arguments, "--in", "cipher", "--out", "again")
    assert app.read("again") == TEXT
    assert name not in app("list-keys", "--name", name).out


def test_a_transient_key_is_kept(app: Cli, place: Place) -> None:
    name = unique("kept")
    key = app("create-key", "--obj-type", "AES", "--key-size", "256", "--name", name, "--transient").out
    arguments = ("--alg", "AES", "--mode", "CBC", "--iv", IV.hex())
    app("encrypt", "--transient-key", key, *arguments, "--in", app.file("plain", TEXT), "--out", "cipher")
    kid = app("persist-key", "--name", name, "--transient-key", key, "--group-id", place.group).out
    app("decrypt", "--kid", kid, *arguments, "--in", "cipher", "--out", "again")
    assert app.read("again") == TEXT
    found = shown(app, kid)
    assert (found["name"], found["origin"]) == (name, "Transient")
    assert found["description"].startswith("Created by sdkms-cli")


def test_an_altered_transient_key_is_not_kept(app: Cli) -> None:
    key = app("create-key", "--obj-type", "AES", "--key-size", "256", "--name", unique("t"), "--transient").out
    error = app.refused("persist-key", "--name", unique("no"), "--transient-key", f"{key[:-8]}AAAAAAA=")
    assert "The transient key is not valid" in error


def test_the_clients_own_options_of_persist_key_do_not_work(app: Cli) -> None:
    """Version 5.6 adds a list to the text of --key-ops, and sends that of --custom-metadata as text."""
    ran = app.run("persist-key", "--name", "n", "--transient-key", "AAAA", "--key-ops", "ENCRYPT")
    assert ran.status != 0
    assert 'can only concatenate str (not "list") to str' in ran.err
    metadata = ("--custom-metadata", '{"a": "b"}')
    assert "400" in app.refused("persist-key", "--name", "n", "--transient-key", "AAAA", *metadata)


def test_files_are_encrypted_and_decrypted_in_a_batch(app: Cli, aes: Key) -> None:
    for number in range(3):
        app.file(f"plain{number}", f"file number {number}".encode())
    common = f"--kid {aes.kid} --alg AES --mode GCM --iv {NONCE.hex()}"
    lines = [f"{common} --tag-len 128 --in plain{number} --out cipher{number}" for number in range(3)]
    out = app("batch-encrypt", "--in", app.file("batch", "\n".join(lines).encode())).out
    assert out.splitlines() == [f"{number + 1} cipher{number} 0" for number in range(3)]
    for number in range(3):
        sealed = app.read(f"cipher{number}") + app.read(f"cipher{number}.tag")
        assert AESGCM(aes.material).decrypt(NONCE, sealed, None) == f"file number {number}".encode()
    lines = [f"{common} --tag cipher{number}.tag --in cipher{number} --out again{number}" for number in range(3)]
    app("batch-decrypt", "--in", app.file("batch", "\n".join(lines).encode()))
    assert [app.read(f"again{number}") for number in range(3)] == [f"file number {n}".encode() for n in range(3)]


def test_one_bad_item_of_a_batch_does_not_spoil_the_others(app: Cli, aes: Key, hmac_key: Key) -> None:
    app.file("plain", BLOCKS)
    lines = [f"--kid {kid} --alg AES --mode ECB --in plain --out {out}" for kid, out in _two(aes, hmac_key)]
    ran = app.run("batch-encrypt", "--in", app.file("batch", "\n".join(lines).encode()))
    assert ran.status == 1
    assert ran.out.splitlines() == ["1 good 0", "2 bad 1"]
    assert "Line Number: 2, Reason: " in ran.err
    assert app.read("good") == _ecb(aes.material).encryptor().update(BLOCKS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--mode", "CBC", "--iv", "00" * 15), "16 bytes, not 15"),
        (("--mode", "CTR", "--iv", "00" * 12), "16 bytes, not 12"),
        (("--mode", "GCM", "--iv", "00" * 7, "--tag-len", "128"), "at least 8 bytes"),
        (("--mode", "GCM", "--tag-len", "20"), "tag_len"),
        (("--mode", "CBCNOPAD"), "whole blocks"),
        (("--mode", "XTS"), "XTS"),
    ],
    ids=["CBC", "CTR", "GCM", "tag", "blocks", "mode"],
)
def test_a_wrong_parameter_is_refused_with_what_would_be_right(
    app: Cli, aes: Key, arguments: tuple[str, ...], said: str
) -> None:
    plain = app.file("plain", TEXT)
    error = app.refused("encrypt", "--kid", aes.kid, "--alg", "AES", *arguments, "--in", plain, "--out", "cipher")
    assert "status:   400" in error
    assert said in _response(error)


def test_an_unknown_key_is_not_found_by_name_nor_by_id(app: Cli) -> None:
    plain = app.file("plain", BLOCKS)
    rest = ("--alg", "AES", "--mode", "ECB", "--in", plain, "--out", "cipher")
    for name in (("--name", "no such key"), ("--kid", "00000000-0000-4000-8000-000000000000")):
        error = app.refused("encrypt", *name, *rest)
        assert "status:   404" in error
        assert "does not exist" in _response(error)


def test_a_key_without_the_operation_refuses_it_by_name(app: Cli) -> None:
    key = made(app, "AES", "--key-size", "256", "--key-ops", "ENCRYPT")
    arguments = ("--kid", key.kid, "--alg", "AES", "--mode", "ECB")
    app("encrypt", *arguments, "--in", app.file("plain", BLOCKS), "--out", "cipher")
    error = app.refused("decrypt", *arguments, "--in", "cipher", "--out", "again")
    assert "status:   403" in error
    assert "decrypt" in _response(error).lower()


def test_an_administrator_does_not_encrypt(administrator: Cli, aes: Key) -> None:
    plain = administrator.file("plain", BLOCKS)
    arguments = ("--kid", aes.kid, "--alg", "AES", "--mode", "ECB", "--in", plain, "--out", "cipher")
    assert "status:   403" in administrator.refused("encrypt", *arguments)


# -- wrapping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["GCM", "KW", "KWP"])
def test_a_wrapped_key_is_what_the_standard_says_and_unwraps_to_itself(app: Cli, aes: Key, mode: str) -> None:
    subject = made(app, "AES", "--key-size", "128", export=True)
    tagged = ("--tag-len", "128") if mode == "GCM" else ()
    common = ("--wrapping-kid", aes.kid, "--alg", "AES", "--mode", mode)
    app("wrap-key", *common, *tagged, "--kid", subject.kid, "--out", "wrapped")
    wrapped = app.read("wrapped")
    back: tuple[str, ...] = ()
    if mode == "GCM":
        iv, tag = app.read("wrapped.iv").decode(), app.read("wrapped.tag").decode()
        opened = AESGCM(aes.material).decrypt(bytes.fromhex(iv), wrapped + bytes.fromhex(tag), None)
        back = ("--iv", iv, "--tag", tag)
    else:
        opened = (aes_key_unwrap if mode == "KW" else aes_key_unwrap_with_padding)(aes.material, wrapped)
    assert opened == subject.material
    unwrap = ("unwrap-key", *common, *back, "--in", "wrapped", "--obj-type", "AES")
    inside = app(*unwrap, "--name", unique("unwrapped")).out
    plain = app.file("plain", BLOCKS)
    app("encrypt", "--kid", inside, "--alg", "AES", "--mode", "ECB", "--in", plain, "--out", "cipher")
    assert app.read("cipher") == _ecb(subject.material).encryptor().update(BLOCKS)
    outside = app(*unwrap, "--name", unique("unwrapped"), "--exportable").out
    assert app("export-object", "--kid", outside, "--der").stdout == subject.material


def test_a_private_key_travels_wrapped_and_still_signs(app: Cli, aes: Key) -> None:
    subject = made(app, "RSA", "--key-size", "2048", export=True)
    public = public_key(app, subject.kid)
    common = ("--alg", "AES", "--mode", "KWP")
    arguments = ("--wrapping-key-name", aes.name, "--wrapped-key-name", subject.name, "--key-format", "Pkcs8")
    app("wrap-key", *common, *arguments, "--out", "wrapped")
    opened: Any = serialization.load_der_private_key(
        aes_key_unwrap_with_padding(aes.material, app.read("wrapped")), None
    )
    assert opened.public_key() == public
    back = ("--wrapping-kid", aes.kid, "--in", "wrapped", "--obj-type", "RSA", "--name", unique("unwrapped"))
    kid = app("unwrap-key", *common, *back).out
    app("sign", "--kid", kid, "--hash-alg", "SHA256", "--in", app.file("data", TEXT), "--out", "signature")
    public.verify(app.read("signature"), TEXT, padding.PKCS1v15(), hashes.SHA256())


def test_a_key_that_may_not_leave_is_not_wrapped(app: Cli, aes: Key, rsa_key: Key) -> None:
    arguments = ("--wrapping-kid", aes.kid, "--kid", rsa_key.kid, "--alg", "AES", "--mode", "KWP", "--out", "wrapped")
    error = app.refused("wrap-key", *arguments)
    assert "status:   403" in error
    assert "export" in _response(error).lower()


def test_a_tampered_wrapped_key_does_not_unwrap(app: Cli, aes: Key) -> None:
    subject = made(app, "AES", "--key-size", "128", export=True)
    common = ("--wrapping-kid", aes.kid, "--alg", "AES", "--mode", "KW")
    app("wrap-key", *common, "--kid", subject.kid, "--out", "wrapped")
    app.file("wrapped", bytes([app.read("wrapped")[0] ^ 1]) + app.read("wrapped")[1:])
    error = app.refused("unwrap-key", *common, "--in", "wrapped", "--obj-type", "AES", "--name", unique("unwrapped"))
    assert "status:   400" in error


# -- keys from keys --------------------------------------------------------------------------------------------------

DERIVED = ("--key-type", "AES", "--key-size", "256", "--alg", "AES", "--mode", "CBC")


def test_a_derived_key_is_what_the_base_key_encrypts(app: Cli) -> None:
    aes = made(app, "AES", "--key-size", "256", export=True)
    iv, plain = "0f" * 16, "0123456789abcdef" * 2
    arguments = ("--kid", aes.kid, "--name", unique("derived"), *DERIVED, "--iv", iv, "--plain", plain)
    kid = app("derive-key", *arguments, "--exportable", "--custom-metadata", '{"made": "here"}').out
    encryptor = Cipher(algorithms.AES(aes.material), modes.CBC(bytes.fromhex(iv))).encryptor()
    assert app("export-object", "--kid", kid, "--der").stdout == encryptor.update(plain.encode())
    found = shown(app, kid)
    assert found["origin"] == "FortanixHSM"
    assert found["custom_metadata"] == {"made": "here"}


def test_a_key_is_not_derived_without_the_operation(app: Cli) -> None:
    key = made(app, "AES", "--key-size", "256", "--key-ops", "ENCRYPT")
    arguments = ("--kid", key.kid, "--name", unique("derived"), *DERIVED, "--iv", "00" * 16, "--plain", "x" * 32)
    error = app.refused("derive-key", *arguments)
    assert "status:   403" in error
    assert "derive" in _response(error).lower()


def test_two_keys_agree_whichever_is_private(app: Cli) -> None:
    one, other = (made(app, "EC", "--ec-name", "NistP256", "--key-ops", "AGREEKEY") for _ in range(2))
    common = ("--key-type", "AES", "--key-size", "256")
    cipher = []
    for private, public in ((one, other), (other, one)):
        pair = ("--private-key", private.kid, "--public-key", public.kid)
        kid = app("agree-key", *pair, "--name", unique("agreed"), *common).out
        plain = app.file("plain", BLOCKS)
        app("encrypt", "--kid", kid, "--alg", "AES", "--mode", "ECB", "--in", plain, "--out", "cipher")
        cipher.append(app.read("cipher"))
    assert cipher[0] == cipher[1]


def test_keys_of_different_curves_do_not_agree(app: Cli) -> None:
    one, other = (made(app, "EC", "--ec-name", curve, "--key-ops", "AGREEKEY") for curve in ("NistP256", "NistP384"))
    pair = ("--private-key", one.kid, "--public-key", other.kid)
    error = app.refused("agree-key", *pair, "--name", unique("agreed"), "--key-type", "SECRET", "--key-size", "256")
    assert "status:   400" in error


# -- signatures, digests and MACs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("hash_name", ["SHA1", "SHA256", "SHA384", "SHA512"])
def test_an_rsa_signature_verifies_here_and_there(app: Cli, rsa_key: Key, hash_name: str) -> None:
    data = app.file("data", TEXT)
    arguments = ("--kid", rsa_key.kid, "--hash-alg", hash_name, "--in", data)
    app("sign", *arguments, "--out", "signature")
    hash_algorithm: hashes.HashAlgorithm = getattr(hashes, hash_name)()
    public_key(app, rsa_key.kid).verify(app.read("signature"), TEXT, padding.PKCS1v15(), hash_algorithm)
    app("verify", *arguments, "--sig-in", "signature")


@pytest.mark.parametrize("curve", ["NistP256", "NistP384", "NistP521", "SecP256K1"])
def test_an_ec_signature_verifies_here_and_there(app: Cli, curve: str) -> None:
    key = made(app, "EC", "--ec-name", curve)
    arguments = ("--kid", key.kid, "--hash-alg", "SHA256", "--in", app.file("data", TEXT))
    signature = app("sign", *arguments).stdout
    public_key(app, key.kid).verify(signature, TEXT, ec.ECDSA(hashes.SHA256()))
    app("verify", *arguments, "--sig-in", app.file("signature", signature))


def test_a_signature_of_something_else_does_not_verify(app: Cli, ec_key: Key) -> None:
    common = ("--kid", ec_key.kid, "--hash-alg", "SHA256")
    app("sign", *common, "--in", app.file("data", TEXT), "--out", "signature")
    error = app.refused("verify", *common, "--in", app.file("other", BLOCKS), "--sig-in", "signature")
    assert "Signature verification fail" in error


def test_a_transient_key_signs(app: Cli) -> None:
    name = unique("transient")
    key = app("create-key", "--obj-type", "EC", "--ec-name", "NistP256", "--name", name, "--transient").out
    arguments = ("--transient-key", key, "--hash-alg", "SHA256", "--in", app.file("data", TEXT))
    app("sign", *arguments, "--out", "signature")
    app("verify", *arguments, "--sig-in", "signature")


def test_files_are_signed_and_verified_in_a_batch(app: Cli, rsa_key: Key, ec_key: Key) -> None:
    app.file("data", TEXT)
    keys = (rsa_key.kid, ec_key.kid)
    lines = [f"--kid {kid} --hash-alg SHA256 --in data --out signature{n}" for n, kid in enumerate(keys)]
    out = app("batch-sign", "--in", app.file("batch", "\n".join(lines).encode())).out
    assert out.splitlines() == ["1 signature0 0", "2 signature1 0"]
    public_key(app, rsa_key.kid).verify(app.read("signature0"), TEXT, padding.PKCS1v15(), hashes.SHA256())
    lines = [f"--kid {kid} --hash-alg SHA256 --in data --sig-in signature{n}" for n, kid in enumerate(keys)]
    lines.append(f"--kid {ec_key.kid} --hash-alg SHA256 --in data --sig-in signature0")
    out = app("batch-verify", "--in", app.file("batch", "\n".join(lines).encode())).out
    assert out.splitlines() == ["1 0", "2 0", "3 1"]


@pytest.mark.parametrize(("name", "algorithm"), [("SHA256", "sha256"), ("SHA512", "sha512"), ("SHA3_256", "sha3_256")])
def test_a_digest_is_the_digest(app: Cli, name: str, algorithm: str) -> None:
    out = app("message-digest", "--alg", name, "--in", app.file("data", TEXT)).out
    assert out == hashlib.new(algorithm, TEXT).hexdigest()


def test_a_mac_is_the_mac(app: Cli, hmac_key: Key) -> None:
    arguments = ("--kid", hmac_key.kid, "--alg", "SHA256", "--in", app.file("data", TEXT))
    mac = app("hmac-digest", *arguments).out
    assert mac == hmac.new(hmac_key.material, TEXT, "sha256").hexdigest()
    app("hmac-verify", *arguments, "--digest", mac)
    error = app.refused("hmac-verify", *arguments, "--digest", "00" * 32)
    assert "Digest verification fail" in error


def test_a_signing_key_does_not_encrypt(app: Cli, ec_key: Key) -> None:
    plain = app.file("plain", BLOCKS)
    error = app.refused("encrypt", "--kid", ec_key.kid, "--alg", "EC", "--in", plain, "--out", "cipher")
    assert re.search(r"status:   40[03]", error)
    assert "encrypt" in _response(error).lower()


# -- attestation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["kid", "name"])
def test_an_attestation_is_about_the_key_and_verifies(app: Cli, ec_key: Key, by: str) -> None:
    answer = json.loads(app("key-attestation", f"--{by}", getattr(ec_key, by)).out)
    assert answer["attestation_statement"]["format"] == "x509_certificate"
    statement = x509.load_der_x509_certificate(b64decode(answer["attestation_statement"]["statement"]))
    (authority,) = (x509.load_der_x509_certificate(b64decode(der)) for der in answer["authority_chain"])
    statement.verify_directly_issued_by(authority)
    assert statement.public_key() == public_key(app, ec_key.kid)


def test_a_symmetric_key_is_not_attested(app: Cli, aes: Key) -> None:
    assert "no public key" in app.refused("key-attestation", "--kid", aes.kid)


# -- the record ------------------------------------------------------------------------------------------------------


def test_the_audit_log_tells_who_did_what(administrator: Cli, app: Cli, place: Place) -> None:
    key = made(app, "AES", "--key-size", "256")
    plain = app.file("plain", BLOCKS)
    app("encrypt", "--kid", key.kid, "--alg", "AES", "--mode", "ECB", "--in", plain, "--out", "cipher")
    app.refused("encrypt", "--kid", key.kid, "--alg", "AES", "--mode", "XTS", "--in", plain, "--out", "cipher")
    administrator("audit-log", "--limit", "50", "--out", "log.csv")
    with (administrator.folder / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    about = [row for row in rows if key.kid in row["Message"]]
    assert {row["Actor"] for row in about} == {f"App: {place.app_name}"}
    assert {row["Groups"] for row in about} == {place.group_name}
    messages = [row["Message"] for row in about]
    assert any(message.startswith("object.create") and ": done" in message for message in messages), messages
    assert any(message.startswith("object.encrypt") and ": done" in message for message in messages), messages
    assert any(message.startswith("object.encrypt") and ": failed" in message for message in messages), messages
    assert len({row["Id"] for row in rows}) == len(rows) == 50


# -- helpers ---------------------------------------------------------------------------------------------------------


def _app_by(administrator: Cli, place: Place, identity: Identity) -> str:
    """An app that proves itself by this certificate. The CLI makes none, so this is asked by HTTP."""
    body = {
        "name": unique("app"),
        "add_groups": {place.group: ["ENCRYPT", "DECRYPT", "MANAGE"]},
        "default_group": place.group,
        "credential": {"certificate": identity.encoded},
    }
    answer = administrator.server.request(
        "POST", "/sys/v1/apps", body, authorization=administrator.server.administrator_session()
    )
    assert answer.status == 201, answer.text
    return str(answer.json["app_id"])


def _until_it_works(cli: Cli, *arguments: str | Path) -> None:
    """The workers hear of a new app's certificate a moment after it was made; until then they ask nobody for any."""
    deadline = time.monotonic() + 5
    while cli.run(*arguments).status != 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    cli(*arguments)


def _response(error: str) -> str:
    """What the server said, out of what the client printed."""
    found = re.search(r"^\[E\] response: (.*)$", error, re.MULTILINE)
    assert found is not None, error
    return found[1]


def _ecb(key: bytes) -> Cipher[modes.ECB]:
    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - the mode under test


def _cbc(key: bytes) -> Cipher[modes.CBC]:
    return Cipher(algorithms.AES(key), modes.CBC(IV))


def _padded(data: bytes) -> bytes:
    padder = PKCS7(128).padder()
    return padder.update(data) + padder.finalize()


def _two(good: Key, bad: Key) -> tuple[tuple[str, str], tuple[str, str]]:
    return (good.kid, "good"), (bad.kid, "bad")


def _pem(private: Any, form: serialization.PrivateFormat) -> bytes:
    pem: bytes = private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem


def _certificate() -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    private = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acceptance.example.org")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now)
    return builder.not_valid_after(now + datetime.timedelta(days=1)).sign(private, hashes.SHA256()), private
