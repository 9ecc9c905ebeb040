"""What a token offers: mechanisms as it lists them, elliptic curves as it shows when tried.

It must not know blobs, callers' keys or recovery.
"""

from __future__ import annotations

from dataclasses import dataclass

import pkcs11
from pkcs11 import Mechanism

from kms.hsm.diagnosis import Finding, diagnose
from kms.hsm.key_material import CURVES
from kms.hsm.mechanisms import offers
from kms.hsm.module import KeySpec
from kms.hsm.token_objects import PASSING, generate_pair, passing


@dataclass(frozen=True, slots=True)
class Offer:
    mechanisms: frozenset[int]
    curves: frozenset[str]

    def holds(self, spec: KeySpec) -> bool:
        """Whether the token can do with such a key all that its kind is for."""
        return offers(self.mechanisms, spec) and (spec.kind != "EC" or spec.curve in self.curves)


def offer_of(token: pkcs11.Token, session: pkcs11.Session) -> Offer:
    mechanisms = frozenset(map(int, token.slot.get_mechanisms()))
    makes_pairs = int(Mechanism.EC_KEY_PAIR_GEN) in mechanisms
    return Offer(mechanisms, frozenset(name for name in CURVES if makes_pairs and _makes(session, name)))


def _makes(session: pkcs11.Session, curve: str) -> bool:
    """PKCS#11 has no list of curves, and key sizes do not tell: Kryoptic 1.5.4 says "256 to 521 bits" and has no
    SecP256K1 (CKR_GENERAL_ERROR). A pair on each takes a few milliseconds, once per start.
    """
    spec = KeySpec("EC", CURVES[curve]().key_size, curve)
    try:
        with passing(*generate_pair(session, spec, PASSING)):
            return True
    except pkcs11.PKCS11Error as error:
        if diagnose(error) in (Finding.REFUSED, Finding.UNCLEAR):
            return False
        raise
