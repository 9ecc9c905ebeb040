"""The life of objects with the vendor's CLI: revocation, rotation, and what its PFX import asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_der_private_key,
    pkcs12,
)

from tests.acceptance.conftest import Cli, Place, unique
from tests.acceptance.server import RunningServer
from tests.acceptance.test_cli import TEXT, Key, made
from tests.operations.material import certificate, ec_key

PASSWORD = b"only for the test"
Look = Callable[[str], Any]


@pytest.fixture
def shown(server: RunningServer, place: Place) -> Look:
    """An object as the server shows it; the CLI leaves out links and reasons."""

    def look(kid: str) -> Any:
        answer = server.request("GET", f"/crypto/v1/keys/{kid}", authorization=place.basic)
        assert answer.status == 200, answer.text
        return answer.json

    return look


def encrypted(cli: Cli, name: str, out: str) -> None:
    """In GCM, with the IV and the tag in files beside it."""
    source = cli.file("plain", TEXT)
    cli("encrypt", "--name", name, "--alg", "AES", "--mode", "GCM", "--tag-len", "128", "--in", source, "--out", out)


def opened(cli: Cli, kid: str, source: str) -> bytes:
    iv, tag = cli.read(f"{source}.iv").decode().strip(), f"{source}.tag"
    arguments = ("--alg", "AES", "--mode", "GCM", "--iv", iv, "--tag", tag, "--in", source, "--out", "opened")
    cli("decrypt", "--kid", kid, *arguments)
    return cli.read("opened")


def test_a_key_is_rotated_and_the_old_one_opens_what_it_encrypted(app: Cli, shown: Look) -> None:
    old = made(app, "AES", "--key-size", "256")
    encrypted(app, old.name, "before")
    new = app("rotate-key", "--name", old.name).out
    encrypted(app, old.name, "after")
    assert (opened(app, old.kid, "before"), opened(app, new, "after")) == (TEXT, TEXT)
    assert shown(new)["links"] == {"replaced": old.kid}
    found = shown(old.kid)
    assert found["links"] == {"replacement": new}
    assert found["name"].startswith(f"{old.name} (rotated at ")


def test_a_name_that_is_nobodys_is_not_rotated(app: Cli) -> None:
    assert "status:   404" in app.refused("rotate-key", "--name", unique("nobody"))


def test_a_secret_is_rotated_to_the_content_of_a_file(app: Cli, shown: Look) -> None:
    name = unique("secret")
    first = app.file("first", b"first value\n")
    old = app("import-secret", "--name", name, "--in", first, "--obj-type", "SECRET").out
    new = app("rotate-secret", "--name", name, "--in", app.file("second", b"second value\n")).out
    assert app("export-object", "--kid", new, "--der").stdout == b"second value"
    assert shown(new)["name"] == name
    assert shown(old)["links"] == {"replacement": new}


@pytest.mark.parametrize(("code", "state"), [("Superseded", "Deactivated"), ("KeyCompromise", "Compromised")])
@pytest.mark.parametrize("by", ["kid", "name"])
def test_an_object_is_revoked_for_a_reason(app: Cli, shown: Look, code: str, state: str, by: str) -> None:
    key: Key = made(app, "AES", "--key-size", "256")
    encrypted(app, key.name, "kept")
    app("revoke-object", f"--{by}", getattr(key, by), "--code", code, "--message", "a reason")
    found = shown(key.kid)
    assert (found["state"], found["revocation_reason"]) == (state, {"code": code, "message": "a reason"})
    assert opened(app, key.kid, "kept") == TEXT
    refused = app.refused(
        *("encrypt", "--kid", key.kid, "--alg", "AES", "--mode", "GCM", "--tag-len", "128"),
        *("--in", app.file("plain", TEXT), "--out", "refused"),
    )
    assert f"The object is {state.lower()}" in refused


def test_a_reason_that_is_none_is_refused(app: Cli, shown: Look) -> None:
    key = made(app, "AES", "--key-size", "256")
    error = app.refused("revoke-object", "--kid", key.kid, "--code", "Because")
    assert "code" in error
    assert shown(key.kid)["state"] == "Active"


# -- PFX -----------------------------------------------------------------------------------------------------------


def pfx(app: Cli) -> Path:
    parsed = x509.load_der_x509_certificate(certificate())
    sealed = BestAvailableEncryption(PASSWORD)
    return app.file("key.pfx", pkcs12.serialize_key_and_certificates(b"name", ec_key(), parsed, None, sealed))


def test_a_pfx_is_imported_as_a_key_and_a_certificate(app: Cli) -> None:
    """With the `cryptography` that the CLI was written for (requirements/clients.in)."""
    name = unique("pfx")
    app(
        *("import-pfx", "--in", pfx(app), "--key-type", "EC", "--ec-curve", "NistP256", "--name", name),
        *("--password", PASSWORD.decode(), "--exportable", "--force"),
    )
    exported = app("export-object", "--name", f"{name}_pkey", "--der").stdout
    assert load_der_private_key(exported, None).private_numbers() == ec_key().private_numbers()  # type: ignore[union-attr]
    assert app("export-object", "--name", f"{name}_cert_0", "--der").stdout == certificate()
