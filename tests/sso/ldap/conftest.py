"""One directory for all tests of LDAP, and leave for the server to call loopback."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.models import IdentityProvider
from kms.config.values import Reachable
from kms.operations.executor import execute
from kms.operations.providers import CreateProvider
from kms.secret import SecretBytes
from tests.kit.tenants import Tenant
from tests.sso.ldap.slapd import SECRETS, Slapd, settings_of


@pytest.fixture(scope="session")
def slapd(tmp_path_factory: Any) -> Iterator[Slapd]:
    server = Slapd(Path(tmp_path_factory.mktemp("slapd")))
    server.start()
    server.populate()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _loopback_allowed(settings: Any) -> None:
    allowed = Reachable(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    settings.KEYSTEAD = dataclasses.replace(settings.KEYSTEAD, outbound_allow=allowed)


@pytest.fixture
def provider_of(slapd: Slapd) -> Callable[..., IdentityProvider]:
    """The directory as a tenant's identity provider."""

    def create(tenant: Tenant, **changes: Any) -> IdentityProvider:
        settings = settings_of(slapd, **changes)
        secrets = {name: SecretBytes(value) for name, value in SECRETS.items()} if settings["service_dn"] else {}
        row: IdentityProvider = execute(tenant.alice, CreateProvider("ldap", "Directory", settings, secrets))
        return row

    return create
