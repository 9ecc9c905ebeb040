"""Login with what one knows: a user's password, an app's API key. It must not know the wire or HTTP.

Passwords are guessed, so guesses at one are slowed down (accounts.throttle). API keys are not: one of 16 random bytes
or more is not found by trying, however often, and an app's id is no secret, so slowing it down would only give
strangers a way to keep it out. What a stranger's wrong keys may cost is limited where they come from
(kms.api.rate_limit).
"""

from __future__ import annotations

from accounts import credentials, throttle
from accounts.credentials import BasicCredential
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from accounts.throttle import Attempt
from kms.audit.entry import CallContext
from kms.operations import attempts
from kms.operations.command import Call
from kms.operations.sign_on.proof import Method, refuse_disabled_app


def prove(call: Call, credential: BasicCredential) -> Principal:
    if credentials.looks_like_app(credential):
        principal = credentials.app_of(credential, call.now)
        refuse_disabled_app(principal)
        return principal
    user = credentials.user_of(credential)
    attempts.clear(Attempt(throttle.PASSWORD, user.id, call.context.client_ip))
    return Principal(PrincipalKind.USER, user.id, None, AuthenticationMethod.PASSWORD)


def admit(credential: BasicCredential, context: CallContext) -> None:
    if not credentials.looks_like_app(credential):
        subject = throttle.subject_of(credential.username)
        attempts.reserve(Attempt(throttle.PASSWORD, subject, context.client_ip))


METHOD = Method(BasicCredential, prove, lambda credential: credential.username, admit)
