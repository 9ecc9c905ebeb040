"""What may still be done with an object that a policy found when it came, and would not let in.

Such an object is older than the policy, or than its being so strict: none is made or changed to break one that stands.
Pure: no Django, no clock, no I/O.
"""

from __future__ import annotations

from enum import StrEnum

from kms.crypto.operation import KeyOperation

# What undoes a protection that is there already. Narrower than usage.PROCESSING: nothing leaves, nothing new is agreed.
UNPROTECTING = frozenset(
    {KeyOperation.DECRYPT, KeyOperation.VERIFY, KeyOperation.MAC_VERIFY, KeyOperation.UNWRAP},
)


class Legacy(StrEnum):
    ALLOWED = "allowed"
    UNPROTECT_ONLY = "unprotect-only"
    PROHIBITED = "prohibited"

    def permits(self, operation: KeyOperation) -> bool:
        if self is Legacy.UNPROTECT_ONLY:
            return operation in UNPROTECTING
        return self is Legacy.ALLOWED
