"""What must run in a process of its own: python -m tests.hsm.scenarios NAME FOLDER. An assertion is the verdict."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pkcs11
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, TokenFlag
from pkcs11.util.ec import encode_named_curve_parameters

from kms.hsm import signing_pair
from kms.hsm.errors import DataRejected, ModuleError, ModuleSealed, ModuleUnavailable
from kms.hsm.library import Library
from kms.hsm.module import AesGcm, KeySpec, OpenedKey, Usage
from kms.hsm.pkcs11 import Pkcs11Module
from kms.hsm.token_objects import LOCKED, Template, attribute_mapper
from kms.secret import SecretBytes
from tests.hsm.token_place import LABEL, LIBRARY, ON_KRYOPTIC, PIN, TokenPlace

AES = KeySpec("AES", 256)
BOTH = Usage.ENCRYPT | Usage.DECRYPT
GCM = AesGcm(b"iv of twelve")


def ready(folder: Path) -> tuple[TokenPlace, Pkcs11Module]:
    place = TokenPlace(folder)
    place.configure()
    place.initialise()
    module = place.module()
    module.provision_master_keys()
    return place, module


def imported(module: Pkcs11Module, name: str) -> tuple[OpenedKey, bytes, bytes]:
    """An opened key, its blob and its material."""
    material = os.urandom(32)
    blob = module.import_key(AES, SecretBytes(material), binding=name.encode()).blob
    return opened(module, name, blob), blob, material


def opened(module: Pkcs11Module, name: str, blob: bytes) -> OpenedKey:
    return module.open(AES, blob, binding=name.encode(), usage=BOTH, cache_key=name.encode())


def right(key: OpenedKey, material: bytes) -> bool:
    return key.encrypt(GCM, b"data") == AESGCM(material).encrypt(GCM.iv, b"data", b"")


@contextmanager
def raises(kind: type[ModuleError]) -> Iterator[None]:
    try:
        yield
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")


# -- threads, processes, forks -------------------------------------------------------------------------------------


def eight_threads(folder: Path) -> None:
    _, module = ready(folder)
    keys = [imported(module, f"key {number}") for number in range(4)]
    errors: list[BaseException] = []
    end = time.monotonic() + 2.0

    def work(number: int) -> None:
        try:
            while time.monotonic() < end:
                key, blob, material = keys[number % 4]
                assert right(key, material)
                other = module.open(AES, blob, binding=b"key %d" % (number % 4), usage=BOTH, cache_key=os.urandom(4))
                assert right(other, material)
                if number < 2:
                    module.generate(AES, binding=b"new")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


def encrypts_during_key_generation(folder: Path) -> None:
    _, module = ready(folder)
    key, _, material = imported(module, "key")
    maker = threading.Thread(target=module.generate, args=(KeySpec("RSA", 4096),), kwargs={"binding": b"rsa"})
    maker.start()
    done = 0
    while maker.is_alive():
        assert right(key, material)
        done += 1
    assert done > 100, done


def one_of_many_starts(folder: Path) -> None:
    """The first of them makes the token; all must use it."""
    _, module = ready(folder)
    key, _, material = imported(module, "key")
    assert right(key, material)


def fork(folder: Path) -> None:
    _, module = ready(folder)
    key, blob, material = imported(module, "key")
    mine = module._connection.attachment()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert right(key, material)
            assert right(opened(module, "key", blob), material)
            theirs = module._connection.attachment()
            assert theirs is not mine
            assert theirs.pid == os.getpid()
            assert module.status().open_handles == 1
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert module._connection.attachment() is mine
    assert right(key, material)


# -- handles and logins --------------------------------------------------------------------------------------------


def stale_handles(folder: Path) -> None:
    _, module = ready(folder)
    old, _, old_material = imported(module, "old")
    new, new_blob, new_material = imported(module, "new")
    number = old._handle.handle  # type: ignore[attr-defined]  # the danger itself is looked at
    module._connection.recover(module._connection.attachment(), "test")
    new = opened(module, "new", new_blob)
    # The count starts again after C_Initialize, so some new handle gets the old number.
    for index in range(40):
        other = module.open(AES, new_blob, binding=b"new", usage=BOTH, cache_key=b"%d" % index)
        if other._handle.handle == number:  # type: ignore[attr-defined]  # as above
            break
    else:
        raise AssertionError("the token doesn't reuse handle numbers; the test shows nothing")
    assert right(old, old_material)
    assert right(new, new_material)


def login_survives(folder: Path) -> None:
    _, module = ready(folder)
    key, _, material = imported(module, "key")
    token = module._connection.attachment().token
    for _ in range(3):
        token.open(rw=True).close()
    module._connection.attachment().workshop.session.close()
    assert right(key, material)
    before = module._connection.attachment()
    module.generate(AES, binding=b"the workshop session is rebuilt")
    assert module._connection.attachment() is not before
    assert right(key, material)


def wrong_pin(folder: Path) -> None:
    place, module = ready(folder)
    module.close()
    attempts = []
    login = Library.login

    def counted(self: Library, session: pkcs11.Session, pin: bytes, *, security_officer: bool = False) -> None:
        attempts.append(1)
        login(self, session, pin, security_officer=security_officer)

    Library.login = counted  # type: ignore[method-assign]  # a wrapper that counts
    sealed = place.module(pin=b"not the pin")
    for _ in range(5):
        with raises(ModuleSealed):
            sealed.status()
        with raises(ModuleSealed):
            sealed.provision_master_keys()
        with raises(ModuleSealed):
            sealed.generate(AES, binding=b"")
    assert len(attempts) == 1, attempts


# -- loss and recovery ---------------------------------------------------------------------------------------------


def token_gone_and_back(folder: Path) -> None:
    place, module = ready(folder)
    key, blob, material = imported(module, "key")
    place.lose()
    with raises(ModuleUnavailable):
        module.open(AES, blob, binding=b"key", usage=BOTH, cache_key=b"another")
    with raises(ModuleUnavailable):
        module.status()
    place.put_an_empty_one()
    with raises(ModuleUnavailable):
        time.sleep(0.3)
        module.status()
    place.bring_back()
    deadline = time.monotonic() + 10
    while True:
        try:
            module.status()
            break
        except ModuleUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert right(key, material)
    assert right(opened(module, "key", blob), material)


def gone_token_is_not_a_bad_tag(folder: Path) -> None:
    """The session key still works while the token is away, but an unclear error must then blame the token.

    Kryoptic's error is clear (CKR_ENCRYPTED_DATA_INVALID): the data is at fault, whatever became of the token.
    """
    place, module = ready(folder)
    key, _, _ = imported(module, "key")
    place.lose()
    with raises(DataRejected if ON_KRYOPTIC else ModuleUnavailable):
        key.decrypt(GCM, bytes(32))


def recovery_under_load(folder: Path) -> None:
    _, module = ready(folder)
    keys = [imported(module, f"key {number}") for number in range(4)]
    errors: list[BaseException] = []
    done = threading.Event()

    def work(number: int) -> None:
        try:
            while not done.is_set():
                assert right(keys[number][0], keys[number][2])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        time.sleep(0.05)
        module._connection.recover(module._connection.attachment(), "test")
    done.set()
    for thread in threads:
        thread.join()
    assert not errors, errors


# -- master keys that are not as they should be --------------------------------------------------------------------


def _with_master_keys(folder: Path, make: Callable[[pkcs11.Session], None]) -> TokenPlace:
    place = TokenPlace(folder)
    place.configure()
    place.initialise()
    library = Library.at(LIBRARY)
    library.start()
    session = library.token(LABEL).open(rw=True, attribute_mapper=attribute_mapper())
    library.login(session, PIN)
    make(session)
    library.stop()
    return place


GOOD_KEK = {
    **LOCKED,
    Attribute.MODIFIABLE: False,
    Attribute.ALLOWED_MECHANISMS: [Mechanism.AES_KEY_WRAP_KWP if ON_KRYOPTIC else Mechanism.AES_KEY_WRAP_PAD],
    Attribute.UNWRAP_TEMPLATE: {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
}
GOOD_SEAL = {**LOCKED, Attribute.MODIFIABLE: False, Attribute.ALLOWED_MECHANISMS: [Mechanism.AES_GCM]}
WRAPS = MechanismFlag.WRAP | MechanismFlag.UNWRAP
CRYPTS = MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT


def _key(session: pkcs11.Session, label: str, rights: MechanismFlag, template: Template, bits: int = 256) -> None:
    session.generate_key(KeyType.AES, bits, label=label, store=True, capabilities=rights, template=template)


def _two_keks(session: pkcs11.Session) -> None:
    _key(session, "kek-1", WRAPS, GOOD_KEK)
    _key(session, "kek-1", WRAPS, GOOD_KEK)


DEVIATIONS: dict[str, Callable[[pkcs11.Session], None]] = {
    "the kek can decrypt": lambda s: _key(s, "kek-1", WRAPS | MechanismFlag.DECRYPT, GOOD_KEK),
    "the kek can be modified": lambda s: _key(s, "kek-1", WRAPS, {**GOOD_KEK, Attribute.MODIFIABLE: True}),
    "the kek has no unwrap template": lambda s: _key(
        s, "kek-1", WRAPS, {k: v for k, v in GOOD_KEK.items() if k != Attribute.UNWRAP_TEMPLATE}
    ),
    "the unwrap template lets keys out": lambda s: _key(
        s, "kek-1", WRAPS, {**GOOD_KEK, Attribute.UNWRAP_TEMPLATE: {Attribute.SENSITIVE: True}}
    ),
    "the kek takes any mechanism": lambda s: _key(
        s, "kek-1", WRAPS, {k: v for k, v in GOOD_KEK.items() if k != Attribute.ALLOWED_MECHANISMS}
    ),
    "the kek is extractable": lambda s: _key(s, "kek-1", WRAPS, {**GOOD_KEK, Attribute.EXTRACTABLE: True}),
    "the kek is short": lambda s: _key(s, "kek-1", WRAPS, GOOD_KEK, bits=128),
    "there are two keks": _two_keks,
    "the seal key can wrap": lambda s: _key(s, "seal-1", CRYPTS | MechanismFlag.WRAP, GOOD_SEAL),
    "the seal key takes any mechanism": lambda s: _key(
        s, "seal-1", CRYPTS, {k: v for k, v in GOOD_SEAL.items() if k != Attribute.ALLOWED_MECHANISMS}
    ),
}


def deviating_master_keys(folder: Path) -> None:
    for number, (name, make) in enumerate(DEVIATIONS.items()):
        place = _with_master_keys(folder / str(number), make)
        module = place.module()
        for _ in range(2):
            try:
                module.provision_master_keys()
            except ModuleSealed:
                continue
            raise AssertionError(f"accepted although {name}")
        module.close()


def good_master_keys(folder: Path) -> None:
    """The templates above are as good as the module's own: the deviations are what is refused."""

    def make(session: pkcs11.Session) -> None:
        _key(session, "kek-1", WRAPS, GOOD_KEK)
        _key(session, "seal-1", CRYPTS, GOOD_SEAL)

    module = _with_master_keys(folder, make).module()
    assert module.status().generation == 1
    assert module.provision_master_keys(), "the attestation key was still to be made"
    assert not module.provision_master_keys()


