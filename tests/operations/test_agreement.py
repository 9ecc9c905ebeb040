"""Keys that two parties share: what we compute is what the other side computes."""

from __future__ import annotations

import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from kms.crypto.asymmetric import public_der
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import KeyOperation
from kms.objects.models import SecurityObject
from kms.operations.agreement import AgreeKey, DecapsulateKey, EncapsulateKey, InlineKey
from kms.operations.command import ObjectRef
from kms.operations.creation import CreateObject
from kms.operations.errors import AccessDenied, InvalidRequest, NotFound
from kms.operations.executor import execute
from kms.operations.making import ObjectTemplate
from kms.operations.managed_object import ObjectView
from kms.operations.queries import GetObject
from policies.permissions import Permission
from policies.system_roles import APP_GRANTABLE
from tests.kit.tenants import Tenant, new_tenant
from tests.operations.deriving import last_entry, ref, row_of, template, value_of
from tests.operations.material import ec_key, pkcs8, rsa_key, spki

AGREE = ["agree"]
CURVES: dict[str, tuple[type[ec.EllipticCurve], int]] = {
    "NistP256": (ec.SECP256R1, 256),
    "NistP384": (ec.SECP384R1, 384),
    "NistP521": (ec.SECP521R1, 528),
    "SecP256K1": (ec.SECP256K1, 256),
}


def agree(
    tenant: Tenant, private: ObjectRef, public: ObjectRef | InlineKey, kind: str = "SECRET", **fields: Any
) -> ObjectView:
    fields.setdefault("size", 256)
    view: ObjectView = execute(tenant.app, AgreeKey(private, public, template(tenant, kind, **fields)))
    return view


def public_of(tenant: Tenant, key: ObjectRef) -> ec.EllipticCurvePublicKey:
    view = execute(tenant.app, GetObject(key))
    found = load_der_public_key(bytes(view.row.public_key))
    assert isinstance(found, ec.EllipticCurvePublicKey)
    return found


# -- Diffie-Hellman ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", list(CURVES))
def test_both_sides_agree(tenant: Tenant, curve: str) -> None:
    """Ours is in the token; theirs, with another implementation, gets the same from our public key."""
    kind, size = CURVES[curve]
    ours, theirs = tenant.key("EC", curve=curve, operations=AGREE), ec.generate_private_key(kind())
    expected = theirs.exchange(ec.ECDH(), public_of(tenant, ours))
    imported = tenant.imported("EC", public_der(theirs.public_key()), operations=AGREE)
    for public in (imported, InlineKey("EC", public_der(theirs.public_key()))):
        assert value_of(tenant, agree(tenant, ours, public, size=size)) == expected


def test_two_of_our_keys_agree_in_both_directions(tenant: Tenant) -> None:
    one, other = (tenant.key("EC", curve="NistP256", operations=AGREE) for _ in range(2))
    assert value_of(tenant, agree(tenant, one, other)) == value_of(tenant, agree(tenant, other, one))


def test_a_shorter_key_is_the_end_of_the_shared_secret(tenant: Tenant) -> None:
    """Truncation takes the most significant bits away."""
    ours, theirs = tenant.key("EC", curve="NistP384", operations=AGREE), ec.generate_private_key(ec.SECP384R1())
    shared = theirs.exchange(ec.ECDH(), public_of(tenant, ours))
    inline = InlineKey("EC", public_der(theirs.public_key()))
    assert value_of(tenant, agree(tenant, ours, inline, size=128)) == shared[-16:]
    with pytest.raises(ParameterInvalid, match="384 bits, fewer"):
        agree(tenant, ours, inline, size=392)


@pytest.mark.parametrize(("kind", "size"), [("HMAC", 256), ("SECRET", 256), ("AES", 256), ("OPAQUE", 8)])
def test_what_is_agreed_on_becomes_an_object(tenant: Tenant, kind: str, size: int) -> None:
    one, other = (tenant.key("EC", curve="NistP256", operations=AGREE) for _ in range(2))
    row = agree(tenant, one, other, kind, size=size).row
    assert (row.kind, row.size, row.creation, row.parent) == (kind, size, "agree", None)


