"""References to images, as containerd and Docker read them: `nginx`, `host:5000/team/app:1.2`, `app@sha256:…`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from k8s.webhook.images.image import ImageUnknown

_HUB, _HUB_HOST = "docker.io", "registry-1.docker.io"
_HOST = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?)(:[0-9]{1,5})?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST = 255


@dataclass(frozen=True)
class Reference:
    """``registry`` is as the author names it; ``version`` is a digest where there is one, else a tag."""

    registry: str
    repository: str
    version: str

    @property
    def by_digest(self) -> bool:
        return ":" in self.version

    @property
    def host(self) -> str:
        """Whom to ask: Docker Hub's name and its registry's differ."""
        return _HUB_HOST if self.registry == _HUB else self.registry


def parse(text: str) -> Reference:
    """ImageUnknown: containerd could not pull that either."""
    rest, at, digest = text.partition("@")
    host, slash, path = rest.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, path = _HUB, rest
    path, colon, tag = path.partition(":")
    if host in (_HUB, "index.docker.io"):
        host, path = _HUB, path if "/" in path else f"library/{path}"
    version = digest if at else tag if colon else "latest"
    valid = (
        _HOST.fullmatch(host)
        and _REPOSITORY.fullmatch(path)
        and len(path) <= _LONGEST
        and (not colon or _TAG.fullmatch(tag))
        and (not at or _DIGEST.fullmatch(digest))
    )
    if not valid:
        raise ImageUnknown("that is not a reference to an image, such as registry.example/team/app:1.2")
    return Reference(host, path, version)
