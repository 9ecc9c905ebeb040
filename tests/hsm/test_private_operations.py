"""What a private key or a hidden value yields to whom may see it: raw RSA, ECDH, digests of keys, lent bytes."""

from __future__ import annotations

import hashlib
import os

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding

from kms.hsm.errors import BlobRejected, DataRejected, MechanismRefused
from kms.hsm.key_material import CURVES
from kms.hsm.module import AesGcm, KeySpec, OpenedKey, RsaRaw, Usage
from kms.hsm.pkcs11 import Pkcs11Module
from kms.secret import SecretBytes
from tests.hsm.token_place import CURVES_HERE

EVERY = Usage.ENCRYPT | Usage.DECRYPT | Usage.SIGN | Usage.MAC | Usage.WRAP | Usage.UNWRAP | Usage.DERIVE
RSA = KeySpec("RSA", 2048)


def _opened(module: Pkcs11Module, spec: KeySpec, material: bytes, usage: Usage = EVERY) -> OpenedKey:
    blob = module.import_key(spec, SecretBytes(material), binding=b"row").blob
    return module.open(spec, blob, binding=b"row", usage=usage, cache_key=os.urandom(8))


def _der(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


# -- raw RSA -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def rsa_key(module: Pkcs11Module, private: rsa.RSAPrivateKey) -> OpenedKey:
    return _opened(module, RSA, _der(private))


def test_raw_rsa_gives_the_encoded_message_back(rsa_key: OpenedKey, private: rsa.RSAPrivateKey) -> None:
    encoded = rsa_key.decrypt_raw(RsaRaw(), private.public_key().encrypt(b"message", rsa_padding.PKCS1v15()))
    assert encoded.startswith(b"\x00\x02")
    assert encoded.endswith(b"\x00message")
    assert len(encoded) == 256
    oaep = rsa_padding.OAEP(rsa_padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    encoded = rsa_key.decrypt_raw(RsaRaw(), private.public_key().encrypt(b"message", oaep))
    assert encoded[0] == 0
    assert len(encoded) == 256


@pytest.mark.parametrize("message", [0, 1, 2, 255, 256, 1 << 1000, 1 << 2040])
def test_raw_rsa_keeps_leading_zeros(rsa_key: OpenedKey, private: rsa.RSAPrivateKey, message: int) -> None:
    public = private.public_key().public_numbers()
    ciphertext = pow(message, public.e, public.n).to_bytes(256, "big")
    assert rsa_key.decrypt_raw(RsaRaw(), ciphertext) == message.to_bytes(256, "big")


def test_raw_rsa_takes_only_what_is_below_the_modulus(rsa_key: OpenedKey, private: rsa.RSAPrivateKey) -> None:
    modulus = private.public_key().public_numbers().n
    for ciphertext in (modulus.to_bytes(256, "big"), b"\xff" * 256, bytes(257), bytes(255), b""):
        with pytest.raises(DataRejected):
            rsa_key.decrypt_raw(RsaRaw(), ciphertext)


def test_raw_rsa_needs_the_right_to_decrypt_and_an_rsa_key(module: Pkcs11Module, private: rsa.RSAPrivateKey) -> None:
    with pytest.raises(MechanismRefused):
        _opened(module, RSA, _der(private), Usage.SIGN).decrypt_raw(RsaRaw(), bytes(256))
    with pytest.raises(MechanismRefused):
        _opened(module, KeySpec("AES", 256), bytes(32)).decrypt_raw(RsaRaw(), bytes(16))


# -- ECDH ----------------------------------------------------------------------------------------------------------


def _pair(module: Pkcs11Module, curve: str) -> tuple[OpenedKey, ec.EllipticCurvePrivateKey]:
    private = ec.generate_private_key(CURVES[curve]())
    return _opened(module, KeySpec("EC", private.key_size, curve), _der(private)), private


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


@pytest.mark.parametrize("curve", CURVES_HERE)
def test_ecdh_agrees(module: Pkcs11Module, curve: str) -> None:
    key, private = _pair(module, curve)
    for _ in range(3):
        peer = ec.generate_private_key(CURVES[curve]())
        assert key.agree(_point(peer)).reveal() == private.exchange(ec.ECDH(), peer.public_key())


def test_a_shared_secret_keeps_its_leading_zeros(module: Pkcs11Module) -> None:
    key, private = _pair(module, "NistP256")
    while True:
        peer = ec.generate_private_key(ec.SECP256R1())
        expected = private.exchange(ec.ECDH(), peer.public_key())
        if expected[0] == 0:
            break
    assert key.agree(_point(peer)).reveal() == expected


@pytest.mark.parametrize("curve", [name for name in CURVES_HERE if name != "NistP521"])
def test_a_point_that_looks_like_der_is_taken_for_what_it_is(module: Pkcs11Module, curve: str) -> None:
    """One in 256 begins as the DER OCTET STRING of a shorter point would. P-521's x begins with 00 or 01."""
    key, private = _pair(module, curve)
    while True:
        peer = ec.generate_private_key(CURVES[curve]())
        point = _point(peer)
        if point[1] == len(point) - 2:
            break
    assert key.agree(point).reveal() == private.exchange(ec.ECDH(), peer.public_key())


@pytest.mark.skipif("NistP224" not in CURVES_HERE, reason="the token at hand lacks P-224")
def test_a_point_that_looks_like_long_der_is_taken_for_what_it_is(module: Pkcs11Module) -> None:
    """One in 65,536, with a length in the long form; this one is Wycheproof's (ecdh_secp224r1, tcId 370)."""
    key, private = _pair(module, "NistP224")
    point = bytes.fromhex(
        "048136d0ddb78a4de3fa13facf09e691788d51d6e83b4ce80bf2604c9afdecb5a04bc5dcd6699a5a2bb0afb6b6152f2fa52b52a92cade14301"
    )
    peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP224R1(), point)
    assert key.agree(point).reveal() == private.exchange(ec.ECDH(), peer)


@pytest.mark.parametrize("curve", CURVES_HERE)
def test_a_point_that_is_not_on_the_curve_is_bad_data(module: Pkcs11Module, curve: str) -> None:
    key, _ = _pair(module, curve)
    good = bytearray(_point(ec.generate_private_key(CURVES[curve]())))
    good[-1] ^= 1
    another = next(name for name in CURVES_HERE if name != curve)
    for point in (bytes(good), _point(ec.generate_private_key(CURVES[another]())), b"\x00", b"", bytes(len(good))):
        with pytest.raises(DataRejected):
            key.agree(point)


def test_ecdh_needs_the_right_to_derive_and_an_ec_key(module: Pkcs11Module) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(MechanismRefused):
        _opened(module, KeySpec("EC", 256, "NistP256"), _der(private), Usage.SIGN).agree(_point(private))
    with pytest.raises(MechanismRefused):
        _opened(module, KeySpec("AES", 256), bytes(32)).agree(_point(private))


# -- digests of keys -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SHA1", "SHA224", "SHA256", "SHA384", "SHA512"])
@pytest.mark.parametrize("spec", [KeySpec("AES", 256), KeySpec("AES", 128), KeySpec("HMAC", 512), KeySpec("HMAC", 808)])
def test_a_key_is_digested_without_being_seen(module: Pkcs11Module, name: str, spec: KeySpec) -> None:
    material = os.urandom(spec.size // 8)
    key = _opened(module, spec, material)
    for prefix in (b"", b"prefix", bytes(1000)):
        assert key.digest(name, prefix) == hashlib.new(name, prefix + material, usedforsecurity=False).digest()


def test_what_would_be_digested_wrong_is_refused(module: Pkcs11Module, private: rsa.RSAPrivateKey) -> None:
    with pytest.raises(MechanismRefused):
        _opened(module, KeySpec("HMAC", 256), bytes(32)).digest("SHA256")
    with pytest.raises(MechanismRefused):
        _opened(module, KeySpec("AES", 256), bytes(32)).digest("MD5")
    with pytest.raises(MechanismRefused):
        _opened(module, RSA, _der(private)).digest("SHA256")


# -- lent bytes ----------------------------------------------------------------------------------------------------


def test_confined_bytes_are_lent_and_never_released(module: Pkcs11Module) -> None:
    blob = module.seal(SecretBytes(b"seed"), binding=b"row", confined=True)
    assert module.lend(blob, binding=b"row").reveal() == b"seed"
    with pytest.raises(MechanismRefused):
        module.unseal(blob, binding=b"row")
    with pytest.raises(BlobRejected):
        module.lend(blob, binding=b"another row")


def test_what_is_in_the_token_is_not_lent(module: Pkcs11Module) -> None:
    blob = module.generate(KeySpec("AES", 256), binding=b"row").blob
    with pytest.raises(MechanismRefused):
        module.lend(blob, binding=b"row")


def test_a_confined_key_opens_in_a_token_that_has_learnt_its_kind(module: Pkcs11Module) -> None:
    spec, material = KeySpec("AES", 256), SecretBytes(os.urandom(32))
    ciphertexts = {
        module.open(spec, blob, binding=b"row", usage=Usage.ENCRYPT, cache_key=os.urandom(8)).encrypt(
            AesGcm(bytes(12)), b"data"
        )
        for blob in (
            module.seal(material, binding=b"row", confined=True),
            module.import_key(spec, material, binding=b"row").blob,
        )
    }
    assert len(ciphertexts) == 1
