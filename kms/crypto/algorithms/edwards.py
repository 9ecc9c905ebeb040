"""Ed25519 and Ed448 (RFC 8032, FIPS 186-5 §7): they hash the message themselves, and sign it deterministically.

SoftHSM makes Ed25519 keys but wraps none, so the material is lent to `cryptography`.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey, Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kms.crypto.algorithm import Key, Message, SignatureParameters, lent_key
from kms.crypto.asymmetric import PrivateKey, PublicKey, load_private, refuse_variant
from kms.crypto.curve_family import CurveFamily
from kms.crypto.errors import ParameterInvalid
from kms.crypto.operation import KeyOperation

# The hash inside the scheme, where the wire has a name for it: clients must send some hash_alg (RFC 8032 §5.1, §5.2).
_OWN_HASHES = {"Ed25519": "SHA512", "Ed448": None}


class Edwards(CurveFamily):
    sizes = {"Ed25519": 256, "Ed448": 448}
    operations = frozenset({KeyOperation.SIGN, KeyOperation.VERIFY})

    def curve_of(self, public: PublicKey) -> str | None:
        if isinstance(public, Ed25519PublicKey):
            return "Ed25519"
        return "Ed448" if isinstance(public, Ed448PublicKey) else None

    def generate(self, curve: str) -> PrivateKey:
        return Ed25519PrivateKey.generate() if curve == "Ed25519" else Ed448PrivateKey.generate()

    def sign(self, key: Key, parameters: SignatureParameters, message: Message) -> bytes:
        lent = lent_key(key)
        data = _whole(lent.spec.curve or "", parameters, message)
        private = load_private(lent.material)
        assert isinstance(private, Ed25519PrivateKey | Ed448PrivateKey)
        return private.sign(data)

    def verify(self, public: PublicKey, parameters: SignatureParameters, message: Message, signature: bytes) -> bool:
        data = _whole(self.curve_of(public) or "", parameters, message)
        assert isinstance(public, Ed25519PublicKey | Ed448PublicKey)
        try:
            public.verify(signature, data)
        except InvalidSignature:
            return False
        return True


def _whole(curve: str, parameters: SignatureParameters, message: Message) -> bytes:
    """The message of the pure scheme: Ed25519ph and Ed25519ctx are others, which the wire cannot name."""
    refuse_variant(parameters, f"an {curve} signature")
    if parameters.padding is not None:
        raise ParameterInvalid("an EC signature takes no mode")
    if parameters.hash not in (None, _OWN_HASHES[curve]):
        own = _OWN_HASHES[curve]
        only = f"; it takes no hash_alg but {own}, its own" if own else " and takes no hash_alg"
        raise ParameterInvalid(f"{curve} hashes the data itself{only}")
    return message.whole(curve)
