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
AWAITED = (
    r"aes_(ccm|ff1_\w+)|seed_\w+|hmac_sha3_\d+|rsa_signature_2048_sha3_256|rsa_pkcs1_\d+|rsa_(three_primes_)?oaep_\w+"
    r"|dsa_\w+|ed\d+|ecdh_\w+|x(25519|448)(_asn)?|hkdf_\w+|mldsa_\w+|mlkem_\w+"
)
