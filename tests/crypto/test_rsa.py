"""RSA through the corridor, against `cryptography`: what one encrypts or signs the other opens or verifies."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from kms.audit.models import AuditRecord
from kms.crypto.algorithm import CipherParameters, SignatureParameters
from kms.crypto.algorithms.rsa import HASHES
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.crypto.options import CipherOptions, KeyOptions, PaddingRule, RsaOptions
from kms.hsm.errors import DataRejected
from kms.operations.command import ObjectRef
from kms.operations.creation import UnwrapKey
from kms.operations.cryptographic import Batch, Decrypt, Encrypt, Sign, Verify, WrapKey
from kms.operations.errors import AccessDenied
from kms.operations.executor import execute
from kms.operations.making import ObjectTemplate
from kms.operations.queries import GetObject
from tests.kit.tenants import Tenant, unique

OURS = rsa.generate_private_key(65537, 2048)
N = OURS.public_key().public_numbers().n
WIDTH = 256
ANYTHING = KeyOptions(rsa=RsaOptions(encryption=(PaddingRule(),)))
OAEP, V15, RAW = (CipherParameters(padding=name) for name in ("OAEP", "PKCS1_V15", "RAW_DECRYPT"))


def der(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def imported(tenant: Tenant, key: rsa.RSAPrivateKey = OURS, options: KeyOptions = ANYTHING, **fields: Any) -> ObjectRef:
    return tenant.imported("RSA", der(key), options=options, **fields)


def encrypted(tenant: Tenant, key: ObjectRef, parameters: CipherParameters, data: bytes) -> bytes:
    result: bytes = execute(tenant.app, Encrypt(key, "RSA", parameters, data)).value.ciphertext
    return result


def decrypted(tenant: Tenant, key: ObjectRef, parameters: CipherParameters, data: bytes) -> bytes:
    result: bytes = execute(tenant.app, Decrypt(key, "RSA", parameters, data)).value
    return result


def public(tenant: Tenant, key: ObjectRef) -> rsa.RSAPublicKey:
    found = load_der_public_key(bytes(execute(tenant.app, GetObject(key)).row.public_key))
    assert isinstance(found, rsa.RSAPublicKey)
    return found


def oaep(name: str, label: bytes | None = None) -> padding.OAEP:
    return padding.OAEP(padding.MGF1(HASHES[name]), HASHES[name], label)


# -- OAEP ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("label", [None, b"", b"a label"])
def test_oaep_works_both_ways_with_every_hash(tenant: Tenant, name: str, label: bytes | None) -> None:
    key, parameters = imported(tenant), CipherParameters(padding="OAEP", mgf_hash=name, label=label)
    for data in (b"", b"attack at dawn", bytes(WIDTH - 2 * HASHES[name].digest_size - 2)):
        assert OURS.decrypt(encrypted(tenant, key, parameters, data), oaep(name, label)) == data
        assert decrypted(tenant, key, parameters, OURS.public_key().encrypt(data, oaep(name, label))) == data


def test_a_key_made_in_the_token_decrypts_what_others_encrypt(tenant: Tenant) -> None:
    key = tenant.key("RSA", size=2048)
    ciphertext = public(tenant, key).encrypt(b"for the token", oaep("SHA256"))
    assert decrypted(tenant, key, CipherParameters(padding="OAEP", mgf_hash="SHA256"), ciphertext) == b"for the token"


@pytest.mark.parametrize("bits", [1024, 3072, 4096])
def test_other_sizes_decrypt_too(tenant: Tenant, bits: int) -> None:
    theirs = rsa.generate_private_key(65537, bits)
    key = imported(tenant, theirs)
    assert decrypted(tenant, key, OAEP, theirs.public_key().encrypt(b"data", oaep("SHA1"))) == b"data"
    assert decrypted(tenant, key, V15, theirs.public_key().encrypt(b"data", padding.PKCS1v15())) == b"data"


def test_exportable_keys_decrypt_in_the_token_as_well(tenant: Tenant) -> None:
    key = imported(tenant, operations=["encrypt", "decrypt", "export"])
    assert decrypted(tenant, key, OAEP, encrypted(tenant, key, OAEP, b"data")) == b"data"


def test_without_a_mode_it_is_oaep_over_sha1(tenant: Tenant) -> None:
    key = tenant.key("RSA", size=2048)
    ciphertext = encrypted(tenant, key, CipherParameters(), b"data")
    assert decrypted(tenant, key, CipherParameters(padding="OAEP", mgf_hash="SHA1"), ciphertext) == b"data"


def test_every_flaw_of_an_oaep_ciphertext_is_told_in_the_same_words(tenant: Tenant) -> None:
    """Manger's attack needs no more than to hear whether the first byte was zero."""
    key = imported(tenant)
    good = OURS.public_key().encrypt(b"data", oaep("SHA1"))
    flawed = [
        (good, CipherParameters(padding="OAEP", label=b"another")),
        (good, CipherParameters(padding="OAEP", mgf_hash="SHA256")),
        (bytes(WIDTH), OAEP),
        (good[:-1] + bytes([good[-1] ^ 1]), OAEP),
        (OURS.public_key().encrypt(b"data", padding.PKCS1v15()), OAEP),
        (pow(2**2040, 65537, N).to_bytes(WIDTH, "big"), OAEP),  # the first byte is not zero
    ]
    said = set()
    for ciphertext, parameters in flawed:
        with pytest.raises(DataRejected) as refusal:
            decrypted(tenant, key, parameters, ciphertext)
        said.add(str(refusal.value))
    assert said == {"the ciphertext does not decrypt with this key, hash and label"}


