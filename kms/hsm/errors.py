"""What can go wrong behind the door, in words that need no PKCS#11.

The edges turn these into answers; nothing here knows HTTP.
"""


class ModuleError(Exception):
    """Any failure of the cryptographic module."""


class ModuleUnavailable(ModuleError):
    """The token or its library is gone for now; a later call may succeed after recovery."""


class ModuleSealed(ModuleError):
    """The token refused the PIN, or lacks the master keys. Never retried: a restart loop would lock a real token."""


class BlobRejected(ModuleError):
    """A stored blob did not open: it, or a field bound to it, was altered or moved. The token itself is well."""


class MechanismRefused(ModuleError):
    """The token does not offer this algorithm, size or parameter."""


class DataRejected(ModuleError):
    """The token processed the call and found the caller's data wrong: a bad tag, padding or length."""
