"""What a registry answers with: an index of platforms, a manifest, an image's configuration; Docker's and OCI's."""

from __future__ import annotations

import msgspec

from k8s.webhook.images.image import Image, ImageUnknown

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


class _Platform(msgspec.Struct, frozen=True):
    architecture: str = ""
    os: str = ""


class _Descriptor(msgspec.Struct, frozen=True):
    digest: str
    platform: _Platform = _Platform()


class _Document(msgspec.Struct, frozen=True):
    """An index has ``manifests``, a manifest has ``config``."""

    manifests: tuple[_Descriptor, ...] | None = None
    config: _Descriptor | None = None


class _Execution(msgspec.Struct, frozen=True, rename="pascal"):
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    user: str | None = None


class _Configuration(msgspec.Struct, frozen=True):
    config: _Execution | None = None


def next_digests(body: bytes, architecture: str) -> tuple[str, str]:
    """Of an index the manifest's digest for a platform, of a manifest the configuration's; the other is empty."""
    try:
        found = msgspec.json.decode(body, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ImageUnknown("its registry's answer is no manifest") from None
    if found.manifests is not None:
        for each in found.manifests:
            if each.platform == _Platform(architecture=architecture, os="linux"):
                return each.digest, ""
        raise ImageUnknown(f"it is not there for linux/{architecture}")
    if found.config is None:
        raise ImageUnknown("its registry's answer is no manifest")
    return "", found.config.digest


def read_image(body: bytes) -> Image:
    try:
        said = msgspec.json.decode(body, type=_Configuration).config or _Execution()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ImageUnknown("its configuration is none") from None
    return Image(entrypoint=said.entrypoint or (), cmd=said.cmd or (), user=said.user or "")
