"""The few calls that the webhook makes itself: its Secret, its registration, the cluster's version. No pod is read."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any

import httpcore
import msgspec

from k8s.webhook.config import KubernetesSettings

_SECONDS = 10.0
_DIGITS = re.compile(r"[0-9]+")


class KubernetesError(Exception):
    """The API server does not do it; the text says why."""


class Conflict(KubernetesError):
    """Somebody else was first."""


class Kubernetes:
    """Its credential is the webhook's own service account; the token is read for each call, as kubelets exchange it."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        tls = ssl.create_default_context(cafile=settings.ca_file or None)
        self._pool = httpcore.AsyncConnectionPool(ssl_context=tls, keepalive_expiry=30)

    async def close(self) -> None:
        await self._pool.aclose()

    async def version(self) -> tuple[int, int]:
        found = await self._call("GET", "/version")
        major, minor = (_DIGITS.match(str(found.get(name, ""))) for name in ("major", "minor"))
        if major is None or minor is None:
            raise KubernetesError("the API server does not say which version it is")
        return int(major[0]), int(minor[0])

    async def secret(self, name: str) -> dict[str, Any] | None:
        try:
            return await self._call("GET", f"{self._secrets}/{name}")
        except _NotThere:
            return None

    async def write_secret(self, name: str, before: dict[str, Any] | None, data: dict[str, str]) -> None:
        """Conflict: it is not as ``before`` any more."""
        if before is None:
            made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque", "data": data}
            await self._call("POST", self._secrets, made)
        else:
            await self._call("PUT", f"{self._secrets}/{name}", {**before, "data": data})

    async def trust(self, authorities: str) -> bool:
        """Every webhook of our registration has this caBundle; True: not all had it."""
        path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{self._settings.configuration}"
        found = await self._call("GET", path)
        operations = [
            {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": authorities}
            for index, each in enumerate(found.get("webhooks") or [])
            if each.get("clientConfig", {}).get("caBundle") != authorities
        ]
        if not operations:
            return False
        version = {"op": "test", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]}
        await self._call("PATCH", path, [version, *operations])
        return True

    @property
    def _secrets(self) -> str:
        return f"/api/v1/namespaces/{self._settings.namespace}/secrets"

    async def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        kind = "application/json-patch+json" if method == "PATCH" else "application/json"
        headers: list[tuple[bytes | str, bytes | str]] = [
            ("Authorization", f"Bearer {self._token()}"),
            ("Content-Type", kind),
            ("Accept", "application/json"),
        ]
        content = b"" if body is None else msgspec.json.encode(body)
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), _SECONDS)
        try:
            answer = await self._pool.request(
                method, self._settings.api + path, headers=headers, content=content, extensions={"timeout": timeouts}
            )
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
            raise KubernetesError(f"the API server can't be asked ({type(error).__name__})") from None
        return _read(answer, method, path)

    def _token(self) -> str:
        try:
            return Path(self._settings.token_file).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise KubernetesError(f"{self._settings.token_file} can't be read ({type(error).__name__})") from None


class _NotThere(KubernetesError):
    pass


def _read(answer: httpcore.Response, method: str, path: str) -> dict[str, Any]:
    if answer.status == 404:
        raise _NotThere(f"{path} is not there")
    if answer.status == 409:
        raise Conflict(f"{path} was changed by somebody else")
    if answer.status >= 300:
        raise KubernetesError(f"the API server answers {answer.status} to {method} {path}")
    try:
        return msgspec.json.decode(answer.content, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise KubernetesError(f"the API server's answer to {method} {path} is not JSON") from None
