"""Statements about keys: who gets one, what it says, and that it can be checked without asking us."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from accounts.models import AppGroup
from kms.audit.models import AuditRecord
from kms.crypto.attestation import CLAIMS, PURPOSE
from kms.crypto.operation import KeyOperation
from kms.hsm.errors import BlobRejected
from kms.objects import keystore
from kms.objects.models import SecurityObject
from kms.objects.revocation import Revocation, RevocationCode
from kms.operations.attestation import Attestation, AttestKey
from kms.operations.command import ObjectRef
from kms.operations.errors import InvalidRequest, NotFound
from kms.operations.executor import execute
from kms.operations.lifecycle import DestroyObject, RemovePrivateKey, RevokeObject
from kms.operations.updating import UpdateObject
from tests.kit.tenants import Tenant, new_tenant
from tests.operations.material import certificate, ec_key, pkcs8, rsa_key, spki
from tests.operations.test_transient import made

RSA: dict[str, Any] = {"kind": "RSA", "size": 2048}
EC: dict[str, Any] = {"kind": "EC", "curve": "NistP256"}


def attested(tenant: Tenant, key: ObjectRef) -> tuple[x509.Certificate, x509.Certificate]:
    result: Attestation = execute(tenant.app, AttestKey(key))
    return x509.load_der_x509_certificate(result.statement), x509.load_der_x509_certificate(result.authority)


def claims(statement: x509.Certificate) -> dict[str, Any]:
    value = statement.extensions.get_extension_for_oid(CLAIMS).value
    assert isinstance(value, x509.UnrecognizedExtension)
    header = 2 if value.value[1] < 0x80 else 2 + (value.value[1] & 0x7F)
    found: dict[str, Any] = json.loads(value.value[header:])
    return found


def row(key: ObjectRef) -> SecurityObject:
    return SecurityObject.objects.get(id=str(key.id))


def by_sql(key: ObjectRef, **fields: Any) -> None:
    assert SecurityObject.objects.filter(id=str(key.id)).update(**fields) == 1


# -- the statement -------------------------------------------------------------------------------------------------


OUTSIDE = [{"kind": "EC", "curve": curve} for curve in ("Ed25519", "X25519", "BrainpoolP256R1")]


@pytest.mark.parametrize("shape", [RSA, EC, *OUTSIDE], ids=lambda shape: shape.get("curve", "RSA"))
def test_a_statement_is_about_the_keys_own_public_key_and_verifies(tenant: Tenant, shape: dict[str, Any]) -> None:
    key = tenant.key(**shape)
    statement, authority = attested(tenant, key)
    statement.verify_directly_issued_by(authority)
    authority.verify_directly_issued_by(authority)
    public = statement.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public == bytes(row(key).public_key or b"")
    assert statement.subject.rfc4514_string() == f"CN={key.id}"


def test_it_says_what_is_known_of_the_key(tenant: Tenant) -> None:
    key = tenant.key(**EC, operations=["sign", "verify"])
    said = claims(attested(tenant, key)[0])
    assert said.pop("time") <= AuditRecord.objects.latest("sequence").time.isoformat()
    assert said == {
        "version": 1,
        "deployment": str(keystore.deployment_id()),
        "account": str(tenant.account.id),
        "key": str(key.id),
        "key_version": 1,
        "type": "EC",
        "size": 256,
        "curve": "NistP256",
        "operations": ["sign", "verify"],
        "creation": "generate",
        "never_exportable": True,
        "protection": "token",
    }


def test_it_tells_an_imported_and_an_exportable_key_from_one_that_was_born_here(tenant: Tenant) -> None:
    imported = claims(attested(tenant, tenant.imported("EC", pkcs8(ec_key()), operations=["sign"]))[0])
    assert (imported["creation"], imported["never_exportable"], imported["protection"]) == ("import", True, "token")
    exportable = tenant.key(**RSA, operations=["sign", "export"])
    said = claims(attested(tenant, exportable)[0])
    assert (said["never_exportable"], said["protection"]) == (False, "sealed")
    execute(tenant.alice, UpdateObject(exportable, operations=frozenset({KeyOperation.SIGN})))
    said = claims(attested(tenant, exportable)[0])
    assert (said["never_exportable"], said["protection"], said["key_version"]) == (False, "token", 2)


def test_it_is_no_certificate_for_servers_or_people(tenant: Tenant) -> None:
    statement, _ = attested(tenant, tenant.key(**RSA, operations=["sign", "decrypt"]))
    usage = statement.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.data_encipherment, usage.key_cert_sign) == (True, True, False)
    purposes = list(statement.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert purposes == [PURPOSE]
    assert ExtendedKeyUsageOID.SERVER_AUTH not in purposes
    assert not statement.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_key_that_only_verifies_gets_no_empty_key_usage(tenant: Tenant) -> None:
    statement, _ = attested(tenant, tenant.key(**EC, operations=["verify"]))
    with pytest.raises(x509.ExtensionNotFound):
        statement.extensions.get_extension_for_class(x509.KeyUsage)


def test_openssl_verifies_it_and_refuses_a_changed_one(tenant: Tenant, tmp_path: Path) -> None:
    statement, authority = attested(tenant, tenant.key(**EC))
    (tmp_path / "ca.pem").write_bytes(authority.public_bytes(Encoding.PEM))

    def verify(name: str, der: bytes) -> subprocess.CompletedProcess[str]:
        (tmp_path / name).write_bytes(der)
        pem = ["openssl", "x509", "-inform", "DER", "-in", name, "-out", f"{name}.pem"]
        subprocess.run(pem, cwd=tmp_path, check=True, capture_output=True)
        command = ["openssl", "verify", "-x509_strict", "-check_ss_sig", "-CAfile", "ca.pem", f"{name}.pem"]
        return subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)

    der = statement.public_bytes(Encoding.DER)
    good = verify("good", der)
    assert good.returncode == 0, good.stderr
    changed = der.replace(b'"never_exportable":true', b'"never_exportable":TRUE')
    assert changed != der
    assert verify("changed", changed).returncode != 0
    with pytest.raises(InvalidSignature):
        x509.load_der_x509_certificate(changed).verify_directly_issued_by(authority)


def test_all_statements_have_one_authority_and_serials_of_their_own(tenant: Tenant) -> None:
    key, other = tenant.key(**EC), new_tenant()
    first, authority = attested(tenant, key)
    second, again = attested(other, other.key(**EC))
    assert authority == again
    assert first.serial_number != second.serial_number != attested(tenant, key)[0].serial_number


# -- what is refused -----------------------------------------------------------------------------------------------


def secret(tenant: Tenant) -> ObjectRef:
    return tenant.imported("SECRET", b"x")


def public_alone(tenant: Tenant) -> ObjectRef:
    return tenant.imported("RSA", spki(rsa_key()), operations=["verify"])


def without_private(tenant: Tenant) -> ObjectRef:
    key = tenant.key(**EC)
    execute(tenant.alice, RemovePrivateKey(key))
    return key


def destroyed(tenant: Tenant) -> ObjectRef:
    key = tenant.key(**EC)
    execute(tenant.alice, RevokeObject(key, Revocation(RevocationCode.SUPERSEDED)))
    execute(tenant.alice, DestroyObject(key))
    return key


REFUSED: dict[str, tuple[Callable[[Tenant], ObjectRef], str]] = {
    "a symmetric key": (lambda tenant: tenant.key(), "no public key"),
    "a secret": (secret, "no public key"),
    "a certificate": (lambda tenant: tenant.imported("CERTIFICATE", certificate()), "no public key|no private key"),
    "a public key": (public_alone, "no private key"),
    "a pair without its private half": (without_private, "no private key"),
    "a destroyed key": (destroyed, "destroyed"),
    "a transient key": (lambda tenant: ObjectRef(transient=made(tenant, "EC", curve="NistP256")), "transient"),
}


@pytest.mark.parametrize(("make", "says"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_attested_is_refused_with_the_reason(
    tenant: Tenant, make: Callable[[Tenant], ObjectRef], says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says):
        execute(tenant.app, AttestKey(make(tenant)))
    found = AuditRecord.objects.get(account_id=tenant.account.id, action="object.attest")
    assert found.outcome == "failed"


def test_a_compromised_key_is_still_attested(tenant: Tenant) -> None:
    """The statement is about where it came from; that it is compromised is nothing that a statement could undo."""
    key = tenant.key(**EC)
    execute(tenant.alice, RevokeObject(key, Revocation(RevocationCode.KEY_COMPROMISE)))
    attested(tenant, key)


def test_whoever_may_not_see_the_key_gets_nothing(tenant: Tenant) -> None:
    key = tenant.key(**EC)
    for outsider in (new_tenant().app, tenant.new_app(group=tenant.new_group())):
        with pytest.raises(NotFound):
            execute(outsider, AttestKey(key))


def test_a_right_that_is_taken_away_ends_it(tenant: Tenant) -> None:
    key = tenant.key(**EC)
    attested(tenant, key)
    AppGroup.objects.filter(app_id=tenant.app.id).delete()
    with pytest.raises(NotFound):
        execute(tenant.app, AttestKey(key))


# -- what plain SQL cannot make it say -----------------------------------------------------------------------------


@pytest.mark.parametrize("operations", [["sign"], ["sign", "export"]], ids=["in the token", "sealed"])
@pytest.mark.parametrize("shape", [RSA, EC], ids=["RSA", "EC"])
def test_another_public_key_written_into_the_row_is_not_certified(
    tenant: Tenant, shape: dict[str, Any], operations: list[str]
) -> None:
    key, other = tenant.key(**shape, operations=operations), tenant.key(**shape)
    by_sql(key, public_key=row(other).public_key)
    with pytest.raises(BlobRejected, match="not the private key's"):
        attested(tenant, key)


@pytest.mark.parametrize("fields", [{"operations": ["sign", "export"]}, {"size": 384}, {"version": 7}], ids=str)
def test_a_bound_field_changed_by_sql_is_not_certified(tenant: Tenant, fields: dict[str, Any]) -> None:
    key = tenant.key(**EC, operations=["sign"])
    by_sql(key, **fields)
    with pytest.raises(BlobRejected):
        attested(tenant, key)


def test_it_is_recorded_with_the_version_of_the_key(tenant: Tenant) -> None:
    key = tenant.key(**EC)
    attested(tenant, key)
    found = AuditRecord.objects.get(account_id=tenant.account.id, action="object.attest")
    assert (found.outcome, str(found.object_id)) == ("done", str(key.id))
    assert found.details == {"subject": str(key.id), "object_version": 1, "permission": "object.get"}
