"""`manage.py export_record FOLDER`: what an auditor verifies offline. For the operator of the host."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from kms.audit.tree import RecordDamaged
from kms.operations.errors import InvalidRequest
from kms.operations.executor import execute
from kms.operations.record_host import Exported, ExportRecord
from kms.operations.rescue import host


class Command(BaseCommand):
    help = "Write the sealed record, its newest checkpoint and what proves it, for kms/audit/keystead_verify.py."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="Where to; it is made.")
        parser.add_argument("--start", type=int, help="The first entry, counted from 0 (default: all kept).")
        parser.add_argument("--old", type=int, default=0, help="The size of the checkpoint that the auditor kept.")

    def handle(self, *args: Any, **options: Any) -> None:
        folder, start, old = options["folder"], options["start"], options["old"]
        if folder.exists() and any(folder.iterdir()):
            raise CommandError(f"{folder} is not empty.")
        try:
            exported: Exported = execute(host(), ExportRecord(folder, start, old, progress=self._progress))
        except InvalidRequest as error:
            raise CommandError(str(error)) from None
        except RecordDamaged as error:
            raise CommandError(f"The record is damaged and was not exported: {error}.") from error
        if start is None and exported.start > 0:
            self.stdout.write(f"Entries 0 to {exported.start} are in the bundles of months that were dropped.")
        self.stdout.write(f"Entries exported: {exported.entries}\nVerifier key: {exported.key}")

    def _progress(self, done: int) -> None:
        self.stderr.write(f"{done} entries", ending="\r")
