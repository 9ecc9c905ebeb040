"""SoftHSM 2 on this machine: the library, its configuration, and the PINs of a token that does not exist yet.

Stops short of the token itself (`token`). A hardware token is installed and initialised by its operator, never here.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from kms.config.environment import Environment
from kms.config.provision.errors import ProvisionError
from kms.config.provision.private_files import make_private_folder, write_private
from kms.config.token import find_library, is_softhsm, point_softhsm_at_data, softhsm_configuration

PACKAGE = "softhsm2"
INSTALL_COMMAND = f"apt-get install -y {PACKAGE}"

Say = Callable[[str], None]


def ensure_library(environment: Environment, say: Say) -> Path:
    """The PKCS#11 library; SoftHSM is installed when nothing else was asked for, and when we may."""
    library = find_library(environment)
    if library is not None:
        return library
    if environment.pkcs11_module is not None:
        raise ProvisionError(
            f"There is no PKCS#11 library at {environment.pkcs11_module}.",
            "Correct KEYSTEAD_PKCS11_MODULE, or unset it to use SoftHSM 2.",
        )
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise ProvisionError("SoftHSM 2, the software PKCS#11 token, is not installed.", _how_to_install())
    _install(say)
    library = find_library(environment)
    if library is None:
        raise ProvisionError(
            f"The package {PACKAGE} is installed, but its library is in none of the usual places.",
            "Name libsofthsm2.so in KEYSTEAD_PKCS11_MODULE.",
        )
    return library


def _how_to_install() -> str:
    if shutil.which("apt-get"):
        return f"Run this, then start again:  sudo {INSTALL_COMMAND}"
    if shutil.which("dnf"):
        return "Run this, then start again:  sudo dnf install -y softhsm"
    return "Install SoftHSM 2 with your package manager, or name another PKCS#11 library in KEYSTEAD_PKCS11_MODULE."


def _install(say: Say) -> None:
    """Without the package lists (a fresh container has none) the first attempt fails at once and the second works."""
    say(f"installing {PACKAGE}: {INSTALL_COMMAND}")
    if _apt("install", "-y", "--no-install-recommends", PACKAGE) is None:
        return
    say("fetching the package lists first: apt-get update")
    failure = _apt("update") or _apt("install", "-y", "--no-install-recommends", PACKAGE)
    if failure is not None:
        raise ProvisionError(f"{INSTALL_COMMAND} failed: {failure}", f"Mend that, or run:  {INSTALL_COMMAND}")


def _apt(*arguments: str) -> str | None:
    """Run apt-get; None, or its last complaint."""
    done = subprocess.run(  # noqa: S603 (fixed arguments)
        ["apt-get", "-q", *arguments],  # noqa: S607 (apt-get is wherever the distribution puts it)
        capture_output=True,
        text=True,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        check=False,
    )
    if done.returncode == 0:
        return None
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"


def ensure_configuration(environment: Environment, library: Path) -> None:
    """The folder, softhsm2.conf and the user PIN, which is made only while there is no token it would have to open."""
    make_private_folder(environment.token_folder)
    if is_softhsm(library):
        tokens = environment.token_folder / "tokens"
        make_private_folder(tokens)
        write_private(
            softhsm_configuration(environment),
            f"directories.tokendir = {tokens}\n"
            "objectstore.backend = file\n"
            "log.level = ERROR\n"
            "slots.removable = false\n"
            "slots.mechanisms = ALL\n"
            "library.reset_on_fork = false\n",
        )
        point_softhsm_at_data(environment, library)
    if environment.pin_file.exists():
        return
    if not is_softhsm(library) or not environment.pin_file_generated:
        raise ProvisionError(
            f"There is no PIN file at {environment.pin_file}.",
            "Write the token's user PIN into it (mode 0600), or name another file in KEYSTEAD_PIN_FILE.",
        )
    if any((environment.token_folder / "tokens").iterdir()):
        raise ProvisionError(
            f"The token exists, but its PIN file {environment.pin_file} is gone.",
            "Restore the file from a backup. Without the PIN nothing in this data folder can be opened.",
        )
    write_private(environment.pin_file, secrets.token_urlsafe(24) + "\n")


def ensure_so_pin(environment: Environment) -> Path:
    """The security officer's PIN of a token about to be initialised. It can reset the user PIN: keep it elsewhere."""
    path = environment.token_folder / "so.pin"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24) + "\n")
    return path
