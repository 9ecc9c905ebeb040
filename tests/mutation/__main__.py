"""``python -m tests.mutation [ROOM]``: change pure code in hundreds of small ways, and see the tests fail.

Rooms are ``policies``, the decisions, and ``record``, the auditor's verifier and what it verifies. It works on a copy
of the checkout, so that nothing here is ever mutated, prints what no test noticed, and fails when that is more than
the room allows. With names of mutants (``policies.quorum.*``) after the room's it tries those only.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.mutation.equivalent import EQUIVALENT

ROOT = Path(__file__).parents[2]
MUTMUT = str(Path(sys.executable).with_name("mutmut"))
NOTICED = ("killed", "timeout")
UNTRIED = "not checked"
# What part of a room's mutants the tests must notice.
LEAST = {"policies": 0.9, "record": 0.95}


def main() -> int:
    room, *names = sys.argv[1:] or ["policies"]
    copy = Path(sys.prefix) / "share" / "mutation" / room
    _copy_checkout(copy, room)
    subprocess.run([MUTMUT, "run", *names], cwd=copy, check=True)
    states = _states(copy)
    for mutant, state in states.items():
        if state not in (*NOTICED, UNTRIED):
            print(f"{mutant}: {state}", *_told_apart(copy, mutant), sep="\n    ")
    counted = Counter(states.values())
    noticed, tried = sum(counted[state] for state in NOTICED), counted.total() - counted[UNTRIED]
    print(f"{noticed} of {tried} mutants were noticed: {noticed / tried:.1%}; at least {LEAST[room]:.0%} must be")
    if counted[UNTRIED] and not names:
        print(f"{counted[UNTRIED]} were not tried", file=sys.stderr)
        return 1
    return 0 if noticed / tried >= LEAST[room] else 1


def _copy_checkout(copy: Path, room: str) -> None:
    shutil.rmtree(copy, ignore_errors=True)
    for name in ("accounts", "policies", "kms", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("manage.py", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    shutil.copy(Path(__file__).with_name(f"{room}.cfg"), copy / "setup.cfg")


def _states(copy: Path) -> dict[str, str]:
    """What became of each mutant."""
    lines = (line.strip().partition(": ") for line in _said_by(copy, "results", "--all", "true").splitlines())
    return {mutant: state for mutant, _, state in lines}


def _told_apart(copy: Path, mutant: str) -> list[str]:
    """The lines that it has and the real code has not, and why no test can notice them where that is known."""
    shown = (line for line in _said_by(copy, "show", mutant).splitlines() if line.startswith("+"))
    changed = [line[1:].strip() for line in shown if not line.startswith("+++")]
    return [*changed, *(f"(equivalent: {EQUIVALENT[line]})" for line in changed if line in EQUIVALENT)]


def _said_by(copy: Path, *arguments: str) -> str:
    return subprocess.run([MUTMUT, *arguments], cwd=copy, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
