"""Every state and everything that can be done, in pairs, through the corridor, against a table written beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import pytest

from accounts.clock import clock
from kms.audit.models import AuditRecord
from kms.crypto.algorithm import CipherParameters, SignatureParameters
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.crypto.registry import ALGORITHMS
from kms.objects.publication import Publication
from kms.objects.rotation import RotationPolicy
from kms.objects.state import Cryptoperiod, KeyState
from kms.objects.usage import HANDLED_IN, Handling
from kms.operations.agreement import AgreeKey, DecapsulateKey, EncapsulateKey, InlineKey
from kms.operations.attestation import AttestKey
from kms.operations.command import Command, ObjectRef
from kms.operations.copying import CopyObject
from kms.operations.creation import CreateObject, UnwrapKey
from kms.operations.cryptographic import Decrypt, Encrypt, GenerateMac, Sign, Verify, VerifyMac, WrapKey
from kms.operations.derivation import DeriveKey, Hkdf, MasterKey, TransformKey
from kms.operations.errors import AccessDenied, InvalidRequest, NotFound
from kms.operations.executor import execute
from kms.operations.history import RevertObject
from kms.operations.inspection import DigestObject, GetCheckValue
from kms.operations.lifecycle import (
    ActivateObject,
    DeleteObject,
    DestroyObject,
    ExportObject,
    RemovePrivateKey,
    RevokeObject,
)
from kms.operations.making import ObjectTemplate
from kms.operations.queries import GetObject
from kms.operations.rotating import ReplaceObject, RotateObject
from kms.operations.updating import UpdateObject
from tests.kit.objects import COMPROMISED, GCM, SUPERSEDED, bring, by_sql, kept, ops, ref_of, row, state, undo_window
from tests.kit.tenants import new_tenant, unique
from tests.operations import key_states
from tests.operations.key_states import ALLOWED, DATA, HANDLING, REFUSED, STATES, TRANSITIONS, Row
from tests.operations.material import ec_key, pkcs8, spki

KINDS = {algorithm.kind for algorithm in ALGORITHMS}
SHA256 = SignatureParameters("SHA256")
KWP = CipherParameters("KWP")
DATE = timedelta(days=30)
USES = {
    "AES": ops("encrypt", "decrypt", "wrap", "unwrap", "derive", "mac-generate", "mac-verify", "export"),
    "EC": ops("sign", "verify", "agree", "export"),
    "SECRET": ops("derive", "export"),
    "BIP32": ops("transform", "export"),
    "MLKEM": ops("encapsulate", "decapsulate", "export"),
}


class Scene:
    """A tenant, and for each kind a twin: an active object of the same material, that made what is processed."""

    def __init__(self) -> None:
        self.tenant = new_tenant()
        self.materials = {"AES": os.urandom(32), "EC": pkcs8(ec_key()), "SECRET": os.urandom(32)}
        undo_window(self.tenant)

    def _template(self, kind: str, **fields: Any) -> ObjectTemplate:
        return ObjectTemplate(unique(kind.lower()), kind, self.tenant.group.id, operations=USES[kind], **fields)

    def subject(self, kind: str, *, pre_active: bool = True) -> ObjectRef:
        if kind in self.materials:
            material = self.materials[kind]
            return self.tenant.imported(kind, material, operations=USES[kind], pre_active=pre_active)
        if kind == "BIP32":
            template = self._template(kind, pre_active=pre_active)
            return ref_of(execute(self.tenant.app, DeriveKey(self.seed, MasterKey("BIP32"), template)))
        return self.tenant.imported(
            kind, self.by(ExportObject(self.mlkem)).reveal(), operations=USES[kind], pre_active=pre_active
        )

    @cached_property
    def seed(self) -> ObjectRef:
        return self.subject("SECRET", pre_active=False)

    @cached_property
    def aes(self) -> ObjectRef:
        return self.subject("AES", pre_active=False)

    @cached_property
    def ec(self) -> ObjectRef:
        return self.subject("EC", pre_active=False)

    @cached_property
    def mlkem(self) -> ObjectRef:
        return ref_of(execute(self.tenant.alice, CreateObject(self._template("MLKEM", curve="MlKem768"))))

    def by(self, command: Command) -> Any:
        """Done by the app, which may do everything in the group."""
        result = execute(self.tenant.app, command)
        return getattr(result, "value", result)

    def new(self, kind: str, **fields: Any) -> ObjectTemplate:
        return ObjectTemplate(unique("made"), kind, self.tenant.group.id, **fields)


@dataclass(frozen=True, slots=True)
class Case:
    """An object of the kind, and the command that does the row's deed to it."""

    kind: str
    command: Callable[[Scene, ObjectRef], Command]


