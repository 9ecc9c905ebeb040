"""Data in parts: the same as in one call however it is cut; states serve one key, one direction, for a while."""

from __future__ import annotations

import os
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kms.audit.models import AuditRecord
from kms.crypto.algorithm import CipherParameters
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.crypto.options import CipherOptions, KeyOptions
from kms.hsm.errors import DataRejected
from kms.objects.models import SecurityObject
from kms.operations import cipher_state
from kms.operations.command import ObjectRef
from kms.operations.creation import CreateObject
from kms.operations.errors import AccessDenied, InvalidRequest, NotFound
from kms.operations.executor import execute
from kms.operations.making import ObjectTemplate
from kms.operations.multipart import (
    BeginDecryption,
    BeginEncryption,
    Begun,
    ContinueDecryption,
    ContinueEncryption,
    FinishDecryption,
    Finished,
    FinishEncryption,
    Part,
)
from kms.operations.updating import UpdateObject
from policies.permissions import Permission
from tests.crypto.cipher_lab import MODES, WHOLE_BLOCKS, CipherLab
from tests.kit.tenants import Tenant, new_tenant, unique

KINDS = {"AES": 32, "DES3": 24, "DES": 8, "SEED": 16}
few = settings(max_examples=15, deadline=None)


@pytest.fixture(scope="module")
def owner(installation: None) -> Tenant:
    return new_tenant()


@pytest.fixture(scope="module", params=list(KINDS))
def any_kind(request: pytest.FixtureRequest, owner: Tenant) -> CipherLab:
    return CipherLab(owner, request.param, os.urandom(KINDS[request.param]))


@pytest.fixture(scope="module")
def aes(owner: Tenant) -> CipherLab:
    return CipherLab(owner, "AES", os.urandom(32))


