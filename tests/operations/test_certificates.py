"""Certificates: what they say is shown, and the chain of issuers that the account holds, by signature, not by name."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from django.db import connection
from django.test.utils import CaptureQueriesContext

from kms.crypto.errors import ParameterInvalid
from kms.operations.command import ObjectRef
from kms.operations.executor import execute
from kms.operations.lifecycle import DeleteObject, DestroyObject, RevokeObject
from kms.operations.making import ObjectTemplate
from kms.operations.queries import ListObjects, Page
from kms.operations.rotating import RotateObject
from kms.secret import SecretBytes
from tests.kit.objects import SUPERSEDED, export, ref_of, row, shown
from tests.kit.tenants import Tenant, new_tenant

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@dataclass
class Issuer:
    """A name, a key and a certificate for it by another issuer or by itself."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def issuer(common_name: str, by: Issuer | None = None) -> Issuer:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    key = ec.generate_private_key(ec.SECP256R1())
    return Issuer(name, key, signed(name, key, name if by is None else by.name, key if by is None else by.key))


def signed(
    name: x509.Name, key: ec.EllipticCurvePrivateKey, signer: x509.Name, signing: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    serial, end = x509.random_serial_number(), START + datetime.timedelta(days=365)
    builder = x509.CertificateBuilder(signer, name, key.public_key(), serial, START, end)
    return builder.sign(signing, hashes.SHA256())


def kept(tenant: Tenant, made: Issuer) -> ObjectRef:
    return tenant.imported("CERTIFICATE", made.der)


def chain(tenant: Tenant, key: ObjectRef) -> list[Any]:
    return list(shown(tenant, key).chain)


def test_what_it_says_is_shown(tenant: Tenant) -> None:
    made = issuer("root")
    found = row(kept(tenant, made)).attributes
    assert (found["subject"], found["issuer"], found["self_signed"]) == ("CN=root", "CN=root", True)
    assert found["serial_number"] == f"{made.certificate.serial_number:x}"
    assert (found["not_before"], found["not_after"]) == ("2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00")
    assert found["fingerprint_sha256"] == made.certificate.fingerprint(hashes.SHA256()).hex()


def test_the_chain_leads_up_to_the_root_however_they_came(tenant: Tenant) -> None:
    root = issuer("root")
    middle = issuer("middle", root)
    leaf = issuer("leaf", middle)
    last = kept(tenant, leaf)
    assert chain(tenant, last) == []
    top = kept(tenant, root)
    between = kept(tenant, middle)
    assert chain(tenant, last) == [between.id, top.id]
    assert chain(tenant, between) == [top.id]
    assert chain(tenant, top) == []


def test_a_page_of_certificates_asks_once_for_each_step_up(tenant: Tenant) -> None:
    """Not once for each certificate: each row shows the chain that it shows alone."""
    root = issuer("root")
    middle = issuer("middle", root)
    keys = [kept(tenant, made) for made in (root, middle, *(issuer(f"leaf {n}", middle) for n in range(3)))]
    alone = {key.id: chain(tenant, key) for key in keys}
    asked = []
    for limit in (4, 5):
        with CaptureQueriesContext(connection) as queries:
            page = execute(tenant.alice, ListObjects(Page(limit=limit), kind="CERTIFICATE")).views
        asked.append(sum("has_key" in query["sql"] or " ? " in query["sql"] for query in queries))
        assert [list(view.chain) for view in page] == [alone[view.row.id] for view in page]
    assert asked[0] == asked[1] > 0


def test_a_name_is_no_signature(tenant: Tenant) -> None:
    real, impostor = issuer("authority"), issuer("authority")
    leaf = kept(tenant, issuer("leaf", real))
    kept(tenant, impostor)
    assert chain(tenant, leaf) == []
    true = kept(tenant, real)
    assert chain(tenant, leaf) == [true.id]


def test_certificates_that_issued_each_other_make_no_endless_chain(tenant: Tenant) -> None:
    one, other = issuer("one"), issuer("other")
    first = kept(tenant, Issuer(one.name, one.key, signed(one.name, one.key, other.name, other.key)))
    second = kept(tenant, Issuer(other.name, other.key, signed(other.name, other.key, one.name, one.key)))
    assert chain(tenant, first) == [second.id]
    assert chain(tenant, second) == [first.id]


def test_other_accounts_certificates_are_in_nobodys_chain(tenant: Tenant) -> None:
    root = issuer("root")
    kept(new_tenant(), root)
    assert chain(tenant, kept(tenant, issuer("leaf", root))) == []


@pytest.mark.parametrize("ending", [DestroyObject, DeleteObject])
def test_an_issuer_that_is_gone_ends_the_chain(tenant: Tenant, ending: Any) -> None:
    root = issuer("root")
    leaf, top = kept(tenant, issuer("leaf", root)), kept(tenant, root)
    execute(tenant.alice, RevokeObject(top, SUPERSEDED))
    assert chain(tenant, leaf) == [top.id]
    execute(tenant.alice, ending(top))
    assert chain(tenant, leaf) == []
    assert list(shown(tenant, top, deleted=True).chain) == []


def test_a_certificate_is_renewed_by_rotation(tenant: Tenant) -> None:
    root = issuer("root")
    old = kept(tenant, issuer("leaf", root))
    kept(tenant, root)
    renewed = issuer("leaf", root)
    changes = ObjectTemplate(None, "")
    new = ref_of(execute(tenant.alice, RotateObject(old, changes, material=SecretBytes(renewed.der))))
    assert export(tenant, new) == renewed.der
    assert row(new).attributes["fingerprint_sha256"] == renewed.certificate.fingerprint(hashes.SHA256()).hex()
    assert len(chain(tenant, new)) == 1


@pytest.mark.parametrize("value", [b"", b"not DER", b"\x30\x03\x02\x01\x01", issuer("x").der[:-1]])
def test_what_is_no_certificate_is_refused(tenant: Tenant, value: bytes) -> None:
    with pytest.raises(ParameterInvalid):
        tenant.imported("CERTIFICATE", value)
