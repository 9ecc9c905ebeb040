"""What cryptographic policies forbid, through the corridor: each way of making objects, each use, each change."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import Any

import pytest

from accounts.clock import clock
from accounts.models import Group, Membership, User
from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from kms.crypto.algorithm import CipherParameters, SignatureParameters
from kms.crypto.operation import KeyOperation
from kms.crypto.options import CipherOptions, KeyOptions, PaddingRule, RsaOptions, options_of
from kms.crypto.registry import algorithm_of
from kms.objects.cryptographic_policy import CryptographicPolicy, KindRule
from kms.objects.legacy import Legacy
from kms.objects.models import SecurityObject
from kms.objects.rotation import RotationPolicy
from kms.operations.accounts import UpdateAccount
from kms.operations.agreement import AgreeKey, DecapsulateKey, EncapsulateKey, InlineKey
from kms.operations.command import Command, ObjectRef
from kms.operations.copying import CopyObject, PersistKey
from kms.operations.creation import CreateObject, ImportObject, UnwrapKey
from kms.operations.cryptographic import Batch, Encrypt, GenerateMac, Sign, Verify, WrapKey
from kms.operations.custodians import Custodian
from kms.operations.custody import Component, ImportComponents
from kms.operations.demanding import PolicyChange
from kms.operations.derivation import DeriveKey, Hkdf, MasterKey, TransformKey
from kms.operations.errors import AccessDenied, NotFound
from kms.operations.executor import execute
from kms.operations.groups import UpdateGroup
from kms.operations.keeper import Keeper
from kms.operations.lifecycle import DestroyObject, ExportObject, RevokeObject
from kms.operations.making import ObjectTemplate
from kms.operations.managed_object import ObjectView
from kms.operations.object_policies import CryptographicChange
from kms.operations.queries import GetObject
from kms.operations.registry import OPERATIONS
from kms.operations.roles import CreateRole, RoleDetails, RoleView
from kms.operations.rotating import RotateObject
from kms.operations.updating import UpdateObject
from kms.operations.users import UpdateUser
from kms.secret import SecretBytes
from policies.models import GroupPolicy
from policies.permissions import Permission
from policies.system_roles import RoleKind
from tests.kit.object_policies import KINDS, all_but, app_in, police, police_account
from tests.kit.objects import GCM, SUPERSEDED, by_sql, kept, last_reason, ops, ref_of, revert, row, undo_window, update
from tests.kit.tenants import Tenant, new_tenant, unique
from tests.operations.material import certificate, ec_key, spki
from tests.operations.test_states import CASES, Scene

POLICY = "cryptographic-policy"
SHA256 = "SHA256"
KWP = CipherParameters("KWP")

# -- every kind, every way of making it ----------------------------------------------------------------------------

# What a generated object of each kind is asked for; the others are imported or derived.
GENERATED: dict[str, dict[str, Any]] = {
    "AES": {"size": 256},
    "DES3": {"size": 168},
    "DES": {"size": 56},
    "SEED": {"size": 128},
    "HMAC": {"size": 256},
    "RSA": {"size": 2048},
    "EC": {"curve": "NistP256"},
    "DSA": {"size": 2048, "curve": "256"},
    "MLDSA": {"curve": "MlDsa44"},
    "MLKEM": {"curve": "MlKem768"},
}
BROUGHT = {"SECRET": os.urandom(32), "OPAQUE": b"opaque", "CERTIFICATE": None}
TREES: dict[str, str | None] = {"BIP32": None, "SLIP10": "NistP256"}
DERIVABLE = {"AES": 256, "DES3": 168, "DES": 56, "SEED": 128, "HMAC": 256, "SECRET": 256, "OPAQUE": 256}
IN_COMPONENTS = ("AES", "DES3", "DES", "HMAC")


class House:
    """An account with a group that asks nothing, one that will, and an object of each kind in the first."""

    def __init__(self) -> None:
        self.tenant = new_tenant()
        self.free, self.strict = self.tenant.group, self.tenant.new_group()
        self.app = app_in(self.tenant, self.free, self.strict)
        self._found: dict[str, ObjectRef] = {}
        self._material: dict[str, SecretBytes] = {}

    def by(self, command: Command) -> Any:
        return execute(self.app, command)

    def template(self, kind: str, group: Group, **fields: Any) -> ObjectTemplate:
        operations = algorithm_of(kind).defaults | {KeyOperation.EXPORT}
        if kind in TREES:
            fields["curve"] = TREES[kind]
        return ObjectTemplate(unique(kind.lower()), kind, group.id, operations=operations, **fields)

    def object(self, kind: str) -> ObjectRef:
        """In the free group, exportable."""
        if kind not in self._found:
            self._found[kind] = ref_of(self._made(kind))
        return self._found[kind]

    def _made(self, kind: str) -> Any:
        if kind in GENERATED:
            return self.by(CreateObject(self.template(kind, self.free, **GENERATED[kind])))
        if kind in TREES:
            seed = self.object("SECRET")
            return self.by(DeriveKey(seed, MasterKey(kind), self.template(kind, self.free)))
        operations = algorithm_of(kind).operations
        template = replace(self.template(kind, self.free), operations=operations)
        return self.by(ImportObject(template, SecretBytes(BROUGHT[kind] or certificate())))

    def material(self, kind: str) -> SecretBytes:
        if kind not in self._material:
            self._material[kind] = self.by(ExportObject(self.object(kind))).value
        return self._material[kind]

    @cached_property
    def wrapper(self) -> ObjectRef:
        return self.tenant.key()

    @cached_property
    def mlkem(self) -> ObjectRef:
        return self.object("MLKEM")

    @cached_property
    def agreeing(self) -> ObjectRef:
        return self.tenant.key("EC", curve="NistP256", operations=["agree"])

    def encapsulated(self) -> bytes:
        template = self.template("SECRET", self.free)
        made: bytes = self.by(EncapsulateKey(self.mlkem, template)).ciphertext
        return made


def _components(house: House, kind: str) -> Command:
    parts = [SecretBytes(os.urandom(len(house.material(kind)))) for _ in range(2)]
    custodians = tuple(Custodian(principal.kind, principal.id) for principal in (house.tenant.alice, house.tenant.app))
    components = tuple(Component(each, part) for each, part in zip(custodians, parts, strict=True))
    return ImportComponents(house.template(kind, house.strict), custodians, components)


def _transient(house: House, kind: str) -> ObjectRef:
    """Made where it may be."""
    template = replace(house.template(kind, house.free, transient=True, **GENERATED[kind]), name=None)
    view: ObjectView = house.by(CreateObject(template))
    return ObjectRef(transient=view.transient)


def _wrapped(house: House, kind: str, parameters: CipherParameters) -> Any:
    return house.by(WrapKey(house.wrapper, house.object(kind), "AES", parameters))


def _unwrap_outside(house: House, kind: str) -> Command:
    made = _wrapped(house, kind, GCM)
    parameters = CipherParameters("GCM", made.iv, tag=made.tag)
    return UnwrapKey(house.wrapper, "AES", parameters, made.ciphertext, house.template(kind, house.strict))


def _unwrap_inside(house: House, kind: str) -> Command:
    template = replace(house.template(kind, house.strict), operations=ops("encrypt"))
    return UnwrapKey(house.wrapper, "AES", KWP, _wrapped(house, kind, KWP).ciphertext, template)


def _rotation(house: House, kind: str) -> Command:
    material = None if kind in GENERATED else house.material(kind)
    return RotateObject(house.object(kind), ObjectTemplate(None, kind, house.strict.id), material)


def _sized(house: House, kind: str) -> ObjectTemplate:
    return house.template(kind, house.strict, size=DERIVABLE[kind])


GENERATED_KINDS, ALL = tuple(GENERATED), KINDS
# Of each way: the command that makes an object, the kinds that it makes, and how.
WAYS: dict[str, tuple[type[Command], tuple[str, ...], Callable[[House, str], Command]]] = {
    "generate": (
        CreateObject,
        GENERATED_KINDS,
        lambda h, kind: CreateObject(h.template(kind, h.strict, **GENERATED[kind])),
    ),
    "generate for a day": (
        CreateObject,
        GENERATED_KINDS,
        lambda h, kind: CreateObject(replace(h.template(kind, h.strict, transient=True, **GENERATED[kind]), name=None)),
    ),
    "import": (
        ImportObject,
        ALL,
        lambda h, kind: ImportObject(
            replace(h.template(kind, h.strict), operations=algorithm_of(kind).operations), h.material(kind)
        ),
    ),
    "import for a day": (
        ImportObject,
        ("AES", "RSA", "EC", "SECRET"),
        lambda h, kind: ImportObject(replace(h.template(kind, h.strict, transient=True), name=None), h.material(kind)),
    ),
    "copy": (CopyObject, ALL, lambda h, kind: CopyObject(h.object(kind), ObjectTemplate(unique("c"), "", h.strict.id))),
    "keep": (
        PersistKey,
        GENERATED_KINDS,
        lambda h, kind: PersistKey(_transient(h, kind), replace(h.template(kind, h.strict), operations=None)),
    ),
    "rotate": (RotateObject, ALL, _rotation),
    "unwrap": (UnwrapKey, tuple(kind for kind in ALL if kind != "CERTIFICATE"), _unwrap_outside),
    "unwrap in the token": (UnwrapKey, ("AES",), _unwrap_inside),
    "derive": (
        DeriveKey,
        tuple(DERIVABLE),
        lambda h, kind: DeriveKey(h.object("SECRET"), Hkdf(SHA256), _sized(h, kind)),
    ),
    "derive a tree": (
        DeriveKey,
        tuple(TREES),
        lambda h, kind: DeriveKey(h.object("SECRET"), MasterKey(kind), h.template(kind, h.strict)),
    ),
    "transform": (
        TransformKey,
        ("BIP32",),
        lambda h, kind: TransformKey(h.object(kind), kind, 1, h.template(kind, h.strict)),
    ),
    "agree": (
        AgreeKey,
        tuple(DERIVABLE),
        lambda h, kind: AgreeKey(h.agreeing, InlineKey("EC", spki(ec_key())), _sized(h, kind)),
    ),
    "encapsulate": (EncapsulateKey, tuple(DERIVABLE), lambda h, kind: EncapsulateKey(h.mlkem, _sized(h, kind))),
    "decapsulate": (
        DecapsulateKey,
        tuple(DERIVABLE),
        lambda h, kind: DecapsulateKey(h.mlkem, h.encapsulated(), _sized(h, kind)),
    ),
    "import components": (ImportComponents, IN_COMPONENTS, _components),
    "move": (UpdateObject, ALL, lambda h, kind: UpdateObject(h.object(kind), group=h.strict.id)),
}
PAIRS = [(way, kind) for way, (_, kinds, _) in WAYS.items() for kind in kinds]


@pytest.fixture(scope="module")
def house(installation: None) -> House:
    return House()


def test_the_ways_are_all_there_are() -> None:
    """Whatever command has a template of an object makes one."""
    makes = {
        operation.command
        for operation in OPERATIONS
        if {"template", "changes"} & {each.name for each in dataclasses.fields(operation.command)}
    }
    assert makes <= {command for command, _, _ in WAYS.values()}
    assert set(GENERATED) | set(BROUGHT) | set(TREES) == set(KINDS)


def said(error: pytest.ExceptionInfo[AccessDenied]) -> str:
    assert error.value.reason == POLICY
    return str(error.value)


@pytest.mark.parametrize(("way", "kind"), PAIRS, ids=[f"{way} {kind}" for way, kind in PAIRS])
def test_a_kind_that_is_not_allowed_comes_in_by_no_way(house: House, way: str, kind: str) -> None:
    command = WAYS[way][2](house, kind)
    police(house.tenant, house.strict.id, all_but(kind))
    before = SecurityObject.objects.filter(group=house.strict).count()
    with pytest.raises(AccessDenied) as refused:
        house.by(command)
    assert said(refused) == f"The cryptographic policy does not allow {kind} objects"
    assert SecurityObject.objects.filter(group=house.strict).count() == before


@pytest.mark.parametrize("way", WAYS)
def test_what_is_allowed_comes_in_by_every_way(house: House, way: str) -> None:
    kind = WAYS[way][1][0]
    command = WAYS[way][2](house, kind)
    police(house.tenant, house.strict.id, CryptographicPolicy({kind: KindRule()}))
    house.by(command)
    if way in ("move", "rotate"):
        house._found.pop(kind)


@pytest.mark.parametrize("way", ["generate", "import", "copy", "rotate", "move"])
def test_the_accounts_policy_is_asked_as_well(way: str, installation: None) -> None:
    house = House()
    command = WAYS[way][2](house, "AES")
    police(house.tenant, house.strict.id, all_but())
    police_account(house.tenant, all_but("AES"))
    with pytest.raises(AccessDenied) as refused:
        house.by(command)
    assert said(refused) == "The cryptographic policy does not allow AES objects"


def test_a_row_that_does_not_read_lets_nothing_in_and_nothing_be_used(tenant: Tenant) -> None:
    key = tenant.key()
    broken: list[Any] = [{}, {"kinds": {"AES": {"sizess": [256]}}}, [], 1]
    for stored in broken:
        GroupPolicy.objects.update_or_create(
            group=tenant.group, defaults={"account_id": tenant.account.id, "cryptographic": stored}
        )
        with pytest.raises(AccessDenied):
            tenant.key()
        with pytest.raises(AccessDenied):
            execute(tenant.app, Encrypt(key, "AES", GCM, b"data"))


# -- what is judged of a new object --------------------------------------------------------------------------------


def test_sizes_curves_and_protection_are_what_the_object_turns_out_to_have(tenant: Tenant) -> None:
    """A key that may be released is not confined to the token: "HSM only" keeps it out."""
    kinds = {"AES": KindRule(sizes=(256,)), "EC": KindRule(curves=("NistP256",)), "RSA": KindRule(least=3072)}
    police(tenant, tenant.group.id, CryptographicPolicy(kinds, protection=frozenset({"token"})))
    tenant.key()
    tenant.key("EC", curve="NistP256")
    tenant.imported("EC", spki(ec_key()), operations=["verify"])
    for refused in (
        lambda: tenant.key(size=128),
        lambda: tenant.imported("AES", os.urandom(16)),
        lambda: tenant.key(operations=["encrypt", "export"]),
        lambda: tenant.key("EC", curve="NistP384"),
        lambda: tenant.key("RSA", size=2048),
        lambda: tenant.key("HMAC", size=256),
    ):
        with pytest.raises(AccessDenied) as error:
            refused()
        assert error.value.reason == POLICY


def test_what_nobody_asked_for_is_chosen_within_the_policy(tenant: Tenant) -> None:
    kinds = {"AES": KindRule(random_iv=True)}
    police(tenant, tenant.group.id, CryptographicPolicy(kinds, operations=ops("encrypt", "decrypt", "sign")))
    made = row(tenant.key())
    assert set(made.operations) == ops("encrypt", "decrypt")
    assert options_of(made.options).cipher == CipherOptions(random_iv=True)
    with pytest.raises(AccessDenied, match="IVs"):
        tenant.key(options=KeyOptions(cipher=CipherOptions(random_iv=False)))
    with pytest.raises(AccessDenied, match="the operation wrap"):
        tenant.key(operations=["encrypt", "wrap"])
    with pytest.raises(AccessDenied, match="IVs"):
        execute(tenant.alice, CreateObject(ObjectTemplate(None, "AES", tenant.group.id, 256, transient=True)))


def test_a_copy_is_judged_where_its_source_is_too(house: House) -> None:
    """Or a key that may not be used would be used elsewhere."""
    old = house.tenant.key(group=house.strict, size=128)
    police(
        house.tenant, house.strict.id, CryptographicPolicy({"AES": KindRule(sizes=(256,))}, legacy=Legacy.PROHIBITED)
    )
    with pytest.raises(AccessDenied) as refused:
        house.by(CopyObject(old, ObjectTemplate(unique("copy"), "", house.free.id)))
    assert "128 bits" in said(refused)


def test_a_transient_key_is_judged_where_it_was_made_for(house: House) -> None:
    police(house.tenant, house.strict.id, all_but())
    template = ObjectTemplate(None, "AES", house.strict.id, 128, transient=True)
    held = ObjectRef(transient=house.by(CreateObject(template)).transient)
    police(
        house.tenant, house.strict.id, CryptographicPolicy({"AES": KindRule(sizes=(256,))}, legacy=Legacy.PROHIBITED)
    )
    with pytest.raises(AccessDenied):
        house.by(Encrypt(held, "AES", GCM, b"data"))
    with pytest.raises(AccessDenied) as refused:
        house.by(PersistKey(held, ObjectTemplate(unique("k"), "AES", house.free.id)))
    assert "128 bits" in said(refused)


def test_the_server_itself_rotates_within_the_policy(tenant: Tenant) -> None:
    key = tenant.key(size=128, rotation=RotationPolicy(days=1))
    police(tenant, tenant.group.id, CryptographicPolicy({"AES": KindRule(sizes=(256,))}))
    by_sql(key, rotates_at=clock.now() - timedelta(minutes=1))
    Keeper().turn()
    assert row(key).replacement is None
    assert last_reason(tenant, "object.rotate-due") == ("denied", POLICY)
    execute(tenant.alice, RotateObject(key, ObjectTemplate(None, "AES", size=256)))
    assert row(key).replacement is not None


# -- changes -------------------------------------------------------------------------------------------------------


def test_an_object_that_breaks_the_policy_is_changed_but_never_for_the_worse(tenant: Tenant) -> None:
    key = tenant.key(size=128, operations=["encrypt", "decrypt"])
    rule = KindRule(sizes=(256,))
    police(tenant, tenant.group.id, CryptographicPolicy({"AES": rule}, operations=ops("encrypt", "decrypt", "wrap")))
    update(tenant, key, description="old", enabled=False)
    update(tenant, key, operations=ops("encrypt", "wrap"))
    with pytest.raises(AccessDenied, match="the operation derive"):
        update(tenant, key, operations=ops("encrypt", "derive"))
    assert set(row(key).operations) == ops("encrypt", "wrap")


def test_what_was_narrowed_is_not_had_back_by_undoing_it(tenant: Tenant) -> None:
    undo_window(tenant)
    key = tenant.key(operations=["encrypt", "derive"])
    update(tenant, key, operations=ops("encrypt"))
    police(tenant, tenant.group.id, all_but(operations=ops("encrypt")))
    with pytest.raises(AccessDenied, match="the operation derive"):
        revert(tenant, key, kept(key))
    assert set(row(key).operations) == ops("encrypt")


def test_what_moved_out_does_not_come_back_in_by_undoing_it(house: House) -> None:
    execute(house.tenant.alice, UpdateGroup(house.strict.id, undo_seconds=3600))
    police(house.tenant, house.strict.id, all_but())
    key = house.tenant.key(group=house.strict, size=128)
    update(house.tenant, key, group=house.free.id)
    police(house.tenant, house.strict.id, CryptographicPolicy({"AES": KindRule(sizes=(256,))}))
    with pytest.raises(AccessDenied, match="128 bits"):
        revert(house.tenant, key, kept(key))
    assert row(key).group_id == house.free.id


def test_moving_asks_for_the_right_in_both_groups_and_the_new_groups_policy(house: House) -> None:
    police(house.tenant, house.strict.id, CryptographicPolicy({"AES": KindRule(sizes=(256,))}))
    good, bad = house.tenant.key(), house.tenant.key(size=128)
    with pytest.raises(NotFound):
        execute(house.tenant.app, UpdateObject(good, group=house.strict.id))
    with pytest.raises(AccessDenied, match="128 bits"):
        house.by(UpdateObject(bad, group=house.strict.id))
    house.by(UpdateObject(good, group=house.strict.id))
    assert (row(good).group_id, row(bad).group_id) == (house.strict.id, house.free.id)


# -- use -----------------------------------------------------------------------------------------------------------

USES = [
    "encrypt", "decrypt", "sign", "verify", "make a MAC", "verify a MAC", "wrap", "unwrap", "derive", "transform",
    "agree", "encapsulate", "decapsulate", "export", "be wrapped",
]  # fmt: skip
UNDOING = {"decrypt", "verify", "verify a MAC", "unwrap"}


class Yard(Scene):
    """Old objects in a group of their own, and what they are used with elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.group = self.tenant.new_group()
        self.app = app_in(self.tenant, self.tenant.group, self.group)
        self.olds: dict[str, ObjectRef] = {}

    def old(self, kind: str) -> ObjectRef:
        if kind not in self.olds:
            self.olds[kind] = self.subject(kind, pre_active=False)
            execute(self.tenant.alice, UpdateObject(self.olds[kind], group=self.group.id))
        return self.olds[kind]


