"""`check --deploy` names what would work and be weak, and is silent in a bare checkout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage

from kms.config import checks
from kms.config.environment import Environment, read_environment
from kms.config.provision import steps
from kms.config.provision.errors import ProvisionError
from kms.config.provision.schema import APPEND_ONLY, connected_as, rewritable
from kms.config.values import Listen


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return read_environment({"KEYSTEAD_DATA": str(tmp_path)})


def _ids(messages: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


def test_a_bare_checkout_has_nothing_to_complain_about(environment: Environment, settings: Any) -> None:
    settings.KEYSTEAD = environment
    for check in (checks.transport_is_protected, checks.hosts_are_named, checks.secret_files_are_private):
        assert check(None) == []


def test_clear_text_off_loopback_is_critical_even_if_the_environment_let_it_pass(
    environment: Environment, settings: Any
) -> None:
    settings.KEYSTEAD = replace(environment, listen=Listen("http", "192.0.2.1", 80))
    assert _ids(checks.transport_is_protected(None)) == ["kms.E001"]


def test_answering_to_every_host_is_named(environment: Environment, settings: Any) -> None:
    settings.KEYSTEAD = replace(environment, allowed_hosts=("localhost", "*"))
    assert _ids(checks.hosts_are_named(None)) == ["kms.W002"]


@pytest.mark.parametrize(
    ("variables", "public", "ids"),
    [
        ({}, "https://localhost:8443", []),
        ({"KEYSTEAD_LISTEN": "https://[::1]:9000"}, "https://localhost:9000", []),
        ({"KEYSTEAD_LISTEN": "https://kms.example.org"}, "https://kms.example.org", []),
        ({"KEYSTEAD_LISTEN": "https://0.0.0.0:8443"}, "https://localhost:8443", ["kms.W009"]),
        ({"KEYSTEAD_PUBLIC_URL": "https://KMS.Example.org:443"}, "https://kms.example.org", []),
        (
            {"KEYSTEAD_LISTEN": "https://0.0.0.0:8443", "KEYSTEAD_PUBLIC_URL": "https://kms.example.org"},
            "https://kms.example.org",
            [],
        ),
    ],
)
def test_a_public_address_that_only_this_machine_can_reach_is_named(
    variables: dict[str, str], public: str, ids: list[str], tmp_path: Path, settings: Any
) -> None:
    settings.KEYSTEAD = read_environment({"KEYSTEAD_DATA": str(tmp_path), **variables})
    assert settings.KEYSTEAD.public_url == public
    assert _ids(checks.the_public_address_is_known(None)) == ids


@pytest.mark.parametrize(
    ("variables", "ids"),
    [
        ({}, []),
        ({"KEYSTEAD_TRUSTED_PROXIES": "10.0.0.1"}, []),
        ({"KEYSTEAD_TRUSTED_PROXIES": "10.0.0.1", "KEYSTEAD_CLIENT_CERTIFICATE_HEADER": "Client-Cert"}, []),
        ({"KEYSTEAD_CLIENT_CERTIFICATE_HEADER": "Client-Cert"}, ["kms.W007"]),
        ({"KEYSTEAD_TRUSTED_PROXIES": "10.0.0.1, 0.0.0.0/0"}, ["kms.W008"]),
        ({"KEYSTEAD_TRUSTED_PROXIES": "::/0"}, ["kms.W008"]),
    ],
)
def test_proxies_that_are_nobody_or_everybody_are_named(
    variables: dict[str, str], ids: list[str], tmp_path: Path, settings: Any
) -> None:
    settings.KEYSTEAD = read_environment({"KEYSTEAD_DATA": str(tmp_path), **variables})
    assert _ids(checks.proxies_are_named(None)) == ids


@pytest.mark.parametrize(
    "variables",
    [
        ("KEYSTEAD_PIN_FILE",),
        ("KEYSTEAD_SECRET_KEY_FILE",),
        ("KEYSTEAD_SMTP_PASSWORD_FILE",),
        ("KEYSTEAD_TLS_KEY", "KEYSTEAD_TLS_CERT"),
    ],
)
def test_a_secret_file_that_was_named_must_be_there_and_private(
    variables: tuple[str, ...], tmp_path: Path, settings: Any
) -> None:
    path = tmp_path / "secret"
    settings.KEYSTEAD = read_environment({"KEYSTEAD_DATA": str(tmp_path), **dict.fromkeys(variables, str(path))})
    assert _ids(checks.secret_files_are_private(None)) == ["kms.E003"]
    path.write_text("secret")
    for mode, expected in (
        (0o644, ["kms.E004"]),
        (0o620, ["kms.E004"]),
        (0o604, ["kms.E004"]),
        (0o440, []),
        (0o600, []),
    ):
        path.chmod(mode)
        assert _ids(checks.secret_files_are_private(None)) == expected


@pytest.mark.parametrize("name", ["token/user.pin", "token/so.pin", "secret_key", "tls/server.key", "tls/ca.key"])
def test_generated_secrets_are_judged_once_they_exist(
    environment: Environment, tmp_path: Path, settings: Any, name: str
) -> None:
    settings.KEYSTEAD = environment
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("secret")
    path.chmod(0o644)
    assert _ids(checks.secret_files_are_private(None)) == ["kms.E004"]


def test_the_record_is_judged_by_what_the_role_that_serves_may_do_to_it(
    installation: None, settings: Any, django_db_blocker: Any
) -> None:
    with django_db_blocker.unblock():
        assert checks.record_is_append_only(None, databases=["default"]) == []
        with connected_as(settings.KEYSTEAD.owner_database):
            found = _ids(checks.record_is_append_only(None, databases=["default"]))
            assert found == ["kms.W005"] * len(rewritable())
            assert rewritable().keys() > set(APPEND_ONLY)  # the record's months too


def test_a_server_that_could_rewrite_the_record_does_not_start(
    installation: None, settings: Any, django_db_blocker: Any
) -> None:
    """One role for all, or a superuser: whoever takes the server over could hide what they did."""
    own, said = settings.KEYSTEAD, list[str]()
    as_owner = replace(own, database=own.owner_database)
    as_root = replace(own, database=replace(own.database, user="postgres"))
    with django_db_blocker.unblock():
        assert steps._tables(own, said.append) == "up to date"
        for environment in (as_owner, as_root):
            with pytest.raises(ProvisionError, match="could rewrite the record"):
                steps._tables(environment, said.append)
            assert said == []
            steps._tables(replace(environment, unsafe_rewritable_record=True), said.append)
            assert "could rewrite the record" in said.pop()


def test_without_a_database_to_ask_nothing_is_asked() -> None:
    assert checks.record_is_append_only(None, databases=None) == []
