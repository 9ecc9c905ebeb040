"""Login of an app with a token that its issuer signed for it. It must not know the wire or HTTP.

Nobody needs to log in with one: on any call it is taken as it is. A session spares its check, and a token that is good
once needs one.
"""

from __future__ import annotations

import contextlib

from accounts import app_tokens
from accounts.clock import clock
from accounts.errors import NotAuthenticated
from accounts.jwks import KeysUnavailable
from accounts.jwt_bearer import TokenCredential
from accounts.principal import Principal
from kms.audit.entry import CallContext
from kms.operations.command import Call
from kms.operations.sign_on.proof import Method, refuse_disabled_app


def prove(call: Call, credential: TokenCredential) -> Principal:
    """The session ends with the token. A token that is good once is spent in the transaction that opens it."""
    recognised = app_tokens.app_of(credential, call.now, login=True)
    refuse_disabled_app(recognised.principal)
    if recognised.once:
        app_tokens.spend(recognised)
    return recognised.principal


def admit(credential: TokenCredential, _context: CallContext) -> None:
    """What is wrong with the token shows when it is judged."""
    with contextlib.suppress(NotAuthenticated, KeysUnavailable):
        app_tokens.warm(credential, clock.now())


def _named(credential: TokenCredential) -> str:
    return "" if credential.app is None else str(credential.app)


METHOD = Method(TokenCredential, prove, _named, admit)