class Parts:
    """One operation, step by step; ``key`` is named in every step unless ``named`` is off."""

    def __init__(self, lab: CipherLab, parameters: CipherParameters, *, encrypting: bool, named: bool = True) -> None:
        self.lab, self.encrypting, self.output = lab, encrypting, b""
        self._key = lab.key if named else None
        command = BeginEncryption if encrypting else BeginDecryption
        begun: Begun = self._run(command(lab.key, lab.kind, parameters))
        self.iv, self.state = begun.iv, begun.state

    def add(self, data: bytes, aad: bytes = b"") -> None:
        command = ContinueEncryption if self.encrypting else ContinueDecryption
        part: Part = self._run(command(self._key, self.state, data, aad))
        self.output, self.state = self.output + part.output, part.state

    def finish(self, *, tag_bits: int | None = None, tag: bytes | None = None) -> bytes | None:
        last: Finished
        if self.encrypting:
            last = self._run(FinishEncryption(self._key, self.state, tag_bits))
        else:
            last = self._run(FinishDecryption(self._key, self.state, tag))
        self.output += last.output
        return last.tag

    def _run(self, command: Any) -> Any:
        return execute(self.lab.tenant.app, command)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def whole(mode: str, block: int, data: bytes) -> bytes:
    return data[: len(data) // block * block] if mode in WHOLE_BLOCKS else data


cuts = st.lists(st.integers(0, 200), max_size=5)

# -- the same as in one call ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@few
@given(data=st.binary(max_size=150), places=cuts, back=cuts)
def test_the_result_does_not_depend_on_how_data_is_cut(
    any_kind: CipherLab, mode: str, data: bytes, places: list[int], back: list[int]
) -> None:
    data, iv = whole(mode, any_kind.block, data), any_kind.fresh_iv(mode)
    parameters = CipherParameters(mode, iv)
    sealed = any_kind.encrypt(parameters, data).ciphertext
    forwards = Parts(any_kind, parameters, encrypting=True)
    for piece in cut(data, places):
        forwards.add(piece)
    assert forwards.finish() is None
    assert (forwards.output, forwards.iv) == (sealed, iv)
    backwards = Parts(any_kind, parameters, encrypting=False, named=False)
    for piece in cut(sealed, back):
        backwards.add(piece)
    backwards.finish()
    assert backwards.output == data


@few
@given(
    data=st.binary(max_size=150),
    aad=st.binary(max_size=40),
    later=st.binary(max_size=40),
    iv=st.sampled_from([8, 12, 16, 60]),
    bits=st.sampled_from([96, 104, 112, 120, 128]),
    places=cuts,
)
def test_gcm_in_parts_is_gcm(
    aes: CipherLab, data: bytes, aad: bytes, later: bytes, iv: int, bits: int, places: list[int]
) -> None:
    nonce = os.urandom(iv)
    expected = aes.encrypt(CipherParameters("GCM", nonce, aad + later, bits), data)
    forwards = Parts(aes, CipherParameters("GCM", nonce, aad), encrypting=True)
    forwards.add(b"", later)
    for piece in cut(data, places):
        forwards.add(piece)
    assert forwards.finish(tag_bits=bits) == expected.tag
    assert forwards.output == expected.ciphertext
    backwards = Parts(aes, CipherParameters("GCM", nonce, aad), encrypting=False)
    backwards.add(b"", later)
    for piece in cut(expected.ciphertext, places):
        backwards.add(piece)
    backwards.finish(tag=expected.tag)
    assert backwards.output == data


@pytest.mark.parametrize("mode", [*MODES, "GCM"])
def test_a_megabyte_in_parts(aes: CipherLab, mode: str) -> None:
    data, iv = os.urandom(1_000_000), aes.fresh_iv(mode)
    parts = Parts(aes, CipherParameters(mode, iv), encrypting=True)
    for start in range(0, len(data), 350_003):
        parts.add(data[start : start + 350_003])
    if mode in WHOLE_BLOCKS:
        assert len(data) % 16 == 0
    tag = parts.finish()
    expected = aes.encrypt(CipherParameters(mode, iv), data)
    assert (parts.output, tag) == (expected.ciphertext, expected.tag)


def test_nothing_at_all_is_what_one_call_makes_of_nothing(any_kind: CipherLab) -> None:
    for mode in MODES:
        parameters = CipherParameters(mode, any_kind.fresh_iv(mode))
        parts = Parts(any_kind, parameters, encrypting=True)
        parts.finish()
        assert parts.output == any_kind.encrypt(parameters, b"").ciphertext


def test_an_iv_is_made_and_told(any_kind: CipherLab) -> None:
    parts = Parts(any_kind, CipherParameters(), encrypting=True)
    parts.add(b"data")
    parts.finish()
    assert parts.output == any_kind.expected("CBC", parts.iv, b"data")


def test_a_state_that_is_presented_twice_is_continued_twice(aes: CipherLab) -> None:
    """A client that did not hear the answer asks again and gets the same."""
    parts = Parts(aes, CipherParameters("CTR"), encrypting=True)
    before = parts.state
    parts.add(b"data")
    parts.state = before
    parts.add(b"data")
    assert parts.output[:4] == parts.output[4:]


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["CCM", "KW", "KWP"])
def test_modes_that_need_all_data_at_once_are_refused_by_name(aes: CipherLab, mode: str) -> None:
    for encrypting in (True, False):
        with pytest.raises(AlgorithmUnsupported, match=f"{mode} mode takes its data whole"):
            Parts(aes, CipherParameters(mode, None if mode != "CCM" else bytes(12)), encrypting=encrypting)


def test_a_key_that_tokenises_takes_its_text_whole(owner: Tenant) -> None:
    fpe = {"radix": 10, "min_length": 6, "max_length": 9, "preserve": []}
    key = owner.key(options=KeyOptions(cipher=CipherOptions(fpe=fpe)))
    with pytest.raises(AlgorithmUnsupported, match="FF1 mode takes its data whole"):
        execute(owner.app, BeginEncryption(key, "AES", CipherParameters("FF1")))


