"""Files that only this system user may read, written whole or not at all. Does not know what is in them."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from kms.config.provision.errors import ProvisionError


def make_private_folder(path: Path, *, mode: int = 0o700) -> None:
    """Make the folder with exactly this mode. A folder that exists loses what `mode` does not grant, and gains it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
    except OSError as error:
        raise _unwritable(path, error) from error


def write_private(path: Path, content: bytes | str) -> None:
    """Write mode 0600 from the first byte, flushed to disk, then moved into place."""
    write_file(path, content, mode=0o600)


def write_file(path: Path, content: bytes | str, *, mode: int) -> None:
    data = content.encode() if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise _unwritable(path, error) from error


def read_first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")


def _flush_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> ProvisionError:
    return ProvisionError(
        f"{path} cannot be written: {error.strerror}.",
        "Give this user the folder, or name another data folder in KEYSTEAD_DATA.",
    )