@pytest.mark.parametrize("parameters", [OAEP, V15, RAW])
def test_what_is_no_number_below_the_modulus_is_refused(tenant: Tenant, parameters: CipherParameters) -> None:
    key = imported(tenant)
    for ciphertext in (b"", bytes(WIDTH - 1), bytes(WIDTH + 1), N.to_bytes(WIDTH, "big"), b"\xff" * WIDTH):
        with pytest.raises(DataRejected, match=r"has 256 bytes|is not below"):
            decrypted(tenant, key, parameters, ciphertext)


@pytest.mark.parametrize(
    ("parameters", "room"),
    [(OAEP, 214), (CipherParameters(padding="OAEP", mgf_hash="SHA512"), 126), (V15, 245)],
)
def test_what_does_not_fit_is_refused_with_the_room_there_is(
    tenant: Tenant, parameters: CipherParameters, room: int
) -> None:
    key = imported(tenant)
    assert len(encrypted(tenant, key, parameters, bytes(room))) == WIDTH
    with pytest.raises(ParameterInvalid, match=f"at most {room} bytes"):
        encrypted(tenant, key, parameters, bytes(room + 1))


def test_a_hash_that_is_too_wide_for_the_key_leaves_no_room(tenant: Tenant) -> None:
    small = imported(tenant, rsa.generate_private_key(65537, 1024))  # noqa: S505 - as old ones are
    with pytest.raises(ParameterInvalid, match="at most 0 bytes"):
        encrypted(tenant, small, CipherParameters(padding="OAEP", mgf_hash="SHA512"), b"x")


@pytest.mark.parametrize("name", ["SHA3_256", "BLAKE2B256", "MD5"])
def test_hashes_that_are_not_offered_are_refused(tenant: Tenant, name: str) -> None:
    with pytest.raises(AlgorithmUnsupported, match=name):
        encrypted(tenant, imported(tenant), CipherParameters(padding="OAEP", mgf_hash=name), b"x")


@pytest.mark.parametrize(
    "parameters",
    [
        CipherParameters("GCM"),
        CipherParameters(iv=bytes(12)),
        CipherParameters(aad=b"a"),
        CipherParameters(tag_bits=128),
        CipherParameters(tag=bytes(16)),
        CipherParameters(masked=True),
        CipherParameters(padding="PSS"),
        CipherParameters(padding="PKCS1_V15", label=b"l"),
    ],
)
def test_parameters_of_other_ciphers_are_refused(tenant: Tenant, parameters: CipherParameters) -> None:
    key = imported(tenant)
    with pytest.raises(ParameterInvalid):
        encrypted(tenant, key, parameters, b"x")
    with pytest.raises(ParameterInvalid):
        decrypted(tenant, key, parameters, bytes(WIDTH))


@pytest.mark.parametrize("parameters", [OAEP, V15])
def test_a_block_cipher_takes_no_rsa_padding(tenant: Tenant, parameters: CipherParameters) -> None:
    with pytest.raises(ParameterInvalid):
        execute(tenant.app, Encrypt(tenant.key("AES"), "AES", parameters, bytes(16)))


def test_a_wrapping_mode_of_the_key_takes_no_rsa_padding_either(tenant: Tenant) -> None:
    key = tenant.key("AES", options=KeyOptions(cipher=CipherOptions(mode="KWP")))
    subject = tenant.key("AES", operations=["encrypt", "export"])
    assert execute(tenant.app, WrapKey(key, subject, "AES", CipherParameters())).ciphertext
    with pytest.raises(ParameterInvalid, match="takes no RSA padding"):
        execute(tenant.app, WrapKey(key, subject, "AES", OAEP))


# -- PKCS#1 v1.5 ---------------------------------------------------------------------------------------------------


def test_pkcs1_v15_works_both_ways(tenant: Tenant) -> None:
    key = imported(tenant)
    for data in (b"", b"attack at dawn", bytes(245)):
        assert OURS.decrypt(encrypted(tenant, key, V15, data), padding.PKCS1v15()) == data
        assert decrypted(tenant, key, V15, OURS.public_key().encrypt(data, padding.PKCS1v15())) == data


def malformed(count: int) -> list[bytes]:
    """Numbers below the modulus; one in 65,536 of such would be well-formed by chance."""
    return [pow(3 + number, 65537, N).to_bytes(WIDTH, "big") for number in range(count)]


def test_a_malformed_ciphertext_yields_the_same_message_each_time_and_no_error(tenant: Tenant) -> None:
    key = imported(tenant)
    ciphertexts = malformed(40)
    first = [decrypted(tenant, key, V15, ciphertext) for ciphertext in ciphertexts]
    assert first == [decrypted(tenant, key, V15, ciphertext) for ciphertext in ciphertexts]
    assert len(set(first)) == len(first)
    assert all(len(message) <= 245 for message in first)
    assert len({len(message) for message in first}) > 20


def test_the_made_up_message_depends_on_the_key_and_not_on_the_object(tenant: Tenant) -> None:
    """Two objects of one key agree, as two replicas must; who lacks the key cannot compute it."""
    other = rsa.generate_private_key(65537, 2048)
    ciphertext = min(malformed(8))  # below both moduli
    made = [decrypted(tenant, imported(tenant, key), V15, ciphertext) for key in (OURS, OURS, other)]
    assert made[0] == made[1] != made[2]


def test_an_oracle_by_way_of_unwrapping_hears_nothing_either(tenant: Tenant) -> None:
    """A malformed wrapped key is imported as some secret, like a well-formed one."""
    key = imported(tenant)
    template = ObjectTemplate(unique("secret"), "SECRET", tenant.group.id, operations=frozenset({KeyOperation.EXPORT}))
    ciphertext = next(c for c in malformed(20) if decrypted(tenant, key, V15, c))
    view = execute(tenant.app, UnwrapKey(key, "RSA", V15, ciphertext, template))
    assert view.row.size == 8 * len(decrypted(tenant, key, V15, ciphertext))


def test_the_record_says_which_padding_was_used(tenant: Tenant) -> None:
    key = imported(tenant)
    decrypted(tenant, key, V15, encrypted(tenant, key, V15, b"data"))
    execute(tenant.app, Sign(key, SignatureParameters("SHA256", "PSS"), data=b"data"))
    entries = AuditRecord.objects.filter(account_id=tenant.account.id).order_by("-sequence")[:3]
    assert [entry.details["mode"] for entry in entries] == ["PSS", "PKCS1_V15", "PKCS1_V15"]


# -- RAW_DECRYPT ---------------------------------------------------------------------------------------------------


def test_raw_decryption_leaves_the_padding_on(tenant: Tenant) -> None:
    key = imported(tenant)
    ciphertext = OURS.public_key().encrypt(b"data", padding.PKCS1v15())
    encoded = decrypted(tenant, key, RAW, ciphertext)
    assert encoded.startswith(b"\0\2")
    assert encoded.endswith(b"\0data")
    assert decrypted(tenant, key, RAW, bytes(WIDTH)) == bytes(WIDTH)


