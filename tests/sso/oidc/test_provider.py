"""Logins by a real OpenID provider in a process of its own, as a client of the server goes about them."""

from __future__ import annotations

from typing import Any

from accounts.models import IdentityProvider, Session, User
from accounts.principal import ANONYMOUS
from kms.operations.discovery import DiscoverSignOn
from kms.operations.executor import execute
from kms.operations.sessions import LogIn
from kms.operations.sign_on.by_oidc import OidcCredential
from tests.kit.tenants import Tenant, unique
from tests.sso.oidc.openid import OpenIdProvider


def start(provider: IdentityProvider) -> Any:
    ways = execute(ANONYMOUS, DiscoverSignOn(account=provider.account_id))
    (way,) = [way for way in ways if way.provider.id == provider.id]
    return way.start


def log_in(openid: OpenIdProvider, provider: IdentityProvider) -> Any:
    begun = start(provider)
    back = openid.browse(begun.url)
    assert back["state"] == begun.state
    return execute(ANONYMOUS, LogIn(OidcCredential(provider.id, back["code"], back["state"], back["iss"])))


def test_an_invited_user_comes_in(tenant: Tenant, openid: OpenIdProvider) -> None:
    provider = openid.add_to(tenant)
    member = tenant.member("member")
    openid.log_in(unique("sub"), email=User.objects.get(id=member.id).email, email_verified=True)
    done = log_in(openid, provider)
    assert done.entity == member.id
    session = Session.objects.get(id=done.session)
    assert (session.provider_id, session.account_id, session.method) == (provider.id, tenant.account.id, "oidc")
