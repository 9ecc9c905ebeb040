"""`manage.py report_record FOLDER --from 2026-07-01 --to 2026-10-01`: for an auditor, by the operator of the host."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from kms.audit.period import Period
from kms.audit.tree import RecordDamaged
from kms.operations.errors import InvalidRequest, NotFound
from kms.operations.executor import execute
from kms.operations.period_report import Reported, ReportRecord
from kms.operations.rescue import host


def moment(text: str) -> datetime:
    """A day, from its beginning, or a time; where nothing is said of a zone, in UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is no day and no time (2026-07-01, 2026-07-01T12:00:00)") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = "Write a signed report of a period, for kms/audit/keystead_report.py and for people (summary.html)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="Where to; it is made.")
        parser.add_argument("--from", dest="start", type=moment, required=True, help="The first day, or a time (UTC).")
        parser.add_argument("--to", dest="end", type=moment, required=True, help="The day after the last, or a time.")
        parser.add_argument("--account", type=UUID, help="Of this account alone; of others' entries there are hashes.")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = options["folder"]
        if folder.exists() and any(folder.iterdir()):
            raise CommandError(f"{folder} is not empty.")
        period = Period(options["start"], options["end"])
        try:
            reported: Reported = execute(host(), ReportRecord(folder, period, options["account"], self._progress))
        except (InvalidRequest, NotFound) as error:
            raise CommandError(str(error)) from None
        except RecordDamaged as error:
            raise CommandError(f"The record is damaged and no report was made: {error}.") from error
        self.stdout.write(f"Entries in the period: {reported.entries}\nVerifier key: {reported.key}")

    def _progress(self, done: int) -> None:
        self.stderr.write(f"{done} entries", ending="\r")