def _decrypt(scene: Scene, key: ObjectRef) -> Command:
    made = scene.by(Encrypt(scene.aes, "AES", GCM, b"data"))
    return Decrypt(key, "AES", CipherParameters("GCM", made.iv, tag=made.tag), made.ciphertext)


def _unwrap(scene: Scene, key: ObjectRef) -> Command:
    wrapped = scene.by(WrapKey(scene.aes, scene.aes, "AES", KWP)).ciphertext
    return UnwrapKey(key, "AES", KWP, wrapped, scene.new("AES"))


def _agree(scene: Scene, key: ObjectRef) -> Command:
    return AgreeKey(key, InlineKey("EC", spki(ec_key())), scene.new("SECRET", size=256))


def _decapsulate(scene: Scene, key: ObjectRef) -> Command:
    made = execute(scene.tenant.app, EncapsulateKey(scene.mlkem, scene.new("SECRET")))
    return DecapsulateKey(key, made.ciphertext, scene.new("SECRET"))


def _update(**fields: Any) -> Callable[[Scene, ObjectRef], Command]:
    return lambda _scene, key: UpdateObject(key, **{name: _given(value) for name, value in fields.items()})


def _given(value: Any) -> Any:
    return value() if callable(value) else value


CASES: dict[str, Case] = {
    "encrypt": Case("AES", lambda _s, key: Encrypt(key, "AES", GCM, b"data")),
    "decrypt": Case("AES", _decrypt),
    "sign": Case("EC", lambda _s, key: Sign(key, SHA256, data=b"data")),
    "verify": Case("EC", lambda s, key: Verify(key, SHA256, s.by(Sign(s.ec, SHA256, data=b"d")), data=b"d")),
    "make a MAC": Case("AES", lambda _s, key: GenerateMac(key, None, b"data")),
    "verify a MAC": Case("AES", lambda s, key: VerifyMac(key, None, b"d", s.by(GenerateMac(s.aes, None, b"d")))),
    "wrap": Case("AES", lambda s, key: WrapKey(key, s.aes, "AES", KWP)),
    "unwrap": Case("AES", _unwrap),
    "derive": Case("AES", lambda s, key: DeriveKey(key, Hkdf("SHA256"), s.new("HMAC", size=256))),
    "transform": Case("BIP32", lambda s, key: TransformKey(key, "BIP32", 1, s.new("BIP32"))),
    "agree": Case("EC", _agree),
    "encapsulate": Case("MLKEM", lambda s, key: EncapsulateKey(key, s.new("SECRET"))),
    "decapsulate": Case("MLKEM", _decapsulate),
    "export": Case("AES", lambda _s, key: ExportObject(key)),
    "be wrapped": Case("AES", lambda s, key: WrapKey(s.aes, key, "AES", KWP)),
    "show": Case("AES", lambda _s, key: GetObject(key)),
    "show when asked for deleted": Case("AES", lambda _s, key: GetObject(key, deleted=True)),
    "change description or metadata": Case("AES", _update(description="d", custom_metadata={"a": "b"})),
    "rename": Case("AES", _update(name=lambda: unique("renamed"))),
    "move to another group": Case("AES", lambda s, key: UpdateObject(key, group=s.tenant.new_group().id)),
    "enable and disable": Case("AES", _update(enabled=False)),
    "change operations": Case("AES", _update(operations=ops("decrypt", "encrypt"))),
    "set the activation date": Case("AES", _update(activation_date=lambda: clock.now() + DATE)),
    "set the deactivation date": Case("AES", _update(deactivation_date=lambda: clock.now() + 2 * DATE)),
    "set a rotation policy": Case("AES", _update(rotation=RotationPolicy(days=30))),
    "publish the public key": Case("EC", _update(publication=Publication())),
    "show the check value": Case("AES", lambda _s, key: GetCheckValue(key)),
    "hash the value": Case("AES", lambda _s, key: DigestObject(key, "SHA256")),
    "attest": Case("EC", lambda _s, key: AttestKey(key)),
    "copy": Case("AES", lambda _s, key: CopyObject(key, ObjectTemplate(unique("copy"), ""))),
    "rotate": Case("AES", lambda _s, key: RotateObject(key, ObjectTemplate(None, ""))),
    "be replaced": Case("AES", lambda s, key: ReplaceObject(key, unique("old"), s.subject("AES", pre_active=False))),
    "take another's place": Case(
        "AES", lambda s, key: ReplaceObject(s.subject("AES", pre_active=False), unique("old"), key)
    ),
    "remove the private key": Case("EC", lambda _s, key: RemovePrivateKey(key)),
    "undo the last change": Case("AES", lambda _s, key: RevertObject(key, (kept(key)[-1].id,))),
    "activate": Case("AES", lambda _s, key: ActivateObject(key)),
    "revoke": Case("AES", lambda _s, key: RevokeObject(key, SUPERSEDED)),
    "revoke: compromise": Case("AES", lambda _s, key: RevokeObject(key, COMPROMISED)),
    "destroy": Case("AES", lambda _s, key: DestroyObject(key)),
    "delete": Case("AES", lambda _s, key: DeleteObject(key)),
}
# Done by the administrator, who is no program and uses no key on data.
BY_ADMINISTRATOR = {"move to another group"}
# Of a row that lets something be done again and again and changes nothing.
PURE = {row.name for row in DATA} | {"show", "show when asked for deleted", "show the check value", "hash the value"}
REASONS = {"state-transition", "invalid-request", "not-found"}


