"""Every algorithm there is, as an explicit tuple. Adding one is a file beside the others and a line here."""

from __future__ import annotations

from kms.crypto.algorithm import Algorithm
from kms.crypto.algorithms.aes import Aes
from kms.crypto.algorithms.bip32 import Bip32
from kms.crypto.algorithms.certificate import Certificate
from kms.crypto.algorithms.des import Des
from kms.crypto.algorithms.des3 import Des3
from kms.crypto.algorithms.ec import EllipticCurve
from kms.crypto.algorithms.hmac import Hmac
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
    Bip32(),
    Slip10(),
    Secret(),
    Opaque(),
    Certificate(),
)
_BY_KIND = {algorithm.kind: algorithm for algorithm in ALGORITHMS}


def algorithm_of(kind: str) -> Algorithm:
    try:
        return _BY_KIND[kind]
    except KeyError:
        raise AlgorithmUnsupported(f"objects of type {kind} are not supported") from None
