"""Every family, as an explicit tuple."""

from __future__ import annotations

from tests.vectors.wycheproof import (
    agreement,
    ciphers,
    derivation,
    encapsulation,
    macs,
    rsa_encryption,
    signatures,
    tokenisation,
    wrapping,
)
from tests.vectors.wycheproof.family import Family

FAMILIES: tuple[Family, ...] = (
    *ciphers.FAMILIES,
    *wrapping.FAMILIES,
    *macs.FAMILIES,
    *signatures.FAMILIES,
    *rsa_encryption.FAMILIES,
    *agreement.FAMILIES,
    *encapsulation.FAMILIES,
    *derivation.FAMILIES,
    *tokenisation.FAMILIES,
)
