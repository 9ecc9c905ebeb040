"""How a call can end other than well, in the house's words. The edges turn each into a status and a text."""

from __future__ import annotations

from uuid import UUID

from accounts.errors import NotAuthenticated
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.hsm.errors import ModuleError


class OperationError(Exception):
    """An ending that the caller is told about. ``reason`` is the code for the record; the message is for the caller."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class AccessDenied(OperationError):
    """The decision was Deny."""


class ApprovalRequired(OperationError):
    """The decision was NeedsApproval. ``policies`` are the accounts, groups and objects whose quorums are not met."""

    def __init__(self, reason: str, policies: tuple[UUID, ...]) -> None:
        super().__init__(reason, "This operation requires approval")
        self.policies = policies


class NotFound(OperationError):
    """Absent, or not the caller's to see: outside, these look the same."""

    def __init__(self, message: str, reason: str = "not-found") -> None:
        super().__init__(reason, message)


class Conflict(OperationError):
    """The change contradicts what is there: a name taken, a group not empty."""


class InvalidRequest(OperationError):
    """Well-formed, but it makes no sense for this target."""

    def __init__(self, message: str, reason: str = "invalid-request") -> None:
        super().__init__(reason, message)


class TooManyAttempts(OperationError):
    """Guessing is slowed down, or a caller's rate is used up. ``retry_after`` seconds."""

    def __init__(self, reason: str, retry_after: int, message: str = "Too many attempts; try again later") -> None:
        super().__init__(reason, message)
        self.retry_after = retry_after


class ProviderUnavailable(OperationError):
    """An identity provider did not answer as it should. What it did instead is in the chain, for the log only."""

    def __init__(self) -> None:
        super().__init__("provider-unavailable", "The identity provider did not answer as expected; try again")


class CredentialStale(Exception):
    """What the credential was checked against has changed since; the edge authenticates again."""


class CarriedOut(Exception):
    """What was approved is done already, or taken back; nothing was done now, so there is nothing to record."""


class TooBusy(Exception):
    """Facts kept changing under the call; nothing was done."""


# Endings that a caller is told about. Anything else is a defect: recorded as failed, answered without detail.
EXPECTED = (OperationError, ParameterInvalid, AlgorithmUnsupported, ModuleError, NotAuthenticated)
