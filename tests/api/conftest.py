"""Two clients to the same rows: ``client`` through the lean edge as in production, ``django_client`` past it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.kit.authenticator import ORIGIN
from tests.kit.factors import Person
from tests.kit.factors import newcomer as make_newcomer
from tests.kit.http import DjangoOnly, serving
from tests.kit.tenants import Tenant, new_tenant


@pytest.fixture(scope="session")
def client(installation: None) -> Iterator[httpx.Client]:
    from kms.config.asgi import application

    with serving(application) as opened:
        yield opened


@pytest.fixture(scope="session")
def django_client(installation: None) -> Iterator[httpx.Client]:
    from kms.config.asgi import django_application

    with serving(DjangoOnly(django_application, 0)) as opened:
        yield opened


@pytest.fixture
def known_by_name(settings: Any) -> None:
    """The server goes by a name, as security keys need it; the test run's own address is a number."""
    settings.KEYSTEAD = replace(settings.KEYSTEAD, public_url=ORIGIN)


@pytest.fixture
def person(client: httpx.Client, tenant: Tenant, known_by_name: None) -> Person:
    """An administrator of an account of their own, without second factors."""
    return Person(client, tenant, tenant.users["administrator"])


@pytest.fixture(scope="module")
def house(installation: None) -> Tenant:
    """One account for all the newcomers of a module."""
    return new_tenant()


@pytest.fixture
def newcomer(client: httpx.Client, house: Tenant, known_by_name: None) -> Person:
    """An administrator without a password or second factors, for tests that begin with a session."""
    return make_newcomer(client, house)
