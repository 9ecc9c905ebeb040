"""A token for the tests of this folder.

Where the run has one already (the configuration variable is set), a second token is made beside it: a process has one
library, and its configuration is read once. What must finalise, fork or break the token runs in a process of its own
(scenarios.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kms.hsm.pkcs11 import Pkcs11Module
from tests.hsm.token_place import CONFIGURATION_VARIABLE, ON_KRYOPTIC, TokenPlace

ROOT = Path(__file__).parents[2]
NEEDS_DES3 = pytest.mark.skipif(ON_KRYOPTIC, reason="Kryoptic 1.5.4 has no TDEA mechanism")


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> TokenPlace:
    place = TokenPlace(tmp_path_factory.mktemp("hsm-token"))
    if CONFIGURATION_VARIABLE not in os.environ:
        place.configure()
    if ON_KRYOPTIC:
        place.initialise_as_operator()  # as for hardware, which Keystead never initialises
    else:
        place.initialise()
    return place


@pytest.fixture(scope="session")
def module(token: TokenPlace) -> Iterator[Pkcs11Module]:
    module = token.module()
    module.provision_master_keys()
    yield module
    module.close()


@pytest.fixture
def small(token: TokenPlace, module: Pkcs11Module) -> Iterator[Pkcs11Module]:
    """A second module on the same token, with room for three handles."""
    module = token.module(cache_size=3)
    yield module
    module.close()


Scenario = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start_scenario(tmp_path: Path) -> Iterator[Scenario]:
    """Run a function of scenarios.py in a new process, in this test's folder."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.hsm.scenarios", name, str(tmp_path)]
        environment = {key: value for key, value in os.environ.items() if key != CONFIGURATION_VARIABLE}
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:  # after a failure, so that the others don't disturb the next test
        with process:
            process.kill()


@pytest.fixture
def scenario(start_scenario: Scenario) -> Callable[[str], None]:
    def run(name: str) -> None:
        finish(start_scenario(name))

    return run


def finish(process: subprocess.Popen[str]) -> None:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
