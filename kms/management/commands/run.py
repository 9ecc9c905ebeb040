"""`manage.py run`: provision what is missing, say how to get in, serve.

The parent of the servers: when it begins to serve, it holds no database connection and no token.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from argparse import ArgumentParser
from types import FrameType
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from kms.config.connections import release_all
from kms.config.environment import Environment
from kms.config.provision.errors import ProvisionError
from kms.config.provision.steps import Administrator, Provisioned, only_one, provision
from kms.config.serve import BACKLOG, bind, bind_metrics, serve


class Command(BaseCommand):
    help = "Set up what is missing (database, token, keys, certificates, first account), then serve."
    requires_system_checks: list[str] = []  # they look at a data folder that may not exist yet

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--provision-only", action="store_true", help="Set up, then stop instead of serving.")
        parser.add_argument(
            "--admin-email",
            default="admin@localhost",
            help="E-mail address of the first administrator (only on the first run; default: %(default)s).",
        )
        parser.add_argument(
            "--account",
            default="Keystead",
            help="Name of the first account (only on the first run; default: %(default)s).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        environment: Environment = settings.KEYSTEAD
        administrator = Administrator(email=options["admin_email"], account=options["account"])
        signal.signal(signal.SIGTERM, _leave)
        try:
            with only_one(environment):
                status = self._run(environment, administrator, provision_only=options["provision_only"])
        except ProvisionError as error:
            raise CommandError(f"{error.what}\nWhat to do: {error.what_to_do}") from error
        except KeyboardInterrupt:
            status = 130
        if status:
            sys.exit(status)

    def _run(self, environment: Environment, administrator: Administrator, *, provision_only: bool) -> int:
        started = time.monotonic()
        found = Provisioned()
        try:
            # Bound first: a second server, or a port in use, must not touch the data; nobody is answered yet.
            opened = None if provision_only else bind(environment, self.stderr.write)
            metrics = None if provision_only else bind_metrics(environment, self.stderr.write)
            provision(environment, administrator, sys.stdout, found)
            release_all()
            if opened is not None:
                opened.listen(BACKLOG)  # who reads the address below may connect at once, and waits for a worker
            self._announce(environment, administrator, found, time.monotonic() - started, serving=opened is not None)
            if opened is None:
                return 0
            return serve(environment, opened, watch=_watch(found), metrics=metrics)
        finally:
            if found.postgres is not None:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                found.postgres.stop()

    def _announce(
        self,
        environment: Environment,
        administrator: Administrator,
        found: Provisioned,
        seconds: float,
        *,
        serving: bool,
    ) -> None:
        lines = ["", f"Ready after {seconds:.1f} s."]
        if environment.listen.tls and environment.tls_generated:
            lines.append(f"CA certificate   {environment.ca_file}")
        if found.password is not None:
            lines += [
                f"Administrator    {administrator.email}",
                f"Password         {found.password}",
                "                 Shown this once and stored nowhere. Change it after the first login.",
            ]
        lines.append("Log in           " + _login_line(environment, administrator if found.password else None))
        if serving:
            lines += [
                f"Console          {environment.public_url}/",
                "",
                f"Serving on {environment.listen.url}  (Ctrl-C stops it)",
            ]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()


def _watch(found: Provisioned) -> Any:
    return found.postgres.ensure_running if found.postgres is not None else lambda: None


def _login_line(environment: Environment, administrator: Administrator | None) -> str:
    """The vendor's own command line; on later runs it asks for the name, as we do not remember whom we made."""
    if not environment.listen.tls:
        return "sdkms-cli refuses http://; the SDKs take it"
    words = ["sdkms-cli", "--api-endpoint", environment.listen.url]
    if environment.tls_generated:
        words += ["--ssl-ca-cert", os.path.relpath(environment.ca_file)]
    words += ["user-login", "--username", "E-MAIL" if administrator is None else administrator.email]
    # Version 5.6 of the CLI fails when it asks for the password itself.
    return shlex.join([*words, "--password", "PASSWORD"])


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM before the servers run: leave by way of every `finally`."""
    sys.exit(128 + number)
