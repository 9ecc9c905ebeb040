"""Hierarchical deterministic keys: BIP32 over secp256k1, and SLIP-0010 over secp256k1, P-256 and Ed25519.

A node is a key, a chain code and its place in the tree. Its bytes are BIP32's "Serialization format" without the
Base58 checksum; SLIP-0010 defines none, and what wallets write for it is the same with the main network's version. It
must not know rows, rights or the wire.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kms.crypto import digest as hashing
from kms.crypto.errors import ParameterInvalid
from kms.crypto.kdf import keyed_hash
from kms.secret import SecretBytes

HARDENED = 2**31
MAX_DEPTH = 255
# A seed has 128 to 512 bits (BIP32 "Master key generation").
MIN_SEED_BITS, MAX_SEED_BITS = 128, 512
KEY_BYTES = 32
MAIN = "mainnet"
# Network -> version bytes of a private and of a public node.
_VERSIONS = {
    MAIN: (bytes.fromhex("0488ade4"), bytes.fromhex("0488b21e")),
    "testnet": (bytes.fromhex("04358394"), bytes.fromhex("043587cf")),
}
NETWORKS = tuple(_VERSIONS)
# And back: version bytes -> network, and whether the node is private.
_READ = {version: (network, i == 0) for network, pair in _VERSIONS.items() for i, version in enumerate(pair)}
_CHAIN_CODE, _KEY = 13, 13 + KEY_BYTES  # offsets
NODE_BYTES = _KEY + 1 + KEY_BYTES


@dataclass(frozen=True, slots=True)
class HdCurve:
    """A curve in its scheme. ``seed_key`` is the HMAC key of master keys.

    ``order`` 0 is Ed25519's, which has no weak children. ``retries`` says what follows when a hash gives no key, which
    happens with a probability of about 2^-127 (2^-32 on P-256): SLIP-0010 hashes again, BIP32 gives up.
    """

    name: str
    seed_key: bytes
    retries: bool
    ec: type[ec.EllipticCurve] | None = None
    prime: int = 0
    a: int = 0
    order: int = 0


BIP32 = HdCurve(  # SEC 2 §2.4.1
    "SecP256K1",
    b"Bitcoin seed",
    False,
    ec.SECP256K1,
    prime=2**256 - 2**32 - 977,
    order=0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
)
_P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
_P256 = HdCurve(  # SP 800-186 §3.2.1.3
    "NistP256",
    b"Nist256p1 seed",
    True,
    ec.SECP256R1,
    prime=_P256_PRIME,
    a=_P256_PRIME - 3,
    order=0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
)
SLIP10 = {c.name: c for c in (replace(BIP32, retries=True), _P256, HdCurve("Ed25519", b"ed25519 seed", True))}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is, and in which network's tree. Of the root all but the network is zero."""

    network: str = MAIN
    depth: int = 0
    parent: bytes = bytes(4)
    index: int = 0

    def encoded(self, *, private: bool) -> bytes:
        version = _VERSIONS[self.network][0 if private else 1]
        return version + bytes([self.depth]) + self.parent + self.index.to_bytes(4, "big")

    def below(self, fingerprint: bytes, index: int) -> Place:
        if not 0 <= index < 2**32:
            raise ParameterInvalid("index has 32 bits")
        if self.depth == MAX_DEPTH:
            raise ParameterInvalid(f"the key is {MAX_DEPTH} levels deep, the most that a tree can have")
        return Place(self.network, self.depth + 1, fingerprint, index)


