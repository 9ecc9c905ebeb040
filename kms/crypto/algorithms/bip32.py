"""BIP32 keys: secp256k1 in a tree whose nodes carry the network they are for. Signatures are ECDSA."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec

from kms.crypto.algorithms.tree_key import BITS, TreeKey
from kms.crypto.errors import ParameterInvalid
from kms.crypto.hierarchical import BIP32, HdCurve, PublicNode, read_node
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes


class Bip32(TreeKey):
    """Its public key is shown as the extended one, from which clients make an "xpub" by adding the checksum."""

    kind = "BIP32"

    def curve_of(self, name: str | None) -> HdCurve:
        if name not in (None, BIP32.name):
            raise ParameterInvalid(f"a BIP32 key is on {BIP32.name}, not {name}")
        return BIP32

    def spec_of(self, curve: HdCurve) -> KeySpec:
        return KeySpec(self.kind, BITS)

    def shown(self, node: PublicNode) -> bytes:
        return node.encoded()

    def loaded(self, shown: bytes) -> ec.EllipticCurvePublicKey:
        node = read_node(BIP32, SecretBytes(shown))
        assert isinstance(node, PublicNode)
        return node.ec_key()
