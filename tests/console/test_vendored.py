"""What the console takes from others is what the registry's packages hold, byte for byte, as the lock names them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

VENDOR = Path(__file__).parents[2] / "static" / "vendor"


def test_the_vendored_files_are_those_of_the_locked_packages(tmp_path: Path) -> None:
    assert shutil.which("npm"), "npm is needed to look"
    subprocess.run(["sh", VENDOR / "copy.sh", tmp_path], check=True, timeout=100)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert {"htmx.min.js", "hx-csp.min.js", "uPlot.iife.min.js", "icons.svg"} <= set(made)
    for name in made:
        assert (tmp_path / name).read_bytes() == (VENDOR / name).read_bytes(), f"{name}: run `make assets`"
