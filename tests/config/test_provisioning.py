"""`manage.py run` for real, in processes of its own: embedded PostgreSQL and software token in a fresh data folder."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from kms.config.database import OWNER_ROLE, SERVER_ROLE, embedded_address
from kms.config.environment import CHECKOUT, PREFIX
from kms.config.provision.postgres import EmbeddedPostgres
from kms.config.provision.schema import APPEND_ONLY

PASSWORD = re.compile(r"^Password +(\S{16,})$", re.MULTILINE)


@dataclass
class Installation:
    """One data folder, and the commands an operator gives it."""

    data: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in {"DATABASE_URL", "SOFTHSM2_CONF"} and not name.startswith(PREFIX)
        }
        listen = f"https://127.0.0.1:{self.port}"
        return {**inherited, "KEYSTEAD_DATA": str(self.data), "KEYSTEAD_LISTEN": listen}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "manage.py", *arguments]

    def provision(self, *, succeeds: bool = True, **variables: str) -> str:
        done = subprocess.run(
            self.command("run", "--provision-only", "--admin-email", "first@example.org"),
            cwd=CHECKOUT,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        assert (done.returncode == 0) is succeeds, output
        assert "Traceback" not in output
        return output

    def start(self) -> subprocess.Popen[str]:
        server = subprocess.Popen(
            self.command("run"),
            cwd=CHECKOUT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.wait_until_answered(server)
        return server

    def wait_until_answered(self, server: subprocess.Popen[str]) -> None:
        """Any HTTP answer will do: what it says is for the edge's tests."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and server.poll() is None:
            try:
                context = ssl.create_default_context(cafile=str(self.data / "tls" / "ca.pem"))
                urllib.request.urlopen(f"https://127.0.0.1:{self.port}/sys/v1/version", timeout=5, context=context)
            except urllib.error.HTTPError as error:
                error.close()
                return
            except OSError:
                time.sleep(0.1)
            else:
                return
        server.kill()
        pytest.fail(f"no answer: {server.communicate()[0]}")

    def stop_leftovers(self) -> None:
        EmbeddedPostgres(self.data).stop()

    def snapshot(self) -> dict[str, bytes]:
        """Every file that a start must leave as it is. SoftHSM notes each login in its token.object."""
        folders = (self.data / "tls", self.data / "token")
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in [*files, self.data / "secret_key"] if not _changes(path)}


def _changes(path: Path) -> bool:
    return path.suffix == ".lock" or path.name == "token.object"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, str]]:
    installation = Installation(tmp_path_factory.mktemp("installation"), _free_port())
    output = installation.provision()
    yield installation, output
    installation.stop_leftovers()


@pytest.fixture
def installation(first_run: tuple[Installation, str]) -> Iterator[Installation]:
    yield first_run[0]
    first_run[0].stop_leftovers()


def test_the_first_run_shows_every_step_with_its_time_and_the_password_once(
    first_run: tuple[Installation, str],
) -> None:
    _, output = first_run
    assert len(re.findall(r"^(?:\[\d/8\].*| +\S.*) \(\d+\.\d s\)$", output, re.MULTILINE)) == 8
    assert len(PASSWORD.findall(output)) == 1
    assert "--username first@example.org" in output


def test_the_password_and_the_pins_are_stored_nowhere_in_clear(first_run: tuple[Installation, str]) -> None:
    installation, output = first_run
    (password,) = PASSWORD.findall(output)
    secrets = [password.encode(), *((installation.data / "token" / name).read_bytes().strip() for name in _PINS)]
    for path in installation.data.rglob("*"):
        if path.is_file() and path.name not in _PINS:
            content = path.read_bytes()
            assert not any(secret in content for secret in secrets), path


_PINS = ("user.pin", "so.pin")


def test_nothing_in_the_data_folder_but_certificates_is_open_to_others(first_run: tuple[Installation, str]) -> None:
    installation, _ = first_run
    for path in installation.data.rglob("*"):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_file() and path.suffix != ".pem":
            closed = any(not parent.stat().st_mode & 0o077 for parent in path.parents)
            assert closed or not mode & 0o077, f"{path} {mode:o}"


def test_a_second_run_finds_everything_as_it_was(installation: Installation) -> None:
    before = installation.snapshot()
    output = installation.provision()
    assert not PASSWORD.search(output)
    assert "tables: up to date" in output
    assert "first account: exists" in output
    assert "checked" in output
    assert installation.snapshot() == before


