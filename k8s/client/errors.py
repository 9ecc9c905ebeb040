"""How a call ends that does not succeed. The texts are for operators' logs; no secret is ever part of one."""

from __future__ import annotations


class KeysteadError(Exception):
    """The call did not succeed; which subclass it is says what would help."""


class Unreachable(KeysteadError):
    """No server answered in time, or none could do it now. Trying again later may help."""


class Denied(KeysteadError):
    """The server does not know us: the credential is wrong, spent, or cannot be read."""


class Refused(KeysteadError):
    """The server knows us and says no: a right is missing, the key is disabled, in the wrong state or not there."""


class Bad(KeysteadError):
    """What was asked makes no sense, data do not open under this key, or an answer is none of ours."""
