"""The proof that a decision was Allow, which the keystore demands before it opens a key.

A Grant is made on one line of one file (the executor). In Python this stops mistakes, not malice.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from accounts.principal import Principal
from policies.permissions import Permission


@dataclass(frozen=True, slots=True)
class Grant:
    principal: Principal
    permission: Permission
    target: UUID | None
    reason: str
