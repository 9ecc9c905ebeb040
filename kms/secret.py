"""A type for bytes that must not be seen.

It knows nothing of where secrets come from or go to; it makes a careless print, log line, JSON body or pickle fail.
"""

from __future__ import annotations

import hmac
from typing import NoReturn


class SecretBytes:
    """Bytes that hide in ``repr`` and refuse ``str``, JSON, pickle and hashing.

    ``reveal()`` is the one way out, so that ``grep reveal`` lists every place where a secret leaves its wrapper.
    Python cannot wipe immutable bytes; this stops mistakes, not a memory dump.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes | bytearray | memoryview) -> None:
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """The bytes themselves. The caller takes over the duty of not leaking them."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretBytes) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a secret as a dictionary key would be compared in variable time

    def __repr__(self) -> str:
        return f"SecretBytes(<{len(self._value)} bytes>)"

    def __str__(self) -> NoReturn:
        raise TypeError("a secret has no text form; reveal() it on purpose")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
