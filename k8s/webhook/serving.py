"""Reviews over HTTP, as an ASGI application: `/mutate`, `/livez`, `/readyz`, and `/metrics` on a port of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from k8s.logs import event
from k8s.webhook.injection import Lookup
from k8s.webhook.metrics import Metrics
from k8s.webhook.review import Malformed, Request, Verdict, answer, judge, read_review
from k8s.webhook.settings import InjectionSettings

logger = logging.getLogger(__name__)

LARGEST_BODY = 3 * 1024 * 1024  # the API server takes no larger object
_TEXT, _JSON = "text/plain; charset=utf-8", "application/json"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]


class Application:
    """``settings`` is asked for each review: the cluster's version may change while we run."""

    def __init__(
        self,
        settings: Callable[[], InjectionSettings],
        lookup: Lookup,
        metrics: Metrics,
        why_not_ready: Callable[[], str],
    ) -> None:
        self._settings, self._lookup, self._metrics, self._why_not_ready = settings, lookup, metrics, why_not_ready

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        match scope["method"], scope["path"]:
            case "POST", "/mutate":
                await self._mutate(receive, send)
            case (("GET" | "HEAD"), ("/livez" | "/readyz")):
                await health(scope["path"], self._why_not_ready, send)
            case _, "/mutate":
                await say(send, 405, _TEXT, b"POST an AdmissionReview\n")
            case _:
                await say(send, 404, _TEXT, b"/mutate, /livez or /readyz\n")

    async def _mutate(self, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        body = await _body(receive)
        if body is None:
            await say(send, 413, _TEXT, f"At most {LARGEST_BODY} bytes\n".encode())
            return
        word, facts = "failed", {}
        try:
            request = read_review(body)
            verdict = await judge(request, self._settings(), self._lookup)
            word, facts = verdict.word, _facts(request, verdict)
            await say(send, 200, _JSON, answer(request.uid, verdict))
        except Malformed as error:
            word, facts = "malformed", {"why": str(error)}
            await say(send, 400, _TEXT, f"{error}\n".encode(errors="replace"))
        except Exception:
            logger.exception("review failed")
            await say(send, 500, _TEXT, b"The webhook failed; its log says where\n")
        finally:
            took = time.monotonic() - started
            self._metrics.reviewed(word, took)
            event(logger, logging.INFO, "reviewed", verdict=word, **facts, ms=round(took * 1000, 1))


def telemetry(
    metrics: Metrics, why_not_ready: Callable[[], str]
) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    async def application(scope: Message, receive: Receive, send: Send) -> None:
        match scope["path"]:
            case "/metrics":
                await say(send, 200, CONTENT_TYPE_LATEST, generate_latest(metrics.registry))
            case "/livez" | "/readyz":
                await health(scope["path"], why_not_ready, send)
            case _:
                await say(send, 404, _TEXT, b"/metrics, /livez or /readyz\n")

    return application


async def health(path: str, why_not_ready: Callable[[], str], send: Send) -> None:
    why_not = why_not_ready() if path == "/readyz" else ""
    await say(send, 503 if why_not else 200, _TEXT, f"{why_not or 'ok'}\n".encode())


async def say(send: Send, status: int, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive) -> bytes | None:
    """None: it is too large, and the rest of it is not read."""
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > LARGEST_BODY:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def _facts(request: Request, verdict: Verdict) -> dict[str, Any]:
    metadata = verdict.pod.metadata
    name = metadata.name or f"{metadata.generate_name}*"
    facts = {"uid": request.uid, "operation": request.operation, "namespace": request.namespace, "pod": name}
    return facts | ({"why": str(verdict.refusal)} if verdict.refusal else {})
