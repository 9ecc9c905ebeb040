"""The tree in tiles: from them alone an auditor computes the root that was signed, as C2SP tlog-tiles has it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from accounts.clock import clock
from kms.audit import keystead_verify, log
from kms.audit.checkpoint import verifier_key
from kms.audit.merkle import folded, node_hash
from kms.audit.models import AuditCheckpoint
from kms.audit.sealer import Sealer
from kms.audit.tiles import WIDTH, Tile, tile_of
from kms.objects import keystore
from kms.operations.record_key import record_signer
from tests.api.test_bad_input import login, plain_error
from tests.audit.helpers import entry
from tests.kit.tenants import Tenant

pytestmark = pytest.mark.usefixtures("installation")


@pytest.fixture
def auditor(tenant: Tenant, client: httpx.Client) -> dict[str, str]:
    return login(client, tenant.users["administrator"].email, tenant)


def grown(least: int) -> int:
    """The record's size when it has more than two levels of tiles, the right edge of them ragged."""
    sealer = Sealer(keystore.deployment_id(), record_signer)
    sealer.turn(clock.now())
    newest = AuditCheckpoint.objects.order_by("-size")[0].size
    log.append(*(entry() for _ in range(max(3, least - newest))))
    sealer.turn(clock.now())
    return AuditCheckpoint.objects.order_by("-size")[0].size


def read(client: httpx.Client, headers: dict[str, str], tile: Tile) -> list[bytes]:
    answer = client.get(f"/sys/v1/record/tile/{tile}", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Cache-Control"] == "private, max-age=3600"
    assert len(answer.content) == 32 * tile.width
    return [answer.content[at : at + 32] for at in range(0, len(answer.content), 32)]


def level(client: httpx.Client, headers: dict[str, str], number: int, size: int) -> list[bytes]:
    """Every hash of a level, from its full tiles and the one at the edge."""
    count = size >> (8 * number)
    full, rest = divmod(count, WIDTH)
    tiles = [Tile(number, index) for index in range(full)] + ([Tile(number, full, rest)] if rest else [])
    return [each for tile in tiles for each in read(client, headers, tile)]


def root_of(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, as it is written there."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return node_hash(root_of(leaves[:split]), root_of(leaves[split:]))


def test_the_root_is_computed_from_tiles_alone(client: httpx.Client, auditor: dict[str, str]) -> None:
    grown(2 * WIDTH + 5)
    told = client.get("/sys/v1/record/checkpoint", headers=auditor).json()
    signer = record_signer()
    key = keystead_verify.Key.parse(verifier_key(signer.name, signer.spki))
    signed = keystead_verify.opened(told["checkpoint"], key)
    leaves = level(client, auditor, 0, signed.size)
    assert len(leaves) == signed.size
    assert root_of(leaves) == signed.root

    above = level(client, auditor, 1, signed.size)
    assert len(above) == signed.size // WIDTH >= 2
    assert above == [folded(leaves[at : at + WIDTH]) for at in range(0, len(above) * WIDTH, WIDTH)]


def test_a_full_tile_is_read_at_every_width_it_once_had(client: httpx.Client, auditor: dict[str, str]) -> None:
    grown(WIDTH)
    full = read(client, auditor, Tile(0, 0))
    for width in (1, 2, 255):
        assert read(client, auditor, Tile(0, 0, width)) == full[:width]


def test_what_is_not_signed_yet_is_no_tile(client: httpx.Client, auditor: dict[str, str]) -> None:
    size = grown(WIDTH)
    beyond = Tile(0, size // WIDTH), Tile(0, size // WIDTH, size % WIDTH + 1), Tile(4, 0, 1), Tile(0, 10**18 - 1)
    for tile in beyond:
        assert not tile.within(size)
        plain_error(client.get(f"/sys/v1/record/tile/{tile}", headers=auditor), 404)


NAMES = {
    "0/000": Tile(0, 0),
    "0/067": Tile(0, 67),
    "1/x001/234": Tile(1, 1234),
    "0/x001/x234/067": Tile(0, 1_234_067),
    "0/x001/x234/067.p/8": Tile(0, 1_234_067, 8),
    "5/000.p/255": Tile(5, 0, 255),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_tile_has_one_name(name: str) -> None:
    assert tile_of(name) == NAMES[name]
    assert str(NAMES[name]) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "0",
        "0/0",
        "0/00",
        "00/000",
        "8/000",
        "-1/000",
        "0/x000/001",
        "0/001/002",
        "0/x001",
        "0/1234",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/999",
        "0/000.p/08",
        "0/000.p/",
        "0/000/",
        "0/\u0660\u0660\u0660",
        "entries/000",
        "0/" + "x999/" * 6 + "999",
    ],
)
def test_what_is_no_tiles_name_is_refused(name: str, client: httpx.Client, auditor: dict[str, str]) -> None:
    assert tile_of(name) is None
    answer = client.get(f"/sys/v1/record/tile/{name}", headers=auditor)
    plain_error(answer, answer.status_code)
    assert answer.status_code in (400, 404)


def test_an_app_reads_no_tiles(tenant: Tenant, client: httpx.Client) -> None:
    anybody: Any = client.get("/sys/v1/record/tile/0/000.p/1")
    plain_error(anybody, 401)
