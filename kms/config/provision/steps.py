"""The steps from a bare data folder to a server that can start, in order, each with its time.

Only here do the parts meet: database, token, certificates, first account. Serving is not a step.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from django.db import OperationalError, connection

from accounts.bootstrap import first_account
from kms.config.environment import Environment
from kms.config.provision.errors import ProvisionError
from kms.config.provision.postgres import EmbeddedPostgres
from kms.config.provision.private_files import make_private_folder, write_private
from kms.config.provision.schema import connected_as, migrate, rewritable
from kms.config.provision.softhsm import ensure_configuration, ensure_library
from kms.config.provision.tls import TlsFiles, ensure_certificates
from kms.config.provision.token import ensure_token
from kms.objects.models import SecurityObject


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who gets into an empty installation."""

    email: str
    account: str


@dataclass(slots=True)
class Provisioned:
    """What the steps leave for the announcement. The password exists here and on the screen, nowhere else."""

    postgres: EmbeddedPostgres | None = None
    password: str | None = None


class Progress:
    """Numbered lines: `[3/8] certificates: valid until 2026-11-21 (0.0 s)`, with remarks indented under a step."""

    def __init__(self, out: TextIO, total: int) -> None:
        self._out = out
        self._total = total
        self._number = 0
        self._open = False

    def run(self, title: str, action: Callable[[Callable[[str], None]], str]) -> None:
        self._number += 1
        self._write(f"[{self._number}/{self._total}] {title}: ")
        self._open = True
        started = time.monotonic()
        try:
            result = action(self._remark)
        except BaseException:
            self._write("failed\n" if self._open else "      failed\n")
            raise
        indent = "" if self._open else "      "
        self._write(f"{indent}{result} ({time.monotonic() - started:.1f} s)\n")

    def _remark(self, text: str) -> None:
        if self._open:
            self._write("\n")
            self._open = False
        self._write(f"      {text}\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def provision(environment: Environment, administrator: Administrator, out: TextIO, found: Provisioned) -> None:
    """Do every step. `found.postgres` is set before it is started, so that the caller can stop it whatever fails."""
    if environment.embedded_database:
        found.postgres = EmbeddedPostgres(environment.data)

    def administrator_step(_: Callable[[str], None]) -> str:
        found.password = first_account(administrator.email, administrator.account)
        return "made" if found.password else "exists"

    steps: list[tuple[str, Callable[[Callable[[str], None]], str]]] = [
        ("data folder", lambda _: _data_folder(environment)),
        ("secret key", lambda _: _secret_key(environment)),
        ("certificates", lambda _: _certificates(environment)),
        ("PKCS#11 library", lambda say: _library(environment, say)),
        ("PostgreSQL", lambda say: _database(environment, found.postgres, say)),
        ("tables", lambda say: _tables(environment, say)),
        ("token and master keys", lambda _: _token(environment)),
        ("first account", administrator_step),
    ]
    progress = Progress(out, len(steps))
    try:
        for title, action in steps:
            progress.run(title, action)
    finally:
        connection.close()


@contextmanager
def only_one(environment: Environment) -> Iterator[None]:
    """Hold the data folder: two `run`s on one folder would fight over its database and its token."""
    _data_folder(environment)
    path = environment.data / "run.lock"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = file.read().strip() or "unknown"
            raise ProvisionError(
                f"Keystead already runs on {environment.data} (process {pid}).",
                "Use that one, stop it, or name another data folder in KEYSTEAD_DATA.",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _data_folder(environment: Environment) -> str:
    # Passable, because the embedded database may run as another user and clients fetch the CA; not listable, and what
    # is secret in it has its own mode.
    make_private_folder(environment.data, mode=0o711)
    return str(environment.data)


def _secret_key(environment: Environment) -> str:
    if environment.secret_key_file.exists():
        return "found"
    write_private(environment.secret_key_file, secrets.token_urlsafe(64) + "\n")
    return "made"


def _certificates(environment: Environment) -> str:
    if not environment.listen.tls:
        return "none, http:// on loopback was asked for"
    if not environment.tls_generated:
        return f"{environment.tls_cert}"
    now = datetime.datetime.now(datetime.UTC)
    return ensure_certificates(TlsFiles(environment.tls_folder), environment.certificate_hosts, now=now)


def _library(environment: Environment, say: Callable[[str], None]) -> str:
    library = ensure_library(environment, say)
    ensure_configuration(environment, library)
    return str(library)


def _database(environment: Environment, postgres: EmbeddedPostgres | None, say: Callable[[str], None]) -> str:
    if postgres is None:
        return f"{environment.database.host or 'local'}, database {environment.database.name}"
    said = postgres.start(say)
    postgres.ensure_roles_and_database()
    return said


def _tables(environment: Environment, say: Callable[[str], None]) -> str:
    try:
        ran = migrate(owner=environment.owner_database, server=environment.database)
    except OperationalError as error:
        raise ProvisionError(
            f"The database cannot be used: {_first_line(error)}",
            "Check DATABASE_URL and KEYSTEAD_OWNER_DATABASE_URL, and that PostgreSQL is up.",
        ) from error
    _demand_append_only(environment, say)
    return f"{ran} migrations" if ran else "up to date"


def _demand_append_only(environment: Environment, say: Callable[[str], None]) -> None:
    """A server that could rewrite the record does not start: whoever takes it over could hide what they did."""
    with connected_as(environment.database):
        found = rewritable()
    if not found:
        return
    what = f"The role that serves, {environment.database.user}, could rewrite the record ({', '.join(found)})."
    if not environment.unsafe_rewritable_record:
        raise ProvisionError(
            what,
            "Let another role own the tables (KEYSTEAD_OWNER_DATABASE_URL), and serve with one that is no superuser. "
            "To try things out: KEYSTEAD_UNSAFE_REWRITABLE_RECORD=yes.",
        )
    say(f"warning: {what}")


def _token(environment: Environment) -> str:
    return ensure_token(environment, in_use=SecurityObject.objects.exists())


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