def test_nothing_is_encrypted_without_padding(tenant: Tenant) -> None:
    with pytest.raises(ParameterInvalid, match="decryption only"):
        encrypted(tenant, imported(tenant), RAW, bytes(WIDTH))


# -- the owner's policy --------------------------------------------------------------------------------------------


def encryption(*rules: PaddingRule) -> KeyOptions:
    return KeyOptions(rsa=RsaOptions(encryption=rules))


@pytest.mark.parametrize(
    ("options", "allowed", "refused"),
    [
        (KeyOptions(), [OAEP, CipherParameters(padding="OAEP", mgf_hash="SHA512")], [V15, RAW]),
        (ANYTHING, [OAEP, V15, RAW], []),
        (encryption(), [], [OAEP, V15, RAW, CipherParameters()]),
        (encryption(PaddingRule("PKCS1_V15")), [V15, CipherParameters()], [OAEP, RAW]),
        (
            encryption(PaddingRule("OAEP", "SHA256"), PaddingRule("RAW_DECRYPT")),
            [OAEP, CipherParameters(padding="OAEP", mgf_hash="SHA256"), CipherParameters(), RAW],
            [V15, CipherParameters(padding="OAEP", mgf_hash="SHA1")],
        ),
    ],
)
def test_only_what_the_encryption_policy_allows_is_done(
    tenant: Tenant, options: KeyOptions, allowed: list[CipherParameters], refused: list[CipherParameters]
) -> None:
    key = imported(tenant, options=options)
    for parameters in allowed:
        if parameters.padding == "RAW_DECRYPT":
            assert decrypted(tenant, key, parameters, bytes(WIDTH)) == bytes(WIDTH)
        else:
            assert decrypted(tenant, key, parameters, encrypted(tenant, key, parameters, b"data")) == b"data"
    for parameters in refused:
        with pytest.raises(ParameterInvalid, match="policy does not allow"):
            encrypted(tenant, key, parameters, b"data")
        with pytest.raises(ParameterInvalid, match="policy does not allow"):
            decrypted(tenant, key, parameters, bytes(WIDTH))


def test_the_first_rule_that_fits_fills_in_what_the_request_leaves_out(tenant: Tenant) -> None:
    key = imported(tenant, options=encryption(PaddingRule("PKCS1_V15"), PaddingRule("OAEP", "SHA384")))
    assert OURS.decrypt(encrypted(tenant, key, CipherParameters(), b"data"), padding.PKCS1v15()) == b"data"
    assert OURS.decrypt(encrypted(tenant, key, OAEP, b"data"), oaep("SHA384")) == b"data"


def test_only_what_the_signature_policy_allows_is_signed_and_verified(tenant: Tenant) -> None:
    rules = (PaddingRule("PSS", "SHA256"),)
    key = imported(tenant, options=KeyOptions(rsa=RsaOptions(signature=rules)))
    by_default = execute(tenant.app, Sign(key, SignatureParameters("SHA256"), data=b"data")).value
    pss = padding.PSS(padding.MGF1(HASHES["SHA256"]), 32)
    OURS.public_key().verify(by_default, b"data", pss, HASHES["SHA256"])
    for parameters in (SignatureParameters("SHA256", "PKCS1_V15"), SignatureParameters("SHA256", "PSS", "SHA512")):
        with pytest.raises(ParameterInvalid, match="policy does not allow"):
            execute(tenant.app, Sign(key, parameters, data=b"data"))
        with pytest.raises(ParameterInvalid, match="policy does not allow"):
            execute(tenant.app, Verify(key, parameters, by_default, data=b"data"))