@pytest.fixture(scope="module")
def yard(installation: None) -> Yard:
    made = Yard()
    for use in USES:
        made.old(CASES[use].kind)
    return made


@pytest.mark.parametrize("legacy", Legacy)
@pytest.mark.parametrize("use", USES)
def test_a_legacy_object_is_used_as_its_groups_policy_says(yard: Yard, use: str, legacy: Legacy) -> None:
    kind = CASES[use].kind
    command = CASES[use].command(yard, yard.old(kind))
    police(yard.tenant, yard.group.id, all_but(kind, legacy=legacy))
    expected = legacy is Legacy.ALLOWED or (legacy is Legacy.UNPROTECT_ONLY and use in UNDOING)
    if expected:
        execute(yard.app, command)
        return
    with pytest.raises(AccessDenied) as refused:
        execute(yard.app, command)
    assert said(refused) == f"The cryptographic policy does not allow {kind} objects"


@pytest.mark.parametrize("use", USES)
def test_an_object_that_complies_is_used_as_before(yard: Yard, use: str) -> None:
    kind = CASES[use].kind
    police(yard.tenant, yard.group.id, CryptographicPolicy({kind: KindRule()}, legacy=Legacy.PROHIBITED))
    execute(yard.app, CASES[use].command(yard, yard.old(kind)))


