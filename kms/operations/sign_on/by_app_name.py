"""Login of an app by its name in an account. It must not know the wire or HTTP.

An app that does not exist, one of another account and a wrong secret look alike and cost alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from accounts import credentials
from accounts.credentials import BasicCredential
from accounts.models import App
from accounts.principal import Principal
from kms.operations.command import Call
from kms.operations.sign_on.proof import Method, refuse_disabled_app

_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class AppNameCredential:
    account: UUID
    name: str
    password: str = field(repr=False)


def prove(call: Call, credential: AppNameCredential) -> Principal:
    found = App.objects.filter(account_id=credential.account, name=credential.name).values_list("id", flat=True).first()
    principal = credentials.app_of(BasicCredential(str(found or _NOBODY), credential.password), call.now)
    refuse_disabled_app(principal)
    return principal


METHOD = Method(AppNameCredential, prove, lambda credential: credential.name)
