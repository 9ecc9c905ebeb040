"""Key attestation: what this server knows of a key pair, signed by the attestation key in the token.

The statement is about the moment it is made in. The token signs whatever the server says, so it is worth as much as the
server is trusted; what the blob is bound to, and that the public key is the private key's half, is proven each time.
It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kms.audit.entry import Category, Detail
from kms.crypto.algorithm import Message, SignatureParameters
from kms.crypto.attestation import Claim, Statement, certified
from kms.crypto.errors import AlgorithmUnsupported
from kms.crypto.options import NO_OPTIONS
from kms.crypto.registry import algorithm_of
from kms.hsm.errors import BlobRejected
from kms.hsm.module import Usage
from kms.objects import keystore
from kms.objects.models import SecurityObject
from kms.objects.snapshot import ObjectSnapshot
from kms.objects.usage import Handling
from kms.operations.command import Call, Command, ObjectNeed, ObjectRef, Operation, Plane, Resolved
from kms.operations.errors import InvalidRequest
from kms.operations.managed_object import check_handling
from policies.grant import Grant
from policies.permissions import Permission

# Signed by the attested key and verified here; it says on its face that it is worth nothing elsewhere.
_TRIAL = b"keystead attestation: this signature is never shown to anyone"
VERSION = 1


@dataclass(frozen=True, slots=True)
class AttestKey(Command):
    key: ObjectRef


@dataclass(frozen=True, slots=True)
class Attestation:
    """Certificates (DER): about the key, and of who says it."""

    statement: bytes
    authority: bytes


def attest_key(call: Call, _command: AttestKey, key: ObjectSnapshot) -> Attestation:
    row = SecurityObject.objects.get(id=key.id)
    check_handling(row, Handling.INSPECT, call.now)
    public = _own_public_key(call.grants[0], key)
    call.details.update(object_version=row.version)
    statement = Statement(
        subject=str(key.id),
        public=public,
        operations=key.usable.operations,
        claims=_claims(row, call),
        at=call.now,
    )
    module = keystore.module()
    authority = module.attestation_certificate()
    return Attestation(certified(statement, authority, module.attest), authority)


def _claims(row: SecurityObject, call: Call) -> Mapping[str, Claim]:
    """In the words of docs/attestation.md, which says what each rests on."""
    return {
        "version": VERSION,
        "deployment": str(keystore.deployment_id()),
        "account": str(row.account_id),
        "key": str(row.id),
        "key_version": row.version,
        "type": row.kind,
        "size": row.size,
        "curve": row.curve,
        "operations": sorted(row.operations),
        "creation": row.creation,
        "never_exportable": row.never_exportable,
        "protection": row.protection,
        "time": call.now.isoformat(timespec="seconds"),
    }


def _own_public_key(grant: Grant, key: ObjectSnapshot) -> bytes:
    """The public key, proven to belong to the private one that is kept here: a changed column is not certified."""
    algorithm = algorithm_of(key.kind)
    if not algorithm.asymmetric or key.public_key is None:
        raise InvalidRequest(f"{key.kind} objects have no public key, which an attestation is about")
    if key.public_only:
        raise InvalidRequest("The object is a public key alone: there is no private key here to attest to")
    if key.protection == keystore.TOKEN:
        opened = keystore.open_key(grant, key, Usage.SIGN)
        parameters, message = SignatureParameters("SHA256"), Message(_TRIAL)
        signature = algorithm.sign(opened, parameters, message, options=NO_OPTIONS)
        proven = algorithm.verify(key.public_key, parameters, message, signature, options=NO_OPTIONS)
    else:
        derived = algorithm.public_of(keystore.lend(grant, key))
        if derived is None:
            raise AlgorithmUnsupported(f"{key.kind} objects are not attested")
        proven = derived == key.public_key
    if not proven:
        raise BlobRejected("the public key of the record is not the private key's")
    return key.public_key


def _resolve(call: Call, command: AttestKey) -> Sequence[Resolved]:
    """Whoever may see the attributes may have them in writing."""
    if command.key.transient is not None:
        raise InvalidRequest("A transient key has no record to attest to")
    return (call.authority.resolve_object(call, ObjectNeed(command.key, Permission.OBJECT_GET)),)


def _describe(command: AttestKey) -> Mapping[str, Detail]:
    return {"subject": str(command.key)}


def _always_slow(_command: Command) -> bool:
    """The row is read, and two signatures take a millisecond and more."""
    return True


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        command=AttestKey,
        action="object.attest",
        category=Category.CRYPTOGRAPHIC,
        plane=Plane.DATA,
        resolve=_resolve,
        handle=attest_key,
        describe=_describe,
        slow=_always_slow,
    ),
)
