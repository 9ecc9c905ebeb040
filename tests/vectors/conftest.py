"""One tenant per file of vectors, the option that takes every vector, and the table that `make vectors` prints."""

from __future__ import annotations

import pytest

from tests.kit.tenants import Tenant, new_tenant
from tests.vectors.corridor import Lab
from tests.vectors.tally import Tally

_TALLY = pytest.StashKey[Tally]()
_TOKEN = pytest.StashKey[str]()
LEAN, DJANGO = "lean", "django"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--vectors",
        choices=("sample", "all"),
        default="sample",
        help="published vectors: a sample of each file, or all through the lean edge and the sample through Django's",
    )


def _takes_all(config: pytest.Config) -> bool:
    """The option is known only when this folder is named on the command line; without it there is the sample."""
    return bool(config.getoption("--vectors", default="sample") == "all")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "edge_name" in metafunc.fixturenames:
        metafunc.parametrize("edge_name", (LEAN, DJANGO) if _takes_all(metafunc.config) else (LEAN,))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TALLY] = Tally()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tally = config.stash[_TALLY]
    if tally and _takes_all(config):
        terminalreporter.section(f"vectors, token {config.stash.get(_TOKEN, 'unknown')}")
        for line in tally.lines():
            terminalreporter.write_line(line)


@pytest.fixture(scope="module")
def tenant(installation: None) -> Tenant:
    return new_tenant()


@pytest.fixture(scope="module")
def lab(tenant: Tenant, tally: Tally) -> Lab:
    return Lab(tenant, tally)


@pytest.fixture
def thorough(pytestconfig: pytest.Config) -> bool:
    """True when every vector is wanted."""
    return _takes_all(pytestconfig)


@pytest.fixture(scope="session")
def tally(installation: None, pytestconfig: pytest.Config) -> Tally:
    """Where tests say what they tried; the token is asked for its name while there is one."""
    from kms.objects import keystore

    status = keystore.module().status()
    pytestconfig.stash[_TOKEN] = f"{status.manufacturer} {status.model} {status.firmware}"
    return pytestconfig.stash[_TALLY]


@pytest.fixture
def every_vector(edge_name: str, pytestconfig: pytest.Config) -> bool:
    """True when a file is to be run whole rather than sampled."""
    return edge_name == LEAN and _takes_all(pytestconfig)
