"""What a family of elliptic curves answers for: its curves, and the schemes over them.

The wire has one kind for all of them, "EC"; its algorithm finds the family by the curve's name and leaves the rest to
it. It must not know rows, rights or the wire.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from kms.crypto.algorithm import Key, Message, SignatureParameters
from kms.crypto.asymmetric import PrivateKey, PublicKey
from kms.crypto.errors import AlgorithmUnsupported
from kms.crypto.operation import KeyOperation
from kms.secret import SecretBytes


class CurveFamily(ABC):
    """``sizes`` maps a curve's name to its bits: those of a coordinate. ``operations`` are what its keys can do."""

    sizes: Mapping[str, int]
    operations: frozenset[KeyOperation]

    @abstractmethod
    def curve_of(self, public: PublicKey) -> str | None:
        """The name of the key's curve; None when it is of another family."""

    @abstractmethod
    def generate(self, curve: str) -> PrivateKey:
        """A new key made in this process, for curves that the token in use lacks."""

    def sign(self, key: Key, parameters: SignatureParameters, message: Message) -> bytes:
        raise AlgorithmUnsupported(f"{key.spec.curve} keys agree on keys and cannot sign")

    def verify(self, public: PublicKey, parameters: SignatureParameters, message: Message, signature: bytes) -> bool:
        raise AlgorithmUnsupported(f"{self.curve_of(public)} keys agree on keys and cannot verify signatures")

    def agree(self, key: Key, peer: PublicKey) -> SecretBytes:
        """The shared secret with a peer's key on the same curve."""
        raise AlgorithmUnsupported(f"{key.spec.curve} keys sign and cannot agree on keys")
