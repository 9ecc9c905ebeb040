"""docker-compose.yml and the Dockerfile. There is no container engine among the tests: the schema and the promises are
checked here, and the script that makes the roles is run against a real PostgreSQL; the image itself is not built."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from kms.config.environment import CHECKOUT, VARIABLES, read_environment
from kms.config.provision.postgres import EmbeddedPostgres

COMPOSE = CHECKOUT / "docker-compose.yml"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


def test_the_file_fits_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["server", "database"])
def test_every_service_is_confined(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].partition(":")[0] not in {"", "0", "root"}
    assert service["healthcheck"]["test"][0] == "CMD"
    assert "privileged" not in service


def test_only_the_server_is_reachable_and_only_from_this_machine(compose: dict[str, Any]) -> None:
    assert "ports" not in compose["services"]["database"]
    assert compose["services"]["server"]["ports"] == ["127.0.0.1:8443:8443"]
    assert compose["networks"]["inside"]["internal"] is True
    assert compose["services"]["database"]["networks"] == ["inside"]


def test_secrets_are_files_and_never_values(compose: dict[str, Any]) -> None:
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())
    for service in compose["services"].values():
        for name, value in service["environment"].items():
            if "PASSWORD" in name or "PIN" in name or "KEY" in name.removeprefix("KEYSTEAD"):
                assert name.endswith("_FILE")
                assert value.startswith("/run/secrets/")


def test_the_servers_variables_exist_and_are_accepted(compose: dict[str, Any], tmp_path: Path) -> None:
    variables = dict(compose["services"]["server"]["environment"])
    assert variables.keys() <= {variable.name for variable in VARIABLES}
    for name in variables:
        if name.endswith("_FILE"):
            secret = tmp_path / name
            secret.write_text("x\n")
            variables[name] = str(secret)
        elif variables[name].startswith("${"):
            variables[name] = variables[name].partition(":-")[2].rstrip("}")
    environment = read_environment(variables)
    assert not environment.embedded_database
    assert not environment.database.same_role_as(environment.owner_database)


def test_the_image_runs_as_the_user_that_compose_names(compose: dict[str, Any]) -> None:
    lines = (CHECKOUT / "Dockerfile").read_text().splitlines()
    assert f"USER {compose['services']['server']['user']}" in lines
    assert any(line.startswith("HEALTHCHECK ") for line in lines)
    assert sum(line.startswith("FROM ") for line in lines) == 2


def test_the_roles_script_makes_two_roles_that_log_in_with_their_passwords_only(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    tmp_path.chmod(0o711)
    server = EmbeddedPostgres(tmp_path)
    script: str = compose["configs"]["roles"]["content"].replace("$$", "$")
    for name in ("owner", "server"):
        (tmp_path / f"{name}_password").write_text(f"it's {name}\n")
    try:
        server.start(lambda _: None)
        binaries = server.program_folder()
        subprocess.run(
            ["sh", "-c", script.replace("/run/secrets/", f"{tmp_path}/")],
            check=True,
            env={"PATH": f"{binaries}:{os.environ['PATH']}", "PGHOST": str(server.sockets)},
        )
        with server.superuser("keystead") as connection:
            assert _owner(connection) == "keystead_owner"
            verifiers = dict(connection.execute("SELECT rolname, rolpassword FROM pg_authid").fetchall())
            assert verifiers["keystead_server"].startswith("SCRAM-SHA-256$")
            assert verifiers["keystead_server"] != verifiers["keystead_owner"]
    finally:
        server.stop()


def _owner(connection: psycopg.Connection[Any]) -> str:
    query = "SELECT r.rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = 'keystead'"
    row = connection.execute(query).fetchone()
    assert row is not None
    return str(row[0])
