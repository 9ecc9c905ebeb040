"""X25519 and X448 (RFC 7748): key agreement, and nothing else. The material is lent to `cryptography`."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from kms.crypto.algorithm import Key, lent_key
from kms.crypto.asymmetric import PrivateKey, PublicKey, load_private
from kms.crypto.curve_family import CurveFamily
from kms.crypto.errors import ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.secret import SecretBytes


class Montgomery(CurveFamily):
    sizes = {"X25519": 256, "X448": 448}
    operations = frozenset({KeyOperation.AGREE})

    def curve_of(self, public: PublicKey) -> str | None:
        if isinstance(public, X25519PublicKey):
            return "X25519"
        return "X448" if isinstance(public, X448PublicKey) else None

    def generate(self, curve: str) -> PrivateKey:
        return X25519PrivateKey.generate() if curve == "X25519" else X448PrivateKey.generate()

    def agree(self, key: Key, peer: PublicKey) -> SecretBytes:
        private = load_private(lent_key(key).material)
        try:
            if isinstance(private, X25519PrivateKey) and isinstance(peer, X25519PublicKey):
                return SecretBytes(private.exchange(peer))
            assert isinstance(private, X448PrivateKey)
            assert isinstance(peer, X448PublicKey)
            return SecretBytes(private.exchange(peer))
        except ValueError:
            # RFC 7748 §6: an all-zero secret, which no private key has a part in.
            raise ParameterInvalid("the peer's public key is a point of low order") from None
