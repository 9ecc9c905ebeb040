"""Every mechanism, computed in the token and again by `cryptography`."""

from __future__ import annotations

import hmac
import os

import pytest
from cryptography.hazmat.primitives import hashes, keywrap, padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from kms.hsm.errors import DataRejected, MechanismRefused
from kms.hsm.key_material import CURVES
from kms.hsm.module import (
    AesCbc,
    AesCtr,
    AesEcb,
    AesGcm,
    AesKw,
    AesKwp,
    CipherMechanism,
    Ecdsa,
    Hmac,
    KeySpec,
    OpenedKey,
    RsaPkcs1v15,
    RsaPss,
    Usage,
)
from kms.hsm.pkcs11 import Pkcs11Module
from kms.secret import SecretBytes
from tests.hsm.token_place import CURVES_HERE

HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "SHA1": hashes.SHA1,
    "SHA224": hashes.SHA224,
    "SHA256": hashes.SHA256,
    "SHA384": hashes.SHA384,
    "SHA512": hashes.SHA512,
}
ALL = Usage.ENCRYPT | Usage.DECRYPT | Usage.WRAP | Usage.UNWRAP | Usage.SIGN | Usage.MAC
LENGTHS = (0, 1, 15, 16, 17, 32, 1000, 70_000)


def imported(module: Pkcs11Module, spec: KeySpec, material: bytes) -> OpenedKey:
    blob = module.import_key(spec, SecretBytes(material), binding=b"row").blob
    return module.open(spec, blob, binding=b"row", usage=ALL, cache_key=os.urandom(8))