def test_a_policy_holds_from_the_next_call_on(tenant: Tenant) -> None:
    """Whatever this process remembers of the key and of who asks."""
    key = tenant.key(size=128)
    for _ in range(2):
        execute(tenant.app, Encrypt(key, "AES", GCM, b"data"))
        police(tenant, tenant.group.id, CryptographicPolicy({"AES": KindRule(sizes=(256,))}, legacy=Legacy.PROHIBITED))
        with pytest.raises(AccessDenied):
            execute(tenant.app, Encrypt(key, "AES", GCM, b"data"))
        assert last_reason(tenant, "object.encrypt") == ("denied", POLICY)
        execute(
            tenant.alice, UpdateGroup(tenant.group.id, policy=PolicyChange(cryptographic=CryptographicChange(None)))
        )


V15, PSS = SignatureParameters(SHA256, "PKCS1_V15"), SignatureParameters(SHA256, "PSS")
UNSAID = SignatureParameters(SHA256)


@pytest.fixture
def rsa(tenant: Tenant) -> ObjectRef:
    anything = KeyOptions(rsa=RsaOptions(encryption=(PaddingRule(),)))
    return tenant.key("RSA", size=2048, options=anything)


def test_paddings_of_signatures_are_judged_as_they_come_out(tenant: Tenant, rsa: ObjectRef) -> None:
    """A request that names none gets the key's, which is v1.5 where the key leaves it open."""
    made = execute(tenant.app, Sign(rsa, V15, data=b"data")).value
    for legacy in Legacy:
        rule = KindRule(signature=(PaddingRule("PSS", SHA256),))
        police(tenant, tenant.group.id, CryptographicPolicy({"RSA": rule}, legacy=legacy))
        signed = execute(tenant.app, Sign(rsa, PSS, data=b"data")).value
        assert execute(tenant.app, Verify(rsa, PSS, signed, data=b"data")).value
        for forbidden in (V15, UNSAID, SignatureParameters("SHA384", "PSS")):
            with pytest.raises(AccessDenied) as refused:
                execute(tenant.app, Sign(rsa, forbidden, data=b"data"))
            assert "RSA signatures with P" in said(refused)
        verify = Verify(rsa, V15, made, data=b"data")
        if legacy is Legacy.PROHIBITED:
            with pytest.raises(AccessDenied):
                execute(tenant.app, verify)
        else:
            assert execute(tenant.app, verify).value


