"""``python -m tests.mutation``: change the pure rooms of policies/ in hundreds of small ways, and see the tests fail.

It works on a copy of the checkout, so that nothing here is ever mutated, prints what no test noticed, and fails when
that is more than a tenth.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPY = Path(sys.prefix) / "share" / "mutation"
MUTMUT = str(Path(sys.executable).with_name("mutmut"))
LEAST = 0.9


def main() -> int:
    shutil.rmtree(COPY, ignore_errors=True)
    for name in ("accounts", "policies", "kms", "tests"):
        shutil.copytree(ROOT / name, COPY / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("manage.py", "pyproject.toml"):
        shutil.copy(ROOT / name, COPY)
    shutil.copy(Path(__file__).with_name("mutmut.cfg"), COPY / "setup.cfg")
    subprocess.run([MUTMUT, "run", *sys.argv[1:]], cwd=COPY, check=True)
    subprocess.run([MUTMUT, "results"], cwd=COPY, check=True)
    subprocess.run([MUTMUT, "export-cicd-stats"], cwd=COPY, check=True)
    counted = json.loads((COPY / "mutants" / "mutmut-cicd-stats.json").read_text(encoding="utf-8"))
    noticed, run = counted["killed"] + counted["timeout"], counted["total"] - counted["skipped"]
    print(f"{noticed} of {run} mutants were noticed: {noticed / run:.1%}; at least {LEAST:.0%} must be")
    return 0 if noticed / run >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
