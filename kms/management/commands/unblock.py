"""`manage.py unblock EMAIL`: a person who was slowed down may try again at once. For the operator of the host."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from kms.operations.errors import NotFound
from kms.operations.executor import execute
from kms.operations.rescue import UnblockUser, host


class Command(BaseCommand):
    help = "Forget the failed attempts to log in as a user, whoever made them. It changes no password and no factor."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="The user's e-mail address.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            counters = execute(host(), UnblockUser(options["email"]))
        except NotFound:
            raise CommandError("No user has this e-mail address.") from None
        self.stdout.write(f"Counters of attempts forgotten: {counters}")