@pytest.fixture(scope="module")
def scene(installation: None) -> Scene:
    return Scene()


def attempt(scene: Scene, name: str, key: ObjectRef) -> Exception | None:
    """How the row's deed ended: None when it was done."""
    command = CASES[name].command(scene, key)
    who = scene.tenant.alice if name in BY_ADMINISTRATOR else scene.tenant.app
    try:
        execute(who, command)
    except (AccessDenied, InvalidRequest, NotFound) as error:
        return error
    return None


def ready(scene: Scene, name: str) -> ObjectRef:
    kind = CASES[name].kind
    if kind not in KINDS:
        pytest.skip(f"no {kind} keys here")
    key = scene.subject(kind)
    if name == "undo the last change":
        execute(scene.tenant.alice, UpdateObject(key, operations=ops("decrypt", "encrypt", "export")))
    return key


def check_refusal(error: Exception | None, current: KeyState, name: str) -> None:
    assert error is not None, f"{name} was done with an object that is {current}"
    if current is KeyState.DELETED:
        assert isinstance(error, NotFound)
        return
    assert isinstance(error, AccessDenied | InvalidRequest)
    assert error.reason in {f"state-{current}", *REASONS}
    assert current.value in str(error) or "material is gone" in str(error) or "active object" in str(error)


PAIRS = [(row, state) for row in (*DATA, *HANDLING) for state in STATES]


@pytest.mark.parametrize(("done", "current"), PAIRS, ids=[f"{row.name}-{state}" for row, state in PAIRS])
def test_a_state_allows_what_the_table_says(scene: Scene, done: Row, current: KeyState) -> None:
    key = bring(scene.tenant, ready(scene, done.name), current)
    assert state(key) is current
    error = attempt(scene, done.name, key)
    if done.cell(current) == ALLOWED:
        assert error is None
    else:
        check_refusal(error, current, done.name)
        found = AuditRecord.objects.filter(account_id=scene.tenant.account.id).latest("sequence")
        assert found.outcome in ("denied", "failed")
        assert state(key) is current
    if done.name in PURE:
        assert state(key) is current


MOVES = [(row, state) for row in TRANSITIONS for state in STATES]


@pytest.mark.parametrize(("move", "current"), MOVES, ids=[f"{row.name}-{state}" for row, state in MOVES])
def test_a_transition_leads_where_the_table_says(scene: Scene, move: Row, current: KeyState) -> None:
    key = bring(scene.tenant, ready(scene, move.name), current)
    error = attempt(scene, move.name, key)
    if move.cell(current) == REFUSED:
        check_refusal(error, current, move.name)
        assert state(key) is current
    else:
        assert error is None
        assert state(key) is KeyState(move.cell(current))


HOUR = timedelta(hours=1)
# What is in the row, and what it is to everyone who looks now.
DATED: dict[str, tuple[KeyState, timedelta | None, timedelta | None, KeyState]] = {
    "to be activated": (KeyState.PRE_ACTIVE, HOUR, None, KeyState.PRE_ACTIVE),
    "activated by its date": (KeyState.PRE_ACTIVE, -HOUR, HOUR, KeyState.ACTIVE),
    "active until its date": (KeyState.ACTIVE, None, HOUR, KeyState.ACTIVE),
    "deactivated by its date": (KeyState.ACTIVE, None, -HOUR, KeyState.DEACTIVATED),
    "activated and deactivated": (KeyState.PRE_ACTIVE, -2 * HOUR, -HOUR, KeyState.DEACTIVATED),
    "compromised before its dates": (KeyState.COMPROMISED, HOUR, 2 * HOUR, KeyState.COMPROMISED),
}
DATED_PAIRS = [(row, label) for row in (*DATA, *HANDLING) for label in DATED if row.name != "undo the last change"]


@pytest.mark.parametrize(("done", "label"), DATED_PAIRS, ids=[f"{row.name}-{label}" for row, label in DATED_PAIRS])
def test_dates_make_the_state_when_the_object_is_used(scene: Scene, done: Row, label: str) -> None:
    stored, activation, deactivation, now = DATED[label]
    key = ready(scene, done.name)
    dates = [None if offset is None else clock.now() + offset for offset in (activation, deactivation)]
    by_sql(key, state=stored.value, activation_date=dates[0], deactivation_date=dates[1])
    error = attempt(scene, done.name, key)
    if done.cell(now) == ALLOWED:
        assert error is None
    else:
        check_refusal(error, now, done.name)


