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
)

# Files whose algorithms are being written.
AWAITED = r"aes_ff1_\w+|dsa_\w+|ed\d+|ecdh_\w+|x(25519|448)(_asn)?|hkdf_\w+|mldsa_\w+|mlkem_\w+"
