"""What a PKCS#11 error means for the caller and what may cure it: the table of docs/hsm.md.

Pure: it must not know sessions or keys, and does nothing about what it finds.
"""

from __future__ import annotations

from enum import Enum, auto

from pkcs11 import exceptions as e

from kms.hsm.errors import BlobRejected, DataRejected


class Finding(Enum):
    STALE_HANDLE = auto()  # drop the handle, open again once
    TOKEN_LOST = auto()  # finalise, initialise, log in
    OUT_OF_ROOM = auto()  # evict, retry once
    SEALED = auto()  # the PIN: never retried
    REFUSED = auto()  # the token is well and does not do this
    BAD_DATA = auto()  # the token is well and names the caller's data
    UNCLEAR = auto()  # bad data, or a broken token: ask the probe


_FINDINGS: dict[Finding, tuple[type[e.PKCS11Error], ...]] = {
    Finding.STALE_HANDLE: (
        e.ObjectHandleInvalid,
        e.KeyHandleInvalid,
        e.UnwrappingKeyHandleInvalid,
        e.WrappingKeyHandleInvalid,
    ),
    Finding.TOKEN_LOST: (
        e.SessionHandleInvalid,
        e.SessionClosed,
        e.UserNotLoggedIn,
        e.DeviceRemoved,
        e.TokenNotPresent,
        e.TokenNotRecognised,
        e.NoSuchToken,
        e.SlotIDInvalid,
    ),
    Finding.OUT_OF_ROOM: (e.DeviceMemory, e.HostMemory, e.SessionCount),
    Finding.SEALED: (
        e.PinIncorrect,
        e.PinInvalid,
        e.PinLenRange,
        e.PinLocked,
        e.PinExpired,
        e.UserPinNotInitialized,
    ),
    Finding.REFUSED: (
        e.MechanismInvalid,
        e.MechanismParamInvalid,
        e.ArgumentsBad,
        e.FunctionNotSupported,
        e.KeySizeRange,
        e.KeyTypeInconsistent,
        e.KeyIndigestible,
        e.KeyNotWrappable,
        e.KeyUnextractable,
        e.DomainParamsInvalid,
        e.AttributeTypeInvalid,
        e.AttributeValueInvalid,
        e.TemplateInconsistent,
        e.TemplateIncomplete,
        e.UnwrappingKeySizeRange,
        e.UnwrappingKeyTypeInconsistent,
        e.WrappingKeySizeRange,
        e.WrappingKeyTypeInconsistent,
    ),
    Finding.BAD_DATA: (
        e.DataInvalid,
        e.DataLenRange,
        e.EncryptedDataInvalid,
        e.EncryptedDataLenRange,
        e.WrappedKeyInvalid,
        e.WrappedKeyLenRange,
    ),
}
_BY_CLASS = {kind: finding for finding, kinds in _FINDINGS.items() for kind in kinds}


def diagnose(error: e.PKCS11Error) -> Finding:
    """What is not listed, and the bare ``Unmapped error code``, is UNCLEAR: SoftHSM says GeneralError for a bad tag."""
    return _BY_CLASS.get(type(error), Finding.UNCLEAR)


Verdict = type[BlobRejected] | type[DataRejected]


class Suspect(Exception):
    """A PKCS#11 error at a step whose input, if it is the culprit, deserves another verdict than the call's own.

    Opening the blob under an encrypt is the case: a bad blob there must not be reported as bad caller's data.
    """

    def __init__(self, cause: e.PKCS11Error, verdict: Verdict) -> None:
        super().__init__(type(cause).__name__)
        self.cause = cause
        self.verdict = verdict
