"""Doors that can be guessed at, for operations: ``accounts.throttle`` with the clock and the error of this room.

``reserve`` belongs in an operation's ``admit``, ``clear`` where the check has succeeded.
"""

from __future__ import annotations

from accounts import throttle
from accounts.clock import clock
from accounts.errors import AttemptRefused
from accounts.throttle import Attempt
from kms.operations.errors import TooManyAttempts


def reserve(attempt: Attempt) -> None:
    """Count the attempt before it is looked at, or raise TooManyAttempts."""
    try:
        throttle.reserve(attempt, clock.now())
    except AttemptRefused as refused:
        raise TooManyAttempts("slowed-down", refused.retry_after) from refused


def clear(attempt: Attempt) -> None:
    """It succeeded. Call it in the transaction of the success."""
    throttle.clear(attempt, clock.now())
