"""The attestation key: made once, certified by itself, used for nothing else, and not replaced behind our back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pkcs11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pkcs11 import Attribute, Mechanism, ObjectClass, exceptions
from pkcs11.util.ec import encode_named_curve_parameters

from kms.hsm.errors import MechanismRefused
from kms.hsm.key_material import ec_verifies
from kms.hsm.pkcs11 import Pkcs11Module
from kms.hsm.signing_pair import ATTESTATION, SigningPairDeviates
from kms.hsm.token_signer import TokenSigner
from tests.hsm.token_place import TokenPlace

DIGEST = hashlib.sha256(b"a statement").digest()


def session_of(module: Pkcs11Module) -> pkcs11.Session:
    return module._connection.attachment().main.session


def ours(module: Pkcs11Module, kind: ObjectClass) -> list[pkcs11.Object]:
    return list(session_of(module).get_objects({Attribute.CLASS: kind, Attribute.LABEL: ATTESTATION.label}))


@pytest.fixture
def other(token: TokenPlace, module: Pkcs11Module) -> Iterator[Pkcs11Module]:
    """Another server on the same token, which has looked for nothing yet."""
    opened = token.module()
    yield opened
    opened.close()


@contextmanager
def certificate_away(module: Pkcs11Module, instead: bytes | None = None) -> Iterator[None]:
    """Without the certificate, or with another in its place; as it was, afterwards."""
    session = session_of(module)
    (kept,) = ours(module, ObjectClass.CERTIFICATE)
    template = {
        Attribute.CLASS: ObjectClass.CERTIFICATE,
        Attribute.CERTIFICATE_TYPE: pkcs11.CertificateType.X_509,
        Attribute.TOKEN: True,
        Attribute.LABEL: ATTESTATION.label,
        Attribute.SUBJECT: kept[Attribute.SUBJECT],
        Attribute.VALUE: kept[Attribute.VALUE],
    }
    kept.destroy()
    if instead is not None:
        session.create_object({**template, Attribute.VALUE: instead})
    try:
        yield
    finally:
        for found in ours(module, ObjectClass.CERTIFICATE):
            found.destroy()
        session.create_object(template)


def test_it_is_made_with_the_master_keys(module: Pkcs11Module) -> None:
    assert len(ours(module, ObjectClass.PRIVATE_KEY)) == 1
    assert not module.provision_master_keys()


def test_its_certificate_is_its_own_authority(module: Pkcs11Module) -> None:
    certificate = x509.load_der_x509_certificate(module.attestation_certificate())
    certificate.verify_directly_issued_by(certificate)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert not usage.digital_signature


def test_it_signs_what_its_certificate_verifies(module: Pkcs11Module) -> None:
    public = x509.load_der_x509_certificate(module.attestation_certificate()).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert ec_verifies(public, module.attest(DIGEST), DIGEST)
    assert not ec_verifies(public, module.attest(DIGEST), hashlib.sha256(b"another").digest())


def test_every_server_with_this_token_shows_the_same_certificate(module: Pkcs11Module, other: Pkcs11Module) -> None:
    assert other.attestation_certificate() == module.attestation_certificate()


@pytest.mark.parametrize(
    "attribute", [Attribute.SENSITIVE, Attribute.EXTRACTABLE, Attribute.DERIVE, Attribute.DECRYPT], ids=lambda a: a.name
)
def test_a_pin_holder_cannot_give_it_rights(module: Pkcs11Module, attribute: Attribute) -> None:
    (private,) = ours(module, ObjectClass.PRIVATE_KEY)
    with pytest.raises(exceptions.PKCS11Error):
        private[attribute] = attribute is not Attribute.SENSITIVE


def test_a_pin_holder_signs_with_the_one_mechanism_only(module: Pkcs11Module) -> None:
    (private,) = ours(module, ObjectClass.PRIVATE_KEY)
    with pytest.raises(exceptions.MechanismInvalid):
        private.sign(DIGEST, mechanism=Mechanism.ECDSA_SHA256)  # type: ignore[attr-defined]  # a class made at run time


def test_one_without_its_certificate_gets_a_new_one(module: Pkcs11Module, other: Pkcs11Module) -> None:
    """As after a crash between the two."""
    before = x509.load_der_x509_certificate(module.attestation_certificate())
    with certificate_away(module):
        after = x509.load_der_x509_certificate(other.attestation_certificate())
        assert after.public_key() == before.public_key()
        assert after.serial_number != before.serial_number
        assert len(ours(module, ObjectClass.CERTIFICATE)) == 1


def stranger() -> bytes:
    """A certificate with our name over somebody's own key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime(2026, 1, 1, tzinfo=UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Keystead key attestation")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(("instead", "says"), [(b"no DER", "is none"), (stranger(), "another key's")])
def test_a_certificate_put_in_place_of_ours_does_not_become_the_authority(
    module: Pkcs11Module, other: Pkcs11Module, instead: bytes, says: str
) -> None:
    with certificate_away(module, instead), pytest.raises(SigningPairDeviates, match=says):
        other.attest(DIGEST)


def test_a_second_key_of_the_name_stops_attestation_and_nothing_else(module: Pkcs11Module, other: Pkcs11Module) -> None:
    curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
    parameters = session_of(module).create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
    sign = pkcs11.MechanismFlag.SIGN
    public, private = parameters.generate_keypair(label=ATTESTATION.label, store=True, capabilities=sign)
    try:
        with pytest.raises(SigningPairDeviates, match="2 objects"):
            other.attest(DIGEST)
        assert len(other.random(8)) == 8
    finally:
        for made in (public, private):
            made.destroy()
    assert len(other.attest(DIGEST)) == 64


@pytest.mark.parametrize("name", ["weak_attestation_key", "attestation_key_on_demand"])
def test_holds_in_a_process_of_its_own(name: str, scenario: Callable[[str], None]) -> None:
    scenario(name)


# -- the signer ----------------------------------------------------------------------------------------------------


@pytest.fixture
def signer(module: Pkcs11Module) -> TokenSigner:
    public = x509.load_der_x509_certificate(module.attestation_certificate()).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return TokenSigner(public, module.attest)


def test_the_signer_is_a_private_key_that_only_signs(signer: TokenSigner) -> None:
    signature = signer.sign(b"data", ec.ECDSA(hashes.SHA256()))
    signer.public_key().verify(signature, b"data", ec.ECDSA(hashes.SHA256()))
    assert (signer.key_size, signer.curve.name) == (256, "secp256r1")
    for forbidden in (
        signer.private_numbers,
        lambda: signer.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        lambda: signer.exchange(ec.ECDH(), signer.public_key()),
        lambda: signer.sign(DIGEST, ec.ECDSA(Prehashed(hashes.SHA256()))),
    ):
        with pytest.raises(MechanismRefused):
            forbidden()
