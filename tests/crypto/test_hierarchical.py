"""Trees of keys: the published vectors of BIP32 and SLIP-0010, and what is no node."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from kms.crypto.algorithms.bip32 import Bip32
from kms.crypto.algorithms.slip10 import Slip10
from kms.crypto.algorithms.tree_key import TreeKey
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.hierarchical import BIP32, HARDENED, SLIP10, HdCurve, Place, PrivateNode, master, read_node
from kms.crypto.kdf import extract
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes

H = HARDENED
SEED_1 = "000102030405060708090a0b0c0d0e0f"
SEED_2 = (
    "fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a2"
    "9f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542"
)
SEED_3 = (
    "4b381541583be4423346c643850da4b320e46a87ae3d2a4e6da11eba819cd4ac"
    "ba45d239319ac14f863b8d5ab5a0d0c64d2e8a1e7d1457df2e5a3c51c73235be"
)
PATH_1, PATH_2 = [0 + H, 1, 2 + H, 2, 1_000_000_000], [0, 2_147_483_647 + H, 1, 2_147_483_646 + H, 2]
ED_PATH_1 = [0 + H, 1 + H, 2 + H, 2 + H, 1_000_000_000 + H]

# Seed, path, then the extended private keys along it, from the root (BIP32 "Test Vectors" 1 to 3).
BIP32_VECTORS = [
    (
        SEED_1,
        PATH_1,
        [
            "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
            "xprv9uHRZZhk6KAJC1avXpDAp4MDc3sQKNxDiPvvkX8Br5ngLNv1TxvUxt4cV1rGL5hj6KCesnDYUhd7oWgT11eZG7XnxHrnYeSvkzY7d2bhkJ7",
            "xprv9wTYmMFdV23N2TdNG573QoEsfRrWKQgWeibmLntzniatZvR9BmLnvSxqu53Kw1UmYPxLgboyZQaXwTCg8MSY3H2EU4pWcQDnRnrVA1xe8fs",
            "xprv9z4pot5VBttmtdRTWfWQmoH1taj2axGVzFqSb8C9xaxKymcFzXBDptWmT7FwuEzG3ryjH4ktypQSAewRiNMjANTtpgP4mLTj34bhnZX7UiM",
            "xprvA2JDeKCSNNZky6uBCviVfJSKyQ1mDYahRjijr5idH2WwLsEd4Hsb2Tyh8RfQMuPh7f7RtyzTtdrbdqqsunu5Mm3wDvUAKRHSC34sJ7in334",
            "xprvA41z7zogVVwxVSgdKUHDy1SKmdb533PjDz7J6N6mV6uS3ze1ai8FHa8kmHScGpWmj4WggLyQjgPie1rFSruoUihUZREPSL39UNdE3BBDu76",
        ],
    ),
    (
        SEED_2,
        PATH_2,
        [
            "xprv9s21ZrQH143K31xYSDQpPDxsXRTUcvj2iNHm5NUtrGiGG5e2DtALGdso3pGz6ssrdK4PFmM8NSpSBHNqPqm55Qn3LqFtT2emdEXVYsCzC2U",
            "xprv9vHkqa6EV4sPZHYqZznhT2NPtPCjKuDKGY38FBWLvgaDx45zo9WQRUT3dKYnjwih2yJD9mkrocEZXo1ex8G81dwSM1fwqWpWkeS3v86pgKt",
            "xprv9wSp6B7kry3Vj9m1zSnLvN3xH8RdsPP1Mh7fAaR7aRLcQMKTR2vidYEeEg2mUCTAwCd6vnxVrcjfy2kRgVsFawNzmjuHc2YmYRmagcEPdU9",
            "xprv9zFnWC6h2cLgpmSA46vutJzBcfJ8yaJGg8cX1e5StJh45BBciYTRXSd25UEPVuesF9yog62tGAQtHjXajPPdbRCHuWS6T8XA2ECKADdw4Ef",
            "xprvA1RpRA33e1JQ7ifknakTFpgNXPmW2YvmhqLQYMmrj4xJXXWYpDPS3xz7iAxn8L39njGVyuoseXzU6rcxFLJ8HFsTjSyQbLYnMpCqE2VbFWc",
            "xprvA2nrNbFZABcdryreWet9Ea4LvTJcGsqrMzxHx98MMrotbir7yrKCEXw7nadnHM8Dq38EGfSh6dqA9QWTyefMLEcBYJUuekgW4BYPJcr9E7j",
        ],
    ),
    (
        SEED_3,  # keys with leading zeros
        [0 + H],
        [
            "xprv9s21ZrQH143K25QhxbucbDDuQ4naNntJRi4KUfWT7xo4EKsHt2QJDu7KXp1A3u7Bi1j8ph3EGsZ9Xvz9dGuVrtHHs7pXeTzjuxBrCmmhgC6",
            "xprv9uPDJpEQgRQfDcW7BkF7eTya6RPxXeJCqCJGHuCJ4GiRVLzkTXBAJMu2qaMWPrS7AANYqdq6vcBcBUdJCVVFceUvJFjaPdGZ2y9WACViL4L",
        ],
    ),
]
XPUB_1 = (
    "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8"
)

# Curve, seed, path, then chain code and private key of the node at its end (SLIP-0010 "Test vectors").
SLIP10_VECTORS = [
    (
        "SecP256K1",
        SEED_2,
        PATH_2,
        "9452b549be8cea3ecb7a84bec10dcfd94afe4d129ebfd3b3cb58eedf394ed271",
        "bb7d39bdb83ecf58f2fd82b6d918341cbef428661ef01ab97c28a4842125ac23",
    ),
    (
        "NistP256",
        SEED_1,
        [],
        "beeb672fe4621673f722f38529c07392fecaa61015c80c34f29ce8b41b3cb6ea",
        "612091aaa12e22dd2abef664f8a01a82cae99ad7441b7ef8110424915c268bc2",
    ),
    (
        "NistP256",
        SEED_1,
        PATH_1,
        "b9b7b82d326bb9cb5b5b121066feea4eb93d5241103c9e7a18aad40f1dde8059",
        "21c4f269ef0a5fd1badf47eeacebeeaa3de22eb8e5b0adcd0f27dd99d34d0119",
    ),
    (
        "NistP256",
        SEED_2,
        PATH_2,
        "3bfb29ee8ac4484f09db09c2079b520ea5616df7820f071a20320366fbe226a7",
        "bb0a77ba01cc31d77205d51d08bd313b979a71ef4de9b062f8958297e746bd67",
    ),
    (
        "NistP256",  # "derivation retry": the first hash of m/28578' gives no key
        SEED_1,
        [28578 + H, 33941],
        "9e87fe95031f14736774cd82f25fd885065cb7c358c1edf813c72af535e83071",
        "092154eed4af83e078ff9b84322015aefe5769e31270f62c3f66c33888335f3a",
    ),
    (
        "NistP256",  # "seed retry"
        "a7305bc8df8d0951f0cb224c0e95d7707cbdf2c6ce7e8d481fec69c7ff5e9446",
        [],
        "7762f9729fed06121fd13f326884c82f59aa95c57ac492ce8c9654e60efd130c",
        "3b8c18469a4634517d6d0b65448f8e6c62091b45540a1743c5846be55d47d88f",
    ),
    (
        "Ed25519",
        SEED_1,
        [],
        "90046a93de5380a72b5e45010748567d5ea02bbf6522f979e05c0d8d8ca9fffb",
        "2b4be7f19ee27bbf30c667b642d5f4aa69fd169872f8fc3059c08ebae2eb19e7",
    ),
    (
        "Ed25519",
        SEED_1,
        ED_PATH_1,
        "68789923a0cac2cd5a29172a475fe9e0fb14cd6adb5ad98a3fa70333e7afa230",
        "8f94d394a8e8fd6b1bc2f3f49f5c47e385281d5c17e65324b0f62483e37e8793",
    ),
]

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58check(text: str) -> bytes:
    number = 0
    for character in text:
        number = number * 58 + _BASE58.index(character)
    data = number.to_bytes(82, "big")
    assert hashlib.sha256(hashlib.sha256(data[:-4]).digest()).digest()[:4] == data[-4:]
    return data[:-4]


def root(curve: HdCurve, seed: str, network: str = "mainnet") -> PrivateNode:
    return master(curve, network, extract("SHA512", curve.seed_key, SecretBytes(bytes.fromhex(seed))))


def at(curve: HdCurve, seed: str, path: list[int]) -> PrivateNode:
    node = root(curve, seed)
    for index in path:
        node = node.child(index)
    return node


@pytest.mark.parametrize(("seed", "path", "expected"), BIP32_VECTORS)
def test_bip32s_vectors_come_out(seed: str, path: list[int], expected: list[str]) -> None:
    for depth, text in enumerate(expected):
        node = at(BIP32, seed, path[:depth])
        assert node.encoded().reveal() == base58check(text)
        assert node.place.depth == depth


def test_a_node_shows_the_extended_public_key_of_the_vectors() -> None:
    assert root(BIP32, SEED_1).public().encoded() == base58check(XPUB_1)


@pytest.mark.parametrize(("curve", "seed", "path", "chain_code", "key"), SLIP10_VECTORS)
def test_slip10s_vectors_come_out(curve: str, seed: str, path: list[int], chain_code: str, key: str) -> None:
    node = at(SLIP10[curve], seed, path)
    assert (node.chain_code.hex(), node.key.reveal().hex()) == (chain_code, key)


def test_fingerprints_are_of_the_parents_public_key() -> None:
    assert at(SLIP10["NistP256"], SEED_1, [0 + H]).place.parent.hex() == "be6105b5"
    assert at(SLIP10["Ed25519"], SEED_1, [0 + H]).place.parent.hex() == "ddebc675"


@pytest.mark.parametrize("curve", [BIP32, SLIP10["NistP256"]], ids=["secp256k1", "P-256"])
@settings(max_examples=25)
@given(seed=st.binary(min_size=16, max_size=64), index=st.integers(0, H - 1))
def test_the_public_key_has_the_same_weak_children(curve: HdCurve, seed: bytes, index: int) -> None:
    node = root(curve, seed.hex())
    assert node.public().child(index).encoded() == node.child(index).public().encoded()


def test_p256_retries_in_public_as_in_private() -> None:
    """A weak child whose first hash gives no key would take 2^32 tries to find; the one behind a retry is published."""
    node = at(SLIP10["NistP256"], SEED_1, [28578 + H])
    assert node.public().child(33941).point == node.child(33941).public().point


@pytest.mark.parametrize("curve", list(SLIP10.values()), ids=list(SLIP10))
def test_a_node_is_read_back(curve: HdCurve) -> None:
    node = at(curve, SEED_1, [7 + H])
    assert read_node(curve, node.encoded()) == node
    assert read_node(curve, SecretBytes(node.public().encoded())) == node.public()


def test_the_network_is_in_the_version_and_children_keep_it() -> None:
    node = root(BIP32, SEED_1, "testnet").child(1)
    assert node.encoded().reveal()[:4].hex() == "04358394"
    assert node.public().encoded()[:4].hex() == "043587cf"
    with pytest.raises(ParameterInvalid, match="mainnet, testnet"):
        root(BIP32, SEED_1, "moonnet")


def changed(encoded: bytes, offset: int, value: bytes) -> bytes:
    return encoded[:offset] + value + encoded[offset + len(value) :]


ROOT = base58check(BIP32_VECTORS[0][2][0])
PUBLIC = base58check(XPUB_1)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (ROOT[:-1], "78 bytes"),
        (b"", "78 bytes"),
        (changed(ROOT, 0, b"\0\0\0\0"), "version"),
        (changed(ROOT, 0, PUBLIC[:4]), "no public key"),
        (changed(PUBLIC, 0, ROOT[:4]), "no private key"),
        (changed(ROOT, 45, b"\4"), "no private key"),
        (changed(ROOT, 45, bytes(33)), "no private key"),
        (changed(ROOT, 45, b"\0" + BIP32.order.to_bytes(32, "big")), "no private key"),
        (changed(PUBLIC, 45, b"\4"), "no public key"),
        (changed(PUBLIC, 46, b"\xff" * 32), "no public key"),
        (changed(ROOT, 5, b"\1"), "depth 0"),
        (changed(ROOT, 12, b"\1"), "depth 0"),
    ],
)
def test_what_is_no_node_is_refused(broken: bytes, says: str) -> None:
    """The cases of BIP32's "Test vector 5", and a few more."""
    with pytest.raises(ParameterInvalid, match=says):
        read_node(BIP32, SecretBytes(broken))


