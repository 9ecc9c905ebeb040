"""A call to whichever server answers: over the servers in turn, in rounds with a pause between, until its time is up.

Every call that these programs make may be made twice, so whatever did not come to an answer is tried again.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import uuid4

import msgspec

from k8s.client.calls import Call, Question
from k8s.client.connections import Answer, Connections
from k8s.client.credentials import Credential, credential_of
from k8s.client.errors import Bad, Denied, Refused, Unreachable
from k8s.client.servers import Servers
from k8s.client.sessions import Sessions
from k8s.client.settings import CredentialSettings, ServerSettings
from k8s.logs import event

logger = logging.getLogger(__name__)

ROUNDS = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
_NOT_NOW = frozenset({429, 500, 502, 503, 504})
_encode = msgspec.json.Encoder().encode
Result = TypeVar("Result")


class Client:
    """For any number of threads. ``pause`` is how it waits."""

    def __init__(
        self,
        server: ServerSettings,
        credential: CredentialSettings,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._deadline = server.deadline_seconds
        self._servers = Servers(server.addresses)
        self._connections = Connections(server, credential)
        self._sessions = Sessions(credential_of(credential), self._log_in)
        self._pause = pause

    def call(self, path: str, body: Any, expected: type[Result], *, call: Call | None = None) -> Result:
        """POST ``body`` as JSON, and the answer as ``expected``. Bytes travel as base64, as the server has it."""
        return self._answered(Question(path, _encode(body)), expected, call)

    def get(self, path: str, expected: type[Result], *, call: Call | None = None) -> Result:
        return self._answered(Question(path, None, "GET"), expected, call)

    def log_in(self, *, call: Call | None = None) -> None:
        """See to a session now, so that what stands against a login is told apart from what a later call meets."""
        self._sessions.header(call or Call.within(self._deadline))

    def close(self) -> None:
        self._connections.close()

    def _answered(self, question: Question, expected: type[Result], call: Call | None) -> Result:
        call = call or Call.within(self._deadline)
        header = self._sessions.header(call)
        answer = self._ask(question, call, header)
        if answer.status == 401:  # ended, or taken away: a new one may be had
            self._sessions.drop(header)
            answer = self._ask(question, call, self._sessions.header(call))
        _check(answer)
        try:
            return msgspec.json.decode(answer.body, type=expected)
        except msgspec.MsgspecError as error:
            raise Bad(f"The server's answer is not one of this API: {error}") from None

    def _log_in(self, call: Call, credential: Credential) -> Answer:
        answer = self._ask(credential.question(), Call(uuid4(), call.ends_at), credential.header())
        _check(answer)
        event(logger, logging.INFO, "logged in", request=str(call.request_id))
        return answer

    def _ask(self, question: Question, call: Call, authorization: str) -> Answer:
        """The first answer of any server that is more than "not now"."""
        headers = {
            "Authorization": authorization,
            "Content-Type": "application/json",
            "X-Request-Id": str(call.request_id),
        }
        why = "there was no time left"
        for attempt in range(ROUNDS):
            if attempt and not self._paused(attempt, call):
                break
            for address in self._servers.order(time.monotonic()):
                try:
                    answer = self._connections.send(address, question, call, headers)
                except Unreachable as error:
                    why = f"{address}: {error}"
                else:
                    if answer.status not in _NOT_NOW:
                        self._servers.answered(address)
                        return answer
                    why = f"{address}: {answer.status} {answer.reason}"
                self._servers.failed(address, time.monotonic())
                event(logger, logging.WARNING, "server failed", request=str(call.request_id), why=why)
                if not call.remaining:
                    break
        raise Unreachable(f"No server answered; the last one, {why}")

    def _paused(self, attempt: int, call: Call) -> bool:
        """Full jitter, so that all nodes of a cluster do not come back at once. False: there is no time for it."""
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)
        seconds = random.uniform(0, longest)  # noqa: S311 - a pause is no secret
        if seconds >= call.remaining:
            return False
        self._pause(seconds)
        return True


def _check(answer: Answer) -> None:
    if answer.status in (200, 201, 204):
        return
    if answer.status == 401:
        raise Denied(f"The server does not accept the credential: {answer.reason}")
    if answer.status in (403, 404, 409):
        raise Refused(answer.reason)
    raise Bad(f"{answer.status} {answer.reason}")
