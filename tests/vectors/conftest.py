"""One tenant per file of vectors: thousands of calls need no account each."""

from __future__ import annotations

import pytest

from tests.kit.tenants import Tenant, new_tenant


@pytest.fixture(scope="module")
def tenant(installation: None) -> Tenant:
    return new_tenant()
