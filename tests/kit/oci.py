"""Container images from files: an OCI archive, as `ctr images import` reads it, and its way into a registry."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import httpx

CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"

_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What an image says about the process that is to run, under the names of a Dockerfile's instructions."""

    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = ""
    stop_signal: str = ""

    def config(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "Env": [f"{name}={value}" for name, value in self.env.items()],
            "User": self.user,
            "WorkingDir": self.workdir,
            "StopSignal": self.stop_signal,
        }
        return {name: value for name, value in said.items() if value}


def layer_of(folder: Path, target: Path, *, owner: int = 0) -> Path:
    """A tar of a folder's content that is the same whenever and by whomever it is made."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = owner
        member.uname = member.gname = ""
        member.mtime = 0
        return member

    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=plain)
    return target


def write_archive(target: Path, reference: str, layers: Sequence[Path], execution: Execution) -> Path:
    """An image of these tars, the lowest first, which bears the name `reference` where it is imported."""
    described = [_descriptor(LAYER, layer) for layer in layers]
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": execution.config(),
            "rootfs": {"type": "layers", "diff_ids": [each["digest"] for each in described]},
        }
    )
    manifest = _json(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": _descriptor(CONFIG, config), "layers": described}
    )
    names = {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference}
    named = {**_descriptor(MANIFEST, manifest), "annotations": names}
    new = target.with_suffix(".new")
    with tarfile.open(new, "w") as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [named]}))
        blobs: list[bytes | Path] = [config, manifest, *layers]
        for blob in blobs:
            _add(tar, _path(_digest(blob)), blob)
    new.rename(target)
    return target


def size(archive: Path) -> int:
    """Bytes of its layers, uncompressed."""
    with tarfile.open(archive) as tar:
        return sum(layer["size"] for layer in _manifest(tar)[1]["layers"])


def read_file(archive: Path, path: str) -> bytes:
    """A file of the image's, as the last of its layers that has it."""
    with tarfile.open(archive) as tar:
        for layer in reversed(_manifest(tar)[1]["layers"]):
            with _opened(tar, _path(layer["digest"])) as blob, tarfile.open(fileobj=blob) as files:
                found = next((each for each in files if each.name.removeprefix("./") == path), None)
                opened = None if found is None else files.extractfile(found)
                if opened is not None:
                    return opened.read()
    raise FileNotFoundError(path)


def push(archive: Path, target: str) -> str:
    """To a registry without TLS, ``HOST:PORT/NAME:TAG``; the answer is the manifest's digest."""
    host, _, rest = target.partition("/")
    name, _, tag = rest.rpartition(":")
    with tarfile.open(archive) as tar, httpx.Client(base_url=f"http://{host}", timeout=60) as registry:
        written, manifest = _manifest(tar)
        for blob in (manifest["config"], *manifest["layers"]):
            with _opened(tar, _path(blob["digest"])) as content:
                _upload(registry, name, blob, content)
        answer = registry.put(f"/v2/{name}/manifests/{tag}", content=written, headers={"Content-Type": MANIFEST})
        answer.raise_for_status()
    return _digest(written)


def _upload(registry: httpx.Client, name: str, blob: Mapping[str, Any], content: BinaryIO) -> None:
    begun = registry.post(f"/v2/{name}/blobs/uploads/")
    begun.raise_for_status()
    address = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": blob["digest"]})
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob["size"])}
    registry.put(address, content=_parts(content), headers=headers).raise_for_status()


def _manifest(tar: tarfile.TarFile) -> tuple[bytes, dict[str, Any]]:
    with _opened(tar, "index.json") as index:
        digest = json.load(index)["manifests"][0]["digest"]
    with _opened(tar, _path(digest)) as found:
        written = found.read()
    return written, json.loads(written)


@contextmanager
def _opened(tar: tarfile.TarFile, name: str) -> Iterator[BinaryIO]:
    found = tar.extractfile(name)
    assert found is not None, f"{name} is no file"
    with found:
        yield found  # type: ignore[misc]  # IO[bytes] in typeshed, and a BinaryIO in truth


def _add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    member = tarfile.TarInfo(name)
    if isinstance(content, bytes):
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
        return
    member.size = content.stat().st_size
    with content.open("rb") as opened:
        tar.addfile(member, opened)


def _descriptor(kind: str, content: bytes | Path) -> dict[str, Any]:
    length = len(content) if isinstance(content, bytes) else content.stat().st_size
    return {"mediaType": kind, "digest": _digest(content), "size": length}


def _digest(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return f"sha256:{hashlib.sha256(content).hexdigest()}"
    with content.open("rb") as opened:
        return f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _parts(content: BinaryIO) -> Iterable[bytes]:
    return iter(lambda: content.read(_AT_ONCE), b"")


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