def test_the_public_key_of_ed25519_has_its_zero_byte() -> None:
    encoded = root(SLIP10["Ed25519"], SEED_1).public().encoded()
    with pytest.raises(ParameterInvalid, match="no public key"):
        read_node(SLIP10["Ed25519"], SecretBytes(changed(encoded, 45, b"\2")))


def test_children_that_cannot_be_are_refused() -> None:
    node = root(BIP32, SEED_1)
    for index in (-1, 2**32):
        with pytest.raises(ParameterInvalid, match="32 bits"):
            node.child(index)
    with pytest.raises(ParameterInvalid, match="no hardened children"):
        node.public().child(H)
    with pytest.raises(ParameterInvalid, match="hardened children only"):
        root(SLIP10["Ed25519"], SEED_1).child(5)
    with pytest.raises(ParameterInvalid, match="have no children"):
        root(SLIP10["Ed25519"], SEED_1).public().child(5)
    with pytest.raises(ParameterInvalid, match="255 levels"):
        PrivateNode(node.curve, Place("mainnet", 255, bytes(4), 1), node.chain_code, node.key).child(1)


def test_bip32_gives_up_where_slip10_hashes_again() -> None:
    hopeless = SecretBytes(b"\xff" * 32 + bytes(32))
    with pytest.raises(ParameterInvalid, match="use another"):
        master(BIP32, "mainnet", hopeless)
    assert master(SLIP10["SecP256K1"], "mainnet", hopeless).key != SecretBytes(b"\xff" * 32)


