"""Tests here cut database connections, the shared group commit's among them; they leave it working."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from kms.audit.errors import RecordUnavailable
from kms.audit.log import group_commit
from kms.config.database import DATABASE_NAME
from kms.config.provision.postgres import EmbeddedPostgres
from tests.audit.helpers import Root, entry

# What rewrites the whole record, hundreds of times, comes first of all, while that is short; what drops months comes
# last, as others export the whole record.
_ORDER = {"test_superuser.py": -1, "test_retention.py": 1}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _ORDER.get(item.path.name, 0))


@pytest.fixture(autouse=True)
def _reconnected() -> Iterator[None]:
    """The first call after a loss is refused and the next one reconnects: spend that first call here."""
    yield
    with contextlib.suppress(RecordUnavailable):
        group_commit().submit(entry(uuid4()), {})


@pytest.fixture
def root(data_folder: Path) -> Iterator[Root]:
    """The database's superuser."""
    with EmbeddedPostgres(data_folder).superuser(DATABASE_NAME) as opened:
        yield opened
