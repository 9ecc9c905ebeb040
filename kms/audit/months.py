"""The record's table in months: which there are, that some are ahead, and that those which are over can be searched.

Tables are made by functions of the owner's (migration 0007), which the server's role may call and not change. It must
not know what is in an entry.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from django.db import OperationalError, connection

from kms.audit.rows import TABLE

logger = logging.getLogger(__name__)

# What lies in no month: an entry must not fail for want of one.
NET = f"{TABLE}_other"


@dataclass(frozen=True, slots=True)
class Month:
    """A partition; the one that was a table before there were partitions has several months. ``until`` is not in it."""

    name: str
    since: datetime
    until: datetime
    searchable: bool


def months() -> list[Month]:
    """The newest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, since, until, searchable FROM keystead_record_partitions() WHERE until IS NOT NULL"
        )
        return [Month(*row) for row in reversed(cursor.fetchall())]


def strays() -> int:
    """How many entries lie in no month."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {NET}")  # noqa: S608 - the table's name is ours
        return int(cursor.fetchone()[0])


def prepare() -> list[str]:
    """Make this month and the next ones, where they are not there; their names."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT keystead_prepare_record()")
        return [row[0] for row in cursor.fetchall()]


def index_one() -> str | None:
    """Make one month that is over ready for searches; its name, None when all are."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT keystead_index_record()")
        name: str | None = cursor.fetchone()[0]
        return name


def turn() -> None:
    """What every process does now and then, one at a time. Who reads for long is not waited for."""
    try:
        for name in prepare():
            logger.info("the record goes on in %s", name)
        while (indexed := index_one()) is not None:
            logger.info("%s can be searched", indexed)
    except OperationalError as error:
        logger.warning("the record's months are prepared later: %s", error)
    if (count := strays()) > 0:
        logger.error("%d entries lie in no month, in %s: the clock was wrong, or no month could be made", count, NET)
