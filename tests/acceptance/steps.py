"""What a client program in another language or environment reports: one line a step, `ok NAME` or `FAIL NAME why`.

The names are listed in the test module, because pytest collects before anything runs. A step missing from either side
is a failure.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


class Steps:
    """The outcome of one run of a client program."""

    def __init__(self, outcomes: Mapping[str, str], transcript: str) -> None:
        self._outcomes = outcomes
        self._transcript = transcript

    @property
    def names(self) -> set[str]:
        return set(self._outcomes)

    def check(self, name: str) -> None:
        outcome = self._outcomes.get(name, "was not reached")
        assert outcome == "", f"{name}: {outcome}\n\n{self._transcript}"


def run(command: list[str | Path], env: Mapping[str, str]) -> Steps:
    done = subprocess.run(
        list(map(str, command)),
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    outcomes: dict[str, str] = {}
    for line in done.stdout.splitlines():
        verdict, _, rest = line.partition(" ")
        name, _, why = rest.partition(" ")
        if verdict in ("ok", "FAIL"):
            outcomes[name] = "" if verdict == "ok" else why or "failed"
    transcript = f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return Steps(outcomes, transcript)
