"""Blobs open only whole, only under their own binding, and only in the way they were made."""

from __future__ import annotations

import os

import pytest

from kms.hsm.blob import Version, aad, parse
from kms.hsm.errors import BlobRejected, DataRejected, MechanismRefused
from kms.hsm.module import AesGcm, Hmac, KeySpec, Usage
from kms.hsm.pkcs11 import Pkcs11Module
from kms.secret import SecretBytes

AES = KeySpec("AES", 256)
GCM = AesGcm(b"iv of twelve")


def try_open(
    module: Pkcs11Module, blob: bytes, *, binding: bytes = b"row", spec: KeySpec = AES, name: bytes = b""
) -> None:
    module.open(spec, blob, binding=binding, usage=Usage.ENCRYPT, cache_key=name or os.urandom(8))


@pytest.mark.parametrize("kind", ["wrapped", "sealed"])
def test_any_flipped_bit_is_rejected(module: Pkcs11Module, kind: str) -> None:
    material = SecretBytes(os.urandom(32))
    if kind == "wrapped":
        blob = module.import_key(AES, material, binding=b"row").blob
    else:
        blob = module.seal(material, binding=b"row")
    for bit in range(len(blob) * 8):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BlobRejected):
            module.authenticate(bytes(flipped), binding=b"row")
        if bit % 7 == 0:
            with pytest.raises(BlobRejected):
                try_open(module, bytes(flipped))
    try_open(module, blob)


@pytest.mark.parametrize("length", [0, 1, 5, 17, 32])
def test_a_cut_blob_is_rejected(module: Pkcs11Module, length: int) -> None:
    blob = module.generate(AES, binding=b"row").blob
    for call in (module.authenticate, module.unseal):
        with pytest.raises(BlobRejected):
            call(blob[:length], binding=b"row")
    with pytest.raises(BlobRejected):
        try_open(module, blob[:length])


def test_a_blob_moved_to_another_binding_is_rejected(module: Pkcs11Module) -> None:
    blob = module.generate(AES, binding=b"row").blob
    sealed = module.seal(SecretBytes(b"secret"), binding=b"row")
    for other in (b"", b"ro", b"row ", b"\0row"):
        with pytest.raises(BlobRejected):
            try_open(module, blob, binding=other)
        with pytest.raises(BlobRejected):
            module.unseal(sealed, binding=other)


def test_a_cached_handle_is_no_way_round_the_binding(module: Pkcs11Module) -> None:
    blob = module.generate(AES, binding=b"row").blob
    name = os.urandom(8)
    try_open(module, blob, name=name)
    with pytest.raises(BlobRejected):
        try_open(module, blob, binding=b"another", name=name)
    with pytest.raises(BlobRejected):
        try_open(module, blob[:-1] + bytes([blob[-1] ^ 1]), name=name)
    try_open(module, blob, name=name)


def test_a_wrapped_blob_is_never_unsealed(module: Pkcs11Module) -> None:
    for spec in (AES, KeySpec("HMAC", 160), KeySpec("HMAC", 808)):
        blob = module.generate(spec, binding=b"row").blob
        with pytest.raises(MechanismRefused):
            module.unseal(blob, binding=b"row")


def test_a_blob_says_its_version_and_generation(module: Pkcs11Module) -> None:
    assert module.generate(AES, binding=b"row").blob[:5] == b"\x01\0\0\0\x01"
    assert module.seal(SecretBytes(b""), binding=b"row")[:5] == b"\x03\0\0\0\x01"
    assert parse(module.generate(KeySpec("HMAC", 808), binding=b"row").blob).version is Version.CONFINED


def test_the_header_is_part_of_the_authenticated_data() -> None:
    parts = [(version, generation, binding) for version in Version for generation in (1, 2) for binding in (b"", b"\0")]
    assert len({aad(*part) for part in parts}) == len(parts)


@pytest.mark.parametrize("material", [b"", b"a", bytes(100_000)])
def test_sealed_bytes_come_back(module: Pkcs11Module, material: bytes) -> None:
    blob = module.seal(SecretBytes(material), binding=b"row")
    assert module.unseal(blob, binding=b"row").reveal() == material
    assert blob != module.seal(SecretBytes(material), binding=b"row")


def test_a_sealed_key_opens_in_the_token(module: Pkcs11Module) -> None:
    material = SecretBytes(os.urandom(32))
    sealed = module.seal(material, binding=b"row")
    wrapped = module.import_key(AES, material, binding=b"row").blob
    results = {
        module.open(AES, blob, binding=b"row", usage=Usage.ENCRYPT, cache_key=os.urandom(8)).encrypt(GCM, b"data")
        for blob in (sealed, wrapped)
    }
    assert len(results) == 1


def test_a_key_of_another_size_does_not_open(module: Pkcs11Module) -> None:
    with pytest.raises(BlobRejected):
        try_open(module, module.generate(KeySpec("AES", 128), binding=b"row").blob)
    with pytest.raises(DataRejected):
        try_open(module, module.seal(SecretBytes(bytes(16)), binding=b"row"))


def test_rebinding_moves_a_blob_on_purpose(module: Pkcs11Module) -> None:
    for spec in (AES, KeySpec("HMAC", 808)):
        blob = module.generate(spec, binding=b"row").blob
        moved = module.rebind(blob, binding=b"row", to=b"new row")
        try_open(module, moved, binding=b"new row", spec=spec)
        module.authenticate(moved, binding=b"new row")
        assert moved[0] == blob[0]
        with pytest.raises(BlobRejected):
            module.authenticate(moved, binding=b"row")
        with pytest.raises(BlobRejected):
            module.rebind(blob, binding=b"not its row", to=b"new row")


def test_a_confined_key_works_like_any_other(module: Pkcs11Module) -> None:
    spec, material = KeySpec("HMAC", 808), SecretBytes(os.urandom(101))
    macs = set()
    for blob in (module.import_key(spec, material, binding=b"").blob, module.seal(material, binding=b"")):
        key = module.open(spec, blob, binding=b"", usage=Usage.MAC, cache_key=os.urandom(8))
        macs.add(key.mac(Hmac("SHA256"), b"data"))
    assert len(macs) == 1
