"""The edges of lengths and parameters: nothing, one block, one more, and what does not fit the key."""

from __future__ import annotations

import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kms.crypto.algorithm import CipherParameters, SignatureParameters
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.hsm.errors import DataRejected, ModuleError
from kms.operations.command import ObjectRef
from kms.operations.cryptographic import Decrypt, Encrypt, GenerateMac, Sign, Verify, VerifyMac
from kms.operations.executor import execute
from tests.kit.tenants import Tenant
from tests.operations.material import pkcs8, rsa_key, spki

LENGTHS = (0, 1, 15, 16, 17, 32, 4095, 4096, 65_536, 65_537, 1_000_000)


def there_and_back(tenant: Tenant, key: ObjectRef, mode: str, data: bytes) -> bytes:
    made = execute(tenant.app, Encrypt(key, "AES", CipherParameters(mode), data)).value
    parameters = CipherParameters(mode, made.iv, tag=made.tag)
    result: bytes = execute(tenant.app, Decrypt(key, "AES", parameters, made.ciphertext)).value
    return result


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("mode", ["GCM", "CCM", "CBC", "CTR", "OFB", "CFB"])
def test_any_length_comes_back(tenant: Tenant, mode: str, length: int) -> None:
    data = os.urandom(length)
    assert there_and_back(tenant, tenant.key(), mode, data) == data


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("mode", ["CBCNOPAD", "ECB"])
def test_modes_without_padding_take_whole_blocks(tenant: Tenant, mode: str, length: int) -> None:
    key, data = tenant.key(), os.urandom(length)
    if length % 16 == 0:
        assert there_and_back(tenant, key, mode, data) == data
    else:
        with pytest.raises(ParameterInvalid, match="whole blocks"):
            there_and_back(tenant, key, mode, data)


PARAMETERS: dict[str, tuple[Any, ...]] = {
    "GCM: iv of 7 bytes": ("GCM", bytes(7)),
    "GCM: iv of 129 bytes": ("GCM", bytes(129)),
    "GCM: empty iv": ("GCM", b""),
    "GCM: tag of 95 bits": ("GCM", None, None, 95),
    "GCM: tag of 64 bits": ("GCM", None, None, 64),
    "GCM: tag of 136 bits": ("GCM", None, None, 136),
    "GCM: no tag": ("GCM", None, None, 0),
    "GCM: negative tag": ("GCM", None, None, -128),
    "CCM: iv of 6 bytes": ("CCM", bytes(6)),
    "CCM: iv of 14 bytes": ("CCM", bytes(14)),
    "CCM: tag of 48 bits": ("CCM", None, None, 48),
    "CCM: tag of 72 bits": ("CCM", None, None, 72),
    "OFB: short iv": ("OFB", bytes(15)),
    "CFB: associated data": ("CFB", None, b"aad"),
    "KW: iv": ("KW", bytes(8)),
    "KWP: tag": ("KWP", None, None, 128),
    "CBC: short iv": ("CBC", bytes(12)),
    "CBC: associated data": ("CBC", None, b"aad"),
    "CBC: empty associated data": ("CBC", None, b""),
    "CTR: tag": ("CTR", None, None, 128),
    "ECB: iv": ("ECB", bytes(16)),
}


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
def test_parameters_that_do_not_fit_the_mode_are_refused(tenant: Tenant, parameters: tuple[Any, ...]) -> None:
    with pytest.raises(ParameterInvalid):
        execute(tenant.app, Encrypt(tenant.key(), "AES", CipherParameters(*parameters), bytes(16)))


@pytest.mark.parametrize("mode", ["gcm", "", "XTS", "CFB8", "FF1", "CCM ", "GCTR"])
def test_modes_that_are_not_offered_are_refused(tenant: Tenant, mode: str) -> None:
    with pytest.raises((AlgorithmUnsupported, ParameterInvalid)):
        execute(tenant.app, Encrypt(tenant.key(), "AES", CipherParameters(mode), bytes(16)))


