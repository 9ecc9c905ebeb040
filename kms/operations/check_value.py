"""Key check values: how two parties see that they hold the same key without showing it (ANSI X9.24-1 annex A).

The first three bytes of a block of zeros encrypted under the key, or of its CMAC. Symmetric block ciphers only.
"""

from __future__ import annotations

import hmac

from kms.crypto.algorithm import Key
from kms.crypto.errors import ParameterInvalid
from kms.crypto.registry import algorithm_of
from kms.hsm.module import Usage
from kms.objects import keystore
from kms.objects.models import SecurityObject
from kms.objects.snapshot import snapshot_of
from kms.operations.errors import InvalidRequest

ENCRYPT, CMAC = "encrypt", "cmac"
# The first is the usage that data is encrypted under, so that the handle opened here serves the first encryption.
USAGES = {ENCRYPT: Usage.ENCRYPT | Usage.DECRYPT, CMAC: Usage.MAC}


def has_check_value(kind: str) -> bool:
    return algorithm_of(kind).check_values


def compute(kind: str, key: Key, method: str = ENCRYPT) -> str:
    """Six upper-case hex digits."""
    algorithm = algorithm_of(kind)
    if not algorithm.check_values:
        raise InvalidRequest(f"{kind} objects have no key check value")
    return algorithm.check_value(key, cmac=method == CMAC).hex().upper()


def of_row(row: SecurityObject, method: str = ENCRYPT) -> str:
    """The check value of a new row's blob; empty when its kind has none."""
    if not has_check_value(row.kind):
        return ""
    made = snapshot_of(row, keystore.deployment_id())
    return compute(row.kind, keystore.open_new(made, USAGES[method]), method)


def must_match(row: SecurityObject, expected: str, method: str | None) -> None:
    """Refuse an import whose key is not the one that its sender meant."""
    if not has_check_value(row.kind):
        raise ParameterInvalid(f"{row.kind} objects have no key check value to compare kcv with")
    actual = row.kcv if method in (None, ENCRYPT) else of_row(row, CMAC)
    if not hmac.compare_digest(actual.encode(), expected.upper().encode()):
        raise ParameterInvalid("kcv does not match the key: it was damaged on the way, or is another one")
