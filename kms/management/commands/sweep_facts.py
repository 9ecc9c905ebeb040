"""`manage.py sweep_facts`: whether what decisions rest on is what the server wrote. For the operator of the host."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from kms.operations.executor import execute
from kms.operations.fact_sweep import Swept
from kms.operations.facts_host import SweepFacts
from kms.operations.rescue import host


class Command(BaseCommand):
    help = (
        "Compare everything that decisions rest on with its seals and with the record, as servers do each hour. "
        "Ends with status 1 when something was changed past the server; what was is refused from then on."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        swept: Swept = execute(host(), SweepFacts())
        for subject in swept.forged:
            self.stdout.write(f"{subject}  does not fit its seal")
        for subject in swept.set_back:
            self.stdout.write(f"{subject}  is not what the record says: set back, or taken away")
        if not swept.adds_up:
            self.stdout.write("What is there does not add up to what the record says, and it is not known where.")
        if swept.found or not swept.adds_up:
            raise CommandError(f"{len(swept.found)} of {swept.subjects} subjects were changed past the server.")
        self.stdout.write(f"{swept.subjects} subjects hold.")
