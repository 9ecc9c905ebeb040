"""An app's API key: replaced, it is dead at once, with everything it had opened."""

from __future__ import annotations

import pytest

from accounts.clock import clock
from accounts.credentials import BasicCredential, app_of, principal_of_token
from accounts.errors import NotAuthenticated
from accounts.principal import ANONYMOUS
from kms.operations.apps import ResetAppSecret
from kms.operations.executor import execute
from kms.operations.sessions import LogIn
from tests.kit.tenants import Tenant


def test_a_replaced_secret_ends_the_key_and_its_sessions(tenant: Tenant) -> None:
    old = BasicCredential(*tenant.api_key())
    token = execute(ANONYMOUS, LogIn(old)).token
    assert principal_of_token(token, clock.now()).id == tenant.app.id
    execute(tenant.alice, ResetAppSecret(tenant.app.id))
    with pytest.raises(NotAuthenticated):
        app_of(old, clock.now())
    with pytest.raises(NotAuthenticated, match="ended"):
        principal_of_token(token, clock.now())
    assert app_of(BasicCredential(*tenant.api_key()), clock.now()).id == tenant.app.id
