"""The vendor's Go client as a module, unmodified: see `go/*.go` for what each step does."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.acceptance import steps
from tests.acceptance.server import RunningServer

PROGRAM = Path(__file__).with_name("go")
# Steps that the server does not serve yet, each with what is missing.
NOT_YET: dict[str, str] = {}


def _names() -> list[str]:
    sources = "".join(path.read_text() for path in sorted(PROGRAM.glob("*.go")))
    return re.findall(r'^\tstep\("(\w+)"', sources, re.MULTILINE)


def _marked(name: str) -> ParameterSet:
    marks = [pytest.mark.xfail(reason=NOT_YET[name], strict=True)] if name in NOT_YET else []
    return pytest.param(name, marks=marks)


@pytest.fixture(scope="module")
def go(golang: None, server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> steps.Steps:
    binary = tmp_path_factory.mktemp("go") / "steps"
    without_c = {**os.environ, "CGO_ENABLED": "0"}  # no C compiler is needed, and a bare machine has none
    command = ["go", "build", "-buildvcs=false", "-trimpath", "-o", str(binary), "."]
    built = subprocess.run(
        command, cwd=PROGRAM, env=without_c, capture_output=True, text=True, timeout=110, check=False
    )
    assert built.returncode == 0, built.stderr
    environment = {
        **os.environ,
        "STEPS_URL": server.url,
        "STEPS_ORIGIN": server.origin,
        "STEPS_CA": str(server.ca),
        "STEPS_EMAIL": server.email,
        "STEPS_PASSWORD": server.password,
    }
    return steps.run([binary], environment)


@pytest.mark.parametrize("name", [_marked(name) for name in _names()])
def test_the_go_client_does(go: steps.Steps, name: str) -> None:
    go.check(name)
