"""`manage.py set_epoch_officers`: let the token remember who decides whether a record that was set back goes on."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from kms.audit.officers import NAMESPACE, Pinned
from kms.management.commands.open_epoch import SIGNING
from kms.operations.epoch_officers import NOBODY, SetEpochOfficers, appointment
from kms.operations.errors import OperationError
from kms.operations.executor import execute
from kms.operations.rescue import host


class Command(BaseCommand):
    help = (
        "Let the token remember the officers whom KEYSTEAD_EPOCH_OFFICERS and KEYSTEAD_EPOCH_QUORUM name. If it "
        "remembers others, print the statement that those have to sign; with --signature, go on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--old", type=Path, help="The list that the token remembers, if it remembers one.")
        parser.add_argument("--signature", type=Path, action="append", default=[], help="An officer's; once for each.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            old = options["old"].read_text(encoding="utf-8") if options["old"] else ""
            signatures = tuple(path.read_text(encoding="utf-8") for path in options["signature"])
            asked = None if signatures else appointment(old)
            if asked is not None:
                self.stdout.write(asked.text(), ending="")
                self.stderr.write(SIGNING.format(purpose=NAMESPACE, command="set_epoch_officers"))
                return
            changed: Pinned = execute(host(), SetEpochOfficers(old, signatures))
        except (OSError, UnicodeDecodeError):
            raise CommandError("A file cannot be read.") from None
        except OperationError as error:
            raise CommandError(str(error)) from None
        whom = f"{changed.quorum} of the officers {changed.fingerprint}" if changed.fingerprint else NOBODY
        self.stdout.write(f"From now on it is for {whom} to open an epoch of the record.")
