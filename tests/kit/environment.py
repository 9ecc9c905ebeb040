"""A pytest plugin that gives the test run a data folder and a PostgreSQL of its own, before Django reads its settings.

Loaded by name in pyproject.toml, because conftest.py comes too late for that. The server's role is the one `make run`
gives it, so that a right it lacks in production is lacking here too.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kms.config.database import socket_directory
from kms.config.environment import PREFIX

_FOLDER = Path(tempfile.mkdtemp(prefix="keystead-tests-"))

# Lost with the machine, like everything else in the folder; a third faster.
_UNSAFE_SETTINGS = (("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off"))


def _take_over_environment() -> None:
    """The operator's settings must not decide what the tests see."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        if name != "KEYSTEAD_PKCS11_MODULE":
            del os.environ[name]
    os.environ.pop("DATABASE_URL", None)
    os.environ["KEYSTEAD_DATA"] = str(_FOLDER)


_take_over_environment()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The run's data folder; emptied when the run ends."""
    return _FOLDER


@pytest.fixture(scope="session")
def postgres(data_folder: Path) -> Iterator[None]:
    """The embedded PostgreSQL of the data folder, started when the first test needs it."""
    from kms.config.provision.postgres import EmbeddedPostgres

    data_folder.chmod(0o711)
    server = EmbeddedPostgres(data_folder, settings=_UNSAFE_SETTINGS)
    server.start(lambda _: None)
    server.ensure_roles_and_database()
    try:
        yield
    finally:
        server.stop()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    shutil.rmtree(_FOLDER, ignore_errors=True)
    shutil.rmtree(socket_directory(_FOLDER), ignore_errors=True)
