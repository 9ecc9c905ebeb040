"""The ten findings at the head of the PKCS#11 study, each as a test on a real token, and what follows from them."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, exceptions

from kms.hsm import opened_key
from kms.hsm.blob_keys import open_object
from kms.hsm.errors import DataRejected, MechanismRefused
from kms.hsm.library import Library
from kms.hsm.master_keys import Kek
from kms.hsm.module import AesCbc, AesGcm, KeySpec, OpenedKey, Usage
from kms.hsm.pkcs11 import Pkcs11Module
from kms.hsm.token_objects import LOCKED, PASSING, generate_aes
from kms.secret import SecretBytes
from tests.hsm.conftest import Scenario, finish
from tests.hsm.token_place import LIBRARY, ON_KRYOPTIC

AES = KeySpec("AES", 256)
GCM = AesGcm(b"iv of twelve", b"aad")
BOTH = Usage.ENCRYPT | Usage.DECRYPT


def opened(module: Pkcs11Module, *, name: bytes = b"", usage: Usage = BOTH) -> OpenedKey:
    blob = module.generate(AES, binding=b"row").blob
    return module.open(AES, blob, binding=b"row", usage=usage, cache_key=name or os.urandom(8))


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts what reaches the token to open a blob."""
    counted: list[int] = []

    def count(*arguments: object) -> object:
        counted.append(1)
        return open_object(*arguments)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(opened_key, "open_object", count)
    return counted


# 1, 2, 3, 8, 9 need a process of their own.


@pytest.mark.parametrize(
    "name",
    [
        "eight_threads",
        pytest.param(
            "encrypts_during_key_generation",
            marks=pytest.mark.skipif(ON_KRYOPTIC, reason="Kryoptic 1.5.4 locks its slot while it generates a pair"),
        ),
        "stale_handles",
        "login_survives",
        "fork",
        "wrong_pin",
        "recovery_under_load",
    ],
)
def test_holds_in_a_process_of_its_own(name: str, scenario: Callable[[str], None]) -> None:
    scenario(name)


def test_six_processes_starting_at_once_all_succeed_with_one_token(start_scenario: Scenario, tmp_path: Path) -> None:
    for _ in range(2):
        for process in [start_scenario("one_of_many_starts") for _ in range(6)]:
            finish(process)
    assert len(list((tmp_path / "tokens").iterdir())) == 1


# 4 and 5: what somebody with the PIN could try on the master keys.


@pytest.fixture
def kek(module: Pkcs11Module) -> Kek:
    masters = module._connection.attachment().main.masters
    return masters.keks[masters.current]


@pytest.fixture
def wrapped(module: Pkcs11Module, kek: Kek) -> bytes:
    key = generate_aes(module._connection.attachment().main.session, 256, template=PASSING)
    try:
        return bytes(kek.key.wrap_key(key, mechanism=kek.mechanism))
    finally:
        key.destroy()


@pytest.mark.parametrize("template", [{Attribute.SENSITIVE: False}, {Attribute.EXTRACTABLE: True}])
def test_a_pin_holder_cannot_unwrap_in_the_clear(kek: Kek, wrapped: bytes, template: dict[Attribute, bool]) -> None:
    with pytest.raises(exceptions.TemplateInconsistent):
        kek.key.unwrap_key(
            ObjectClass.SECRET_KEY,
            KeyType.AES,
            wrapped,
            mechanism=kek.mechanism,
            capabilities=0,
            template={**LOCKED, **template},
        )


@pytest.mark.parametrize("position", [29, 33], ids=["C_EncryptInit", "C_DecryptInit"])
def test_a_pin_holder_cannot_compute_with_the_kek(module: Pkcs11Module, kek: Kek, position: int) -> None:
    class CkMechanism(ctypes.Structure):
        _fields_ = [("mechanism", ctypes.c_ulong), ("parameter", ctypes.c_void_p), ("length", ctypes.c_ulong)]

    ecb = CkMechanism(int(Mechanism.AES_ECB), None, 0)
    session = module._connection.attachment().main.session
    types = (ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong)
    result = Library.at(LIBRARY).binding.call(position, types, session.handle, ctypes.byref(ecb), kek.key.handle)  # type: ignore[attr-defined]  # the stub lacks it
    assert result in (0x68, 0x70)  # CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_MECHANISM_INVALID


@pytest.mark.parametrize("attribute", [Attribute.DECRYPT, Attribute.EXTRACTABLE, Attribute.SENSITIVE])
def test_a_pin_holder_cannot_change_the_master_keys(module: Pkcs11Module, kek: Kek, attribute: Attribute) -> None:
    masters = module._connection.attachment().main.masters
    for key in (kek.key, masters.seals[masters.current]):
        with pytest.raises(exceptions.PKCS11Error):
            key[attribute] = attribute is not Attribute.SENSITIVE
        with pytest.raises(exceptions.PKCS11Error):
            _ = key[Attribute.VALUE]


def test_an_opened_key_has_only_the_rights_of_its_usage(module: Pkcs11Module) -> None:
    key = opened(module, usage=Usage.ENCRYPT)
    handle = key._handle  # type: ignore[attr-defined]  # the object itself is asked
    rights = {name: handle[name] for name in (Attribute.ENCRYPT, Attribute.DECRYPT, Attribute.WRAP, Attribute.UNWRAP)}
    assert rights == {
        Attribute.ENCRYPT: True,
        Attribute.DECRYPT: False,
        Attribute.WRAP: False,
        Attribute.UNWRAP: False,
    }
    assert handle[Attribute.SENSITIVE]
    assert not handle[Attribute.EXTRACTABLE]
    with pytest.raises(MechanismRefused):
        key.decrypt(GCM, bytes(16))
    with pytest.raises(MechanismRefused):
        key.unwrap(None, b"")  # type: ignore[arg-type]  # refused before it is looked at


