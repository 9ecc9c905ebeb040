"""`manage.py open_epoch`: serve on with a record that was set back. For the operator of the host, after a restore.

Where officers are set, it prints what they are to sign, and goes on with their signatures.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from kms.audit.officers import NAMESPACE
from kms.operations.epochs import Opened, OpenEpoch, opening
from kms.operations.errors import OperationError
from kms.operations.executor import execute
from kms.operations.rescue import host


class Command(BaseCommand):
    help = (
        "Open a new epoch of the record when the server is sealed because the record is not the one that the token "
        "or a witness remembers. What was lost stays lost, and every auditor will see the break. Where officers are "
        "set (KEYSTEAD_EPOCH_OFFICERS), print the statement that they have to sign; with --signature, go on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--signature", type=Path, action="append", default=[], help="An officer's; once for each.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            signatures = tuple(path.read_text(encoding="utf-8") for path in options["signature"])
            asked = None if signatures else opening()
            if asked is not None:
                self.stdout.write(asked.text(), ending="")
                self.stderr.write(SIGNING.format(purpose=NAMESPACE, command="open_epoch"))
                return
            opened: Opened = execute(host(), OpenEpoch(signatures))
        except (OSError, UnicodeDecodeError):
            raise CommandError("A file with a signature cannot be read.") from None
        except OperationError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Epoch {opened.epoch} goes on after {opened.size} entries. Servers notice by themselves.")
        alone = "One person alone did this: no officers are set (docs/record.md)."
        self.stdout.write(f"Signed by {opened.by}." if opened.by else alone)


SIGNING = (
    "The statement is on standard output. Let officers sign it, as it is, in a file:\n"
    "    ssh-keygen -Y sign -n {purpose} -f KEY FILE\n"
    "and call `manage.py {command}` with --signature FILE.sig for each."
)
