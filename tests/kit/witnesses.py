"""The real witness program, in a process of its own on loopback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kms.audit.cosignature import Witness, witness_key
from tests.acceptance.server import free_port

PROGRAM = Path(__file__).resolve().parents[2] / "kms" / "audit" / "keystead_witness.py"


@dataclass
class RunningWitness:
    """Stopped and started again it has its key, its address and what it remembers."""

    folder: Path
    log: str
    key: str
    port: int
    options: tuple[str, ...] = ()
    scheme: str = "http"
    process: subprocess.Popen[str] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/kept"

    @property
    def witness(self) -> Witness:
        return Witness(witness_key(self.key), self.url)

    def start(self) -> None:
        listen = f"127.0.0.1:{self.port}"
        line = [sys.executable, str(PROGRAM), "serve", str(self.folder), "--listen", listen, "--log", self.log]
        self.process = subprocess.Popen([*line, *self.options], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert "witnessing" in self.process.stdout.readline()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def new_witness(folder: Path, log: str, *options: str, name: str = "witness.example/w1") -> RunningWitness:
    made = subprocess.run(
        [sys.executable, str(PROGRAM), "new", str(folder), "--name", name], capture_output=True, text=True, check=True
    )
    return RunningWitness(folder, log, made.stdout.strip(), free_port(), options, "https" if options else "http")


@contextmanager
def witnessing(folder: Path, log: str, *options: str, name: str = "witness.example/w1") -> Iterator[RunningWitness]:
    running = new_witness(folder, log, *options, name=name)
    running.start()
    try:
        yield running
    finally:
        running.stop()