# 6


def test_a_bad_tag_is_bad_data_and_not_a_broken_token(module: Pkcs11Module) -> None:
    key = opened(module)
    before = module._connection.attachment()
    ciphertext = key.encrypt(GCM, b"data")
    for position in range(len(ciphertext)):
        broken = bytearray(ciphertext)
        broken[position] ^= 1
        with pytest.raises(DataRejected):
            key.decrypt(GCM, bytes(broken))
    with pytest.raises(DataRejected):
        key.decrypt(AesGcm(GCM.iv, b"other aad"), ciphertext)
    with pytest.raises(DataRejected):
        key.decrypt(AesCbc(bytes(16), True), key.encrypt(AesCbc(bytes(16), False), bytes(32)))
    assert key.decrypt(GCM, ciphertext) == b"data"
    assert module._connection.attachment() is before


# 10


def test_a_hit_does_not_unwrap_again(module: Pkcs11Module, opens: list[int]) -> None:
    blob = module.generate(AES, binding=b"row").blob
    name = os.urandom(8)
    keys = [module.open(AES, blob, binding=b"row", usage=BOTH, cache_key=name) for _ in range(3)]
    assert keys[0] is keys[2]
    assert len(opens) == 1
    module.open(AES, blob, binding=b"row", usage=Usage.ENCRYPT, cache_key=name)
    assert len(opens) == 2, "another usage is another handle"


def test_the_handle_cache_is_bounded_and_eviction_destroys(small: Pkcs11Module) -> None:
    keys = [opened(small, name=b"%d" % index) for index in range(6)]
    assert small.status().open_handles == 3
    assert [key._handle is None for key in keys] == [True] * 3 + [False] * 3  # type: ignore[attr-defined]  # what is inside


def test_an_evicted_key_still_works_for_who_holds_it(small: Pkcs11Module) -> None:
    keys = [opened(small, name=b"%d" % index) for index in range(6)]
    ciphertexts = [key.encrypt(GCM, b"%d" % index) for index, key in enumerate(keys)]
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                for index, key in enumerate(keys):
                    assert key.decrypt(GCM, ciphertexts[index]) == b"%d" % index
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert small.status().open_handles == 3


def test_two_holders_of_one_key_share_its_handle(small: Pkcs11Module, opens: list[int]) -> None:
    blob = small.generate(AES, binding=b"row").blob
    first = small.open(AES, blob, binding=b"row", usage=BOTH, cache_key=b"shared")
    for index in range(3):
        opened(small, name=b"%d" % index)
    second = small.open(AES, blob, binding=b"row", usage=BOTH, cache_key=b"shared")
    assert first is not second
    before = len(opens)
    for _ in range(3):
        assert second.decrypt(GCM, first.encrypt(GCM, b"data")) == b"data"
    assert len(opens) == before


def test_a_handle_that_died_in_the_token_is_opened_again_once(module: Pkcs11Module, opens: list[int]) -> None:
    key = opened(module)
    ciphertext = key.encrypt(GCM, b"data")
    key._handle.destroy()  # type: ignore[attr-defined]  # behind the module's back
    before = module._connection.attachment()
    assert key.decrypt(GCM, ciphertext) == b"data"
    assert len(opens) == 2
    assert module._connection.attachment() is before


def test_a_token_without_room_gets_half_the_handles_back(small: Pkcs11Module, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(3):
        opened(small, name=b"%d" % index)
    failures = [exceptions.DeviceMemory()]

    def full_once(*arguments: object) -> object:
        if failures:
            raise failures.pop()
        return open_object(*arguments)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(opened_key, "open_object", full_once)
    opened(small, name=b"new")
    assert small.status().open_handles == 2


def test_no_session_objects_are_left_behind(module: Pkcs11Module) -> None:
    session = module._connection.attachment().main.session

    def count() -> int:
        return len(list(session.get_objects({Attribute.TOKEN: False})))

    module.status()
    module._cache.evict_half()
    before = count()
    key = opened(module, usage=BOTH | Usage.WRAP | Usage.UNWRAP)
    rsa = KeySpec("RSA", 1024)
    material = module.generate_material(rsa)
    module.generate(rsa, binding=b"")
    module.generate(KeySpec("HMAC", 160), binding=b"")
    module.import_key(rsa, material, binding=b"")
    from kms.hsm.module import AesKwp

    ragged = SecretBytes(b"ragged")
    assert key.unwrap(AesKwp(), key.wrap(AesKwp(), ragged)) == ragged
    wrapped = key.wrap(AesKwp(), material)
    module.unwrap_import(rsa, key, AesKwp(), wrapped, binding=b"")
    with pytest.raises(DataRejected):
        module.unwrap_import(KeySpec("RSA", 2048), key, AesKwp(), wrapped, binding=b"")
    with pytest.raises(DataRejected):
        module.unwrap_import(rsa, key, AesKwp(), wrapped[:-1] + bytes([wrapped[-1] ^ 1]), binding=b"")
    assert count() == before + 1


def test_no_pkcs11_error_leaves_the_room(module: Pkcs11Module) -> None:
    key = opened(module)
    with pytest.raises(Exception) as caught:  # noqa: PT011  # its class is what is looked at
        key.decrypt(GCM, bytes(16))
    assert not isinstance(caught.value, pkcs11.PKCS11Error)
