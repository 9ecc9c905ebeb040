"""One call as its caller sees it: what is asked, the name it goes by, and when it must be over.

In monotonic time: clocks get set.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from uuid import UUID, uuid4


@dataclass(frozen=True, slots=True)
class Question:
    """One request, of whichever server. No value of a secret is part of ``path``: paths are logged."""

    path: str
    content: bytes | None = field(default=None, repr=False)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Call:
    """``request_id`` becomes that of the audit entry."""

    request_id: UUID
    ends_at: float

    @classmethod
    def within(cls, seconds: float, request_id: UUID | None = None) -> Call:
        return cls(request_id or uuid4(), time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds; none are left at 0."""
        return max(0.0, self.ends_at - time.monotonic())
