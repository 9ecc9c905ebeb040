"""`manage.py open_epoch`: serve on with a record that was set back. For the operator of the host, after a restore."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from kms.operations.executor import execute
from kms.operations.record_host import Opened, OpenEpoch
from kms.operations.rescue import host


class Command(BaseCommand):
    help = (
        "Open a new epoch of the record when the server is sealed because the record is not the one that the token "
        "remembers. What was lost stays lost, and every auditor will see the break."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        opened: Opened = execute(host(), OpenEpoch())
        self.stdout.write(f"Epoch {opened.epoch} goes on after {opened.size} entries. Servers notice by themselves.")
