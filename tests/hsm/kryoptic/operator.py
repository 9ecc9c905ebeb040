"""What an operator does with a token that Keystead does not set up itself: configure it, initialise it, set its PINs.

With the tools that an operator has, so it must not use kms.hsm. The PINs cross no command line.
"""

from __future__ import annotations

import os
import re
import secrets
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


def hand_over(library: str | Path, label: str, *, folder: Path, pin_file: Path) -> None:
    """A token for a whole installation, as its operator hands it over: configured, initialised, its PIN in a file.

    With a slot to spare, for the tests of the token itself.
    """
    tokens, conf = folder / "tokens", folder / "kryoptic.conf"
    tokens.mkdir(mode=0o700, parents=True)
    folder.chmod(0o700)
    conf.write_text(configuration(tokens, slots=2))
    os.environ[VARIABLE] = str(conf)
    pin = secrets.token_urlsafe(24)
    initialise(library, label, so_pin=secrets.token_urlsafe(24), user_pin=pin)
    pin_file.touch(mode=0o600)
    pin_file.write_text(pin + "\n")


def initialise(library: str | Path, label: str, *, so_pin: str, user_pin: str) -> None:
    """In the first slot whose token is not initialised."""
    environment = {**os.environ, "OPERATOR_SO_PIN": so_pin, "OPERATOR_PIN": user_pin}
    tool = ["pkcs11-tool", "--module", str(library), "--so-pin", "env:OPERATOR_SO_PIN"]
    free = _free_slot(library)
    for step in (
        ["--slot-index", str(free), "--init-token", "--label", label],
        ["--token-label", label, "--login", "--login-type", "so", "--init-pin", "--pin", "env:OPERATOR_PIN"],
    ):
        _run([*tool, *step], environment)


def _free_slot(library: str | Path) -> int:
    listed = _run(["pkcs11-tool", "--module", str(library), "--list-slots"], dict(os.environ))
    slots = re.split(r"^Slot \d+ ", listed, flags=re.MULTILINE)[1:]
    return next(number for number, slot in enumerate(slots) if "uninitialized" in slot)


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout
