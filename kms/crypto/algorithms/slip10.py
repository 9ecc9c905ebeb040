"""SLIP-0010 keys: BIP32's tree over secp256k1, P-256 (ECDSA) and Ed25519 (EdDSA)."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from kms.crypto.algorithm import Described
from kms.crypto.algorithms.tree_key import BITS, TreeKey
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.hierarchical import NODE_BYTES, SLIP10, HdCurve, PublicNode
from kms.crypto.operation import KeyOperation
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes


class Slip10(TreeKey):
    """Its public key is shown as a SubjectPublicKeyInfo, which says what curve it is on; an extended one does not."""

    kind = "SLIP10"

    def operations_of(self, spec: KeySpec) -> frozenset[KeyOperation]:
        """Ed25519 has no weak children."""
        weak = self.curve_of(spec.curve).order > 0
        return self.operations if weak else self.operations - {KeyOperation.TRANSFORM}

    def curve_of(self, name: str | None) -> HdCurve:
        if name is None:
            raise ParameterInvalid(f"a SLIP10 key needs elliptic_curve: one of {', '.join(SLIP10)}")
        if name not in SLIP10:
            raise AlgorithmUnsupported(f"SLIP10 keys are on {', '.join(SLIP10)}, not on {name}")
        return SLIP10[name]

    def spec_of(self, curve: HdCurve) -> KeySpec:
        return KeySpec(self.kind, BITS, curve.name)

    def child(self, spec: KeySpec, material: SecretBytes, index: int, *, hardened: bool) -> Described:
        if len(material) != NODE_BYTES:
            raise ParameterInvalid("the object is a public key without its chain code, so it has no children")
        return super().child(spec, material, index, hardened=hardened)

    def shown(self, node: PublicNode) -> bytes:
        key = node.ed25519_key() if node.curve.ec is None else node.ec_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def loaded(self, shown: bytes) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
        key = load_der_public_key(shown)
        assert isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey)
        return key
