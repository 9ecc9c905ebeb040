"""Two clients to the same rows: ``client`` through the lean edge as in production, ``django_client`` past it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.kit.http import DjangoOnly, serving


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
