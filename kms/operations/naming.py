"""Rows with a name that is unique in their account: a taken one is told apart from other failures."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Model
from django.db.utils import IntegrityError

from kms.operations.errors import Conflict


def save_named(row: Model, *, constraint: str, noun: str, created: bool = False) -> None:
    """Save, or raise Conflict when ``constraint``, the database's name for the rule, says that the name is taken."""
    try:
        with transaction.atomic():
            row.save(force_insert=created)
    except IntegrityError as error:
        if constraint in str(error):
            raise Conflict("name-taken", f"{noun} with this name exists already") from error
        raise