@pytest.mark.parametrize(("kind", "fields"), [("RSA", {"size": 2048}), ("HMAC", {"size": 256})])
def test_kinds_that_are_no_block_cipher_are_refused(owner: Tenant, kind: str, fields: dict[str, Any]) -> None:
    key = owner.key(kind, **fields)
    with pytest.raises((AlgorithmUnsupported, AccessDenied)):
        execute(owner.app, BeginEncryption(key, kind, CipherParameters()))


@pytest.mark.parametrize(
    ("mode", "fields"),
    [
        ("XTS", {}),
        ("CBC", {"iv": bytes(8)}),
        ("CBC", {"aad": b"x"}),
        ("ECB", {"iv": bytes(16)}),
        ("GCM", {"iv": bytes(7)}),
        ("GCM", {"tag_bits": 64}),
    ],
)
def test_parameters_that_do_not_fit_are_refused_at_the_beginning(
    aes: CipherLab, mode: str, fields: dict[str, Any]
) -> None:
    with pytest.raises((ParameterInvalid, AlgorithmUnsupported)):
        Parts(aes, CipherParameters(mode, **fields), encrypting=True)


def test_decryption_begins_with_the_iv(aes: CipherLab) -> None:
    for mode in ("CBC", "CTR", "GCM"):
        with pytest.raises(ParameterInvalid, match="needs the iv"):
            Parts(aes, CipherParameters(mode), encrypting=False)


@pytest.mark.parametrize("mode", WHOLE_BLOCKS)
def test_data_that_ends_inside_a_block_is_refused_at_the_end(aes: CipherLab, mode: str) -> None:
    parts = Parts(aes, CipherParameters(mode), encrypting=True)
    parts.add(bytes(17))
    with pytest.raises(ParameterInvalid, match="whole blocks"):
        parts.finish()


def test_wrong_padding_is_refused_at_the_end(aes: CipherLab) -> None:
    parts = Parts(aes, CipherParameters("CBC", bytes(16)), encrypting=False)
    parts.add(bytes(32))
    with pytest.raises(DataRejected):
        parts.finish()


def test_a_wrong_tag_is_refused_at_the_end(aes: CipherLab) -> None:
    made = aes.encrypt(CipherParameters("GCM"), b"data")
    for tag, ciphertext in ((bytes(16), made.ciphertext), (made.tag, made.ciphertext[:-1]), (made.tag, b"")):
        parts = Parts(aes, CipherParameters("GCM", made.iv), encrypting=False)
        parts.add(ciphertext)
        with pytest.raises(DataRejected):
            parts.finish(tag=tag)


def test_the_tag_is_needed_and_long_enough(aes: CipherLab) -> None:
    made = aes.encrypt(CipherParameters("GCM"), b"data")
    parts = Parts(aes, CipherParameters("GCM", made.iv), encrypting=False)
    parts.add(made.ciphertext)
    for tag, says in ((None, "needs the tag"), ((made.tag or b"")[:8], "one of")):
        with pytest.raises(ParameterInvalid, match=says):
            parts.finish(tag=tag)
    parts.finish(tag=made.tag)


def test_modes_without_a_tag_take_none(aes: CipherLab) -> None:
    with pytest.raises(ParameterInvalid, match="takes no tag_len"):
        Parts(aes, CipherParameters("CTR"), encrypting=True).finish(tag_bits=128)
    with pytest.raises(ParameterInvalid, match="takes no tag"):
        Parts(aes, CipherParameters("CTR", bytes(16)), encrypting=False).finish(tag=bytes(16))


def test_additional_data_comes_first(aes: CipherLab) -> None:
    parts = Parts(aes, CipherParameters("GCM"), encrypting=True)
    parts.add(b"data")
    with pytest.raises(ParameterInvalid, match="before the ciphertext"):
        parts.add(b"", b"aad")
    with pytest.raises(ParameterInvalid, match="takes no additional data"):
        Parts(aes, CipherParameters("CBC"), encrypting=True).add(b"", b"aad")


