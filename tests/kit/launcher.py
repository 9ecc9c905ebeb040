"""The launcher, built once, and applications that run under it."""

from __future__ import annotations

import functools
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.acceptance.server import CHECKOUT

BUILD = CHECKOUT / "k8s" / "launcher" / "build.sh"
# How long is waited for what happens; nothing is taken to be wrong for being slow.
WAIT_SECONDS = 30.0


@functools.cache
def launcher_at() -> Path:
    """Go's own cache makes every time but the first quick. Others may execute what lies there."""
    folder = Path(tempfile.mkdtemp(prefix="launcher-"))
    folder.chmod(0o755)
    subprocess.run(["sh", str(BUILD), str(folder / "keystead-launch")], check=True, timeout=300)
    return folder / "keystead-launch"


def variables(path: Path, entries: Mapping[bytes, bytes]) -> Path:
    """As the agent lays them: whole, or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(b"".join(name + b"=" + value + b"\0" for name, value in entries.items()))
    return fresh.rename(path)


def replace(path: Path, content: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(content)
    fresh.rename(path)


def within(happened: Callable[[], bool], otherwise: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.02)


class Application:
    """A process whose lines are read as they come. Standard error is the watcher's, too."""

    def __init__(self, command: list[Any], **more: Any) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
        )
        self._said: queue.Queue[str] = queue.Queue()
        self.errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self._said.put)),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors.append)),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Any, put: Callable[[str], None]) -> None:
        for line in stream:
            put(line.rstrip("\n"))
        stream.close()

    def line(self) -> str:
        try:
            return self._said.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            raise AssertionError(f"nothing came; it said {self.errors}") from None

    def quiet(self) -> bool:
        return self._said.empty()

    def watcher_said(self, text: str) -> None:
        """Waits until it has; the line is taken."""

        def found() -> bool:
            return any(text in line for line in self.errors)

        within(found, lambda: f"{text!r} is not in {self.errors}")
        self.errors.remove(next(line for line in self.errors if text in line))

    def wait_until_it_is(self, name: str) -> None:
        within(lambda: Path(f"/proc/{self.process.pid}/comm").read_text().strip() == name)

    def children(self) -> list[int]:
        return [
            int(each) for each in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    def end(self) -> None:
        """Both streams end with it: nobody else holds them open."""
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(WAIT_SECONDS)
            assert not reader.is_alive(), "somebody keeps a stream of the application's open"
        if self.process.stdin is not None:
            self.process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()