def test_paddings_of_encryption_and_of_wrapping_are_judged(tenant: Tenant, rsa: ObjectRef) -> None:
    rule = KindRule(encryption=(PaddingRule("OAEP", SHA256),))
    police(tenant, tenant.group.id, CryptographicPolicy({"RSA": rule, "AES": KindRule()}))
    good, v15 = CipherParameters(padding="OAEP", mgf_hash=SHA256), CipherParameters(padding="PKCS1_V15")
    subject = tenant.key(operations=["encrypt", "export"])
    execute(tenant.app, Encrypt(rsa, "RSA", good, b"data"))
    execute(tenant.app, WrapKey(rsa, subject, "RSA", good))
    for bad in (v15, CipherParameters(padding="OAEP", mgf_hash="SHA1"), CipherParameters()):
        for command in (Encrypt(rsa, "RSA", bad, b"data"), WrapKey(rsa, subject, "RSA", bad)):
            with pytest.raises(AccessDenied):
                execute(tenant.app, command)


def test_hashes_are_judged_wherever_one_is_named(tenant: Tenant, rsa: ObjectRef) -> None:
    mac, seed = tenant.key("HMAC", size=256), tenant.imported("SECRET", os.urandom(32), operations=["derive"])
    police(tenant, tenant.group.id, all_but(digests=frozenset({SHA256})))
    derived = ObjectTemplate(unique("d"), "AES", tenant.group.id, 256)
    commands: list[Callable[[str], Command]] = [
        lambda name: Sign(rsa, SignatureParameters(name, "PKCS1_V15"), data=b"data"),
        lambda name: Sign(rsa, SignatureParameters(SHA256, "PSS", name), data=b"data"),
        lambda name: Encrypt(rsa, "RSA", CipherParameters(padding="OAEP", mgf_hash=name), b"data"),
        lambda name: GenerateMac(mac, name, b"data"),
        lambda name: DeriveKey(seed, Hkdf(name), derived),
    ]
    for command in commands:
        with pytest.raises(AccessDenied, match="the hash SHA1"):
            execute(tenant.app, command("SHA1"))
        execute(tenant.app, command(SHA256))
    with pytest.raises(AccessDenied, match="the hash SHA1"):
        execute(tenant.app, Encrypt(rsa, "RSA", CipherParameters(padding="OAEP"), b"data"))