def test_the_role_that_serves_can_add_to_the_record_and_not_change_it(
    installation: Installation, request: pytest.FixtureRequest
) -> None:
    server = EmbeddedPostgres(installation.data)
    server.start(lambda _: None)
    request.addfinalizer(server.stop)
    address = embedded_address(installation.data, SERVER_ROLE)
    with psycopg.connect(host=address.host, port=address.port, dbname=address.name, user=SERVER_ROLE) as connection:
        granted = {
            table: {
                privilege
                for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
                if _has(connection, table, privilege)
            }
            for (table,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        }
        months = [table for table in granted if table.startswith("audit_entry_")]
        assert len(months) == 5
        for table in (*APPEND_ONLY, *months):
            assert granted.pop(table) == {"SELECT", "INSERT"}
        assert granted.pop("django_migrations") == {"SELECT"}
        assert granted
        assert all(privileges == {"SELECT", "INSERT", "UPDATE", "DELETE"} for privileges in granted.values())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE audit_entry SET outcome = 'done'")
        connection.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE mine (x int)")
        connection.rollback()
        rights = "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname IN (%s, %s)"
        assert connection.execute(rights, [SERVER_ROLE, OWNER_ROLE]).fetchall() == [(False,), (False,)]


def _has(connection: psycopg.Connection[tuple[bool]], table: str, privilege: str) -> bool:
    row = connection.execute("SELECT has_table_privilege(%s, %s)", [table, privilege]).fetchone()
    return row is not None and bool(row[0])


def test_it_serves_until_it_is_told_to_stop_and_the_database_stops_with_it(installation: Installation) -> None:
    server = installation.start()
    server.send_signal(signal.SIGTERM)
    output, _ = server.communicate(timeout=60)
    assert server.returncode == 0, output
    assert not (installation.data / "postgres" / "postmaster.pid").exists()


def test_two_servers_on_one_data_folder_are_refused(installation: Installation) -> None:
    server = installation.start()
    try:
        assert f"already runs on {installation.data} (process {server.pid})" in installation.provision(succeeds=False)
    finally:
        server.terminate()
        server.communicate(timeout=60)


def test_killed_it_leaves_no_worker_behind_and_the_next_start_takes_the_database_up(
    installation: Installation,
) -> None:
    server = installation.start()
    server.kill()
    server.communicate(timeout=60)  # ends when the last worker has closed the pipe
    assert (installation.data / "postgres" / "postmaster.pid").exists()
    output = installation.provision()
    assert "taken up, it was still running" in output
    assert not (installation.data / "postgres" / "postmaster.pid").exists()


def test_a_port_in_use_is_said_before_anything_is_touched(installation: Installation) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        done = subprocess.run(
            installation.command("run"),
            cwd=CHECKOUT,
            env={**installation.environment, "KEYSTEAD_LISTEN": f"https://127.0.0.1:{port}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert f"https://127.0.0.1:{port} cannot be listened on: Address already in use." in done.stderr
    assert "What to do:" in done.stderr
    assert "[1/8]" not in done.stdout


def test_a_lost_pin_is_never_replaced(installation: Installation) -> None:
    pin = installation.data / "token" / "user.pin"
    kept = pin.read_bytes()
    pin.unlink()
    try:
        assert "its PIN file" in installation.provision(succeeds=False)
        assert not pin.exists()
    finally:
        pin.write_bytes(kept)
        pin.chmod(0o600)


def test_a_wrong_pin_is_reported_without_the_pin(installation: Installation, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pin"
    wrong.write_text("not-the-pin-9173\n")
    output = installation.provision(succeeds=False, KEYSTEAD_PIN_FILE=str(wrong))
    assert "The token stays closed" in output
    assert "not-the-pin-9173" not in output


def test_a_library_that_is_not_there_is_named(installation: Installation) -> None:
    output = installation.provision(succeeds=False, KEYSTEAD_PKCS11_MODULE="/nowhere/libhsm.so")
    assert "no PKCS#11 library at /nowhere/libhsm.so" in output


def test_a_configuration_error_is_one_line(installation: Installation) -> None:
    output = installation.provision(succeeds=False, KEYSTEAD_LISTEN="http://192.0.2.1:80")
    assert "KEYSTEAD_LISTEN may not be http:// on 192.0.2.1" in output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_can_do_it_too(tmp_path: Path) -> None:
    if shutil.which("setpriv") is None or not _reachable(CHECKOUT) or not _reachable(Path(sys.executable).resolve()):
        pytest.skip("nobody cannot reach this checkout or its Python")
    tmp_path.chmod(0o711)
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 65534, 65534)
    installation = Installation(data, _free_port())
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    done = subprocess.run(
        [*as_nobody, *installation.command("run", "--provision-only")],
        cwd=CHECKOUT,
        env={**installation.environment, "HOME": str(data), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _reachable(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in [path, *path.parents])
