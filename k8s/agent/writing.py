"""A directory's files, exchanged all at once, laid as the kubelet lays those of a Secret (its AtomicWriter).

    ..2026_11_28_16_00_00.a1b2c3/db     the files themselves, in a directory that is new each time
    ..data -> ..2026_11_28_16_00_00.a1b2c3
    db -> ..data/db

Renaming a new ``..data`` over the old one is the moment of the exchange; whatever ends this program before or after it
leaves the old files or the new ones. It must not know what is in the files.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_DATA, _NEXT_DATA = "..data", "..data_tmp"
_NEXT_LINK = "..link_tmp"


@dataclass(frozen=True, slots=True)
class Entry:
    content: bytes = field(repr=False)
    mode: int


def read(directory: Path) -> dict[str, Entry]:
    """What lies there now, by the files' names."""
    data = directory / _DATA
    try:
        names = os.listdir(data)
    except FileNotFoundError:
        return {}
    return {name: Entry((data / name).read_bytes(), os.stat(data / name).st_mode & 0o7777) for name in names}


def write(directory: Path, entries: Mapping[str, Entry]) -> bool:
    """Lay exactly these files. What is there already is not touched. True: something changed."""
    changed = not os.path.islink(directory / _DATA) or read(directory) != dict(entries)
    if changed:
        _exchange(directory, _made(directory, entries))
    _link(directory, entries)
    _tidy(directory, entries)
    return changed


def _made(directory: Path, entries: Mapping[str, Entry]) -> str:
    """The files in a directory that nothing leads to yet. Modes are set outright: a umask has no say."""
    name = f"..{time.strftime('%Y_%m_%d_%H_%M_%S', time.gmtime())}.{secrets.token_hex(4)}"
    made = directory / name
    os.mkdir(made, 0o700)
    for file, entry in entries.items():
        descriptor = os.open(made / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            _write_all(descriptor, entry.content)
            os.fchmod(descriptor, entry.mode)
        finally:
            os.close(descriptor)
    os.chmod(made, 0o755)  # noqa: S103 - as the kubelet's: the files' own modes decide
    return name


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _exchange(directory: Path, name: str) -> None:
    _replace_link(directory, _NEXT_DATA, name, _DATA)


def _link(directory: Path, entries: Mapping[str, Entry]) -> None:
    for name in entries:
        target = f"{_DATA}/{name}"
        if not os.path.islink(directory / name) or os.readlink(directory / name) != target:
            _replace_link(directory, _NEXT_LINK, target, name)


def _replace_link(directory: Path, temporary: str, target: str, name: str) -> None:
    """A link appears, or leads elsewhere, in one step."""
    if os.path.lexists(directory / temporary):  # a predecessor ended here
        os.unlink(directory / temporary)
    os.symlink(target, directory / temporary)
    os.replace(directory / temporary, directory / name)


def _tidy(directory: Path, entries: Mapping[str, Entry]) -> None:
    """Links to files that are no more, directories of earlier times, and what a predecessor left unfinished."""
    current = os.readlink(directory / _DATA)
    for found in os.scandir(directory):
        if found.name in (_DATA, current) or found.name in entries:
            continue
        if found.is_symlink():
            os.unlink(found.path)
        elif found.is_dir() and found.name.startswith(".."):
            shutil.rmtree(found.path)


def install(source: Path, target: Path, mode: int) -> None:
    """A program, whole or not at all."""
    temporary = target.with_name(f"..{target.name}")
    if os.path.lexists(temporary):
        os.unlink(temporary)
    shutil.copyfile(source, temporary)
    os.chmod(temporary, mode)
    os.replace(temporary, target)
