"""Where the PKCS#11 token is found and what opens it, for the composition root and the provisioning alike.

Reads files and sets SOFTHSM2_CONF; loads no library and opens no token.
"""

from __future__ import annotations

import os
from pathlib import Path

from kms.config.environment import ConfigurationError, Environment
from kms.secret import SecretBytes

SOFTHSM_VARIABLE = "SOFTHSM2_CONF"

SOFTHSM_PLACES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),  # Debian, Ubuntu
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/pkcs11/libsofthsm2.so"),  # Fedora, RHEL
    Path("/usr/lib64/softhsm/libsofthsm2.so"),
    Path("/usr/lib/pkcs11/libsofthsm2.so"),  # Arch
    Path("/usr/lib/softhsm2/libsofthsm2.so"),
    Path("/usr/local/lib/softhsm/libsofthsm2.so"),
    Path("/opt/homebrew/lib/softhsm/libsofthsm2.so"),
)


def find_library(environment: Environment) -> Path | None:
    """The PKCS#11 library: the one that was named, else SoftHSM 2 where distributions put it."""
    if environment.pkcs11_module is not None:
        return environment.pkcs11_module if environment.pkcs11_module.is_file() else None
    return next((place for place in SOFTHSM_PLACES if place.is_file()), None)


def is_softhsm(library: Path) -> bool:
    return "softhsm" in library.name.lower()


def token_library(environment: Environment) -> Path:
    """As `find_library`, for a server that cannot go on without. Points SoftHSM at the data folder's token."""
    library = find_library(environment)
    if library is None:
        named = environment.pkcs11_module
        raise ConfigurationError(
            f"KEYSTEAD_PKCS11_MODULE names no file: {named}." if named else "SoftHSM 2 is not installed."
        )
    point_softhsm_at_data(environment, library)
    return library


def token_pin(environment: Environment) -> SecretBytes:
    """The user PIN: the first line of its file."""
    try:
        line = environment.pin_file.read_bytes().partition(b"\n")[0].rstrip(b"\r")
    except OSError as error:
        raise ConfigurationError(
            f"The PIN file {environment.pin_file} cannot be read: {error.strerror}. "
            "`manage.py run` makes it, or set KEYSTEAD_PIN_FILE."
        ) from None
    if not line:
        raise ConfigurationError(f"The PIN file {environment.pin_file} is empty.")
    return SecretBytes(line)


def softhsm_configuration(environment: Environment) -> Path:
    return environment.token_folder / "softhsm2.conf"


def point_softhsm_at_data(environment: Environment, library: Path) -> None:
    """SoftHSM reads its configuration's path from the process environment. An operator's own setting stays."""
    if is_softhsm(library) and softhsm_configuration(environment).exists():
        os.environ.setdefault(SOFTHSM_VARIABLE, str(softhsm_configuration(environment)))
