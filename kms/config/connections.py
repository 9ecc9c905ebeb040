"""Letting go of the database: for a process that is about to hand over to others, and for the end of a test run."""

from __future__ import annotations

from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper


def release_all() -> None:
    """Close every connection of this thread and the pools of the process."""
    connections.close_all()
    for wrapper in connections.all(initialized_only=True):
        if isinstance(wrapper, DatabaseWrapper):
            wrapper.close_pool()
