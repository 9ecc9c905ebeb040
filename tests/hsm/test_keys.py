"""Making, importing and taking over keys, and what is refused on the way in."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives import keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kms.hsm.errors import DataRejected, MechanismRefused
from kms.hsm.key_material import CURVES
from kms.hsm.module import (
    AesGcm,
    AesKw,
    AesKwp,
    CryptographicModule,
    Des3Ecb,
    Ecdsa,
    Hmac,
    KeySpec,
    OpenedKey,
    RsaPss,
    Usage,
)
from kms.hsm.pkcs11 import Pkcs11Module
from kms.secret import SecretBytes
from tests.hsm.conftest import NEEDS_DES3
from tests.hsm.test_mechanisms import imported
from tests.hsm.token_place import CURVES_HERE, ON_KRYOPTIC

DER, NONE = serialization.Encoding.DER, serialization.NoEncryption()
EC_SPECS = [KeySpec("EC", CURVES[name]().key_size, name) for name in CURVES_HERE]
P256 = KeySpec("EC", 256, "NistP256")
ANOTHER_CURVE = KeySpec("EC", 384, "NistP384") if ON_KRYOPTIC else KeySpec("EC", 256, "SecP256K1")
ASYMMETRIC = [KeySpec("RSA", 1024), KeySpec("RSA", 2048), *EC_SPECS]


def by_name(spec: KeySpec) -> str:
    return spec.curve or f"{spec.kind}{spec.size}"


def public_of(material: SecretBytes) -> bytes:
    key = serialization.load_der_private_key(material.reveal(), None)
    return key.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_the_module_is_the_door(module: Pkcs11Module) -> None:
    door: CryptographicModule = module  # the type checker is the test
    assert door.status().label == module.status().label


@pytest.mark.parametrize("spec", ASYMMETRIC, ids=by_name)
def test_material_for_exportable_keys_is_a_whole_pkcs8_key(module: Pkcs11Module, spec: KeySpec) -> None:
    material = module.generate_material(spec)
    stored = module.import_key(spec, material, binding=b"row")
    assert stored.public == public_of(material)
    assert material != module.generate_material(spec)


@pytest.mark.parametrize("spec", [KeySpec("AES", 192), KeySpec("HMAC", 112), KeySpec("HMAC", 8192)], ids=by_name)
def test_material_for_exportable_secrets_has_the_right_length(module: Pkcs11Module, spec: KeySpec) -> None:
    assert len(module.generate_material(spec)) * 8 == spec.size


@pytest.mark.parametrize("size", [8, 160, 256, 504, 512, 520, 576, 1024, 8192])
def test_generated_hmac_keys_work(module: Pkcs11Module, size: int) -> None:
    spec = KeySpec("HMAC", size)
    macs = {_mac(module, spec, module.generate(spec, binding=b"row").blob) for _ in range(2)}
    assert len(macs) == 2


def _mac(module: Pkcs11Module, spec: KeySpec, blob: bytes) -> bytes:
    key = module.open(spec, blob, binding=b"row", usage=Usage.MAC, cache_key=os.urandom(8))
    return key.mac(Hmac("SHA512"), b"data")


def test_the_public_exponent_is_the_one_asked_for(module: Pkcs11Module) -> None:
    public = serialization.load_der_public_key(
        module.generate(KeySpec("RSA", 1024, public_exponent=3), binding=b"row").public or b""
    )
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.public_numbers().e == 3


@pytest.mark.parametrize(
    "spec",
    [
        KeySpec("AES", 64),
        KeySpec("AES", 512),
        KeySpec("HMAC", 0),
        KeySpec("HMAC", 12),
        KeySpec("RSA", 512),
        KeySpec("RSA", 16384),
        KeySpec("RSA", 2048, public_exponent=4),
        KeySpec("EC", 256, "P-256"),
        KeySpec("EC", 256),
        KeySpec("DES3", 56),
    ],
    ids=str,
)
def test_what_no_token_of_ours_makes_is_refused(module: Pkcs11Module, spec: KeySpec) -> None:
    for make in (module.generate, lambda spec, binding: module.generate_material(spec)):
        with pytest.raises(MechanismRefused):
            make(spec, binding=b"row")
    with pytest.raises(MechanismRefused):
        module.import_key(spec, SecretBytes(bytes(32)), binding=b"row")


# -- imports -------------------------------------------------------------------------------------------------------


def test_the_older_der_forms_are_imported_too(module: Pkcs11Module) -> None:
    for spec in (KeySpec("RSA", 1024), P256):
        material = module.generate_material(spec)
        key = serialization.load_der_private_key(material.reveal(), None)
        older = key.private_bytes(DER, serialization.PrivateFormat.TraditionalOpenSSL, NONE)
        assert module.import_key(spec, SecretBytes(older), binding=b"row").public == public_of(material)


def test_an_imported_private_key_signs(module: Pkcs11Module) -> None:
    private = rsa.generate_private_key(65537, 2048)
    pkcs8 = private.private_bytes(DER, serialization.PrivateFormat.PKCS8, NONE)
    key = imported(module, KeySpec("RSA", 2048), pkcs8)
    assert len(key.sign(RsaPss("SHA256", "SHA256", 32), bytes(32))) == 256


def test_material_that_is_not_the_spec_is_bad_data(module: Pkcs11Module) -> None:
    rsa_1024 = KeySpec("RSA", 1024)
    small, curve = module.generate_material(rsa_1024), module.generate_material(P256)
    edwards = SecretBytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(DER, serialization.PrivateFormat.PKCS8, NONE)
    )
    cases = [
        (KeySpec("AES", 256), SecretBytes(bytes(16))),
        (KeySpec("HMAC", 256), SecretBytes(bytes(31))),
        (KeySpec("RSA", 2048), small),
        (P256, small),
        (rsa_1024, curve),
        (ANOTHER_CURVE, curve),
        (P256, edwards),
        (rsa_1024, SecretBytes(b"")),
        (rsa_1024, SecretBytes(small.reveal()[:-1])),
        (P256, SecretBytes(b"not DER at all")),
    ]
    for spec, material in cases:
        with pytest.raises(DataRejected) as caught:
            module.import_key(spec, material, binding=b"row")
        assert str(caught.value)


def test_an_rsa_key_whose_numbers_do_not_fit_is_bad_data(module: Pkcs11Module) -> None:
    good = rsa.generate_private_key(65537, 2048)
    numbers = good.private_numbers()
    broken = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d + 2, numbers.dmp1, numbers.dmq1, numbers.iqmp, numbers.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    material = SecretBytes(broken.private_bytes(DER, serialization.PrivateFormat.PKCS8, NONE))
    with pytest.raises(DataRejected):
        module.import_key(KeySpec("RSA", 2048), material, binding=b"row")


# -- unwrapping under another object -------------------------------------------------------------------------------


@pytest.fixture
def wrapping(module: Pkcs11Module) -> tuple[OpenedKey, bytes]:
    material = os.urandom(32)
    return imported(module, KeySpec("AES", 256), material), material


@pytest.mark.parametrize("spec", ASYMMETRIC, ids=by_name)
def test_private_keys_are_taken_over_with_their_public_half(
    module: Pkcs11Module, wrapping: tuple[OpenedKey, bytes], spec: KeySpec
) -> None:
    key, kek = wrapping
    material = module.generate_material(spec)
    wrapped = keywrap.aes_key_wrap_with_padding(kek, material.reveal())
    stored = module.unwrap_import(spec, key, AesKwp(), wrapped, binding=b"row")
    assert stored.public == public_of(material)
    opened = module.open(spec, stored.blob, binding=b"row", usage=Usage.SIGN, cache_key=os.urandom(8))
    assert opened.sign(Ecdsa() if spec.kind == "EC" else RsaPss("SHA256", "SHA256", 32), bytes(31) + b"1")


@pytest.mark.parametrize("size", [128, 192, 256])
@pytest.mark.parametrize("mechanism", [AesKw(), AesKwp()], ids=["kw", "kwp"])
def test_aes_keys_are_taken_over(
    module: Pkcs11Module, wrapping: tuple[OpenedKey, bytes], size: int, mechanism: AesKw | AesKwp
) -> None:
    key, _ = wrapping
    spec, material = KeySpec("AES", size), SecretBytes(os.urandom(size // 8))
    stored = module.unwrap_import(spec, key, mechanism, key.wrap(mechanism, material), binding=b"row")
    opened = module.open(spec, stored.blob, binding=b"row", usage=Usage.ENCRYPT, cache_key=os.urandom(8))
    gcm = AesGcm(bytes(12))
    assert opened.encrypt(gcm, b"x") == imported(module, spec, material.reveal()).encrypt(gcm, b"x")


@NEEDS_DES3
@pytest.mark.parametrize("mechanism", [AesKw(), AesKwp()], ids=["kw", "kwp"])
def test_des3_keys_are_taken_over(
    module: Pkcs11Module, wrapping: tuple[OpenedKey, bytes], mechanism: AesKw | AesKwp
) -> None:
    key, _ = wrapping
    spec, material = KeySpec("DES3", 168), SecretBytes(os.urandom(24))
    stored = module.unwrap_import(spec, key, mechanism, key.wrap(mechanism, material), binding=b"row")
    opened = module.open(spec, stored.blob, binding=b"row", usage=Usage.ENCRYPT, cache_key=os.urandom(8))
    assert opened.encrypt(Des3Ecb(), bytes(8)) == imported(module, spec, material.reveal()).encrypt(Des3Ecb(), bytes(8))


@pytest.mark.parametrize("size", [8, 160, 256, 512, 520, 576, 1024])
def test_hmac_keys_are_taken_over(module: Pkcs11Module, wrapping: tuple[OpenedKey, bytes], size: int) -> None:
    key, _ = wrapping
    spec, material = KeySpec("HMAC", size), os.urandom(size // 8)
    wrapped = key.wrap(AesKwp(), SecretBytes(material))
    stored = module.unwrap_import(spec, key, AesKwp(), wrapped, binding=b"row")
    assert _mac(module, spec, stored.blob) == imported(module, spec, material).mac(Hmac("SHA512"), b"data")


@pytest.mark.parametrize(
    ("spec", "length"),
    [
        (KeySpec("AES", 256), 16),
        (KeySpec("AES", 256), 30),
        (KeySpec("AES", 192), 20),
        (KeySpec("AES", 128), 15),
        (KeySpec("AES", 128), 24),
        (KeySpec("HMAC", 256), 31),
        (KeySpec("HMAC", 512), 63),
        (KeySpec("HMAC", 576), 71),
        (KeySpec("HMAC", 1024), 120),
        (KeySpec("HMAC", 1024), 121),
        pytest.param(KeySpec("DES3", 168), 20, marks=NEEDS_DES3),
        (KeySpec("RSA", 1024), 635),
        (P256, 138),
    ],
    ids=str,
)
def test_a_wrapped_key_that_is_not_the_spec_is_bad_data(
    module: Pkcs11Module, wrapping: tuple[OpenedKey, bytes], spec: KeySpec, length: int
) -> None:
    key, kek = wrapping
    wrapped = keywrap.aes_key_wrap_with_padding(kek, os.urandom(length))
    with pytest.raises(DataRejected):
        module.unwrap_import(spec, key, AesKwp(), wrapped, binding=b"row")


def test_a_private_key_of_another_size_or_curve_is_bad_data(
    module: Pkcs11Module, wrapping: tuple[OpenedKey, bytes]
) -> None:
    key, kek = wrapping
    rsa_1024 = KeySpec("RSA", 1024)
    for made, asked in (
        (rsa_1024, KeySpec("RSA", 2048)),
        (rsa_1024, P256),
        (P256, rsa_1024),
        (P256, ANOTHER_CURVE),
    ):
        wrapped = keywrap.aes_key_wrap_with_padding(kek, module.generate_material(made).reveal())
        with pytest.raises(DataRejected):
            module.unwrap_import(asked, key, AesKwp(), wrapped, binding=b"row")


def test_only_a_key_opened_for_unwrapping_unwraps(module: Pkcs11Module) -> None:
    spec = KeySpec("AES", 256)
    blob = module.generate(spec, binding=b"row").blob
    key = module.open(spec, blob, binding=b"row", usage=Usage.ENCRYPT, cache_key=os.urandom(8))
    with pytest.raises(MechanismRefused):
        module.unwrap_import(spec, key, AesKw(), bytes(40), binding=b"row")
    with pytest.raises(MechanismRefused):
        module.unwrap_import(spec, object(), AesKw(), bytes(40), binding=b"row")  # type: ignore[arg-type]  # a stranger


@pytest.mark.parametrize("length", [0, 1, 32, 5000])
def test_random_bytes_have_the_length_asked_for(module: Pkcs11Module, length: int) -> None:
    data = module.random(length)
    assert len(data) == length
    assert length < 32 or data != module.random(length)


def test_the_status_names_the_token(module: Pkcs11Module) -> None:
    status = module.status()
    assert status.generation >= 1
    assert status.manufacturer
    assert status.model


def test_a_curve_of_our_list_has_its_standard_size() -> None:
    assert {spec.curve: spec.size for spec in EC_SPECS}["NistP521"] == 521
    assert isinstance(CURVES["NistP256"](), ec.SECP256R1)
