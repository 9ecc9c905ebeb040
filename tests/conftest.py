"""What every test that needs an installation stands on: real PostgreSQL, a real token, the roles that `make run` makes.

The database is not wiped between tests: each test works in an account of its own, as tenants do. Nothing is wrapped in
a transaction either, because the group commit has a connection of its own and must see what is committed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings

from tests.hsm.kryoptic import operator
from tests.kit.tenants import Tenant, new_tenant

# How long an example takes to make or to judge says something of the machine and of what else it does.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")

_WITHOUT_INSTALLATION = ("tests/hsm", "tests/acceptance", "tests/faults", "tests/config", "tests/k8s")


@pytest.fixture(scope="session")
def django_db_setup() -> None:
    """The installation makes the tables; pytest-django must not make another database."""


@pytest.fixture(scope="session")
def installation(postgres: None, data_folder: Path, django_db_blocker: Any) -> Iterator[None]:
    """Tables, token and master keys in the run's data folder."""
    from accounts import row_seals
    from kms.config.provision.schema import migrate
    from kms.config.provision.softhsm import ensure_configuration, ensure_library
    from kms.config.provision.token import ensure_token
    from kms.config.token import point_softhsm_at_data

    environment = settings.KEYSTEAD
    library = ensure_library(environment, lambda _: None)
    if operator.is_kryoptic(library):
        label, folder = environment.token_label, environment.token_folder
        operator.hand_over(library, label, folder=folder, pin_file=environment.pin_file)
    ensure_configuration(environment, library)
    os.environ.pop("SOFTHSM2_CONF", None)
    point_softhsm_at_data(environment, library)
    with django_db_blocker.unblock():
        migrate(owner=environment.owner_database, server=environment.database)
        ensure_token(environment, in_use=False)
        row_seals.key()  # as a server's first start does: from here on, what is committed is sealed
        with _sweeps_allowed():
            yield
        _let_go()


@contextlib.contextmanager
def _sweeps_allowed() -> Iterator[None]:
    """Sweeps fail by hundreds a second from one address, on purpose; test_rate_limit sets limits of its own."""
    from kms.api import rate_limit

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rate_limit, "STRANGERS_PER_SECOND", 1_000_000)
        patched.setattr(rate_limit, "STRANGERS_BURST", 1_000_000)
        yield


def _let_go() -> None:
    from kms.audit.log import group_commit
    from kms.config.connections import release_all
    from kms.objects import keystore

    group_commit().close()
    close = getattr(keystore.module(), "close", None)
    if close is not None:
        close()
    release_all()


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    """Every test but those that bring their own server gets the installation."""
    path = request.node.path.relative_to(request.config.rootpath).as_posix()
    if not path.startswith(_WITHOUT_INSTALLATION):
        request.getfixturevalue("installation")


@pytest.fixture
def tenant() -> Tenant:
    """A new account with an administrator, a group and an app that may do everything in it."""
    return new_tenant()
