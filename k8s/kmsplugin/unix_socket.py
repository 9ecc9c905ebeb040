"""The unix socket that the API server speaks to. Whoever can connect to it can decrypt: it is ours alone (0600)."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SocketUnusable(Exception):
    """The path cannot be served on, and why."""


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """The path is ours while this lasts: a lock beside it keeps a second plugin from taking it over.

    With the lock held, a socket that lies there was left behind by a plugin that is no more.
    """
    _check_folder(path.parent)
    lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SocketUnusable(f"{path}: another plugin serves on it") from None
        _remove_stale(path)
        yield
        path.unlink(missing_ok=True)
    finally:
        os.close(lock)


@contextmanager
def only_for_us() -> Iterator[None]:
    """Sockets that are made in here get 0600 from the start; there is no moment in which others could connect."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


def _check_folder(folder: Path) -> None:
    try:
        found = folder.stat()
    except OSError as error:
        raise SocketUnusable(f"{folder}: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise SocketUnusable(f"{folder}: not a folder")
    if found.st_uid not in (os.geteuid(), 0):
        raise SocketUnusable(f"{folder}: belongs to user {found.st_uid}, who could put another socket there")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SocketUnusable(f"{folder}: others may write in it, and could put another socket there; chmod go-w")


def _remove_stale(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketUnusable(f"{path}: something that is no socket lies there")
    if found.st_uid != os.geteuid():
        raise SocketUnusable(f"{path}: user {found.st_uid}'s socket lies there")
    path.unlink()
