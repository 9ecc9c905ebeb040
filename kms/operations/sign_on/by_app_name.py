"""Login of an app by its name in an account. It must not know the wire or HTTP.

An app that does not exist, one of another account and a wrong secret look alike and cost alike. The password is a
secret of the app's, or its password in the account's directory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from accounts import credentials
from accounts.clock import clock
from accounts.credentials import BasicCredential
from accounts.errors import NotAuthenticated
from accounts.models import App
from accounts.principal import Principal
from kms.audit.entry import CallContext
from kms.operations.command import Call
from kms.operations.sign_on import by_ldap
from kms.operations.sign_on.proof import Method, refuse_disabled_app

_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class AppNameCredential:
    account: UUID
    name: str
    password: str = field(repr=False)
    asked: list[by_ldap.Asked] = field(default_factory=list, repr=False, compare=False)


def admit(credential: AppNameCredential, context: CallContext) -> None:
    """A directory is asked for its apps only, and never shown a secret that is still ours to check."""
    app = _app(credential)
    directory = by_ldap.directory_credential(app)
    if directory is None:
        return
    try:
        credentials.app_of(BasicCredential(str(app), credential.password), clock.now())
    except NotAuthenticated:
        asked = by_ldap.ask_for_app(directory, credential.name, credential.password, context)
        credential.asked[:] = [asked]


def prove(call: Call, credential: AppNameCredential) -> Principal:
    app = _app(credential)
    if credential.asked:
        return by_ldap.prove_app(call, app, credential.asked[-1])
    principal = credentials.app_of(BasicCredential(str(app), credential.password), call.now)
    refuse_disabled_app(principal)
    return principal


def _app(credential: AppNameCredential) -> UUID:
    rows = App.objects.filter(account_id=credential.account, name=credential.name)
    return rows.values_list("id", flat=True).first() or _NOBODY


METHOD = Method(AppNameCredential, prove, lambda credential: credential.name, admit)