def missing_master_keys(folder: Path) -> None:
    place = TokenPlace(folder)
    place.configure()
    assert place.initialise()
    assert not place.initialise()
    module = place.module()
    with raises(ModuleSealed):
        module.status()
    assert module.provision_master_keys()
    assert module.status().generation == 1


def beside_an_empty_slot(folder: Path) -> None:
    """A token that is not initialised, in another slot, does not hide ours."""
    place = TokenPlace(folder)
    place.configure(slots=2)
    assert place.initialise()
    Library.at(LIBRARY).start()
    flags = [slot.get_token().flags for slot in Library.at(LIBRARY).binding.get_slots(token_present=True)]
    assert [bool(each & TokenFlag.TOKEN_INITIALIZED) for each in flags].count(False) == 1
    assert not place.initialise()
    module = place.module()
    assert module.provision_master_keys()
    key, _, material = imported(module, "key")
    assert right(key, material)


def made_by_an_operator(folder: Path) -> None:
    place = TokenPlace(folder)
    place.configure(slots=2)
    place.initialise_as_operator()
    module = place.module()
    assert module.provision_master_keys()
    key, _, material = imported(module, "key")
    assert right(key, material)


def two_generations(folder: Path) -> None:
    _, module = ready(folder)
    key, blob, material = imported(module, "key")
    moved = module.rebind(blob, binding=b"key", to=b"key")
    assert module.provision_master_keys(2)
    assert module.status().generation == 2
    again = module.rebind(blob, binding=b"key", to=b"moved")
    for name, stored in (("key", blob), ("key", moved), ("moved", again)):
        assert right(opened(module, name, stored), material)
    assert right(key, material)
    assert module.generate(AES, binding=b"").blob[1:5] == b"\0\0\0\x02"


