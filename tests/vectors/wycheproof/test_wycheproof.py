"""Every file of the archive through the REST API: valid vectors work, invalid ones are refused, the rest is decided.

A run takes a sample of each file that is always the same; ``--vectors=all`` (`make vectors`) takes everything.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx
import pytest

from tests.kit.http import DjangoOnly, serving
from tests.kit.tenants import new_tenant
from tests.vectors.tally import Tally
from tests.vectors.wycheproof.archive import members, vectors
from tests.vectors.wycheproof.edge import Edge
from tests.vectors.wycheproof.families import FAMILIES
from tests.vectors.wycheproof.family import Family
from tests.vectors.wycheproof.outcome import judged, sampled

# Vectors a file gives to a sample: `make test` has some 90 seconds for all of this folder.
SAMPLE = 12
_SHOWN = 10
CASES = [(family, file) for family in FAMILIES for file in sorted(members()) if family.owns(file)]


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    """A line for each of 100,000 requests, and one more for each that is refused, is nothing to keep."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("django.request").setLevel(logging.ERROR)


@pytest.fixture(scope="module")
def lean(installation: None) -> Iterator[Edge]:
    from kms.config.asgi import application

    with serving(application) as client:
        yield edge_of(client)


@pytest.fixture(scope="module")
def django(installation: None) -> Iterator[Edge]:
    from kms.config.asgi import django_application

    with serving(DjangoOnly(django_application, 0)) as client:
        yield edge_of(client)


def edge_of(client: httpx.Client) -> Edge:
    client.timeout = httpx.Timeout(300)
    return Edge(client, new_tenant())


@pytest.fixture
def edge(edge_name: str, request: pytest.FixtureRequest) -> Edge:
    found: Edge = request.getfixturevalue(edge_name)
    return found


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("family", "file"), CASES, ids=[file for _, file in CASES])
def test_vectors_end_as_they_should(
    family: Family, file: str, edge_name: str, edge: Edge, *, every_vector: bool, tally: Tally
) -> None:
    chosen = vectors(file) if every_vector else sampled(vectors(file), SAMPLE)
    counts, surprises = judged(family.attempt(edge, chosen))
    tally.add(edge_name, family.name, file, counts)
    if surprises:
        pytest.fail("\n".join([f"{len(surprises)} surprises", *surprises[:_SHOWN]]), pytrace=False)
    assert counts.total() == len(chosen)