@pytest.mark.parametrize(("kind", "says"), [("RSA", "key_type is one of"), ("EC", "key_type is one of")])
def test_a_shared_secret_is_no_private_key(tenant: Tenant, kind: str, says: str) -> None:
    one, other = (tenant.key("EC", curve="NistP256", operations=AGREE) for _ in range(2))
    with pytest.raises(ParameterInvalid, match=says):
        agree(tenant, one, other, kind)


def test_transient_keys_agree(tenant: Tenant) -> None:
    operations = frozenset({KeyOperation.AGREE})
    wanted = ObjectTemplate(
        None, "EC", tenant.group.id, curve="NistP256", operations=operations, transient=True
    )  # fmt: skip
    one, other = (execute(tenant.app, CreateObject(wanted)) for _ in range(2))
    first, second = agree(tenant, ref(one), ref(other)), agree(tenant, ref(other), ref(one), transient=True)
    assert second.transient is not None
    assert len(value_of(tenant, first)) == 32


def test_keys_of_different_curves_do_not_agree(tenant: Tenant) -> None:
    ours = tenant.key("EC", curve="NistP256", operations=AGREE)
    for other in (ec.SECP384R1, ec.SECP256K1):
        with pytest.raises(ParameterInvalid):
            agree(tenant, ours, InlineKey("EC", spki(ec_key(other))))


def test_keys_of_different_kinds_do_not_agree(tenant: Tenant) -> None:
    ours = tenant.key("EC", curve="NistP256", operations=AGREE)
    with pytest.raises(InvalidRequest, match="of type EC and public_key of type RSA"):
        agree(tenant, ours, InlineKey("RSA", spki(rsa_key())))
    with pytest.raises(InvalidRequest, match="no public keys"):
        agree(tenant, ours, InlineKey("AES", os.urandom(32)))


def test_an_inline_private_key_is_refused(tenant: Tenant) -> None:
    ours = tenant.key("EC", curve="NistP256", operations=AGREE)
    with pytest.raises(ParameterInvalid, match="holds a private key"):
        agree(tenant, ours, InlineKey("EC", pkcs8(ec_key())))


def test_an_inline_point_off_the_curve_is_refused(tenant: Tenant) -> None:
    ours = tenant.key("EC", curve="NistP256", operations=AGREE)
    broken = bytearray(spki(ec_key()))
    broken[-1] ^= 1
    with pytest.raises(ParameterInvalid):
        agree(tenant, ours, InlineKey("EC", bytes(broken)))


def test_a_public_key_alone_has_nothing_to_agree_with(tenant: Tenant) -> None:
    public = tenant.imported("EC", spki(ec_key()), operations=AGREE)
    ours = tenant.key("EC", curve="NistP256", operations=AGREE)
    with pytest.raises(InvalidRequest, match="public key alone"):
        agree(tenant, public, ours)


def test_both_keys_must_allow_it(tenant: Tenant) -> None:
    ours = tenant.key("EC", curve="NistP256", operations=AGREE)
    signing = tenant.key("EC", curve="NistP256", operations=["sign", "verify"])
    for pair in ((ours, signing), (signing, ours)):
        with pytest.raises(AccessDenied, match="agree"):
            agree(tenant, *pair)


def test_both_keys_must_be_there_and_the_destination_open(tenant: Tenant) -> None:
    stranger = new_tenant()
    ours = tenant.key("EC", curve="NistP256", operations=AGREE)
    theirs = stranger.key("EC", curve="NistP256", operations=AGREE)
    for pair in ((ours, theirs), (theirs, ours)):
        with pytest.raises(NotFound):
            agree(tenant, *pair)
    app = tenant.new_app(APP_GRANTABLE - {Permission.OBJECT_CREATE, Permission.OBJECT_MANAGE})
    with pytest.raises(AccessDenied):
        execute(app, AgreeKey(ours, ours, template(tenant, size=256)))
    app = tenant.new_app(APP_GRANTABLE - {Permission.OBJECT_AGREE})
    with pytest.raises(AccessDenied):
        execute(app, AgreeKey(ours, ours, template(tenant, size=256)))
    assert not SecurityObject.objects.filter(account=tenant.account, creation="agree").exists()


