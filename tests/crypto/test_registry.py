"""Every algorithm keeps the same promises: whatever the registry lists is swept."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, mldsa, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kms.crypto import digest as hashing
from kms.crypto.algorithm import Algorithm
from kms.crypto.algorithms.ec import CURVES
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.crypto.registry import ALGORITHMS, WITHOUT, algorithm_of
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes

GENERATED = ("AES", "DES3", "DES", "SEED", "HMAC", "RSA", "EC", "DSA", "MLDSA", "MLKEM")
# Kinds that no token of ours has: their material is lent for each call.
LENT = ("DES", "SEED", "DSA", "MLDSA", "MLKEM")
# Kinds whose material has a structure; to the others any bytes of a right length are material.
STRUCTURED = ("RSA", "EC", "DSA", "MLDSA", "MLKEM", "CERTIFICATE")
every = pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.kind)


def describe(kind: str, material: bytes, size: int | None = None, curve: str | None = None) -> KeySpec:
    return algorithm_of(kind).describe(SecretBytes(material), size=size, curve=curve).spec


def generate(kind: str, size: int | None = None, curve: str | None = None, exponent: int | None = None) -> KeySpec:
    return algorithm_of(kind).generation_spec(size=size, curve=curve, public_exponent=exponent)


# -- the registry --------------------------------------------------------------------------------------------------


def test_every_kind_is_listed_once_and_found_by_its_name() -> None:
    kinds = [algorithm.kind for algorithm in ALGORITHMS]
    assert len(kinds) == len(set(kinds))
    assert [algorithm_of(kind) for kind in kinds] == list(ALGORITHMS)


@given(st.text())
def test_an_unknown_kind_is_refused_by_name(kind: str) -> None:
    if kind not in {algorithm.kind for algorithm in ALGORITHMS}:
        with pytest.raises(AlgorithmUnsupported, match="not supported"):
            algorithm_of(kind)


# Every type of object that the vendor's clients can name.
NAMEABLE = [
    "AES",
    "ARIA",
    "DES",
    "DES3",
    "SEED",
    "RSA",
    "DSA",
    "EC",
    "KCDSA",
    "ECKCDSA",
    "BIP32",
    "SLIP10",
    "BLS",
    "OPAQUE",
    "HMAC",
    "LEDABETA",
    "ROUND5BETA",
    "SECRET",
    "LMS",
    "XMSS",
    "MLDSA",
    "MLDSABETA",
    "MLKEM",
    "MLKEMBETA",
    "CERTIFICATE",
    "PBE",
]


@pytest.mark.parametrize("kind", NAMEABLE)
def test_a_kind_is_there_or_is_refused_with_the_reason(kind: str) -> None:
    if kind in WITHOUT:
        with pytest.raises(AlgorithmUnsupported, match=f"type {kind} are not supported: "):
            algorithm_of(kind)
    else:
        assert algorithm_of(kind).kind == kind


@every
def test_defaults_are_possible(algorithm: Algorithm) -> None:
    assert algorithm.defaults <= algorithm.operations
    assert algorithm.operations <= frozenset(KeyOperation)


@every
def test_keys_that_compute_are_not_exportable_unless_asked(algorithm: Algorithm) -> None:
    if algorithm.kind in GENERATED:
        assert KeyOperation.EXPORT not in algorithm.defaults
        assert algorithm.defaults - MANAGEMENT


@every
def test_a_public_key_alone_never_uses_the_private_half(algorithm: Algorithm) -> None:
    """A public key that may agree is the peer's: it never stands in the private key's place."""
    private = {KeyOperation.SIGN, KeyOperation.DECRYPT, KeyOperation.UNWRAP, KeyOperation.DERIVE}
    assert not algorithm.public_operations & private


@every
def test_what_applies_comes_with_what_processes(algorithm: Algorithm) -> None:
    pairs = {
        KeyOperation.SIGN: KeyOperation.VERIFY,
        KeyOperation.ENCRYPT: KeyOperation.DECRYPT,
        KeyOperation.WRAP: KeyOperation.UNWRAP,
        KeyOperation.MAC_GENERATE: KeyOperation.MAC_VERIFY,
    }
    for apply, process in pairs.items():
        assert (apply in algorithm.operations) == (process in algorithm.operations)
        assert (apply in algorithm.defaults) == (process in algorithm.defaults)


@every
def test_what_has_no_key_for_the_token_stays_sealed(algorithm: Algorithm) -> None:
    assert algorithm.token_capable is (algorithm.kind in GENERATED and algorithm.kind not in LENT)


# -- import --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STRUCTURED)
@given(material=st.binary(max_size=400))
@example(material=b"")
@example(material=b"\x30\x82\xff\xff")
def test_rubbish_is_refused_in_our_own_words(kind: str, material: bytes) -> None:
    with pytest.raises(ParameterInvalid):
        describe(kind, material)


LENGTHS = {"AES": (16, 24, 32), "SEED": (16,), "HMAC": range(14, 1025)}


@pytest.mark.parametrize("kind", LENGTHS)
@given(material=st.binary(max_size=1100))
def test_bytes_are_a_key_of_their_length_or_refused(kind: str, material: bytes) -> None:
    if len(material) in LENGTHS[kind]:
        assert describe(kind, material) == KeySpec(kind, len(material) * 8)
    else:
        with pytest.raises(ParameterInvalid, match=rf"not {len(material) * 8}\b"):
            describe(kind, material)


@pytest.mark.parametrize("kind", ["SECRET", "OPAQUE"])
def test_secrets_and_opaques_have_any_length_but_none_and_too_much(kind: str) -> None:
    assert describe(kind, b"x").size == 8
    assert describe(kind, bytes(512 * 1024)).size == 512 * 1024 * 8
    for wrong in (b"", bytes(512 * 1024 + 1)):
        with pytest.raises(ParameterInvalid):
            describe(kind, wrong)


@pytest.mark.parametrize("kind", ["AES", "HMAC", "SECRET", "OPAQUE"])
@given(size=st.integers(-8, 1024))
def test_a_size_that_contradicts_the_value_is_refused(kind: str, size: int) -> None:
    if size == 256:
        assert describe(kind, bytes(32), size).size == 256
    else:
        with pytest.raises(ParameterInvalid, match="key_size is"):
            describe(kind, bytes(32), size)


_RSA = rsa.generate_private_key(65537, 2048)
_EC = ec.generate_private_key(ec.SECP256R1())


def _der(key: object) -> bytes:
    der: bytes = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined]
    return der


@pytest.mark.parametrize("der", [_der(_RSA), _der(_EC)], ids=["RSA", "EC"])
@settings(deadline=None)  # an RSA key's primes are tested
@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_an_altered_private_key_is_refused_or_another_whole_key(der: bytes, position: int, value: int) -> None:
    """Nothing but our own errors comes out, whatever the parser makes of it."""
    altered = bytearray(der)
    altered[position % len(der)] = value
    for kind in ("RSA", "EC"):
        try:
            found = algorithm_of(kind).describe(SecretBytes(bytes(altered)), size=None, curve=None)
        except (ParameterInvalid, AlgorithmUnsupported):
            continue
        assert found.spec.kind == kind


FOREIGN = {
    "encrypted": _RSA.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"x" * 12)),
    "PEM": _RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    "ML-DSA": _der(mldsa.MLDSA44PrivateKey.generate()),
    "ML-DSA public": mldsa.MLDSA44PrivateKey.generate()
    .public_key()
    .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "DSA": _der(dsa.generate_private_key(2048)),
    "trailing": _der(_RSA) + b"\0",
    "raw point": _EC.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
}


@pytest.mark.parametrize("kind", ["RSA", "EC"])
@pytest.mark.parametrize("material", FOREIGN.values(), ids=FOREIGN)
def test_keys_of_other_kinds_and_forms_are_refused(kind: str, material: bytes) -> None:
    with pytest.raises(ParameterInvalid):
        describe(kind, material)


def test_a_curve_or_size_that_contradicts_the_key_is_refused() -> None:
    with pytest.raises(ParameterInvalid, match="is on"):
        describe("EC", _der(_EC), curve="NistP384")
    with pytest.raises(ParameterInvalid, match="key_size is"):
        describe("RSA", _der(_RSA), 3072)


# -- generation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [algorithm.kind for algorithm in ALGORITHMS if algorithm.kind not in GENERATED])
def test_what_has_no_key_is_not_generated(kind: str) -> None:
    with pytest.raises(ParameterInvalid, match="imported"):
        generate(kind, 256)


@pytest.mark.parametrize("kind", GENERATED)
def test_a_size_or_curve_is_needed(kind: str) -> None:
    with pytest.raises(ParameterInvalid, match="needs"):
        generate(kind)


@given(st.integers(-(2**40), 2**40) | st.integers(0, 9000))
def test_sizes_are_within_bounds_or_refused(size: int) -> None:
    allowed = {
        "AES": size in (128, 192, 256),
        "DES3": size in (112, 168),
        "DES": size == 56,
        "SEED": size == 128,
        "HMAC": 112 <= size <= 8192 and size % 8 == 0,
        "RSA": 2048 <= size <= 8192 and size % 256 == 0,
    }
    for kind, fits in allowed.items():
        if fits:
            assert generate(kind, size).size == size
        else:
            with pytest.raises(ParameterInvalid):
                generate(kind, size)


@given(st.integers(-10, 2**33))
@example(3)
@example(65537)
@example(2**32 - 1)
def test_public_exponents_follow_fips_186(exponent: int) -> None:
    if exponent % 2 and 2**16 < exponent < 2**32:
        assert generate("RSA", 2048, exponent=exponent).public_exponent == exponent
    else:
        with pytest.raises(ParameterInvalid, match="exponent"):
            generate("RSA", 2048, exponent=exponent)


@pytest.mark.parametrize(("curve", "bits"), CURVES.items())
def test_a_curve_has_its_size_and_no_other(curve: str, bits: int) -> None:
    assert generate("EC", curve=curve) == generate("EC", bits, curve) == KeySpec("EC", bits, curve)
    with pytest.raises(ParameterInvalid):
        generate("EC", bits + 1, curve)


@given(st.text())
def test_other_curves_are_refused(curve: str) -> None:
    if curve not in CURVES:
        with pytest.raises(AlgorithmUnsupported, match="is not supported"):
            generate("EC", curve=curve)


# -- hashes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", hashing.HASHES)
@given(data=st.binary(max_size=100))
def test_digests_have_the_size_they_say(name: str, data: bytes) -> None:
    made = hashing.digest(name, data)
    assert len(made) == hashing.digest_size(name)
    hashing.check_digest(name, made)
    for wrong in (made[:-1], made + b"\0", b""):
        with pytest.raises(ParameterInvalid, match="hash is"):
            hashing.check_digest(name, wrong)


@pytest.mark.parametrize("name", ["MD5", "sha256", "SHA-256", "", "STREEBOG256", "SHAKE128"])
def test_other_hashes_are_refused(name: str) -> None:
    with pytest.raises(AlgorithmUnsupported):
        hashing.digest(name, b"")
