"""What BIP32 and SLIP10 objects share: keys in a tree, which have children and sign (kms.crypto.hierarchical).

The token knows no such keys, so their material is lent: an extended key, private, or public for an object that is a
public key alone and has weak children all the same. It must not know rows, rights or the wire.
"""

from __future__ import annotations

from abc import abstractmethod

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from kms.crypto.algorithm import Algorithm, Described, Key, Message, SignatureParameters, lent_key
from kms.crypto.algorithms.weierstrass import HASHES
from kms.crypto.asymmetric import refuse_variant
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.hierarchical import HARDENED, HdCurve, PrivateNode, PublicNode, master, read_node
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.crypto.options import KeyOptions
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes

BITS = 256


class TreeKey(Algorithm):
    asymmetric = True
    token_capable = False
    operations = MANAGEMENT | {KeyOperation.SIGN, KeyOperation.VERIFY, KeyOperation.DERIVE, KeyOperation.TRANSFORM}
    defaults = frozenset(operations - {KeyOperation.EXPORT, KeyOperation.HIGH_VOLUME})
    public_operations = Algorithm.public_operations | {KeyOperation.TRANSFORM}

    @abstractmethod
    def curve_of(self, name: str | None) -> HdCurve:
        """The curve that a request or a spec names."""

    @abstractmethod
    def spec_of(self, curve: HdCurve) -> KeySpec:
        """The shape of a key on it."""

    @abstractmethod
    def shown(self, node: PublicNode) -> bytes:
        """What an object shows as its public key."""

    @abstractmethod
    def loaded(self, shown: bytes) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
        """The public key in that."""

    # -- keys ------------------------------------------------------------------------------------------------------

    def generation_spec(self, *, size: int | None, curve: str | None, public_exponent: int | None) -> KeySpec:
        raise ParameterInvalid(f"{self.kind} objects cannot be generated, only imported or derived from a seed")

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        """An extended key, private or public (hierarchical.read_node)."""
        if size not in (None, BITS):
            raise ParameterInvalid(f"a {self.kind} key has {BITS} bits, not {size}")
        return self._described(read_node(self.curve_of(curve), material))

    def root(self, hashed_seed: SecretBytes, *, curve: str | None, network: str) -> Described:
        """The master key of a seed, which is hashed already: HMAC-SHA512(curve_of(curve).seed_key, seed)."""
        return self._described(master(self.curve_of(curve), network, hashed_seed))

    def child(self, spec: KeySpec, material: SecretBytes, index: int, *, hardened: bool) -> Described:
        """The child of an extended key. ``hardened`` says which kind was asked for; the index says which it is."""
        if hardened != (index >= HARDENED):
            kind, range_ = ("hardened", "from 2^31 up") if hardened else ("weak", "below 2^31")
            raise ParameterInvalid(f"the index of a {kind} child is {range_}, not {index}")
        return self._described(read_node(self.curve_of(spec.curve), material).child(index))

    def _described(self, node: PrivateNode | PublicNode) -> Described:
        spec = self.spec_of(node.curve)
        if isinstance(node, PublicNode):
            return Described(spec, SecretBytes(node.encoded()), self.shown(node), public_only=True)
        return Described(spec, node.encoded(), self.shown(node.public()))

    # -- use -------------------------------------------------------------------------------------------------------

    def sign(self, key: Key, parameters: SignatureParameters, message: Message, *, options: KeyOptions) -> bytes:
        lent = lent_key(key)
        node = read_node(self.curve_of(lent.spec.curve), lent.material)
        assert isinstance(node, PrivateNode)  # public keys alone never have the operation
        if node.curve.ec is None:
            return node.ed25519_key().sign(_whole(parameters, message))
        return node.ec_key().sign(*_ecdsa(parameters, message))

    def verify(
        self,
        public: bytes,
        parameters: SignatureParameters,
        message: Message,
        signature: bytes,
        *,
        options: KeyOptions,
    ) -> bool:
        key = self.loaded(public)
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, _whole(parameters, message))
            else:
                key.verify(signature, *_ecdsa(parameters, message))
        except InvalidSignature:
            return False
        return True


def _ecdsa(parameters: SignatureParameters, message: Message) -> tuple[bytes, ec.ECDSA]:
    """The digest and how it is signed (FIPS 186-5 §6; RFC 6979 when asked for)."""
    _refuse_modes(parameters)
    if parameters.hash is not None and parameters.hash not in HASHES:
        raise AlgorithmUnsupported(f"ECDSA with {parameters.hash} is not supported")
    digest = message.hashed(parameters.hash)
    scheme = Prehashed(HASHES[parameters.hash or ""])
    return digest, ec.ECDSA(scheme, deterministic_signing=bool(parameters.deterministic))


def _whole(parameters: SignatureParameters, message: Message) -> bytes:
    """EdDSA's message, which it hashes itself by the hash that clients may name (RFC 8032 §5.1)."""
    _refuse_modes(parameters)
    if parameters.hash not in (None, "SHA512"):
        raise ParameterInvalid("Ed25519 hashes the data itself; it takes no hash_alg but SHA512, its own")
    return message.whole("Ed25519")


def _refuse_modes(parameters: SignatureParameters) -> None:
    refuse_variant(parameters, "a signature on a curve")
    if parameters.padding is not None:
        raise ParameterInvalid("a signature on a curve takes no mode")
