"""Packages of the npm registry for tests, as a lock file says, beside the checkout's other environments."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

_FOLDER = Path(__file__).parents[2] / ".node"


def installed(where: Path, name: str) -> Path:
    """The folder with the ``node_modules`` of ``where``'s package-lock.json; made when it is not there yet."""
    lock = (where / "package-lock.json").read_bytes()
    folder = _FOLDER / name / hashlib.sha256(lock).hexdigest()[:16]
    if not (folder / "node_modules").exists():
        making = folder.with_name(f"{folder.name}.{os.getpid()}")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(where / file, making)
        subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"],
            cwd=making,
            check=True,
            timeout=110,
        )
        making.replace(folder)
    return folder
