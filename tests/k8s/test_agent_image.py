"""The agent's image: made of what is there and let in, with all that the agent imports and no more."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from k8s.agent.settings import DEFAULT_LAUNCHER
from tests.acceptance.server import CHECKOUT

FOLDER = CHECKOUT / "k8s" / "deploy" / "agent"
PROGRAM = """
import pathlib, sys
import k8s.agent.__main__, k8s.agent.templates, k8s.client.trust
from cryptography import x509
print(*sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names))
"""


@pytest.fixture(scope="module")
def image() -> str:
    return (FOLDER / "Dockerfile").read_text()


def test_it_is_made_of_what_is_there_and_let_in(image: str) -> None:
    let_in = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY ([^-].*) \S+$", image, re.MULTILINE)
    assert copied
    for source in " ".join(copied).split():
        assert (CHECKOUT / source).exists()
        assert any(source.startswith(name.removeprefix("!")) for name in let_in if name.startswith("!"))


def test_it_has_the_packages_that_the_agent_imports(image: str) -> None:
    awk = re.search(r"awk '(.*)'", image)
    assert awk
    lock = CHECKOUT / "requirements" / "k8s.lock"
    kept = subprocess.run(["awk", awk[1], str(lock)], capture_output=True, text=True, check=True).stdout
    packages = {name.lower() for name in re.findall(r"^([\w-]+)==", kept, re.MULTILINE)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    ours = {"__main__", "k8s", "_cffi_backend", "_openssl", "_distutils_hack", "sitecustomize", "_virtualenv"}
    # httpcore uses these where they are, as in an environment for tests.
    optional = {"anyio", "sniffio", "idna", "typing_extensions"}
    imported = {name for name in done.stdout.split() if not name.startswith(("__editable", "__mypyc"))}
    assert imported - ours - optional <= packages
    assert "grpcio" not in packages


def test_nobody_in_it_is_root_and_nothing_is_written(image: str) -> None:
    last = image[image.rindex("FROM ") :]
    assert "\nUSER 65532:65532\n" in last
    assert "PYTHONDONTWRITEBYTECODE=1" in last
    assert 'ENTRYPOINT ["/usr/bin/python3", "-m", "k8s.agent"]' in last
    assert f" {DEFAULT_LAUNCHER}\n" in last
    assert "RUN" not in last  # there is no shell