def test_where_ivs_are_the_servers_a_gcm_state_is_not_handed_out(owner: Tenant) -> None:
    options = KeyOptions(cipher=CipherOptions(random_iv=True))
    lab = CipherLab(owner, "AES", os.urandom(32), options=options)
    with pytest.raises(InvalidRequest, match="in one call or a stream"):
        Parts(lab, CipherParameters("GCM"), encrypting=True)
    with pytest.raises(ParameterInvalid, match="leave the iv to the server"):
        Parts(lab, CipherParameters("CBC", bytes(16)), encrypting=True)
    made = lab.encrypt(CipherParameters("GCM"), b"data")
    parts = Parts(lab, CipherParameters("GCM", made.iv), encrypting=False)
    parts.add(made.ciphertext)
    parts.finish(tag=made.tag)
    assert parts.output == b"data"


# -- states --------------------------------------------------------------------------------------------------------


def steps(key: ObjectRef | None, state: bytes, *, encrypting: bool) -> list[Any]:
    if encrypting:
        return [ContinueEncryption(key, state, b"data"), FinishEncryption(key, state)]
    return [ContinueDecryption(key, state, b"data"), FinishDecryption(key, state)]


@few
@given(place=st.integers(0, 10_000), change=st.integers(1, 255), mode=st.sampled_from([*MODES, "GCM"]))
def test_an_altered_state_is_refused(aes: CipherLab, place: int, change: int, mode: str) -> None:
    state = bytearray(Parts(aes, CipherParameters(mode), encrypting=True).state)
    state[place % len(state)] ^= change
    for key in (aes.key, None):
        for command in steps(key, bytes(state), encrypting=True):
            with pytest.raises(InvalidRequest, match="not valid"):
                execute(aes.tenant.app, command)


@few
@given(length=st.integers(0, 500))
def test_a_state_that_was_cut_or_prolonged_is_refused(aes: CipherLab, length: int) -> None:
    state = Parts(aes, CipherParameters("CTR"), encrypting=True).state
    for wrong in (state[: length % len(state)], state + bytes(1 + length), os.urandom(length)):
        for command in steps(aes.key, wrong, encrypting=True):
            with pytest.raises(InvalidRequest, match="not valid"):
                execute(aes.tenant.app, command)


@pytest.mark.parametrize("encrypting", [True, False])
def test_a_state_goes_one_way(aes: CipherLab, encrypting: bool) -> None:
    state = Parts(aes, CipherParameters("CTR", bytes(16)), encrypting=encrypting).state
    for command in steps(aes.key, state, encrypting=not encrypting):
        with pytest.raises(InvalidRequest, match="not valid"):
            execute(aes.tenant.app, command)


def test_a_state_serves_the_key_it_was_made_under(aes: CipherLab, owner: Tenant) -> None:
    state, other = Parts(aes, CipherParameters("CTR"), encrypting=True).state, owner.key()
    for command in steps(other, state, encrypting=True):
        with pytest.raises(InvalidRequest, match="another key"):
            execute(owner.app, command)


def test_the_parts_of_two_states_make_none(aes: CipherLab) -> None:
    """The head of one with the body of another: each is whole, together they are nothing."""
    first, second = (Parts(aes, CipherParameters("CTR"), encrypting=True).state for _ in range(2))
    head = 4 + int.from_bytes(first[:4], "big")
    for command in steps(aes.key, first[:head] + second[head:], encrypting=True):
        with pytest.raises(InvalidRequest, match="not valid"):
            execute(aes.tenant.app, command)


def test_another_accounts_state_is_refused(aes: CipherLab) -> None:
    stranger = new_tenant()
    state, own = Parts(aes, CipherParameters("CTR"), encrypting=True).state, stranger.key()
    for key in (own, None):
        for command in steps(key, state, encrypting=True):
            with pytest.raises(InvalidRequest, match="not valid"):
                execute(stranger.app, command)
    for command in steps(aes.key, state, encrypting=True):
        with pytest.raises(NotFound):
            execute(stranger.app, command)


