"""The OCI distribution API, as far as an image's configuration: manifests, blobs, tokens. It remembers nothing."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Collection
from urllib.parse import urljoin, urlsplit

import httpcore
import msgspec

from k8s.webhook.images.challenge import is_basic, token_address
from k8s.webhook.images.credentials import RegistryCredentials
from k8s.webhook.images.image import Image, ImageUnknown
from k8s.webhook.images.manifests import INDEXES, MANIFESTS, next_digests, read_image
from k8s.webhook.images.policy import GuardedBackend, permitted
from k8s.webhook.images.reference import Reference

_LARGEST = 4 * 1024 * 1024  # of a manifest by the specification, and more than enough for a configuration
_REDIRECTIONS = 3
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ACCEPT = ", ".join((*INDEXES, *MANIFESTS))


class _Token(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""


class _Answer(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes


class Registry:
    """``allowed``: registries that may be asked, any if empty. ``plain``: of those, the ones without TLS."""

    def __init__(
        self,
        tls: ssl.SSLContext,
        credentials: RegistryCredentials,
        allowed: Collection[str] = (),
        plain: Collection[str] = (),
        seconds: float = 5.0,
    ) -> None:
        self._credentials, self._allowed, self._plain, self._seconds = credentials, allowed, plain, seconds
        # A host without a pattern is one the operator means, wherever it lies; so is one that may do without TLS.
        meant = [each for each in (*allowed, *plain) if "*" not in each]
        backend = GuardedBackend(httpcore.AnyIOBackend(), meant)
        self._pool = httpcore.AsyncConnectionPool(ssl_context=tls, network_backend=backend, keepalive_expiry=30)

    async def close(self) -> None:
        await self._pool.aclose()

    async def image(self, reference: Reference, architecture: str) -> Image:
        """ImageUnknown: the registry does not tell."""
        if not permitted(reference.registry, self._allowed):
            raise ImageUnknown(f"the webhook's configuration does not list the registry {reference.registry}")
        asking = _Asking(self, reference, self._credentials.basic(reference.registry))
        body = await asking.manifest(reference.version)
        manifest, config = next_digests(body, architecture)
        if manifest:
            _, config = next_digests(await asking.manifest(manifest), architecture)
        if not config:
            raise ImageUnknown("its index leads to another index")
        return read_image(await asking.blob(config))

    def base(self, host: str) -> str:
        return f"{'http' if host in self._plain else 'https'}://{host}"

    async def get(self, address: str, headers: dict[str, str]) -> _Answer:
        parts = urlsplit(address)
        if parts.scheme != "https" and parts.netloc not in self._plain:
            raise ImageUnknown(f"its registry leads to {parts.netloc} without TLS")
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), self._seconds)
        sent: list[tuple[bytes | str, bytes | str]] = [*headers.items(), ("User-Agent", "keystead-webhook")]
        try:
            async with self._pool.stream("GET", address, headers=sent, extensions={"timeout": timeouts}) as response:
                body = b""
                async for part in response.aiter_stream():
                    body += part
                    if len(body) > _LARGEST:
                        raise ImageUnknown(f"the answer of {parts.netloc} is larger than {_LARGEST} bytes")
                return _Answer(response.status, _texts(response.headers), body)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
            why = type(error).__name__
            raise ImageUnknown(f"its registry {parts.netloc} can't be asked ({why})", passing=True) from None
        except (httpcore.UnsupportedProtocol, UnicodeError, ValueError):
            raise ImageUnknown(f"its registry leads to {address[:100]!r}, which is no address") from None


class _Asking:
    """One image's questions: they share an authorization, which goes to the registry itself and nowhere else."""

    def __init__(self, registry: Registry, reference: Reference, basic: str) -> None:
        self._registry, self._reference, self._basic = registry, reference, basic
        self._authorization = ""
        self._root = f"{registry.base(reference.host)}/v2/{reference.repository}"

    async def manifest(self, version: str) -> bytes:
        return await self._get(f"{self._root}/manifests/{version}", _ACCEPT, version if ":" in version else "")

    async def blob(self, digest: str) -> bytes:
        return await self._get(f"{self._root}/blobs/{digest}", "*/*", digest)

    async def _get(self, address: str, accept: str, digest: str) -> bytes:
        if digest and not _DIGEST.fullmatch(digest):
            raise ImageUnknown(f"its registry names the digest {digest[:80]!r}, and only sha256 is understood")
        answer = await self._followed(address, accept)
        if answer.status == 401 and await self._authorized(answer.headers.get("www-authenticate", "")):
            answer = await self._followed(address, accept)
        if answer.status != 200:
            raise ImageUnknown(
                _said(answer.status, self._reference), passing=answer.status in (429, 500, 502, 503, 504)
            )
        if digest and f"sha256:{hashlib.sha256(answer.body).hexdigest()}" != digest:
            raise ImageUnknown(f"its registry's answer is not what has the digest {digest}")
        return answer.body

    async def _followed(self, address: str, accept: str) -> _Answer:
        home = urlsplit(address)[:2]
        for _ in range(_REDIRECTIONS + 1):
            ours = self._authorization and urlsplit(address)[:2] == home
            headers = {"Accept": accept, "User-Agent": "keystead-webhook"}
            answer = await self._registry.get(
                address, headers | ({"Authorization": self._authorization} if ours else {})
            )
            if answer.status not in (301, 302, 303, 307, 308) or "location" not in answer.headers:
                return answer
            address = _joined(address, answer.headers["location"])
        raise ImageUnknown("its registry leads on and on")

    async def _authorized(self, challenge: str) -> bool:
        """Credentials that the operator gave for this registry also go to where it says tokens are had, over TLS."""
        if is_basic(challenge):
            self._authorization = self._basic
            return bool(self._basic)
        address = token_address(challenge, self._reference.repository)
        if not address:
            return False
        answer = await self._registry.get(address, {"Authorization": self._basic} if self._basic else {})
        try:
            found = msgspec.json.decode(answer.body, type=_Token) if answer.status == 200 else _Token()
        except (msgspec.MsgspecError, UnicodeDecodeError):
            found = _Token()
        token = found.token or found.access_token
        self._authorization = f"Bearer {token}" if token.isascii() and token.isprintable() and token else ""
        return bool(self._authorization)


def _joined(address: str, location: str) -> str:
    try:
        return urljoin(address, location)
    except ValueError:
        raise ImageUnknown(f"its registry leads to {location[:100]!r}, which is no address") from None


def _texts(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _said(status: int, reference: Reference) -> str:
    match status:
        case 401 | 403:
            return f"its registry {reference.registry} wants a credential that the webhook does not have"
        case 404:
            return f"its registry {reference.registry} has no such image"
    return f"its registry {reference.registry} answers {status}"