# -- the attestation key -------------------------------------------------------------------------------------------


def _without_attestation_key(folder: Path) -> TokenPlace:
    """A token as before there was one."""
    place, module = ready(folder)
    session = module._connection.attachment().main.session
    for found in list(session.get_objects({Attribute.LABEL: signing_pair.ATTESTATION.label})):
        found.destroy()
    module.close()
    return place


def attestation_key_on_demand(folder: Path) -> None:
    """Two servers ask at once; a third one, later, finds what they made."""
    place = _without_attestation_key(folder)
    modules = [place.module() for _ in range(2)]
    seen: list[bytes] = []
    threads = [threading.Thread(target=lambda m=m: seen.append(m.attestation_certificate())) for m in modules]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 2
    assert {*seen, place.module().attestation_certificate()} == {seen[0]}
    assert len(modules[0].attest(bytes(32))) == 64


def weak_attestation_key(folder: Path) -> None:
    """One that leaves the token, as somebody with the PIN could have prepared it."""
    place = _without_attestation_key(folder)
    module = place.module()
    session = module._connection.attachment().main.session
    curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
    session.create_domain_parameters(KeyType.EC, curve, local=True).generate_keypair(
        label=signing_pair.ATTESTATION.label,
        store=True,
        capabilities=MechanismFlag.SIGN,
        private_template={**signing_pair._PRIVATE, Attribute.EXTRACTABLE: True},
    )
    with raises(signing_pair.SigningPairDeviates):
        module.attest(bytes(32))
    assert module.random(8)


# -- secrets -------------------------------------------------------------------------------------------------------


def nothing_secret_is_left(folder: Path) -> None:
    logging.basicConfig(level=logging.DEBUG, filename=folder / "log")
    place, module = ready(folder)
    key, blob, material = imported(module, "key")
    pin_text = PIN.decode()
    module._connection.recover(module._connection.attachment(), "test")
    assert right(key, material)
    seen = " ".join(map(repr, (module, key, module._connection, blob, module._cache)))
    assert pin_text not in seen
    assert material.hex() not in seen
    for path in folder.rglob("*"):
        assert pin_text not in path.name
        if path.is_file():
            content = path.read_bytes()
            assert PIN not in content, path
            assert material not in content, path
            if place.tokens in path.parents:
                # Kryoptic leaves its file's mode to the umask: whoever configures it closes the folder.
                closed = place.tokens if ON_KRYOPTIC else path
                assert closed.stat().st_mode & 0o077 == 0, path


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
