"""Every algorithm there is, as an explicit tuple. Adding one is a file beside the others and a line here."""

from __future__ import annotations

from kms.crypto.algorithm import Algorithm
from kms.crypto.algorithms.aes import Aes
from kms.crypto.algorithms.bip32 import Bip32
from kms.crypto.algorithms.certificate import Certificate
from kms.crypto.algorithms.des import Des
from kms.crypto.algorithms.des3 import Des3
from kms.crypto.algorithms.dsa import Dsa
from kms.crypto.algorithms.ec import EllipticCurve
from kms.crypto.algorithms.hmac import Hmac
from kms.crypto.algorithms.mldsa import MlDsa
from kms.crypto.algorithms.mlkem import MlKem
from kms.crypto.algorithms.opaque import Opaque, Secret
from kms.crypto.algorithms.rsa import Rsa
from kms.crypto.algorithms.seed import Seed
from kms.crypto.algorithms.slip10 import Slip10
from kms.crypto.errors import AlgorithmUnsupported

ALGORITHMS: tuple[Algorithm, ...] = (
    Aes(),
    Des3(),
    Des(),
    Seed(),
    Hmac(),
    Rsa(),
    EllipticCurve(),
    Dsa(),
    MlDsa(),
    MlKem(),
    Bip32(),
    Slip10(),
    Secret(),
    Opaque(),
    Certificate(),
)
_BY_KIND = {algorithm.kind: algorithm for algorithm in ALGORITHMS}

_NO_LIBRARY = "neither the token nor the library has the algorithm"
_BETA = "it is the draft of a standard that has come out since; use"
# The kinds that the vendor's clients can name and this server does not have, with the reason.
WITHOUT = {
    "ARIA": _NO_LIBRARY,
    "KCDSA": _NO_LIBRARY,
    "ECKCDSA": _NO_LIBRARY,
    "BLS": _NO_LIBRARY,
    "LMS": "it is a stateful signature: one state used twice, as after a restored backup, gives the key away",
    "XMSS": "it is a stateful signature: one state used twice, as after a restored backup, gives the key away",
    "MLDSABETA": f"{_BETA} MLDSA",
    "MLKEMBETA": f"{_BETA} MLKEM",
    "LEDABETA": "the algorithm was dropped from NIST's competition; use MLKEM",
    "ROUND5BETA": "the algorithm was dropped from NIST's competition; use MLKEM",
    "PBE": "a password is no key: import it as a SECRET",
}


def algorithm_of(kind: str) -> Algorithm:
    try:
        return _BY_KIND[kind]
    except KeyError:
        why = f": {WITHOUT[kind]}" if kind in WITHOUT else ""
        raise AlgorithmUnsupported(f"objects of type {kind} are not supported{why}") from None
