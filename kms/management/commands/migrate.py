"""`manage.py migrate`: Django's own, run as the role that owns the tables, then the server role's rights."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.commands.migrate import Command as DjangoMigrate
from django.db import DEFAULT_DB_ALIAS

from kms.config.environment import Environment
from kms.config.provision.schema import connected_as, grant, one_at_a_time


class Command(DjangoMigrate):
    """Overrides the command of the same name, so that no habit and no tool migrates with the wrong role."""

    def handle(self, *args: Any, **options: Any) -> None:
        environment: Environment = settings.KEYSTEAD
        reads_only = options["check_unapplied"] or options["plan"]
        if options["database"] != DEFAULT_DB_ALIAS or reads_only:
            super().handle(*args, **options)
            return
        with connected_as(environment.owner_database), one_at_a_time():
            super().handle(*args, **options)
            grant(environment.database.user)
