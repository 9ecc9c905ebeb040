"""A node whose clock is wrong, by way of libfaketime: the plugin counts by no calendar."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.kms_plugin import KmsPlace, RunningPlugin, Stub

Make = Callable[..., RunningPlugin]


@pytest.fixture(scope="module")
def library() -> str:
    found = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    assert found is not None, "faketime is not installed; tests/tools.sh does it"
    return str(found)


def with_clock(plugin_of: Make, library: str, offset: str) -> RunningPlugin:
    skewed = {"LD_PRELOAD": library, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return plugin_of(environment=skewed).start()


@pytest.mark.parametrize("offset", ["-2m", "+2h", "+2d"])
def test_a_node_whose_clock_is_off_encrypts_and_decrypts(
    plugin_of: Make, place: KmsPlace, library: str, offset: str
) -> None:
    plugin = with_clock(plugin_of, library, offset)
    with Stub(plugin.socket) as stub:
        for _ in range(2):  # the session still holds: its life is counted, not dated
            sealed = stub.encrypt(b"seed")
            assert stub.decrypt(sealed.ciphertext, sealed.key_id) == b"seed"
        assert stub.status().key_id == place.key
    assert sum(line["event"] == "logged in" for line in plugin.lines) == 1
