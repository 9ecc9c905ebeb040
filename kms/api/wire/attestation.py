"""/crypto/v1/keys/key_attestation on the wire."""

from __future__ import annotations

from kms.api.wire.base import Descriptor, Endpoint, Request, Response, WireCall, ref_of
from kms.operations.attestation import Attestation, AttestKey


class KeyAttestationRequest(Request):
    key: Descriptor


class KeyAttestationStatement(Response):
    format: str
    statement: bytes


class KeyAttestationResponse(Response):
    """``authority_chain`` begins with the certificate that issued the statement."""

    authority_chain: list[bytes]
    attestation_statement: KeyAttestationStatement


def _attest(call: WireCall) -> AttestKey:
    return AttestKey(ref_of(call.body.key))


def _attested(result: Attestation) -> KeyAttestationResponse:
    statement = KeyAttestationStatement(format="x509_certificate", statement=result.statement)
    return KeyAttestationResponse(authority_chain=[result.authority], attestation_statement=statement)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GetKeyAttestation",
        "POST",
        "/crypto/v1/keys/key_attestation",
        _attest,
        _attested,
        body=KeyAttestationRequest,
    ),
)
