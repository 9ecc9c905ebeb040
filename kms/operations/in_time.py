"""Questions to the database that are given up when they take too long. It must not know what is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from django.db.utils import OperationalError

_QUERY_CANCELED = "57014"


class TookTooLong(Exception):
    """The database was told to stop; nothing is known of the answer."""


@contextmanager
def in_time(milliseconds: int) -> Iterator[None]:
    """Each statement inside has so long. What was done before in the same transaction stands."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(milliseconds)])
            yield
            cursor.execute("SELECT set_config('statement_timeout', '0', true)")
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != _QUERY_CANCELED:
            raise
        raise TookTooLong from error
