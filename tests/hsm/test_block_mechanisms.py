"""TDEA, CMAC and GCM's unusual IVs, computed in the token and again by `cryptography`."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from kms.hsm.errors import DataRejected, MechanismRefused
from kms.hsm.module import AesEcb, AesGcm, Cmac, Des3Cbc, Des3Ecb, Hmac, KeySpec, OpenedKey
from kms.hsm.pkcs11 import Pkcs11Module
from tests.hsm.conftest import NEEDS_DES3
from tests.hsm.test_mechanisms import LENGTHS, imported

DES3 = KeySpec("DES3", 168)
IV = b"8 bytes."


@pytest.fixture
def des3(module: Pkcs11Module) -> tuple[OpenedKey, bytes]:
    material = os.urandom(24)
    return imported(module, DES3, material), material


def _encrypted(mechanism: Des3Cbc | Des3Ecb, material: bytes, data: bytes) -> bytes:
    mode: modes.Mode
    if isinstance(mechanism, Des3Cbc):
        mode = modes.CBC(mechanism.iv)
        if mechanism.padded:
            pad = padding.PKCS7(64).padder()
            data = pad.update(data) + pad.finalize()
    else:
        mode = modes.ECB()  # noqa: S305  # the mode under test
    encryptor = Cipher(TripleDES(material), mode).encryptor()
    return encryptor.update(data) + encryptor.finalize()


@NEEDS_DES3
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("mechanism", [Des3Cbc(IV, False), Des3Cbc(IV, True), Des3Ecb()], ids=["cbc", "cbc-pad", "ecb"])
def test_tdea(des3: tuple[OpenedKey, bytes], mechanism: Des3Cbc | Des3Ecb, length: int) -> None:
    key, material = des3
    whole_blocks = not getattr(mechanism, "padded", False)
    data = os.urandom(length // 8 * 8 if whole_blocks else length)
    expected = _encrypted(mechanism, material, data)
    assert key.encrypt(mechanism, data) == expected
    assert key.decrypt(mechanism, expected) == data


@NEEDS_DES3
def test_a_generated_tdea_key_works(module: Pkcs11Module) -> None:
    material = module.generate_material(DES3).reveal()
    assert len(material) == 24
    assert all(byte.bit_count() % 2 for byte in material), "each byte has odd parity"
    assert imported(module, DES3, material).encrypt(Des3Ecb(), bytes(8)) == _encrypted(Des3Ecb(), material, bytes(8))


@NEEDS_DES3
def test_wrong_tdea_parameters_and_lengths_are_told_apart(des3: tuple[OpenedKey, bytes]) -> None:
    key, _ = des3
    for refused in (Des3Cbc(bytes(16), True), Des3Cbc(b"", False)):
        with pytest.raises(MechanismRefused):
            key.encrypt(refused, bytes(8))
    with pytest.raises(MechanismRefused):
        key.encrypt(AesEcb(), bytes(16))
    for mechanism in (Des3Ecb(), Des3Cbc(IV, False)):
        with pytest.raises(DataRejected):
            key.encrypt(mechanism, bytes(7))
    for mechanism in (Des3Ecb(), Des3Cbc(IV, False), Des3Cbc(IV, True)):
        with pytest.raises(DataRejected):
            key.decrypt(mechanism, bytes(7))
    with pytest.raises(DataRejected):
        key.decrypt(Des3Cbc(IV, True), key.encrypt(Des3Cbc(IV, False), bytes(16)))
    assert key.decrypt(Des3Ecb(), key.encrypt(Des3Ecb(), bytes(8))) == bytes(8), "the token is well"


def _cmac(algorithm: BlockCipherAlgorithm, data: bytes) -> bytes:
    context = CMAC(algorithm)
    context.update(data)
    return context.finalize()


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_cmac_under_aes(module: Pkcs11Module, bits: int) -> None:
    material = os.urandom(bits // 8)
    key = imported(module, KeySpec("AES", bits), material)
    for length in LENGTHS:
        data = os.urandom(length)
        assert key.mac(Cmac(), data) == _cmac(algorithms.AES(material), data)
    with pytest.raises(MechanismRefused):
        key.mac(Hmac("SHA256"), b"")


@NEEDS_DES3
def test_cmac_under_tdea(des3: tuple[OpenedKey, bytes]) -> None:
    key, material = des3
    for length in LENGTHS:
        data = os.urandom(length)
        assert key.mac(Cmac(), data) == _cmac(TripleDES(material), data)


def test_an_hmac_key_makes_no_cmac(module: Pkcs11Module) -> None:
    with pytest.raises(MechanismRefused):
        imported(module, KeySpec("HMAC", 256), bytes(32)).mac(Cmac(), b"")


@pytest.mark.parametrize("length", [8, 11, 12, 13, 16, 17, 60, 64, 128])  # cryptography takes none below 8
def test_gcm_ivs_of_any_length(module: Pkcs11Module, length: int) -> None:
    material, iv, data = os.urandom(32), os.urandom(length), os.urandom(100)
    key = imported(module, KeySpec("AES", 256), material)
    reference = Cipher(algorithms.AES(material), modes.GCM(iv)).encryptor()
    reference.authenticate_additional_data(b"aad")
    expected = reference.update(data) + reference.finalize() + reference.tag
    assert key.encrypt(AesGcm(iv, b"aad"), data) == expected
    assert key.decrypt(AesGcm(iv, b"aad"), expected) == data


@pytest.mark.parametrize("length", range(1, 8))
def test_gcm_ivs_too_short_for_the_reference_come_back(module: Pkcs11Module, length: int) -> None:
    key, iv = imported(module, KeySpec("AES", 256), os.urandom(32)), os.urandom(length)
    ciphertext = key.encrypt(AesGcm(iv), b"data")
    assert key.decrypt(AesGcm(iv), ciphertext) == b"data"
    with pytest.raises(DataRejected):
        key.decrypt(AesGcm(iv + b"\0"), ciphertext)
