"""Login with what one knows: a user's password, an app's API key. It must not know the wire or HTTP."""

from __future__ import annotations

from accounts import credentials
from accounts.credentials import BasicCredential
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from kms.operations.command import Call
from kms.operations.sign_on.proof import Method, refuse_disabled_app


def prove(call: Call, credential: BasicCredential) -> Principal:
    if credentials.looks_like_app(credential):
        principal = credentials.app_of(credential, call.now)
        refuse_disabled_app(principal)
        return principal
    user = credentials.user_of(credential)
    return Principal(PrincipalKind.USER, user.id, None, AuthenticationMethod.PASSWORD)


METHOD = Method(BasicCredential, prove, lambda credential: credential.username)