@dataclass(frozen=True, slots=True, repr=False)
class PrivateNode:
    """``key`` is a scalar of the curve, or Ed25519's 32 secret bytes (RFC 8032 §5.1.5)."""

    curve: HdCurve
    place: Place
    chain_code: bytes
    key: SecretBytes

    def ec_key(self) -> ec.EllipticCurvePrivateKey:
        assert self.curve.ec is not None
        return ec.derive_private_key(int.from_bytes(self.key.reveal(), "big"), self.curve.ec())

    def ed25519_key(self) -> ed25519.Ed25519PrivateKey:
        return ed25519.Ed25519PrivateKey.from_private_bytes(self.key.reveal())

    def public(self) -> PublicNode:
        if self.curve.ec is None:
            point = b"\0" + self.ed25519_key().public_key().public_bytes_raw()
        else:
            point = _compressed(self.ec_key().public_key())
        return PublicNode(self.curve, self.place, self.chain_code, point)

    def encoded(self) -> SecretBytes:
        return SecretBytes(self.place.encoded(private=True) + self.chain_code + b"\0" + self.key.reveal())

    def child(self, index: int) -> PrivateNode:
        """CKDpriv: hardened from index 2^31 up, weak below."""
        public = self.public()
        place = self.place.below(public.fingerprint(), index)
        if index < HARDENED and not self.curve.order:
            raise ParameterInvalid(f"{self.curve.name} keys have hardened children only: index is from 2^31 up")
        start = public.point if index < HARDENED else b"\0" + self.key.reveal()
        left, chain_code = _hashed(self.chain_code, start, index)
        while (key := self._tweaked(left)) is None:
            left, chain_code = _hashed_again(self.curve, self.chain_code, chain_code, index)
        return PrivateNode(self.curve, place, chain_code, key)

    def _tweaked(self, left: bytes) -> SecretBytes | None:
        """None when the left half of the hash leads to no key."""
        order = self.curve.order
        if not order:
            return SecretBytes(left)
        tweak = int.from_bytes(left, "big")
        key = (tweak + int.from_bytes(self.key.reveal(), "big")) % order
        return None if tweak >= order or not key else SecretBytes(key.to_bytes(KEY_BYTES, "big"))


@dataclass(frozen=True, slots=True, repr=False)
class PublicNode:
    """``point`` is compressed (SEC 1 §2.3.3), or Ed25519's public key after a zero byte."""

    curve: HdCurve
    place: Place
    chain_code: bytes
    point: bytes

    def fingerprint(self) -> bytes:
        """The first 32 bits of HASH160 (BIP32 "Key identifiers")."""
        return hashing.digest("RIPEMD160", hashing.digest("SHA256", self.point))[:4]

    def ec_key(self) -> ec.EllipticCurvePublicKey:
        assert self.curve.ec is not None
        return ec.EllipticCurvePublicKey.from_encoded_point(self.curve.ec(), self.point)

    def ed25519_key(self) -> ed25519.Ed25519PublicKey:
        return ed25519.Ed25519PublicKey.from_public_bytes(self.point[1:])

    def encoded(self) -> bytes:
        return self.place.encoded(private=False) + self.chain_code + self.point

    def child(self, index: int) -> PublicNode:
        """CKDpub, which gives weak children only."""
        if index >= HARDENED:
            raise ParameterInvalid("a public key has no hardened children: index is below 2^31")
        if not self.curve.order:
            raise ParameterInvalid(f"{self.curve.name} public keys have no children")
        place = self.place.below(self.fingerprint(), index)
        left, chain_code = _hashed(self.chain_code, self.point, index)
        while (point := self._tweaked(left)) is None:
            left, chain_code = _hashed_again(self.curve, self.chain_code, chain_code, index)
        return PublicNode(self.curve, place, chain_code, point)

    def _tweaked(self, left: bytes) -> bytes | None:
        """point(left) + K. All of it is known to whoever has this node, so the arithmetic may take its time."""
        assert self.curve.ec is not None
        tweak = int.from_bytes(left, "big")
        if tweak >= self.curve.order:
            return None
        if not tweak:
            return self.point
        added = ec.derive_private_key(tweak, self.curve.ec()).public_key().public_numbers()
        own = self.ec_key().public_numbers()
        return _sum(self.curve, (added.x, added.y), (own.x, own.y))


# -- making and reading nodes --------------------------------------------------------------------------------------