def test_a_state_expires(aes: CipherLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cipher_state, "LIFETIME", timedelta(0))
    state = Parts(aes, CipherParameters("CTR"), encrypting=True).state
    for command in steps(aes.key, state, encrypting=True):
        with pytest.raises(InvalidRequest, match="has expired"):
            execute(aes.tenant.app, command)


def test_going_on_does_not_prolong_a_states_life(aes: CipherLab) -> None:
    """The head, which says until when, is the first one's."""
    parts = Parts(aes, CipherParameters("CTR"), encrypting=True)
    head = parts.state[: 4 + int.from_bytes(parts.state[:4], "big")]
    for _ in range(3):
        parts.add(b"data")
        assert parts.state.startswith(head)


@pytest.mark.parametrize(
    "change",
    [
        lambda lab: execute(lab.tenant.alice, UpdateObject(lab.key, enabled=False)),
        lambda lab: execute(
            lab.tenant.alice, UpdateObject(lab.key, operations=frozenset({KeyOperation.DECRYPT, KeyOperation.WRAP}))
        ),
        lambda lab: SecurityObject.objects.filter(id=lab.key.id).update(state="deactivated"),
    ],
    ids=["disabled", "operation taken", "deactivated"],
)
def test_a_key_that_may_no_more_ends_the_operation(owner: Tenant, change: Any) -> None:
    lab = CipherLab(owner, "AES", os.urandom(32))
    parts = Parts(lab, CipherParameters("CTR"), encrypting=True)
    parts.add(b"data")
    change(lab)
    for command in steps(lab.key, parts.state, encrypting=True):
        with pytest.raises(AccessDenied):
            execute(owner.app, command)


def test_a_key_that_was_changed_starts_again(owner: Tenant) -> None:
    lab = CipherLab(owner, "AES", os.urandom(32))
    parts = Parts(lab, CipherParameters("CTR"), encrypting=True)
    kept = frozenset({KeyOperation.ENCRYPT, KeyOperation.DECRYPT})
    execute(owner.alice, UpdateObject(lab.key, operations=kept))
    with pytest.raises(InvalidRequest, match="begin again"):
        parts.add(b"data")


def test_rights_are_asked_at_every_step(owner: Tenant, aes: CipherLab) -> None:
    reader = owner.new_app([Permission.OBJECT_DECRYPT])
    state = Parts(aes, CipherParameters("CTR"), encrypting=True).state
    for key in (aes.key, None):
        for command in steps(key, state, encrypting=True):
            with pytest.raises(AccessDenied):
                execute(reader, command)
    back = Parts(aes, CipherParameters("CTR", bytes(16)), encrypting=False).state
    assert execute(reader, ContinueDecryption(None, back, b"data")).output


def test_a_transient_key_is_named_in_every_step(owner: Tenant) -> None:
    template = ObjectTemplate(unique("t"), "AES", owner.group.id, size=256, transient=True)
    blob = execute(owner.app, CreateObject(template)).transient
    key = ObjectRef(transient=blob)
    begun = execute(owner.app, BeginEncryption(key, "AES", CipherParameters("CTR")))
    assert len(execute(owner.app, ContinueEncryption(key, begun.state, b"data")).output) == 4
    with pytest.raises(InvalidRequest, match="key is needed"):
        execute(owner.app, ContinueEncryption(None, begun.state, b"data"))


def test_every_step_is_recorded_with_its_bytes(owner: Tenant) -> None:
    lab = CipherLab(owner, "AES", os.urandom(32))
    parts = Parts(lab, CipherParameters("GCM"), encrypting=True)
    parts.add(b"data")
    parts.add(bytes(100))
    parts.finish()
    found = AuditRecord.objects.filter(object_id=lab.key.id, action__startswith="object.encrypt-").order_by("sequence")
    assert [(e.action, e.outcome, e.details.get("input_bytes"), e.details["mode"]) for e in found] == [
        ("object.encrypt-init", "done", None, "GCM"),
        ("object.encrypt-update", "done", 4, "GCM"),
        ("object.encrypt-update", "done", 100, "GCM"),
        ("object.encrypt-final", "done", None, "GCM"),
    ]
