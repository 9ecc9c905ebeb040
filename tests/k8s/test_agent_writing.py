"""Files are exchanged all at once, whatever ends the writer and whenever; what did not change is not touched."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from k8s.agent.writing import Entry, install, read, write

OLD = {"a": Entry(b"old a", 0o440), "b": Entry(b"old b", 0o440), "gone": Entry(b"old", 0o440)}
NEW = {"a": Entry(b"new a", 0o400), "b": Entry(b"new b", 0o444), "more": Entry(b"new", 0o440)}

CALLS = ("mkdir", "open", "write", "fchmod", "chmod", "close", "symlink", "replace", "unlink", "rmdir")


def killed_before(step: int, directory: Path) -> bool:
    """A child that writes and kills itself right before its system call number ``step``. False: it came to its end."""
    child = os.fork()
    if child == 0:
        left = count(step, -1)
        for name in CALLS:
            setattr(os, name, _counted(getattr(os, name), left))
        write(directory, NEW)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def _counted(call: Callable[..., Any], left: Iterator[int]) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **named)

    return wrapped


def visible(directory: Path) -> dict[str, bytes]:
    """As an application sees it: by the names, not by our layout. A link that leads nowhere is no file."""
    names = (name for name in os.listdir(directory) if not name.startswith(".."))
    return {name: (directory / name).read_bytes() for name in names if (directory / name).exists()}


def contents(entries: dict[str, Entry]) -> dict[str, bytes]:
    return {name: entry.content for name, entry in entries.items()}


def test_the_layout_is_the_kubelets(tmp_path: Path) -> None:
    assert write(tmp_path, OLD)
    data = os.readlink(tmp_path / "..data")
    assert data.startswith("..2")
    assert sorted(os.listdir(tmp_path)) == sorted(["..data", data, *OLD])
    assert os.readlink(tmp_path / "a") == "..data/a"
    assert visible(tmp_path) == contents(OLD)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_modes_are_exact_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        modes = (0o000, 0o400, 0o440, 0o444, 0o600, 0o755, 0o777)
        write(tmp_path, {f"{mode:o}": Entry(b"x", mode) for mode in modes})
    finally:
        os.umask(before)
    assert {name: entry.mode for name, entry in read(tmp_path).items()} == {f"{mode:o}": mode for mode in modes}
    assert (tmp_path / "..data").stat().st_mode & 0o7777 == 0o755


def test_what_did_not_change_is_not_touched(tmp_path: Path) -> None:
    write(tmp_path, OLD)
    before = {name: os.lstat(tmp_path / name).st_mtime_ns for name in os.listdir(tmp_path)}
    assert not write(tmp_path, dict(reversed(OLD.items())))
    assert {name: os.lstat(tmp_path / name).st_mtime_ns for name in os.listdir(tmp_path)} == before
    assert write(tmp_path, OLD | {"a": Entry(b"old a", 0o444)})  # a mode is a change


def test_what_left_goes_and_nothing_of_old_stays(tmp_path: Path) -> None:
    write(tmp_path, OLD)
    assert write(tmp_path, NEW)
    assert visible(tmp_path) == contents(NEW)
    assert sum(name.startswith("..2") for name in os.listdir(tmp_path)) == 1
    assert write(tmp_path, {})
    assert visible(tmp_path) == {}


@pytest.mark.parametrize("first", [False, True], ids=["over old files", "in an empty volume"])
def test_killed_at_any_step_a_reader_finds_the_old_files_or_the_new_ones(tmp_path: Path, first: bool) -> None:
    for step in range(200):
        directory = tmp_path / str(step)
        directory.mkdir()
        if not first:
            write(directory, OLD)
        killed = killed_before(step, directory)
        found = visible(directory)
        if not killed:
            assert step > 10
            assert found == contents(NEW)
            break
        # Names that are in one of the two only come and go after the exchange; those in both change with it.
        if first:
            assert set(found.items()) <= set(contents(NEW).items())
        else:
            both = {name: found.get(name) for name in ("a", "b")}
            assert both in [{name: state[name].content for name in ("a", "b")} for state in (OLD, NEW)]
            assert found.get("gone") in (None, b"old")
        write(directory, NEW)  # whoever comes next makes good
        assert visible(directory) == contents(NEW)
        assert sorted(os.listdir(directory)) == sorted(["..data", os.readlink(directory / "..data"), *NEW])
    else:
        pytest.fail("it never came to an end")


def test_a_program_is_installed_whole_over_one_that_is_there(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "bin" / "keystead-launch"
    target.parent.mkdir()
    for content in (b"first", b"second"):
        source.write_bytes(content)
        install(source, target, 0o555)
        assert (target.read_bytes(), target.stat().st_mode & 0o7777) == (content, 0o555)
    assert os.listdir(target.parent) == ["keystead-launch"]
