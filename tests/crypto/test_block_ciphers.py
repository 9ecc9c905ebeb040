"""Every block cipher kind in every mode that it shares with the others, through the corridor, beside `cryptography`."""

from __future__ import annotations

import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given, settings
from hypothesis import strategies as st

from kms.crypto.algorithm import CipherParameters
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.crypto.options import CipherOptions, KeyOptions
from kms.hsm.errors import DataRejected
from kms.objects.models import SecurityObject
from kms.operations.command import ObjectRef
from kms.operations.cryptographic import Encrypt
from kms.operations.errors import AccessDenied
from kms.operations.executor import execute
from tests.crypto.cipher_lab import MODES, WHOLE_BLOCKS, CipherLab
from tests.hsm.token_place import ON_KRYOPTIC
from tests.kit.tenants import Tenant, new_tenant

KEYS = {
    "AES-128": ("AES", 16),
    "AES-192": ("AES", 24),
    "AES-256": ("AES", 32),
    "DES3-112": ("DES3", 16),
    "DES3-168": ("DES3", 24),
    "DES": ("DES", 8),
    "SEED": ("SEED", 16),
}
KINDS = ("AES", "DES3", "DES", "SEED")
NOT_IN_TOKEN = ("DES", "SEED", "DES3") if ON_KRYOPTIC else ("DES", "SEED")


@pytest.fixture(scope="module")
def owner(installation: None) -> Tenant:
    return new_tenant()


@pytest.fixture(scope="module", params=list(KEYS.values()), ids=list(KEYS))
def lab(request: pytest.FixtureRequest, owner: Tenant) -> CipherLab:
    kind, length = request.param
    return CipherLab(owner, kind, os.urandom(length))


@pytest.fixture(scope="module", params=KINDS)
def any_kind(request: pytest.FixtureRequest, owner: Tenant) -> CipherLab:
    return CipherLab(owner, request.param, os.urandom({"DES": 8, "DES3": 24}.get(request.param, 16)))


def row_of(ref: ObjectRef) -> SecurityObject:
    assert ref.id is not None
    return SecurityObject.objects.get(id=ref.id)


