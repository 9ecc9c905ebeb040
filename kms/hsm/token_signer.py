"""A private key in the token, in the shape that `cryptography` signs certificates with.

Its builders take any implementation of their key interface and call nothing but ``sign`` (pyca/cryptography, issue
11616). It must not know where the key is: it is given a function that signs a digest.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from kms.hsm.errors import MechanismRefused

Buffer = bytes | bytearray | memoryview
# RFC 5280 §4.1.2.5: no end that is known. What is certified of a key stays true of its moment.
NO_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


class TokenSigner(ec.EllipticCurvePrivateKey):
    """``sign_digest`` gives the raw ``r || s`` of ECDSA."""

    def __init__(self, public: ec.EllipticCurvePublicKey, sign_digest: Callable[[bytes], bytes]) -> None:
        self._public = public
        self._sign_digest = sign_digest

    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        hashed_by = signature_algorithm.algorithm
        if isinstance(hashed_by, Prehashed):
            raise MechanismRefused("the token signs data that is hashed here")
        digest = hashes.Hash(hashed_by)
        digest.update(data)
        raw = self._sign_digest(digest.finalize())
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def _stays(self, *_arguments: Any, **_named: Any) -> NoReturn:
        raise MechanismRefused("the key never leaves the token, and it only signs")

    exchange = private_numbers = private_bytes = __copy__ = __deepcopy__ = _stays