@pytest.mark.parametrize("curve", [BIP32, SLIP10["NistP256"]], ids=["secp256k1", "P-256"])
def test_the_curves_numbers_are_those_of_another_implementation(curve: HdCurve) -> None:
    assert curve.ec is not None
    one = PrivateNode(curve, Place(), bytes(32), SecretBytes((1).to_bytes(32, "big"))).public()
    last = PrivateNode(curve, Place(), bytes(32), SecretBytes((curve.order - 1).to_bytes(32, "big"))).public()
    generator, mirrored = one.ec_key().public_numbers(), last.ec_key().public_numbers()
    assert curve.order == curve.ec().group_order
    assert generator.x == mirrored.x
    assert generator.y + mirrored.y == curve.prime


# -- as kinds of objects -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "curve"), [(Bip32(), None), (Slip10(), "NistP256"), (Slip10(), "Ed25519")])
def test_an_object_is_described_by_its_extended_key(kind: TreeKey, curve: str | None) -> None:
    node = at(kind.curve_of(curve), SEED_1, [1 + H])
    private = kind.describe(node.encoded(), size=None, curve=curve)
    assert (private.spec, private.public_only) == (KeySpec(kind.kind, 256, curve), False)
    public = kind.describe(SecretBytes(node.public().encoded()), size=256, curve=curve)
    assert public.public_only
    assert public.public == private.public
    assert public.material != private.material


def test_slip10_shows_its_public_key_as_others_load_it() -> None:
    for curve in SLIP10:
        node = root(SLIP10[curve], SEED_1)
        shown = Slip10().describe(node.encoded(), size=None, curve=curve).public
        assert shown is not None
        load_der_public_key(shown)


def test_slip10_needs_a_curve_that_it_has() -> None:
    with pytest.raises(ParameterInvalid, match="elliptic_curve"):
        Slip10().curve_of(None)
    with pytest.raises(AlgorithmUnsupported, match="X25519"):
        Slip10().curve_of("X25519")
    with pytest.raises(ParameterInvalid, match="NistP256"):
        Bip32().curve_of("NistP256")


def test_the_index_says_the_same_as_the_kind_of_child() -> None:
    found = Bip32().describe(root(BIP32, SEED_1).encoded(), size=None, curve=None)
    with pytest.raises(ParameterInvalid, match="hardened child is from 2\\^31 up"):
        Bip32().child(found.spec, found.material, 5, hardened=True)
    with pytest.raises(ParameterInvalid, match="weak child is below 2\\^31"):
        Bip32().child(found.spec, found.material, H + 5, hardened=False)


def test_a_bare_public_key_of_slip10_has_no_children() -> None:
    found = Slip10().describe(root(SLIP10["NistP256"], SEED_1).encoded(), size=None, curve="NistP256")
    assert found.public is not None
    with pytest.raises(ParameterInvalid, match="without its chain code"):
        Slip10().child(found.spec, SecretBytes(found.public), 1, hardened=False)


def test_keys_of_a_tree_are_not_generated() -> None:
    with pytest.raises(ParameterInvalid, match="derived from a seed"):
        Bip32().generation_spec(size=256, curve=None, public_exponent=None)
