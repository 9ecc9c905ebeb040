"""Images asked of a real registry: what they run and as whom; and what a hostile registry gets from the webhook."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s.webhook.images.challenge import token_address
from k8s.webhook.images.credentials import RegistryCredentials
from k8s.webhook.images.image import Image, ImageUnknown
from k8s.webhook.images.lookup import ImageLookup
from k8s.webhook.images.manifests import next_digests, read_image
from k8s.webhook.images.policy import permitted
from k8s.webhook.images.reference import Reference, parse
from k8s.webhook.images.registry import Registry
from tests.acceptance.server import free_port

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
D = "sha256:" + 64 * "a"


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("nginx", Reference("docker.io", "library/nginx", "latest")),
        ("nginx:1.25", Reference("docker.io", "library/nginx", "1.25")),
        ("team/app", Reference("docker.io", "team/app", "latest")),
        ("index.docker.io/nginx", Reference("docker.io", "library/nginx", "latest")),
        ("r.example/app", Reference("r.example", "app", "latest")),
        ("r.example:5000/a/b/c:v1", Reference("r.example:5000", "a/b/c", "v1")),
        ("localhost/app", Reference("localhost", "app", "latest")),
        ("[::1]:5000/app", Reference("[::1]:5000", "app", "latest")),
        (f"r.example/app:v1@{D}", Reference("r.example", "app", D)),
    ],
)
def test_references_are_read_as_containerd_reads_them(text: str, reference: Reference) -> None:
    assert parse(text) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NGINX",
        "r.example/",
        "r.example/a:",
        "a@",
        "a@sha256:x",
        "a@sha512:" + 128 * "a",
        "a b",
        "r.example/../a",
        "http://r.example/a",
        "user@r.example/a",
        "r.example/a?x=1",
        "r.example:port/a",
        "a:b:c",
        "r.example/a#x",
    ],
)
def test_what_is_no_reference_is_asked_of_nobody(text: str) -> None:
    with pytest.raises(ImageUnknown, match="not a reference"):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_none(text: str) -> None:
    try:
        found = parse(text)
    except ImageUnknown:
        return
    assert not set("/?#@ \\") & set(found.host)
    assert not set("?#@ \\%") & set(found.repository + found.version)


# -- a registry ------------------------------------------------------------------------------------------------------


class RunningRegistry:
    """Debian's docker-registry without TLS on loopback."""

    def __init__(self, folder: Path) -> None:
        self.host = f"127.0.0.1:{free_port()}"
        settings = {
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.host},
        }
        (folder / "config.yml").write_text(json.dumps(settings))
        with (folder / "log").open("ab") as log:
            command = ["docker-registry", "serve", str(folder / "config.yml")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not self._up():
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)

    def _up(self) -> bool:
        try:
            return httpx.get(f"http://{self.host}/v2/", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def blob(self, repository: str, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        begun = httpx.post(f"http://{self.host}/v2/{repository}/blobs/uploads/")
        address = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest})
        httpx.put(address, content=content).raise_for_status()
        return digest

    def manifest(self, repository: str, tag: str, kind: str, content: dict[str, object]) -> str:
        written = json.dumps({"schemaVersion": 2, "mediaType": kind, **content}).encode()
        address = f"http://{self.host}/v2/{repository}/manifests/{tag}"
        httpx.put(address, content=written, headers={"Content-Type": kind}).raise_for_status()
        return f"sha256:{hashlib.sha256(written).hexdigest()}"

    def image(self, repository: str, tag: str, **config: object) -> str:
        written = json.dumps({"architecture": "amd64", "os": "linux", "config": config}).encode()
        kind = "application/vnd.oci.image.config.v1+json"
        described = {"mediaType": kind, "digest": self.blob(repository, written), "size": len(written)}
        return self.manifest(repository, tag, MANIFEST, {"config": described, "layers": []})


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    running = RunningRegistry(tmp_path_factory.mktemp("registry"))
    yield running
    running.process.kill()
    running.process.wait()


def look(text: str, *hosts: str, architecture: str = "", allowed: tuple[str, ...] = (), credentials: str = "") -> Image:
    async def looked() -> Image:
        client = Registry(ssl.create_default_context(), RegistryCredentials(credentials), allowed, hosts, 3)
        try:
            return await ImageLookup(client, "amd64", 5)(text, architecture)
        finally:
            await client.close()

    return asyncio.run(looked())