@pytest.fixture(params=[128, 192, 256])
def aes(request: pytest.FixtureRequest, module: Pkcs11Module) -> tuple[OpenedKey, bytes]:
    material = os.urandom(request.param // 8)
    return imported(module, KeySpec("AES", request.param), material), material


def digest(name: str, data: bytes = b"data") -> bytes:
    context = hashes.Hash(HASHES[name]())
    context.update(data)
    return context.finalize()


# -- ciphers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag_bits", [96, 104, 112, 120, 128])
def test_gcm(aes: tuple[OpenedKey, bytes], tag_bits: int) -> None:
    key, material = aes
    for length in LENGTHS:
        for header in (b"", b"aad", bytes(5000)):
            data, iv = os.urandom(length), os.urandom(12)
            mechanism = AesGcm(iv, header, tag_bits)
            reference = Cipher(algorithms.AES(material), modes.GCM(iv)).encryptor()
            reference.authenticate_additional_data(header)
            expected = reference.update(data) + reference.finalize() + reference.tag[: tag_bits // 8]
            assert key.encrypt(mechanism, data) == expected
            assert key.decrypt(mechanism, expected) == data


def _reference(mechanism: CipherMechanism, material: bytes, data: bytes) -> bytes:
    mode: modes.Mode
    if isinstance(mechanism, AesCbc):
        mode = modes.CBC(mechanism.iv)
        if mechanism.padded:
            pad = padding.PKCS7(128).padder()
            data = pad.update(data) + pad.finalize()
    elif isinstance(mechanism, AesCtr):
        mode = modes.CTR(mechanism.iv)
    else:
        mode = modes.ECB()  # noqa: S305  # the mode under test
    encryptor = Cipher(algorithms.AES(material), mode).encryptor()
    return encryptor.update(data) + encryptor.finalize()


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(
    "mechanism",
    [AesCbc(b"16 bytes of iv..", False), AesCbc(b"16 bytes of iv..", True), AesCtr(b"16 bytes of iv.."), AesEcb()],
    ids=["cbc", "cbc-pad", "ctr", "ecb"],
)
def test_the_other_modes(aes: tuple[OpenedKey, bytes], mechanism: CipherMechanism, length: int) -> None:
    key, material = aes
    whole_blocks = isinstance(mechanism, AesEcb) or (isinstance(mechanism, AesCbc) and not mechanism.padded)
    data = os.urandom(length // 16 * 16 if whole_blocks else length)
    expected = _reference(mechanism, material, data)
    assert key.encrypt(mechanism, data) == expected
    assert key.decrypt(mechanism, expected) == data


@pytest.mark.parametrize("blocks_to_the_end", [0, 1, 2, 3, 4, 5])
def test_the_ctr_counter_wraps_over_all_128_bits(aes: tuple[OpenedKey, bytes], blocks_to_the_end: int) -> None:
    key, material = aes
    iv = ((1 << 128) - 1 - blocks_to_the_end).to_bytes(16, "big")
    for length in (16, 32, 47, 48, 64, 65):
        data = os.urandom(length)
        assert key.encrypt(AesCtr(iv), data) == _reference(AesCtr(iv), material, data)
        assert key.decrypt(AesCtr(iv), _reference(AesCtr(iv), material, data)) == data


def test_wrong_parameters_and_lengths_are_told_apart(aes: tuple[OpenedKey, bytes]) -> None:
    key, _ = aes
    wrong = (AesGcm(b""), AesGcm(bytes(129)), AesGcm(bytes(12), b"", 64), AesCbc(bytes(12), True), AesCtr(bytes(12)))
    refused: CipherMechanism
    mechanism: CipherMechanism
    for refused in wrong:
        with pytest.raises(MechanismRefused):
            key.encrypt(refused, bytes(16))
    with pytest.raises(MechanismRefused):
        key.encrypt("AES", b"")  # type: ignore[arg-type]  # not a mechanism
    for mechanism in (AesEcb(), AesCbc(bytes(16), False)):
        with pytest.raises(DataRejected):
            key.encrypt(mechanism, b"15 bytes of it.")
    for mechanism in (AesEcb(), AesCbc(bytes(16), False), AesCbc(bytes(16), True), AesGcm(bytes(12))):
        with pytest.raises(DataRejected):
            key.decrypt(mechanism, b"15 bytes of it.")
    with pytest.raises(DataRejected):
        key.decrypt(AesCbc(bytes(16), True), b"")


# -- wrapping ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [16, 24, 32, 40, 128, 1216])
def test_kw(aes: tuple[OpenedKey, bytes], length: int) -> None:
    key, material = aes
    data = os.urandom(length)
    expected = keywrap.aes_key_wrap(material, data)
    assert key.wrap(AesKw(), SecretBytes(data)) == expected
    assert key.unwrap(AesKw(), expected).reveal() == data


@pytest.mark.parametrize("length", [1, 7, 8, 9, 15, 16, 20, 24, 31, 32, 37, 138, 1217])
def test_kwp(aes: tuple[OpenedKey, bytes], length: int) -> None:
    key, material = aes
    data = os.urandom(length - 1) + b"\0"
    expected = keywrap.aes_key_wrap_with_padding(material, data)
    assert key.wrap(AesKwp(), SecretBytes(data)) == expected
    assert key.unwrap(AesKwp(), expected).reveal() == data


def test_what_cannot_be_wrapped_or_does_not_open_is_bad_data(aes: tuple[OpenedKey, bytes]) -> None:
    key, _ = aes
    for length in (0, 8, 17, 37):
        with pytest.raises(DataRejected):
            key.wrap(AesKw(), SecretBytes(bytes(length)))
    with pytest.raises(DataRejected):
        key.wrap(AesKwp(), SecretBytes(b""))
    for mechanism in (AesKw(), AesKwp()):
        for length in (0, 8, 16, 24, 37, 40):
            with pytest.raises(DataRejected):
                key.unwrap(mechanism, bytes(length))
    with pytest.raises(DataRejected):
        key.unwrap(AesKw(), key.wrap(AesKwp(), SecretBytes(bytes(32))))


# -- MACs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(HASHES))
@pytest.mark.parametrize("length", [1, 14, 20, 32, 63, 64, 65, 72, 100, 128, 129, 136, 1024])
def test_hmac_with_keys_of_any_length(module: Pkcs11Module, name: str, length: int) -> None:
    material = os.urandom(length)
    key = imported(module, KeySpec("HMAC", length * 8), material)
    for data in (b"", b"data", bytes(10_000)):
        assert key.mac(Hmac(name), data) == hmac.digest(material, data, name.lower())


def test_an_unknown_hash_is_refused(module: Pkcs11Module) -> None:
    key = imported(module, KeySpec("HMAC", 256), bytes(32))
    with pytest.raises(MechanismRefused):
        key.mac(Hmac("MD5"), b"")


# -- signatures ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session", params=[1024, 2048, 3072])
def rsa_key(request: pytest.FixtureRequest, module: Pkcs11Module) -> tuple[OpenedKey, rsa.RSAPublicKey]:
    spec = KeySpec("RSA", request.param)
    stored = module.generate(spec, binding=b"row")
    public = serialization.load_der_public_key(stored.public or b"")
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.key_size == request.param
    return module.open(spec, stored.blob, binding=b"row", usage=ALL, cache_key=os.urandom(8)), public


@pytest.mark.parametrize("name", sorted(HASHES))
def test_pkcs1_v1_5(rsa_key: tuple[OpenedKey, rsa.RSAPublicKey], name: str) -> None:
    key, public = rsa_key
    signature = key.sign(RsaPkcs1v15(name), digest(name))
    public.verify(signature, digest(name), rsa_padding.PKCS1v15(), Prehashed(HASHES[name]()))
    with pytest.raises(DataRejected):
        key.sign(RsaPkcs1v15(name), b"short")


@pytest.mark.parametrize("name", sorted(HASHES))
@pytest.mark.parametrize("salt_length", [0, 8, 20, 32])
def test_pss(rsa_key: tuple[OpenedKey, rsa.RSAPublicKey], name: str, salt_length: int) -> None:
    key, public = rsa_key
    signature = key.sign(RsaPss(name, name, salt_length), digest(name))
    scheme = rsa_padding.PSS(rsa_padding.MGF1(HASHES[name]()), salt_length)
    public.verify(signature, digest(name), scheme, Prehashed(HASHES[name]()))


def test_pss_parameters_that_do_not_fit_are_refused(rsa_key: tuple[OpenedKey, rsa.RSAPublicKey]) -> None:
    key, _ = rsa_key
    for mechanism in (RsaPss("SHA256", "MD5", 32), RsaPss("SHA256", "SHA256", -1), RsaPss("SHA256", "SHA256", 10_000)):
        with pytest.raises(MechanismRefused):
            key.sign(mechanism, digest("SHA256"))
    with pytest.raises(MechanismRefused):
        key.sign(Ecdsa(), digest("SHA256"))


@pytest.mark.parametrize("curve", CURVES_HERE)
@pytest.mark.parametrize("name", sorted(HASHES))
def test_ecdsa(module: Pkcs11Module, curve: str, name: str) -> None:
    spec = KeySpec("EC", CURVES[curve]().key_size, curve)
    stored = module.generate(spec, binding=b"row")
    public = serialization.load_der_public_key(stored.public or b"")
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == CURVES[curve]().name
    key = module.open(spec, stored.blob, binding=b"row", usage=ALL, cache_key=os.urandom(8))
    signature = key.sign(Ecdsa(), digest(name))
    half = (public.curve.key_size + 7) // 8
    assert len(signature) == 2 * half
    der = encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
    public.verify(der, digest(name), ec.ECDSA(Prehashed(HASHES[name]())))