@pytest.mark.parametrize("move", TRANSITIONS, ids=lambda row: row.name)
@pytest.mark.parametrize("label", DATED)
def test_a_transition_starts_from_the_state_that_the_dates_make(scene: Scene, move: Row, label: str) -> None:
    stored, activation, deactivation, now = DATED[label]
    key = ready(scene, move.name)
    dates = [None if offset is None else clock.now() + offset for offset in (activation, deactivation)]
    by_sql(key, state=stored.value, activation_date=dates[0], deactivation_date=dates[1])
    error = attempt(scene, move.name, key)
    if move.cell(now) == REFUSED:
        check_refusal(error, now, move.name)
        assert state(key) is now
    else:
        assert error is None
        assert state(key) is KeyState(move.cell(now))


@pytest.mark.parametrize("current", STATES, ids=str)
def test_a_disabled_object_is_used_on_no_data_in_any_state(scene: Scene, current: KeyState) -> None:
    for done in DATA:
        if CASES[done.name].kind not in KINDS:
            continue
        key = bring(scene.tenant, ready(scene, done.name), current)
        by_sql(key, enabled=False)
        error = attempt(scene, done.name, key)
        assert error is not None
        assert "is disabled" in str(error) or isinstance(error, NotFound)


def test_revoking_by_date_and_by_hand_both_say_when(scene: Scene) -> None:
    key = bring(scene.tenant, scene.subject("AES"), KeyState.DEACTIVATED)
    assert row(key).deactivation_date is not None
    other = bring(scene.tenant, scene.subject("AES"), KeyState.COMPROMISED)
    assert row(other).compromise_date is not None
    gone = bring(scene.tenant, scene.subject("AES"), KeyState.DESTROYED)
    assert row(gone).destruction_date is not None
    assert row(bring(scene.tenant, scene.subject("AES"), KeyState.DELETED)).deletion_date is not None


def test_a_new_object_waits_when_it_is_asked_to_or_its_date_lies_ahead(scene: Scene) -> None:
    ahead = Cryptoperiod(clock.now() + HOUR)
    tenant = scene.tenant
    assert state(tenant.key(pre_active=True)) is KeyState.PRE_ACTIVE
    assert state(tenant.key(period=ahead)) is KeyState.PRE_ACTIVE
    assert state(tenant.key(period=ahead, pre_active=True)) is KeyState.PRE_ACTIVE
    assert state(tenant.key()) is KeyState.ACTIVE
    assert state(tenant.key(period=Cryptoperiod(clock.now() - HOUR), pre_active=True)) is KeyState.ACTIVE


# -- the table itself ----------------------------------------------------------------------------------------------


def test_the_table_has_every_state_and_a_case_for_every_row() -> None:
    rows = (*DATA, *HANDLING, *TRANSITIONS)
    assert set(STATES) == set(KeyState)
    assert {len(row.cells) for row in rows} == {len(STATES)}
    assert {row.name for row in rows} == set(CASES)


def test_every_operation_of_a_key_is_in_the_table() -> None:
    words = {
        "encrypt": "encrypt",
        "decrypt": "decrypt",
        "sign": "sign",
        "verify": "verify",
        "mac-generate": "make a MAC",
        "mac-verify": "verify a MAC",
        "wrap": "wrap",
        "unwrap": "unwrap",
        "derive": "derive",
        "transform": "transform",
        "agree": "agree",
        "encapsulate": "encapsulate",
        "decapsulate": "decapsulate",
        "export": "export",
    }
    assert words.keys() == {operation.value for operation in KeyOperation} - (
        {operation.value for operation in MANAGEMENT} - {"export"}
    )
    assert set(words.values()) | {"be wrapped"} == {row.name for row in DATA}


def test_every_handling_is_in_the_table() -> None:
    words = {
        Handling.UPDATE: "change description or metadata",
        Handling.COPY: "copy",
        Handling.ROTATE: "rotate",
        Handling.INSPECT: "hash the value",
        Handling.REMOVE_PRIVATE: "remove the private key",
        Handling.PUBLISH: "publish the public key",
    }
    assert words.keys() == set(Handling) == HANDLED_IN.keys()
    by_name = {row.name: row for row in HANDLING}
    for handling, name in words.items():
        allowed = {state for state in STATES if by_name[name].cell(state) == ALLOWED}
        assert HANDLED_IN[handling] == allowed


def test_the_document_is_the_table() -> None:
    assert key_states.DOCUMENT.read_text(encoding="utf-8") == key_states.document()
