"""Write kms/audit/keystead_vectors.json."""

from __future__ import annotations

import json
from pathlib import Path

from tests.audit.verifier_vectors import entries, notes, proofs
from tests.audit.verifier_vectors.world import Case, bundle

SHIPPED = Path(__file__).parents[3] / "kms" / "audit" / "keystead_vectors.json"
_ABOUT = (
    "What keystead_verify.py must say of good evidence and of bad. Each case is a folder with the shared files and its "
    "own, which go before (null: not there; bytes that are no UTF-8 are lone surrogates), the arguments that it is "
    "called with there, the result (holds: exit status 0; does not hold: 1; unreadable: 2) and a reason: words that "
    "are in what it prints. "
    "Made by tests/audit/verifier_vectors, with keys that are good for nothing else."
)


SHARED = bundle().files


def all_cases() -> list[Case]:
    return [case for room in (entries, notes, proofs) for case in room.cases()]


def rendered() -> str:
    cases = [
        {
            "id": case.id,
            "comment": case.comment,
            "result": case.result,
            "reason": case.reason,
            "arguments": " ".join(case.arguments),
            "files": {
                name: content for name, content in case.files.items() if name not in SHARED or SHARED[name] != content
            },
        }
        for case in all_cases()
    ]
    return json.dumps({"about": _ABOUT, "shared": SHARED, "cases": cases}, indent=1) + "\n"


if __name__ == "__main__":
    SHIPPED.write_text(rendered(), encoding="ascii")
    print(f"{len(all_cases())} cases in {SHIPPED.name}, {SHIPPED.stat().st_size // 1024} KiB")
