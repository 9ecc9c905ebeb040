"""`manage.py accept_facts`: take what was changed past the server as it is. For the operator who has looked at it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from kms.operations.errors import NotFound
from kms.operations.executor import execute
from kms.operations.facts_host import AcceptFacts, SweepFacts
from kms.operations.rescue import host


class Command(BaseCommand):
    help = (
        "Take subjects as they are in the database now, although the server did not write them so: after you have "
        "looked at them, and mended them by hand where they were forged. Every auditor will see that you did."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("subjects", nargs="*", type=UUID, metavar="ID", help="as `manage.py sweep_facts` says them")
        parser.add_argument("--all", action="store_true", help="whatever a sweep finds now, without a look at it")

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["subjects"]) is options["all"]:
            raise CommandError("Name the subjects, or say --all")
        try:
            subjects = execute(host(), SweepFacts()).found if options["all"] else options["subjects"]
            accepted: int = execute(host(), AcceptFacts(tuple(dict.fromkeys(subjects))))
        except NotFound as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Subjects that are taken as they are: {accepted}.")