def test_a_batch_judges_each_item(tenant: Tenant, rsa: ObjectRef) -> None:
    police(tenant, tenant.group.id, CryptographicPolicy({"RSA": KindRule(signature=(PaddingRule("PSS"),))}))
    items = tuple(Sign(rsa, parameters, data=b"data") for parameters in (PSS, V15, PSS))
    errors = [item.error for item in execute(tenant.app, Batch(items))]
    assert errors[0] is None
    assert isinstance(errors[1], AccessDenied)
    assert errors[2] is None


def test_a_request_that_the_key_refuses_says_so_whatever_the_policy(tenant: Tenant) -> None:
    """The policy has nothing to say on what cannot be done; and who sees no key is told of none."""
    key = tenant.key("RSA", size=2048, options=KeyOptions(rsa=RsaOptions(signature=(PaddingRule("PSS"),))))
    police(tenant, tenant.group.id, CryptographicPolicy({"RSA": KindRule(signature=(PaddingRule("PSS"),))}))
    with pytest.raises(Exception, match="policy does not allow PKCS1_V15"):
        execute(tenant.app, Sign(key, V15, data=b"data"))


def test_two_policies_together_allow_what_both_allow(tenant: Tenant) -> None:
    keys = {size: tenant.key(size=size) for size in (128, 192, 256)}
    police_account(tenant, CryptographicPolicy({"AES": KindRule(sizes=(192, 256))}, legacy=Legacy.PROHIBITED))
    police(
        tenant, tenant.group.id, CryptographicPolicy({"AES": KindRule(sizes=(128, 192))}, legacy=Legacy.UNPROTECT_ONLY)
    )
    execute(tenant.app, Encrypt(keys[192], "AES", GCM, b"data"))
    for size in (128, 256):
        with pytest.raises(AccessDenied, match=f"{size} bits"):
            execute(tenant.app, Encrypt(keys[size], "AES", GCM, b"data"))


