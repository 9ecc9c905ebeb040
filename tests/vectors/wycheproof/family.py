"""What a family of files is, and what its attempts share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.vectors.wycheproof.archive import Vector
from tests.vectors.wycheproof.edge import Answer, Edge
from tests.vectors.wycheproof.outcome import Outcome, refused

Attempt = Callable[[Edge, Sequence[Vector]], list[Outcome]]


@dataclass(frozen=True)
class Family:
    """Files that are tried the same way. ``files`` is a regular expression for whole names."""

    name: str
    files: str
    attempt: Attempt

    def owns(self, file: str) -> bool:
        return re.fullmatch(self.files, file) is not None


def keyed(vectors: Sequence[Vector], key: Callable[[Vector], Answer]) -> tuple[list[tuple[Vector, str]], list[Outcome]]:
    """Each vector with the id of its key; those whose key the server does not take are at their end."""
    usable, outcomes = [], []
    for vector in vectors:
        answer = key(vector)
        if answer.refused:
            outcomes.append(refused(vector, f"the key: {answer.body}"))
        else:
            usable.append((vector, answer.body["kid"]))
    return usable, outcomes


def wire_hash(name: str) -> str:
    """``SHA-256`` and ``SHA3-256`` as the wire has them."""
    return name.replace("SHA-", "SHA").replace("SHA3-", "SHA3_")
