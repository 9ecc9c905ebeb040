"""One provider process for all tests of OpenID Connect, and leave for the server to call loopback."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kms.config.values import Reachable
from tests.kit.http import serving
from tests.kit.tls import Authority, new_authority
from tests.sso.oidc.openid import OpenIdProvider, running_provider


@pytest.fixture(scope="session")
def authority() -> Authority:
    return new_authority()


@pytest.fixture(scope="session")
def openid(authority: Authority, tmp_path_factory: Any) -> Iterator[OpenIdProvider]:
    with running_provider(Path(tmp_path_factory.mktemp("openid")), authority) as provider:
        yield provider


@pytest.fixture(scope="session")
def client(installation: None) -> Iterator[httpx.Client]:
    from kms.config.asgi import application

    with serving(application) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _loopback_allowed(settings: Any) -> None:
    allowed = Reachable(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, outbound_allow=allowed)
