"""The key is rotated under a running cluster: everybody notices, nothing is lost, and at the end the old one can go."""

from __future__ import annotations

import hashlib
import re
import secrets

import pytest

from tests.acceptance.kubernetes.cluster import PATH, ApiServer, within
from tests.acceptance.kubernetes.conftest import ControlPlane
from tests.acceptance.kubernetes.guarded import GuardedPlace

# An API server asks after 20 seconds when its health is asked for, and after 60 anyway.
INTERVAL = 75.0


def key_in_use(api: ApiServer) -> str:
    """A hash of the key id by which the API server writes now, from its metrics."""
    name = "apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds"
    found = re.findall(rf'^{name}{{[^}}]*key_id_hash="([^"]+)"[^}}]*}} (\S+)$', api.get("/metrics").text, re.MULTILINE)
    return max(found, key=lambda each: float(each[1]))[0]


def hashed(key: str) -> str:
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def notice(apis: list[ApiServer], key: str) -> None:
    """All of them write under the key within an interval."""

    def noticed() -> bool:
        return all(api.healthz() == "ok" and key_in_use(api) == hashed(key) for api in apis)

    within(INTERVAL, noticed, lambda: "\n".join(api.said() for api in apis))


def re_encrypt(api: ApiServer) -> None:
    """As the document says: write every secret again as it is."""
    api.kubectl("replace", "-f", "-", given=api.kubectl("get", "secrets", "--all-namespaces", "-o", "json"))


def values(count: int, stem: str) -> dict[str, str]:
    return {f"{stem}-{number}": secrets.token_hex(16) for number in range(count)}


@pytest.mark.timeout(300)
def test_a_rotation_by_quorum_reaches_three_api_servers_and_then_the_old_key_can_go(plane: ControlPlane) -> None:
    place = GuardedPlace(plane.server)
    apis = [plane.encrypted(place)[0] for _ in range(3)]
    old_key = place.key
    assert {key_in_use(api) for api in apis} == {hashed(old_key)}
    kept = values(20, "before")
    apis[0].create_many(kept)

    new_key = place.rotate()
    notice(apis, new_key)
    for number, api in enumerate(apis):
        more = values(5, f"after-{number}")
        api.create_many(more)
        kept |= more
    for api in apis:
        assert api.read_all() == kept
    of_the_old = {name for name, raw in plane.etcd.raw().items() if old_key.encode() in raw}
    assert len(of_the_old) == 20

    re_encrypt(apis[1])
    assert not any(old_key.encode() in raw for raw in plane.etcd.raw().values())
    place.approved("POST", f"/crypto/v1/keys/{old_key}/revoke", {"code": "Superseded", "message": "re-encrypted"})
    place.destroy(old_key)
    for api in apis:  # what they remember of the old key ends with them
        api.stop()
        api.start()
        assert api.read_all() == kept


@pytest.mark.timeout(300)
def test_a_plugin_that_is_killed_during_a_rotation_finds_the_new_key(plane: ControlPlane) -> None:
    place = plane.place()
    api, plugin = plane.encrypted(place)
    kept = values(5, "before")
    api.create_many(kept)
    plugin.kill()
    new_key = place.rotate(deactivate=True)
    api.create("meanwhile", "by the seed that it has")
    kept["meanwhile"] = "by the seed that it has"
    assert api.read_all() == kept
    plugin.start()
    notice([api], new_key)
    api.create("after", "by a new seed")
    kept["after"] = "by a new seed"
    assert new_key.encode() in plane.etcd.raw()["/registry/secrets/default/after"]
    api.stop()
    api.start()
    assert api.read_all() == kept


@pytest.mark.timeout(200)
def test_a_seed_whose_key_was_disabled_is_not_opened_again(plane: ControlPlane) -> None:
    place = plane.place()
    api, _ = plane.encrypted(place)
    api.create("secret", "while the key was enabled")
    place.change_key(enabled=False)
    api.stop()
    api.start(wait=False)
    within(60, lambda: "disabled" in api.healthz(), api.said)
    assert api.get(f"{PATH}/secret").status_code == 500
    place.change_key(enabled=True)
    api.wait_until_ready()
    assert api.read("secret") == "while the key was enabled"