def test_looking_and_ending_stay_possible(tenant: Tenant) -> None:
    """No policy keeps a key from being seen, disabled or destroyed."""
    key = tenant.key(size=128)
    police(tenant, tenant.group.id, CryptographicPolicy(legacy=Legacy.PROHIBITED))
    execute(tenant.app, GetObject(key))
    for command in (UpdateObject(key, enabled=False), RevokeObject(key, SUPERSEDED), DestroyObject(key)):
        execute(tenant.alice, command)


# -- rights --------------------------------------------------------------------------------------------------------

STEPS: list[tuple[str, CryptographicPolicy | None, CryptographicPolicy | None]] = [
    ("CREATE", None, CryptographicPolicy()),
    ("UPDATE", CryptographicPolicy(), all_but()),
    ("DELETE", CryptographicPolicy(), None),
]


def holder(tenant: Tenant, permission: Permission) -> Principal:
    """A user who holds one permission on the account, or in all its groups, and no other."""
    on_account = permission.value.startswith("account.")
    kind = RoleKind.ACCOUNT if on_account else RoleKind.GROUP
    made: RoleView = execute(tenant.alice, CreateRole(unique("role"), RoleDetails(kind, frozenset({permission}))))
    role = made
    if not on_account:
        everywhere = RoleDetails(RoleKind.ACCOUNT, frozenset(), all_groups_role=made.id)
        role = execute(tenant.alice, CreateRole(unique("role"), everywhere))
    user = User.objects.create(email=f"{unique('p')}@example.org", email_verified=True)
    Membership.objects.create(user=user, account=tenant.account, role="")
    execute(tenant.alice, UpdateUser(user.id, role="", roles=frozenset({role.id})))
    return Principal(PrincipalKind.USER, user.id, tenant.account.id, AuthenticationMethod.PASSWORD)


def _changing(tenant: Tenant, scope: str, policy: CryptographicPolicy | None) -> Command:
    change = PolicyChange(cryptographic=CryptographicChange(policy))
    if scope == "ACCOUNT":
        return UpdateAccount(tenant.account.id, policy=change)
    return UpdateGroup(tenant.group.id, policy=change)


@pytest.mark.parametrize("scope", ["ACCOUNT", "GROUP"])
@pytest.mark.parametrize(("right", "before", "after"), STEPS, ids=[step[0] for step in STEPS])
def test_setting_changing_and_taking_away_are_three_rights(
    tenant: Tenant,
    scope: str,
    right: str,
    before: CryptographicPolicy | None,
    after: CryptographicPolicy | None,
) -> None:
    if before is not None:
        execute(tenant.alice, _changing(tenant, scope, before))
    for other in ("CREATE", "UPDATE", "DELETE"):
        permission = Permission[f"{scope}_POLICY_{other}"]
        if other != right:
            with pytest.raises(AccessDenied):
                execute(holder(tenant, permission), _changing(tenant, scope, after))
    execute(holder(tenant, Permission[f"{scope}_POLICY_{right}"]), _changing(tenant, scope, after))