def fitting(mode: str, block: int, data: bytes) -> bytes:
    return data[: len(data) // block * block] if mode in WHOLE_BLOCKS else data


# -- modes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=15, deadline=None)
@given(data=st.binary(max_size=70))
def test_a_mode_computes_what_cryptography_does_and_back(lab: CipherLab, mode: str, data: bytes) -> None:
    data, iv = fitting(mode, lab.block, data), lab.fresh_iv(mode)
    made = lab.encrypt(CipherParameters(mode, iv), data)
    assert made.ciphertext == lab.expected(mode, iv, data)
    assert (made.iv, made.tag) == (iv, None)
    assert lab.decrypt(CipherParameters(mode, iv), made.ciphertext) == data


@pytest.mark.parametrize("mode", MODES)
def test_a_megabyte_is_the_same_as_in_cryptography(any_kind: CipherLab, mode: str) -> None:
    data, iv = os.urandom(1_000_000), any_kind.fresh_iv(mode)
    made = any_kind.encrypt(CipherParameters(mode, iv), data)
    assert made.ciphertext == any_kind.expected(mode, iv, data)
    assert any_kind.decrypt(CipherParameters(mode, iv), made.ciphertext) == data


def test_without_an_iv_the_server_makes_one_and_never_the_same(any_kind: CipherLab) -> None:
    for mode in MODES[1:]:
        ivs = [any_kind.encrypt(CipherParameters(mode), bytes(16)).iv for _ in range(5)]
        assert {len(iv or b"") for iv in ivs} == {any_kind.block}
        assert len(set(ivs)) == 5


def test_without_a_mode_it_is_padded_cbc(any_kind: CipherLab) -> None:
    made = any_kind.encrypt(CipherParameters(), b"data")
    assert made.ciphertext == any_kind.expected("CBC", made.iv, b"data")


def test_a_counter_wraps_at_the_end_of_its_block(any_kind: CipherLab) -> None:
    iv = b"\xff" * any_kind.block
    made = any_kind.encrypt(CipherParameters("CTR", iv), bytes(100))
    assert made.ciphertext == any_kind.expected("CTR", iv, bytes(100))


def test_wrong_padding_is_refused_in_one_way(any_kind: CipherLab) -> None:
    block, iv = any_kind.block, bytes(any_kind.block)
    whole = any_kind.encrypt(CipherParameters("CBC", iv), bytes(2 * block)).ciphertext
    none, too_much, uneven = bytes(block), bytes([block + 1]) * block, bytes(block - 2) + b"\x01\x02"
    for padding in (none, too_much, uneven, b"\xff" * block):
        wrong = any_kind.encrypt(CipherParameters("CBCNOPAD", iv), bytes(block) + padding).ciphertext
        with pytest.raises(DataRejected):
            any_kind.decrypt(CipherParameters("CBC", iv), wrong)
    for cut in (whole[:-block], whole[:block]):
        with pytest.raises(DataRejected):
            any_kind.decrypt(CipherParameters("CBC", iv), cut)
    for ragged in (b"", whole[:-1], whole + b"\0"):
        with pytest.raises(ParameterInvalid):
            any_kind.decrypt(CipherParameters("CBC", iv), ragged)


@pytest.mark.parametrize("mode", ["GCM", "CCM", "KW", "KWP", "FF1"])
@pytest.mark.parametrize("kind", KINDS[1:])
def test_modes_that_are_aes_alone_are_refused_by_name(owner: Tenant, kind: str, mode: str) -> None:
    key = owner.key(kind, size={"DES3": 168, "DES": 56, "SEED": 128}[kind])
    with pytest.raises(AlgorithmUnsupported, match=f"{kind} in {mode} mode is not supported"):
        execute(owner.app, Encrypt(key, kind, CipherParameters(mode), bytes(16)))


@pytest.mark.parametrize(
    "parameters",
    [
        CipherParameters("CBC", b"x"),
        CipherParameters("CTR", bytes(17)),
        CipherParameters("ECB", bytes(8)),
        CipherParameters("CFB", aad=b""),
        CipherParameters("OFB", tag_bits=128),
        CipherParameters("CBC", padding="OAEP"),
        CipherParameters("CBC", label=b""),
        CipherParameters("CBC", masked=True),
    ],
    ids=str,
)
def test_what_a_mode_does_not_take_is_refused(any_kind: CipherLab, parameters: CipherParameters) -> None:
    with pytest.raises(ParameterInvalid):
        any_kind.encrypt(parameters, bytes(16))


# -- MACs and check values -----------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(data=st.binary(max_size=70))
def test_a_cmac_is_what_cryptography_makes(lab: CipherLab, data: bytes) -> None:
    expected = CMAC(lab.oracle)
    expected.update(data)
    mac = lab.mac(data)
    assert mac == expected.finalize()
    assert lab.mac_holds(data, mac)
    for wrong in (b"", mac[:-1], mac + b"\0", bytes([mac[0] ^ 1]) + mac[1:]):
        assert not lab.mac_holds(data, wrong)


def test_a_cmac_takes_no_hash(any_kind: CipherLab) -> None:
    with pytest.raises(ParameterInvalid, match="takes no alg"):
        any_kind.mac(b"data", "SHA256")


def test_the_check_value_is_the_head_of_an_encrypted_block_of_zeros(lab: CipherLab) -> None:
    row = row_of(lab.key)
    assert bytes.fromhex(row.kcv) == lab.expected("ECB", None, bytes(lab.block))[:3]


# -- sizes, material, protection -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "size"), [("AES", 192), ("DES3", 112), ("DES3", 168), ("DES", 56), ("SEED", 128)])
@pytest.mark.parametrize("exportable", [False, True], ids=["kept", "exportable"])
def test_a_generated_key_has_its_size_and_works(owner: Tenant, kind: str, size: int, exportable: bool) -> None:
    operations = ["encrypt", "decrypt", *(["export"] if exportable else [])]
    key = owner.key(kind, size=size, operations=operations)
    row = row_of(key)
    kept = "software" if kind in NOT_IN_TOKEN else "token"
    assert (row.size, row.protection) == (size, "sealed" if exportable else kept)
    assert len(execute(owner.app, Encrypt(key, kind, CipherParameters("CBC"), b"data")).value.ciphertext) in (8, 16)


def test_what_was_imported_is_known_by_its_own_size(owner: Tenant) -> None:
    one, two, three = (os.urandom(8) for _ in range(3))
    for material, size in ((one + two, 112), (one + two + one, 112), (one + two + three, 168)):
        row = row_of(owner.imported("DES3", material))
        assert (row.size, row.protection) == (size, "software" if "DES3" in NOT_IN_TOKEN else "token")


def test_parity_bits_do_not_count(owner: Tenant) -> None:
    material = os.urandom(24)
    other = bytes(byte ^ 1 for byte in material)
    made = [
        CipherLab(owner, "DES3", each).encrypt(CipherParameters("ECB"), bytes(8)).ciphertext
        for each in (material, other)
    ]
    assert made[0] == made[1]


@pytest.mark.parametrize("form", ["aaa", "aab", "baa", "aa"])
def test_a_tdea_key_that_is_only_des_is_refused(owner: Tenant, form: str) -> None:
    parts = {"a": os.urandom(8), "b": os.urandom(8)}
    # The same but for parity is the same.
    parts["a"] = bytes(byte & 0xFE for byte in parts["a"])
    material = b"".join(parts[name] for name in form[:-1]) + bytes(byte ^ 1 for byte in parts[form[-1]])
    with pytest.raises(ParameterInvalid, match="only DES"):
        owner.imported("DES3", material)


@pytest.mark.parametrize(
    ("kind", "length"), [("AES", 8), ("DES3", 8), ("DES3", 23), ("DES", 7), ("DES", 16), ("SEED", 24), ("SEED", 0)]
)
def test_material_of_another_length_is_refused(owner: Tenant, kind: str, length: int) -> None:
    with pytest.raises(ParameterInvalid, match="not"):
        owner.imported(kind, os.urandom(length))


@pytest.mark.parametrize(("kind", "size"), [("AES", 64), ("DES3", 128), ("DES", 64), ("SEED", 256), ("DES", None)])
def test_other_sizes_are_refused(owner: Tenant, kind: str, size: int | None) -> None:
    with pytest.raises(ParameterInvalid, match=r"key_size|bits"):
        owner.key(kind, size=size)


def test_a_size_that_contradicts_the_material_is_refused(owner: Tenant) -> None:
    for kind, length, size in (("DES3", 16, 168), ("DES3", 24, 112), ("DES", 8, 64), ("SEED", 16, 256)):
        with pytest.raises(ParameterInvalid, match="key_size is"):
            owner.imported(kind, os.urandom(length), size=size)


def test_aria_is_no_kind_of_ours(owner: Tenant) -> None:
    with pytest.raises(AlgorithmUnsupported, match="ARIA"):
        owner.key("ARIA", size=256)


def test_a_key_does_only_what_it_may(owner: Tenant) -> None:
    key = owner.key("DES3", size=168, operations=["decrypt"])
    with pytest.raises(AccessDenied, match=KeyOperation.ENCRYPT):
        execute(owner.app, Encrypt(key, "DES3", CipherParameters("CBC"), b""))


# -- what an owner fixed -------------------------------------------------------------------------------------------


def fixed(owner: Tenant, kind: str = "AES", **options: Any) -> CipherLab:
    material = os.urandom({"DES": 8, "DES3": 24}.get(kind, 16))
    return CipherLab(owner, kind, material, options=KeyOptions(cipher=CipherOptions(**options)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_has_a_mode_of_its_own(owner: Tenant, kind: str) -> None:
    lab = fixed(owner, kind, mode="CTR")
    made = lab.encrypt(CipherParameters(), b"data")
    assert made.ciphertext == lab.expected("CTR", made.iv, b"data")
    assert lab.decrypt(CipherParameters(iv=made.iv), made.ciphertext) == b"data"
    assert lab.encrypt(CipherParameters("ECB"), bytes(16)).ciphertext == lab.expected("ECB", None, bytes(16))


def test_a_key_that_leaves_the_iv_to_the_server_takes_none(owner: Tenant) -> None:
    lab = fixed(owner, random_iv=True)
    for mode in ("CBC", "CTR", "OFB", "CFB", "CCM", "GCM"):
        with pytest.raises(ParameterInvalid, match="leave the iv to the server"):
            lab.encrypt(CipherParameters(mode, bytes(16)), b"")
        made = lab.encrypt(CipherParameters(mode), b"data")
        assert lab.decrypt(CipherParameters(mode, made.iv, tag=made.tag), made.ciphertext) == b"data"


def test_a_key_fixes_the_length_of_ivs_and_tags(owner: Tenant) -> None:
    lab = fixed(owner, mode="GCM", iv_bytes=16, tag_bits=96)
    made = lab.encrypt(CipherParameters(), b"data")
    assert (len(made.iv or b""), len(made.tag or b"")) == (16, 12)
    assert lab.decrypt(CipherParameters(iv=made.iv, tag=made.tag), made.ciphertext) == b"data"
    for wrong in (CipherParameters(iv=bytes(12)), CipherParameters("GCM", tag_bits=128)):
        with pytest.raises(ParameterInvalid, match="options fix"):
            lab.encrypt(wrong, b"data")
    for wrong in (CipherParameters(iv=bytes(12), tag=made.tag), CipherParameters(iv=made.iv, tag=bytes(16))):
        with pytest.raises(ParameterInvalid, match="options fix"):
            lab.decrypt(wrong, made.ciphertext)


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("AES", {"mode": "XTS"}, "XTS"),
        ("DES3", {"mode": "GCM"}, "GCM"),
        ("SEED", {"mode": "KW"}, "KW"),
        ("AES", {"mode": "CBC", "iv_bytes": 12}, "iv_length"),
        ("AES", {"iv_bytes": 129}, "iv_length"),
        ("DES", {"iv_bytes": 16}, "iv_length"),
        ("AES", {"mode": "GCM", "tag_bits": 64}, "tag_length"),
        ("AES", {"mode": "CBC", "tag_bits": 128}, "tag_length"),
        ("DES3", {"tag_bits": 128}, "tag_length"),
        ("AES", {"mode": "ECB", "random_iv": True}, "random_iv"),
        ("DES", {"fpe": {"radix": 10}}, "fpe"),
    ],
    ids=str,
)
def test_options_that_no_request_could_meet_are_refused(
    owner: Tenant, kind: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises((ParameterInvalid, AlgorithmUnsupported), match=says):
        fixed(owner, kind, **options)
