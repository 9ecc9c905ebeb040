"""A connection beside Django's: for what must be seen, or committed, apart from the transaction of a call."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connection


def own_connection() -> psycopg.Connection[tuple[Any, ...]]:
    """To the same database as the same role; every statement commits by itself, and is prepared at its first use."""
    parameters = connection.get_connection_params()
    for django_only in ("cursor_factory", "context", "prepare_threshold"):
        parameters.pop(django_only, None)
    opened = psycopg.connect(**parameters, autocommit=True, prepare_threshold=0)
    opened.execute("SET TIME ZONE 'UTC'")
    return opened