def test_an_image_tells_what_it_runs_and_as_whom(registry: RunningRegistry) -> None:
    digest = registry.image("team/app", "1", Entrypoint=["/e"], Cmd=["c"], User="101:102", Env=["PATH=/bin"])
    expected = Image(entrypoint=("/e",), cmd=("c",), user="101:102")
    assert look(f"{registry.host}/team/app:1", registry.host) == expected
    assert look(f"{registry.host}/team/app@{digest}", registry.host) == expected
    registry.image("team/app", "bare", Entrypoint=None)
    assert look(f"{registry.host}/team/app:bare", registry.host) == Image()


def test_of_an_index_it_is_the_pods_platform(registry: RunningRegistry) -> None:
    digests = {each: registry.image("many", each, Cmd=[each]) for each in ("amd64", "arm64")}
    described = [_described(registry, *each) for each in digests.items()]
    registry.manifest("many", "all", INDEX, {"manifests": described})
    assert look(f"{registry.host}/many:all", registry.host).cmd == ("amd64",)
    assert look(f"{registry.host}/many:all", registry.host, architecture="arm64").cmd == ("arm64",)
    with pytest.raises(ImageUnknown, match="linux/s390x"):
        look(f"{registry.host}/many:all", registry.host, architecture="s390x")


def _described(registry: RunningRegistry, architecture: str, digest: str) -> dict[str, object]:
    address = f"http://{registry.host}/v2/many/manifests/{digest}"
    length = len(httpx.get(address, headers={"Accept": MANIFEST}).content)
    platform = {"architecture": architecture, "os": "linux"}
    return {"mediaType": MANIFEST, "digest": digest, "size": length, "platform": platform}


def test_what_is_not_there_is_said_in_words(registry: RunningRegistry) -> None:
    with pytest.raises(ImageUnknown, match="no such image"):
        look(f"{registry.host}/team/none:1", registry.host)
    nobody = f"127.0.0.1:{free_port()}"
    with pytest.raises(ImageUnknown, match="can't be asked") as caught:
        look(f"{nobody}/a", nobody)
    assert caught.value.passing


OWN = ("127.0.0.1:1", "localhost:1", "[::1]:1", "169.254.169.254", "0.0.0.0:1", "[::ffff:127.0.0.1]:1")


@pytest.mark.parametrize("host", OWN)
def test_this_machines_own_addresses_are_not_asked_for_a_pods_author(host: str) -> None:
    with pytest.raises(ImageUnknown, match="does not ask"):
        look(f"{host}/a")


def test_only_listed_registries_are_asked() -> None:
    with pytest.raises(ImageUnknown, match="does not list"):
        look("other.example/a", allowed=("r.example", "*.ours.example"))
    assert permitted("a.ours.example", ["*.ours.example"])
    assert not permitted("ours.example.evil", ["*.ours.example", "ours.example"])


# -- tokens, credentials, documents ----------------------------------------------------------------------------------


def test_a_token_is_asked_for_one_repository_and_for_pulling() -> None:
    header = 'Bearer realm="https://auth.example/token?a=b",service="r.example",scope="repository:other:push,pull"'
    assert token_address(header, "team/app") == (
        "https://auth.example/token?a=b&service=r.example&scope=repository%3Ateam%2Fapp%3Apull"
    )
    realms = ("file:///etc/passwd", "/x", "https://[::1")
    for none in ("", "Basic realm=x", 'Bearer service="x"', *(f'Bearer realm="{each}"' for each in realms)):
        assert token_address(none, "a") == ""


def test_a_credential_goes_to_the_registry_it_is_for(tmp_path: Path) -> None:
    secret = base64.b64encode(b"me:secret").decode()
    file = tmp_path / "config.json"
    entries = {"https://index.docker.io/v1/": {"auth": secret}, "r.example": {"username": "a", "password": "b"}}
    file.write_text(json.dumps({"auths": entries}))
    credentials = RegistryCredentials(str(file))
    assert credentials.basic("docker.io") == f"Basic {secret}"
    assert credentials.basic("r.example") == f"Basic {base64.b64encode(b'a:b').decode()}"
    assert credentials.basic("r.example.evil") == ""
    for broken in ("", "[]", '{"auths": {"r.example": {"auth": "\\n"}}}'):
        file.write_text(broken)
        assert credentials.basic("r.example") == ""


BROKEN = st.sampled_from([b"{}", b'{"manifests": [{}]}', b'{"config": {"digest": 1}}', 9999 * b"["])


@given(st.binary(max_size=60) | BROKEN)
def test_no_document_of_a_registry_is_more_than_unknown(body: bytes) -> None:
    with pytest.raises(ImageUnknown):
        next_digests(body, "amd64")
    with contextlib.suppress(ImageUnknown):
        assert not read_image(body).entrypoint
