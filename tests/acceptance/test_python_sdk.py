"""The vendor's Python SDK, unmodified, in an interpreter of its own: see `python_sdk.py` for what each step does."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from tests.acceptance import steps
from tests.acceptance.server import RunningServer

PROGRAM = Path(__file__).with_name("python_sdk.py")


def _names() -> list[str]:
    """The program's steps in order. It cannot be imported here, so it is read."""
    tree = ast.parse(PROGRAM.read_text())
    marked = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    return [node.name for node in marked]


@pytest.fixture(scope="module")
def sdk(server: RunningServer, clients: Path) -> steps.Steps:
    environment = {
        **os.environ,
        "STEPS_URL": server.url,
        "STEPS_ORIGIN": server.origin,
        "STEPS_CA": str(server.ca),
        "STEPS_EMAIL": server.email,
        "STEPS_PASSWORD": server.password,
    }
    return steps.run([clients / "python", PROGRAM], environment)


@pytest.mark.parametrize("name", _names())
def test_the_python_sdk_does(sdk: steps.Steps, name: str) -> None:
    sdk.check(name)
