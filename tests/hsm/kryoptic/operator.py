"""What an operator does with a token that Keystead does not set up itself: configure it, initialise it, set its PINs.

With the tools that an operator has, so it must not use kms.hsm. The PINs cross no command line.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

VARIABLE = "KRYOPTIC_CONF"


def is_kryoptic(library: str | Path) -> bool:
    return "kryoptic" in Path(library).name


def configuration(folder: Path, *, slots: int = 1) -> str:
    """Kryoptic's configuration: a slot is a SQLite file."""
    return "".join(
        f'[[slots]]\nslot = {number}\ndbtype = "sqlite"\ndbargs = "{folder}/token-{number}.sql"\n'
        for number in range(slots)
    )


def initialise(library: str | Path, label: str, *, so_pin: str, user_pin: str, slot: int = 0) -> None:
    environment = {**os.environ, "OPERATOR_SO_PIN": so_pin, "OPERATOR_PIN": user_pin}
    tool = ["pkcs11-tool", "--module", str(library), "--slot", str(slot), "--so-pin", "env:OPERATOR_SO_PIN"]
    for step in (
        ["--init-token", "--label", label],
        ["--login", "--login-type", "so", "--init-pin", "--pin", "env:OPERATOR_PIN"],
    ):
        done = subprocess.run([*tool, *step], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join([*tool, *step])}\n{done.stdout}{done.stderr}"