@pytest.mark.parametrize("bits", [96, 104, 112, 120, 128])
def test_associated_data_and_tag_are_checked(tenant: Tenant, bits: int) -> None:
    key = tenant.key()
    made = execute(tenant.app, Encrypt(key, "AES", CipherParameters("GCM", None, b"aad", bits), b"data")).value
    assert len(made.tag) * 8 == bits

    def opened(aad: bytes, tag: bytes, ciphertext: bytes) -> bytes:
        parameters = CipherParameters("GCM", made.iv, aad, tag=tag)
        result: bytes = execute(tenant.app, Decrypt(key, "AES", parameters, ciphertext)).value
        return result

    assert opened(b"aad", made.tag, made.ciphertext) == b"data"
    flipped = bytes([made.tag[0] ^ 1]) + made.tag[1:]
    wrong = [(b"AAD", made.tag, made.ciphertext), (b"", made.tag, made.ciphertext), (b"aad", flipped, made.ciphertext)]
    for aad, tag, ciphertext in [*wrong, (b"aad", made.tag, made.ciphertext + b"\0"), (b"aad", made.tag, b"")]:
        with pytest.raises(DataRejected):
            opened(aad, tag, ciphertext)
    # GCM's tag can be cut and still holds for what is left of it (SP 800-38D §5.2.1.2): 96 bits is where we stop.
    with pytest.raises(ParameterInvalid, match="one of 12, 13, 14, 15, 16 bytes"):
        opened(b"aad", made.tag[:11], made.ciphertext)


@pytest.mark.parametrize("hash_name", ["SHA1", "SHA224", "SHA256", "SHA384", "SHA512"])
@pytest.mark.parametrize("padding", ["PKCS1_V15", "PSS"])
def test_a_small_rsa_key_signs_or_refuses_and_verifies_or_says_no(tenant: Tenant, padding: str, hash_name: str) -> None:
    """1024 bits have no room for PSS over SHA-512 with a salt as long."""
    key = tenant.imported("RSA", pkcs8(rsa_key(1024)))
    parameters = SignatureParameters(hash_name, padding)
    if (padding, hash_name) == ("PSS", "SHA512"):
        with pytest.raises((ModuleError, ParameterInvalid)):
            execute(tenant.app, Sign(key, parameters, data=b"x"))
        assert execute(tenant.app, Verify(key, parameters, bytes(128), data=b"x")).value is False
    else:
        signature = execute(tenant.app, Sign(key, parameters, data=b"x")).value
        assert execute(tenant.app, Verify(key, parameters, signature, data=b"x")).value is True


@pytest.mark.parametrize("length", [0, 1, 127, 129, 255, 256, 257, 10_000])
@pytest.mark.parametrize("padding", ["PKCS1_V15", "PSS"])
def test_a_signature_of_any_length_holds_or_does_not(tenant: Tenant, padding: str, length: int) -> None:
    key = tenant.imported("RSA", spki(rsa_key()))
    command = Verify(key, SignatureParameters("SHA256", padding), os.urandom(length), data=b"x")
    assert execute(tenant.app, command).value is False


@pytest.mark.parametrize("bits", [1023, 1025, 1028, 2047, 2056])
def test_rsa_keys_of_odd_sizes_are_imported_and_used_or_refused_in_our_own_words(tenant: Tenant, bits: int) -> None:
    odd = _rsa_of(bits)
    try:
        key = tenant.imported("RSA", pkcs8(odd))
    except (ParameterInvalid, AlgorithmUnsupported, ModuleError):
        return
    signature = execute(tenant.app, Sign(key, SignatureParameters("SHA256"), data=b"x")).value
    assert execute(tenant.app, Verify(key, SignatureParameters("SHA256"), signature, data=b"x")).value is True


def _rsa_of(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, max(bits, 1024))


@pytest.mark.parametrize(("digest", "data"), [(None, None), (bytes(32), b"x"), (bytes(31), None), (b"", None)], ids=str)
def test_a_signature_is_over_data_or_over_a_digest_of_the_right_length(
    tenant: Tenant, digest: bytes | None, data: bytes | None
) -> None:
    key = tenant.key("EC", curve="NistP256")
    for command in (
        Sign(key, SignatureParameters("SHA256"), digest, data),
        Verify(key, SignatureParameters("SHA256"), b"x", digest, data),
    ):
        with pytest.raises(ParameterInvalid):
            execute(tenant.app, command)


@pytest.mark.parametrize("size", [112, 120, 504, 512, 520, 1000, 1024, 8192])
@pytest.mark.parametrize("length", [0, 1, 65_537])
def test_hmac_keys_of_any_size_mac_any_length(tenant: Tenant, size: int, length: int) -> None:
    key, data = tenant.key("HMAC", size=size), os.urandom(length)
    for hash_name in ("SHA1", "SHA512"):
        mac = execute(tenant.app, GenerateMac(key, hash_name, data)).value
        assert execute(tenant.app, VerifyMac(key, hash_name, data, mac)).value is True
        for wrong in (b"", mac[:-1], mac + b"\0", bytes([mac[0] ^ 1]) + mac[1:]):
            assert execute(tenant.app, VerifyMac(key, hash_name, data, wrong)).value is False
