"""``python -m tests.model``: run every command of approval.als in Alloy, and hold each to what it expects.

A check must find no counterexample; a run must find an instance, and the runs without one of the rules are
counterexamples that must be there. Maven fetches Alloy from Maven Central, so Maven's own settings say where that is;
``ALLOY_JAR`` names a file that is there already. Either way it is the archive whose hash is here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MODEL = Path(__file__).with_name("approval.als")
ARTIFACT, VERSION = "org.alloytools.alloy.dist", "6.2.0"
SHA256 = "6037cbeee0e8423c1c468447ed10f5fcf2f2743a2ffc39cb1c81f2905c0fdb9d"
JAR = f"{ARTIFACT}-{VERSION}.jar"
CACHE = Path(sys.prefix) / "share" / "alloy"


def main() -> int:
    needed = ("java",) if _jar().exists() else ("java", "mvn")
    if any(shutil.which(program) is None for program in needed):
        print("The model needs Java and Maven. Run:  sudo apt-get install default-jre-headless maven", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        answers = run_all(alloy(), Path(folder))
    wrong = [name for name, answer in answers.items() if not as_expected(answer)]
    for name in wrong:
        found = "a counterexample" if answers[name]["type"] == "check" else "no instance"
        print(f"{name}: Alloy found {found}", file=sys.stderr)
    print(f"{len(answers)} commands of {MODEL.name}, {len(wrong)} otherwise than expected")
    return 1 if wrong or not answers else 0


def as_expected(answer: dict[str, Any]) -> bool:
    """Nothing against what is checked; something for what is run."""
    found = any(solution["instances"] for solution in answer.get("solution", ()))
    return found is (answer["type"] == "run")


def run_all(jar: Path, folder: Path) -> dict[str, dict[str, Any]]:
    command = ["java", "-jar", str(jar), "exec", "--force", "--command", "*", "--type", "none", "--output", str(folder)]
    subprocess.run([*command, str(MODEL)], check=True)
    answers: dict[str, dict[str, Any]] = json.loads((folder / "receipt.json").read_text(encoding="utf-8"))["commands"]
    return answers


def alloy() -> Path:
    """The jar, whose hash is the one above."""
    jar = _jar()
    if not jar.exists():
        jar.parent.mkdir(parents=True, exist_ok=True)
        artifact = f"-Dartifact=org.alloytools:{ARTIFACT}:{VERSION}"
        fetch = ["mvn", "--batch-mode", "--quiet", "dependency:copy", artifact, f"-DoutputDirectory={jar.parent}"]
        subprocess.run(fetch, check=True)
    if hashlib.sha256(jar.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{jar} is not Alloy {VERSION}")
    return jar


def _jar() -> Path:
    return Path(os.environ.get("ALLOY_JAR") or CACHE / JAR)


if __name__ == "__main__":
    sys.exit(main())