@pytest.mark.parametrize(
    "options",
    [
        RsaOptions(encryption=(PaddingRule("PSS"),)),
        RsaOptions(signature=(PaddingRule("OAEP"),)),
        RsaOptions(encryption=(PaddingRule("PKCS1_V15", "SHA1"),)),
        RsaOptions(encryption=(PaddingRule(None, "SHA1"),)),
        RsaOptions(signature=(PaddingRule("PSS", "SHA3_256"),)),
        RsaOptions(encryption=(PaddingRule("NONE"),)),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_at_creation(tenant: Tenant, options: RsaOptions) -> None:
    with pytest.raises((ParameterInvalid, AlgorithmUnsupported)):
        tenant.key("RSA", size=2048, options=KeyOptions(rsa=options))


# -- signatures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("scheme", ["PKCS1_V15", "PSS"])
def test_signatures_verify_both_ways(tenant: Tenant, name: str, scheme: str) -> None:
    key, parameters = imported(tenant), SignatureParameters(name, scheme)
    wrapped: padding.AsymmetricPadding = padding.PKCS1v15()
    if scheme == "PSS":
        wrapped = padding.PSS(padding.MGF1(HASHES[name]), HASHES[name].digest_size)
    signature = execute(tenant.app, Sign(key, parameters, data=b"data")).value
    OURS.public_key().verify(signature, b"data", wrapped, HASHES[name])
    theirs = OURS.sign(b"data", wrapped, HASHES[name])
    assert execute(tenant.app, Verify(key, parameters, theirs, data=b"data")).value is True
    assert execute(tenant.app, Verify(key, parameters, theirs, data=b"Data")).value is False


def test_a_deterministic_signature_is_pkcs1_v15(tenant: Tenant) -> None:
    key = imported(tenant)
    v15 = SignatureParameters("SHA256", "PKCS1_V15", deterministic=True)
    assert len({execute(tenant.app, Sign(key, v15, data=b"data")).value for _ in range(3)}) == 1
    with pytest.raises(AlgorithmUnsupported, match="salted at random"):
        execute(tenant.app, Sign(key, SignatureParameters("SHA256", "PSS", deterministic=True), data=b"data"))


@pytest.mark.parametrize("extra", [{"variant": "PURE"}, {"context": b"here"}])
def test_parameters_of_ml_dsa_are_refused(tenant: Tenant, extra: dict[str, Any]) -> None:
    with pytest.raises(ParameterInvalid, match=next(iter(extra))):
        execute(tenant.app, Sign(imported(tenant), SignatureParameters("SHA256", **extra), data=b"data"))


# -- keys ----------------------------------------------------------------------------------------------------------


def test_a_public_key_alone_encrypts_and_wraps_and_never_decrypts(tenant: Tenant) -> None:
    spki = OURS.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = tenant.imported("RSA", spki)
    assert OURS.decrypt(encrypted(tenant, key, OAEP, b"data"), oaep("SHA1")) == b"data"
    subject = tenant.imported("AES", bytes(range(32)), operations=["encrypt", "export"])
    wrapped = execute(tenant.app, WrapKey(key, subject, "RSA", OAEP)).ciphertext
    assert OURS.decrypt(wrapped, oaep("SHA1")) == bytes(range(32))
    with pytest.raises(AccessDenied):
        decrypted(tenant, key, OAEP, bytes(WIDTH))


def test_a_wrapped_key_comes_back(tenant: Tenant) -> None:
    key = imported(tenant)
    for parameters in (OAEP, V15):
        wrapped = (
            OURS.public_key().encrypt(bytes(range(32)), oaep("SHA1"))
            if parameters is OAEP
            else OURS.public_key().encrypt(bytes(range(32)), padding.PKCS1v15())
        )
        template = ObjectTemplate(unique("aes"), "AES", tenant.group.id, operations=frozenset({KeyOperation.EXPORT}))
        view = execute(tenant.app, UnwrapKey(key, "RSA", parameters, wrapped, template))
        assert (view.row.kind, view.row.size, view.row.wrapping_key) == ("AES", 256, key.id)


def test_a_batch_encrypts_and_decrypts(tenant: Tenant) -> None:
    key = imported(tenant)
    made = execute(tenant.app, Batch(tuple(Encrypt(key, "RSA", OAEP, bytes([n])) for n in range(5))))
    items = [Decrypt(key, "RSA", OAEP, item.result.value.ciphertext) for item in made]
    opened = execute(tenant.app, Batch((*items, Decrypt(key, "RSA", OAEP, bytes(WIDTH)))))
    assert [item.result.value for item in opened[:5]] == [bytes([n]) for n in range(5)]
    assert isinstance(opened[5].error, DataRejected)
