"""One table: what went wrong -> status and text. The vendor's errors are a status and a plain-text body."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.errors import NotAuthenticated
from accounts.row_seals import RowsForged
from kms.api.wire.base import WireError
from kms.audit.errors import RecordUnavailable, RecordUntrusted
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.hsm.errors import BlobRejected, DataRejected, MechanismRefused, ModuleError, ModuleSealed, ModuleUnavailable
from kms.operations.errors import (
    AccessDenied,
    ApprovalRequired,
    Conflict,
    CredentialStale,
    InvalidRequest,
    NotFound,
    ProviderUnavailable,
    TooBusy,
    TooManyAttempts,
)

CONTENT_TYPE = "text/plain; charset=utf-8"
INTERNAL = "The request could not be completed; the server's log says why"


class MethodNotAllowed(Exception):
    """The path exists, with other methods."""


class PayloadTooLarge(Exception):
    """The body is longer than the server takes."""


class RouteUnknown(Exception):
    """There is no such path here."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    message: str


# The first match holds. None takes the exception's own message, which was written for the caller; the texts of the
# module's errors are not, and are replaced.
_TABLE: tuple[tuple[type[Exception], int, str | None], ...] = (
    (WireError, 400, None),
    (ParameterInvalid, 400, None),
    (AlgorithmUnsupported, 400, None),
    (InvalidRequest, 400, None),
    (DataRejected, 400, "The data could not be processed under this key: it is malformed, or was made under another"),
    (MechanismRefused, 400, "The cryptographic module does not offer this operation for this key"),
    (NotAuthenticated, 401, None),
    (CredentialStale, 401, "The credential has changed; authenticate again"),
    (AccessDenied, 403, None),
    (ApprovalRequired, 403, None),
    (NotFound, 404, None),
    (RouteUnknown, 404, None),
    (MethodNotAllowed, 405, "Method not allowed"),
    (Conflict, 409, None),
    (TooManyAttempts, 429, None),
    (BlobRejected, 409, "The stored key does not match its record; it is not used"),
    (PayloadTooLarge, 413, None),
    (ModuleSealed, 503, "The server is sealed: its cryptographic module does not accept it"),
    (ModuleUnavailable, 503, "The cryptographic module is not available; try again"),
    (ProviderUnavailable, 503, None),
    (RowsForged, 503, "What this rests on was changed past the server, and is not used; an operator has to look"),
    (RecordUntrusted, 503, "The server is sealed: its record is not the one that it wrote; an operator has to look"),
    (RecordUnavailable, 503, "The audit log is not available, so nothing was done"),
    (TooBusy, 503, "Too many changes at once; try again"),
    (ModuleError, 503, "The cryptographic module failed; try again"),
)


def answer_of(error: BaseException) -> Answer:
    """What the caller is told. An error that no row names is a defect: it says nothing of itself."""
    for kind, status, message in _TABLE:
        if isinstance(error, kind):
            return Answer(status, str(error) if message is None else message)
    return Answer(500, INTERNAL)
