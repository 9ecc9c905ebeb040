"""`manage.py retain_record FOLDER`: old months of the record leave the database. For the operator of the host."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from kms.audit.retention import NotRetainable
from kms.audit.tree import RecordDamaged
from kms.config.environment import Environment
from kms.config.provision.schema import connected_as
from kms.operations.errors import OperationError
from kms.operations.retention import LEAST_MONTHS, MONTHS, retain


class Command(BaseCommand):
    help = (
        "Export each month of the record that is old enough into a bundle of its own, verify it as an auditor does, "
        "and then drop the month from the database. What is not sealed, or waits for a sink, stays. Run it again "
        "after an interruption. Keep the bundles: the entries are nowhere else."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="Where bundles go; each month makes a folder in it.")
        said = f"How many whole months stay (default {MONTHS}, at least {LEAST_MONTHS})."
        parser.add_argument("--months", type=int, default=MONTHS, help=said)

    def handle(self, *args: Any, **options: Any) -> None:
        folder, keep = options["folder"], options["months"]
        environment: Environment = settings.KEYSTEAD
        if keep < LEAST_MONTHS:
            raise CommandError(f"At least {LEAST_MONTHS} months stay.")
        dropped = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with connected_as(environment.owner_database):
                for each in retain(folder, keep, self._progress):
                    dropped += 1
                    self.stdout.write(
                        f"{each.part.month.name}: {each.part.entries} entries dropped, in {each.bundle} ({each.digest})"
                    )
        except (NotRetainable, OperationError, RecordDamaged, OSError) as error:
            raise CommandError(f"Stopped after {dropped} months: {error}.") from error
        self.stdout.write(f"Months dropped: {dropped}")

    def _progress(self, done: int) -> None:
        self.stderr.write(f"{done} entries", ending="\r")
