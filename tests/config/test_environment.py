"""The environment is read once, checked, and refused with a message that names the variable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from kms.config.environment import CHECKOUT, VARIABLES, ConfigurationError, Environment, read_environment

WITNESS = "witness.example/lite+5f06da1e+BH1SMF/x4BiDba+y+/DmyqSBX2LHbrsPjHxKmV0ccikQ"


def test_without_any_variable_everything_lives_in_the_checkouts_data_folder() -> None:
    environment = read_environment({})
    data = CHECKOUT / "var"
    assert environment.data == data
    assert environment.embedded_database
    assert environment.pin_file == data / "token" / "user.pin"
    assert environment.tls_cert == data / "tls" / "server.pem"
    assert environment.secret_key_file == data / "secret_key"
    assert environment.listen.url == "https://127.0.0.1:8443"
    assert environment.allowed_hosts == ("localhost", "127.0.0.1", "::1")
    assert (environment.workers, environment.handle_cache, environment.max_body) == (2, 2000, 4 * 1024 * 1024)


def test_unknown_variables_of_ours_are_refused_and_others_are_not_looked_at() -> None:
    with pytest.raises(ConfigurationError, match="KEYSTEAD_LISTNE"):
        read_environment({"KEYSTEAD_LISTNE": "https://127.0.0.1:1"})
    assert read_environment({"OTHER_LISTNE": "x"}) == read_environment({})


def test_an_empty_variable_is_the_same_as_none() -> None:
    assert read_environment({variable.name: "" for variable in VARIABLES}) == read_environment({})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.8.9.10"])
def test_http_is_allowed_on_loopback(host: str) -> None:
    listen = read_environment({"KEYSTEAD_LISTEN": f"http://{host}:8080"}).listen
    assert not listen.tls
    assert listen.url == f"http://{host}:8080"


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "kms.example.org", "localhost.example.org"])
def test_http_is_refused_off_loopback(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"KEYSTEAD_LISTEN .*in clear"):
        read_environment({"KEYSTEAD_LISTEN": f"http://{host}:8080"})


@pytest.mark.parametrize(
    "variables",
    [
        {"KEYSTEAD_LISTEN": "ftp://127.0.0.1"},
        {"KEYSTEAD_LISTEN": "https://127.0.0.1:8443/path"},
        {"KEYSTEAD_LISTEN": "https://user@127.0.0.1"},
        {"KEYSTEAD_LISTEN": "https://127.0.0.1:99999"},
        {"KEYSTEAD_LISTEN": "127.0.0.1:8443"},
        {"KEYSTEAD_WITNESSES": "w+5f06da1e+BH1SMF/x4BiDba+y+/DmyqSBX2LHbrsPjHxKmV0ccikQ https://w.example"},
        {"KEYSTEAD_WITNESSES": f"{WITNESS}"},
        {"KEYSTEAD_WITNESSES": f"{WITNESS} http://w.example"},
        {"KEYSTEAD_WITNESSES": f"{WITNESS} https://w.example/?x"},
        {"KEYSTEAD_WITNESSES": f"{WITNESS} https://a.example, {WITNESS} https://b.example"},
        {"KEYSTEAD_WITNESS_REQUIRED": "perhaps"},
        {"KEYSTEAD_EPOCH_OFFICERS": "/etc/officers"},
        {"KEYSTEAD_EPOCH_QUORUM": "2"},
        {"KEYSTEAD_WORKERS": "0"},
        {"KEYSTEAD_WORKERS": "two"},
        {"KEYSTEAD_WORKERS": "-1"},
        {"KEYSTEAD_WORKERS": "२"},
        {"KEYSTEAD_HANDLE_CACHE": "0"},
        {"KEYSTEAD_KEEPER_SECONDS": "0"},
        {"KEYSTEAD_MAX_BODY": "12"},
        {"KEYSTEAD_TOKEN_LABEL": "a" * 33},
        {"KEYSTEAD_ALLOWED_HOSTS": "https://kms.example.org"},
        {"DATABASE_URL": "mysql://localhost/keystead"},
    ],
)
def test_values_that_make_no_sense_are_refused_by_the_name_of_their_variable(variables: Mapping[str, str]) -> None:
    (name,) = variables
    with pytest.raises(ConfigurationError, match=name):
        read_environment(variables)


def test_certificate_and_key_belong_together() -> None:
    with pytest.raises(ConfigurationError, match="KEYSTEAD_TLS_KEY"):
        read_environment({"KEYSTEAD_TLS_CERT": "/etc/keystead/tls.pem"})
    both = read_environment({"KEYSTEAD_TLS_CERT": "/a.pem", "KEYSTEAD_TLS_KEY": "/a.key"})
    assert not both.tls_generated


def test_the_listen_address_is_an_allowed_host_unless_it_is_a_wildcard() -> None:
    assert "192.0.2.7" in read_environment({"KEYSTEAD_LISTEN": "https://192.0.2.7:443"}).allowed_hosts
    assert "0.0.0.0" not in read_environment({"KEYSTEAD_LISTEN": "https://0.0.0.0:443"}).allowed_hosts


def test_patterns_and_the_wildcard_are_not_put_into_the_certificate() -> None:
    environment = read_environment({"KEYSTEAD_ALLOWED_HOSTS": "*, .example.org ,KMS.example.org"})
    assert environment.certificate_hosts == ("localhost", "127.0.0.1", "::1", "kms.example.org")


def test_an_owner_needs_a_server_role_beside_it() -> None:
    with pytest.raises(ConfigurationError, match="needs DATABASE_URL"):
        read_environment({"KEYSTEAD_OWNER_DATABASE_URL": "postgresql://owner@db/keystead"})


def test_without_an_owner_the_role_that_serves_migrates() -> None:
    environment = read_environment({"DATABASE_URL": "postgresql://one@db/keystead"})
    assert environment.owner_database.same_role_as(environment.database)


def test_passwords_come_from_files_and_are_in_no_repr(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("tr0ub4dor\nand a second line\n")
    environment = read_environment(
        {"DATABASE_URL": "postgresql://server@db/keystead", "KEYSTEAD_DATABASE_PASSWORD_FILE": str(secret)}
    )
    assert environment.database.password == "tr0ub4dor"
    assert "tr0ub4dor" not in repr(environment)


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"KEYSTEAD_DATABASE_PASSWORD_FILE .*No such file"):
        read_environment(
            {
                "DATABASE_URL": "postgresql://server@db/keystead",
                "KEYSTEAD_DATABASE_PASSWORD_FILE": str(tmp_path / "none"),
            }
        )


def test_an_error_never_repeats_a_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_environment({"DATABASE_URL": "postgresql://server:hunter2@db:port/keystead"})
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_environment_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        read_environment({}).workers = 3  # type: ignore[misc]


def test_the_readmes_table_is_the_environments_table() -> None:
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| (.*?) \| (.*?) \|$", (CHECKOUT / "README.md").read_text(), re.MULTILINE)
    assert rows == [
        (variable.name, f"`{variable.default}`" if variable.default else "", variable.meaning) for variable in VARIABLES
    ]


def test_every_field_can_be_named_by_a_variable_or_follows_from_one() -> None:
    derived = {"embedded_database", "pin_file_generated", "tls_generated"}
    assert len(VARIABLES) == len(Environment.__dataclass_fields__) - len(derived) + 2  # the two password files


def test_several_witnesses_are_named_each_with_its_address() -> None:
    other = "witness.example/w1+2b15803b+BH1SMF/x4BiDba+y+/DmyqSBX2LHbrsPjHxKmV0ccikQ"
    named = f" {WITNESS} https://w.example/prefix/ ,{other}  http://127.0.0.1:8300,"
    one, two = read_environment({"KEYSTEAD_WITNESSES": named}).witnesses
    assert one.key.label == "witness.example/lite+5f06da1e"
    assert one.address == "https://w.example/prefix/add-checkpoint"
    assert two.address == "http://127.0.0.1:8300/add-checkpoint"
