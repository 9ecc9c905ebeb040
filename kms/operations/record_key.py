"""The key that signs checkpoints of the record, as the sealer wants it. It must not know what a checkpoint is."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kms.audit.sealer import Signer
from kms.hsm.errors import MechanismRefused
from kms.hsm.token_signer import TokenSigner
from kms.objects import keystore


def record_signer() -> Signer:
    """From the token, which must be there. The name says which deployment's record it signs."""
    module = keystore.module()
    public = x509.load_der_x509_certificate(module.record_certificate()).public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise MechanismRefused("the record's key is not an EC key")
    key = TokenSigner(public, module.sign_checkpoint)
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Signer(signer_name(), spki, lambda data: key.sign(data, ec.ECDSA(SHA256())))


def signer_name() -> str:
    return f"keystead/{keystore.deployment_id()}/record"