def master(curve: HdCurve, network: str, hashed_seed: SecretBytes) -> PrivateNode:
    """The root of a tree. ``hashed_seed`` is HMAC-SHA512(curve.seed_key, seed)."""
    if network not in NETWORKS:
        raise ParameterInvalid(f"network is one of {', '.join(NETWORKS)}")
    value = hashed_seed.reveal()
    while not _is_key(curve, value[:KEY_BYTES]):
        if not curve.retries:
            raise ParameterInvalid("the seed gives no valid master key; use another")
        value = keyed_hash("SHA512", curve.seed_key, value)
    return PrivateNode(curve, Place(network), value[KEY_BYTES:], SecretBytes(value[:KEY_BYTES]))


def read_node(curve: HdCurve, encoded: SecretBytes) -> PrivateNode | PublicNode:
    """A node's bytes, checked (BIP32 "Test vector 5" lists what is wrong with nodes)."""
    data = encoded.reveal()
    if len(data) != NODE_BYTES:
        raise ParameterInvalid(
            f"an extended key has {NODE_BYTES} bytes, version to key without the checksum, not {len(data)}"
        )
    place, private = _place_in(data)
    key, chain_code = data[_KEY:], data[_CHAIN_CODE:_KEY]
    if private:
        if key[0] != 0 or not _is_key(curve, key[1:]):
            raise ParameterInvalid(f"the extended private key holds no private key of {curve.name}")
        return PrivateNode(curve, place, chain_code, SecretBytes(key[1:]))
    node = PublicNode(curve, place, chain_code, key)
    try:
        if curve.ec is not None:
            node.ec_key()
        elif key[0] != 0:
            raise ValueError
    except ValueError:
        raise ParameterInvalid(f"the extended public key holds no public key of {curve.name}") from None
    return node


def network_of(encoded: bytes) -> str:
    """The network that a node's version names."""
    return _READ[encoded[:4]][0]


def _place_in(data: bytes) -> tuple[Place, bool]:
    """And whether the node is private."""
    network, private = _READ.get(data[:4], ("", False))
    if not network:
        raise ParameterInvalid("the extended key's version is not one of the main or the test network")
    place = Place(network, data[4], data[5:9], int.from_bytes(data[9:_CHAIN_CODE], "big"))
    if place.depth == 0 and place != Place(network):
        raise ParameterInvalid("an extended key of depth 0 has no parent and no index")
    return place, private


# -- arithmetic ----------------------------------------------------------------------------------------------------


def _compressed(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def _hashed(chain_code: bytes, start: bytes, index: int) -> tuple[bytes, bytes]:
    both = keyed_hash("SHA512", chain_code, start + index.to_bytes(4, "big"))
    return both[:KEY_BYTES], both[KEY_BYTES:]


def _hashed_again(curve: HdCurve, chain_code: bytes, right: bytes, index: int) -> tuple[bytes, bytes]:
    if not curve.retries:
        raise ParameterInvalid("this index gives no valid key; use the next")
    return _hashed(chain_code, b"\1" + right, index)


def _is_key(curve: HdCurve, key: bytes) -> bool:
    return not curve.order or 0 < int.from_bytes(key, "big") < curve.order


def _sum(curve: HdCurve, one: tuple[int, int], other: tuple[int, int]) -> bytes | None:
    """The compressed sum of two affine points (SEC 1 §2.2.1); None for the point at infinity."""
    (x1, y1), (x2, y2), p = one, other, curve.prime
    if x1 == x2 and (y1 + y2) % p == 0:
        return None
    slope = (3 * x1 * x1 + curve.a) * pow(2 * y1, -1, p) if x1 == x2 else (y2 - y1) * pow(x2 - x1, -1, p)
    x = (slope * slope - x1 - x2) % p
    y = (slope * (x1 - x) - y1) % p
    return bytes([2 + y % 2]) + x.to_bytes(KEY_BYTES, "big")
