"""A lock between processes, because SoftHSM's start-up and its token-object writes race (docs/hsm.md 9).

It must not know what is done under it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kms.hsm.errors import ModuleUnavailable

_PATIENCE_SECONDS = 60.0


def default_lock_file() -> Path:
    return Path(tempfile.gettempdir()) / f"keystead-hsm-{os.getuid()}.lock"


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    try:
        # O_NOFOLLOW: the default path is in a shared directory, where a symbolic link could be waiting.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ModuleUnavailable(f"the lock file {path} can't be opened: {error.strerror}") from error
    try:
        _acquire(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ModuleUnavailable(f"another process holds {path}") from None
            time.sleep(0.01)
