"""Coming from another provider, and from version 1 of the plugin's own API."""

from __future__ import annotations

import base64
import secrets
from typing import Any

import pytest

from tests.acceptance.kubernetes.cluster import ApiServer, kms
from tests.acceptance.kubernetes.conftest import ControlPlane
from tests.acceptance.kubernetes.test_rotation import re_encrypt, values

IDENTITY: dict[str, Any] = {"identity": {}}


def aescbc() -> dict[str, Any]:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return {"aescbc": {"keys": [{"name": "key1", "secret": key}]}}


def restarted(api: ApiServer, *providers: dict[str, Any]) -> None:
    api.encrypt(list(providers))
    if api.process is not None:
        api.stop()
    api.start()


def prefixes(plane: ControlPlane) -> set[bytes]:
    """How the secrets in etcd begin: by which provider they were written."""
    return {raw[: raw.index(b":", 10) + 1] if raw.startswith(b"k8s:enc:") else b"" for raw in plane.etcd.raw().values()}


@pytest.mark.timeout(200)
@pytest.mark.parametrize(("before", "written"), [(IDENTITY, b""), (aescbc(), b"k8s:enc:aescbc:")])
def test_a_cluster_moves_to_the_plugin_from_another_provider(
    plane: ControlPlane, before: dict[str, Any], written: bytes
) -> None:
    plugin = plane.plugin(plane.place()).start()
    api = plane.api(before)
    api.start()
    kept = values(5, "before")
    api.create_many(kept)
    assert prefixes(plane) == {written}

    restarted(api, kms(plugin), before)
    kept["after"] = "written by the plugin"
    api.create("after", kept["after"])
    assert api.read_all() == kept
    re_encrypt(api)
    assert prefixes(plane) == {b"k8s:enc:kms:"}

    restarted(api, kms(plugin))
    assert api.read_all() == kept


@pytest.mark.timeout(200)
def test_a_cluster_moves_from_version_1_to_version_2(plane: ControlPlane) -> None:
    plugin = plane.plugin(plane.place(), listen="v1 = true").start()
    old = kms(plugin, name="old", version="v1")
    api = plane.api(old, options=("--feature-gates=KMSv1=true",))
    api.start()
    kept = values(5, "before")
    api.create_many(kept)
    assert all(raw.startswith(b"k8s:enc:kms:v1:old:") for raw in plane.etcd.raw().values())
    restarted(api, kms(plugin, name="new"), old)
    assert api.read_all() == kept
    re_encrypt(api)
    assert all(raw.startswith(b"k8s:enc:kms:v2:new:") for raw in plane.etcd.raw().values())
    assert api.read_all() == kept
