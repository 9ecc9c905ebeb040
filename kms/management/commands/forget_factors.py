"""`manage.py forget_factors EMAIL`: for a person who lost every second factor and every recovery code.

Whoever asks for this may be somebody else: the operator of the host makes sure before.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from kms.operations.errors import NotFound
from kms.operations.executor import execute
from kms.operations.rescue import ForgetFactors, host


class Command(BaseCommand):
    help = "Remove all second factors and recovery codes of a user and end all sessions. The password stays as it is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="The user's e-mail address.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            factors = execute(host(), ForgetFactors(options["email"]))
        except NotFound:
            raise CommandError("No user has this e-mail address.") from None
        self.stdout.write(f"Second factors removed: {factors}. The next login needs the password alone.")
