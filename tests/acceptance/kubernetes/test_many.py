"""A thousand secrets: an API server asks the plugin once for each seed, not for each secret."""

from __future__ import annotations

import secrets

import pytest

from tests.acceptance.kubernetes.conftest import ControlPlane
from tests.bench.kmsplugin import decrypts

COUNT = 1000
STARTS = 3


@pytest.mark.timeout(300)
def test_a_thousand_secrets_cost_a_call_for_each_start_of_the_api_server(plane: ControlPlane) -> None:
    api, plugin = plane.encrypted(plane.place())
    kept: dict[str, str] = {}
    for start in range(STARTS):  # each start makes a seed
        more = {f"secret-{start}-{number}": secrets.token_hex(64) for number in range(COUNT // STARTS + 1)}
        api.create_many(more)
        kept |= more
        api.stop()
        api.start()
    before = decrypts(plugin)
    api.stop()
    api.start()
    assert len(kept) >= COUNT
    assert api.read_all() == kept
    asked = decrypts(plugin) - before
    assert 1 <= asked <= 4 * STARTS, asked
