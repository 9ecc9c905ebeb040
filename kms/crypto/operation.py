"""The cryptographic usage mask by name (KMIP §11.13); the wire has its own spelling. It knows no states or rights."""

from __future__ import annotations

from enum import StrEnum


class KeyOperation(StrEnum):
    """What an object may be used for."""

    SIGN = "sign"
    VERIFY = "verify"
    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    WRAP = "wrap"
    UNWRAP = "unwrap"
    DERIVE = "derive"
    TRANSFORM = "transform"
    MAC_GENERATE = "mac-generate"
    MAC_VERIFY = "mac-verify"
    EXPORT = "export"
    APP_MANAGEABLE = "app-manageable"
    HIGH_VOLUME = "high-volume"
    AGREE = "agree"
    ENCAPSULATE = "encapsulate"
    DECAPSULATE = "decapsulate"


# Operations that say how an object is managed rather than what its key computes: any kind may carry them.
MANAGEMENT = frozenset({KeyOperation.EXPORT, KeyOperation.APP_MANAGEABLE, KeyOperation.HIGH_VOLUME})
