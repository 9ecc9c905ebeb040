"""Files that others replace while we run: credentials and certificates."""

from __future__ import annotations

import os
from pathlib import Path

from k8s.client.errors import Denied

# What tells one content from the next: Kubernetes exchanges a link, editors a file, and some write in place.
Stamp = tuple[int, int, int, int]


def stamp_of(path: Path) -> Stamp | None:
    """None while it cannot be looked at."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def first_line(path: Path) -> str:
    """The secret in a file of one line. The text of an error names the file, never what is in it."""
    try:
        lines = path.read_text("ascii").strip().splitlines()
    except OSError as error:
        raise Denied(f"The credential in {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Denied(f"The credential in {path} is not text") from None
    if len(lines) != 1:
        raise Denied(f"The credential in {path} is not one line")
    return lines[0].strip()