def test_the_record_names_all_three_keys(tenant: Tenant) -> None:
    one, other = (tenant.key("EC", curve="NistP256", operations=AGREE) for _ in range(2))
    made = agree(tenant, one, other)
    entry = last_entry(tenant, "object.agree")
    assert entry.object_id == made.row.id
    assert (entry.details["private_key"], entry.details["public_key"]) == (str(one.id), str(other.id))
    agree(tenant, one, InlineKey("EC", spki(ec_key())))
    assert last_entry(tenant, "object.agree").details["public_key"] == "inline key"


# -- encapsulation -------------------------------------------------------------------------------------------------


def mlkem(tenant: Tenant, parameter_set: str = "MlKem768", **fields: Any) -> ObjectRef:
    fields.setdefault("operations", ["encapsulate", "decapsulate"])
    return tenant.key("MLKEM", curve=parameter_set, **fields)


@pytest.mark.parametrize("parameter_set", ["MlKem768", "MlKem1024"])
def test_what_is_encapsulated_is_decapsulated(tenant: Tenant, parameter_set: str) -> None:
    key = mlkem(tenant, parameter_set)
    sent = execute(tenant.app, EncapsulateKey(key, template(tenant)))
    received = execute(tenant.app, DecapsulateKey(key, sent.ciphertext, template(tenant)))
    assert (sent.view.row.creation, received.row.creation) == ("encapsulate", "decapsulate")
    assert value_of(tenant, sent.view) == value_of(tenant, received)
    assert sent.view.row.size == 256
    again = execute(tenant.app, EncapsulateKey(key, template(tenant)))
    assert value_of(tenant, again.view) != value_of(tenant, sent.view)


def test_a_public_key_alone_encapsulates_for_whoever_has_the_private_one(tenant: Tenant) -> None:
    key = mlkem(tenant)
    public = tenant.imported("MLKEM", bytes(row_of(key).public_key or b""), operations=["encapsulate"])
    sent = execute(tenant.app, EncapsulateKey(public, template(tenant, "AES", size=128)))
    received = execute(tenant.app, DecapsulateKey(key, sent.ciphertext, template(tenant, "AES", size=128)))
    assert value_of(tenant, sent.view) == value_of(tenant, received)


def test_a_changed_ciphertext_gives_another_key_and_no_error(tenant: Tenant) -> None:
    """Implicit rejection (FIPS 203 §6.3)."""
    key = mlkem(tenant)
    sent = execute(tenant.app, EncapsulateKey(key, template(tenant)))
    changed = bytes([sent.ciphertext[0] ^ 1]) + sent.ciphertext[1:]
    received = execute(tenant.app, DecapsulateKey(key, changed, template(tenant)))
    assert value_of(tenant, received) != value_of(tenant, sent.view)


def test_sizes_that_an_encapsulation_does_not_give_are_refused(tenant: Tenant) -> None:
    key = mlkem(tenant)
    with pytest.raises(ParameterInvalid, match="256 bits, fewer"):
        execute(tenant.app, EncapsulateKey(key, template(tenant, size=512)))
    with pytest.raises(ParameterInvalid, match="key_size is needed"):
        execute(tenant.app, EncapsulateKey(key, template(tenant, "DES3")))
    with pytest.raises(ParameterInvalid):
        execute(tenant.app, DecapsulateKey(key, b"short", template(tenant)))


def test_keys_that_do_not_encapsulate_say_so(tenant: Tenant) -> None:
    with pytest.raises(AccessDenied):
        execute(tenant.app, EncapsulateKey(tenant.key(), template(tenant)))
    with pytest.raises(AccessDenied):
        execute(tenant.app, EncapsulateKey(mlkem(tenant, operations=["decapsulate"]), template(tenant)))
    with pytest.raises(AlgorithmUnsupported, match="512"):
        mlkem(tenant, "MlKem512")


def test_encapsulation_is_recorded_with_both_keys(tenant: Tenant) -> None:
    key = mlkem(tenant)
    sent = execute(tenant.app, EncapsulateKey(key, template(tenant)))
    entry = last_entry(tenant, "object.encapsulate")
    assert (entry.object_id, entry.details["public_key"]) == (sent.view.row.id, str(key.id))
    execute(tenant.app, DecapsulateKey(key, sent.ciphertext, template(tenant)))
    assert last_entry(tenant, "object.decapsulate").details["private_key"] == str(key.id)
