"""The edge through Django and DRF: one thin view per path. Everything it does is in ``handling``.

DRF routes the method and negotiates nothing: there is one format in and one out, and the corridor authenticates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from rest_framework.exceptions import MethodNotAllowed as DrfMethodNotAllowed
from rest_framework.request import Request
from rest_framework.views import APIView

from kms.api import server
from kms.api.batching import run_batch
from kms.api.errors import CONTENT_TYPE, INTERNAL, MethodNotAllowed, RouteUnknown
from kms.api.handling import Incoming, Outgoing, failed, handle, request_id_of
from kms.api.proxy import peer_of
from kms.api.routes import ENDPOINTS, is_id
from kms.api.wire.base import Endpoint, WireError

UNKNOWN = "There is no such path on this server (see docs/divergences.md)"


class EndpointView(APIView):
    """Serves the endpoints of one path, by method."""

    endpoints: Mapping[str, Endpoint] = {}
    authentication_classes = ()
    permission_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """No negotiation, no throttle, no permission here: one format, and the corridor decides.

        A word where an id belongs is a path that is not here, whatever the method.
        """
        text = frozenset[str]().union(*(endpoint.text for endpoint in self.endpoints.values()))
        if not all(is_id(value) for name, value in kwargs.items() if name not in text):
            raise RouteUnknown(UNKNOWN)

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]  # we render ourselves
        if isinstance(exc, DrfMethodNotAllowed):
            exc = MethodNotAllowed()
        return _response(failed(exc), None)

    def finalize_response(  # type: ignore[override]  # we render ourselves
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        return response

    def _serve(self, request: Request, **parameters: str) -> HttpResponse:
        django_request: HttpRequest = request._request
        endpoint = self.endpoints.get(django_request.method or "")
        if endpoint is None:
            raise MethodNotAllowed
        incoming = _incoming(django_request, parameters)
        serve = run_batch if endpoint.batch else handle
        return _response(serve(endpoint, incoming), incoming)

    get = post = put = patch = delete = _serve


def _incoming(request: HttpRequest, parameters: Mapping[str, str]) -> Incoming:
    # ASGI's scope, not META: CGI's names take an underscore for a hyphen.
    peer = peer_of(request.scope)  # type: ignore[attr-defined]  # an ASGIRequest
    return Incoming(
        path=parameters,
        query=request.META.get("QUERY_STRING", ""),
        body=request.body,
        authorization=request.headers.get("Authorization"),
        client_ip=peer.client_ip,
        request_id=request_id_of(request.headers.get("X-Request-Id")),
        certificate=peer.certificate,
    )


def _response(outgoing: Outgoing, incoming: Incoming | None) -> HttpResponse:
    response = HttpResponse(outgoing.body, status=outgoing.status, content_type=outgoing.content_type)
    response["Cache-Control"] = "no-store"
    if outgoing.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="keystead"'
    for name, value in outgoing.headers:
        response[name] = value
    if incoming is not None:
        response["X-Request-Id"] = str(incoming.request_id)
    return response


def unknown(_request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
    """Any path that is nobody's."""
    return _response(failed(RouteUnknown(UNKNOWN)), None)


def malformed(_request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
    """What Django refuses before any view: a host that is not ours, a path that is no text."""
    return _response(failed(WireError("Invalid request: the host, path or a header is not acceptable")), None)


def broken(_request: HttpRequest) -> HttpResponse:
    """A defect outside every view. It says nothing of itself."""
    return _response(Outgoing(500, INTERNAL.encode(), CONTENT_TYPE), None)


def version(request: HttpRequest) -> HttpResponse:
    if request.method not in ("GET", "HEAD"):
        return _response(failed(MethodNotAllowed()), None)
    return _response(server.version(), None)


def health(request: HttpRequest) -> HttpResponse:
    if request.method not in ("GET", "HEAD"):
        return _response(failed(MethodNotAllowed()), None)
    return _response(server.health(), None)


def urlpatterns() -> list[URLPattern]:
    """Literal paths before those with parameters, as in the router."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    ordered = sorted(by_path.items(), key=lambda item: "{" in item[0])
    return [
        path("sys/v1/version", version),
        path("sys/v1/health", health),
        *(path(_pattern(endpoints), EndpointView.as_view(endpoints=endpoints)) for _, endpoints in ordered),
    ]


def _pattern(endpoints: Mapping[str, Endpoint]) -> str:
    """Text goes to the end of the path: a name may have slashes in it, and a server decodes them before we look."""
    endpoint = next(iter(endpoints.values()))
    route = endpoint.path.lstrip("/")
    for name in endpoint.text:
        route = route.replace(f"{{{name}}}", f"<path:{name}>")
    return route.replace("{", "<str:").replace("}", ">")
