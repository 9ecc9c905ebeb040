"""A security object as the vendor's clients read it. It must not know requests, rights or how HTTP is served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from kms.api.wire.base import Response, creator_of, wire_time
from kms.api.wire.names import WIRE_STATE, wire_operations
from kms.api.wire.object_history import HistoryEntry, history_entry, wire_revocation
from kms.api.wire.object_options import (
    wire_cipher_options,
    wire_export_policy,
    wire_publication,
    wire_rotation_policy,
    wire_rsa_options,
)
from kms.api.wire.quorum_policies import wire_group_policy
from kms.crypto.algorithms.certificate import extensions_of
from kms.crypto.asymmetric import traditional_der
from kms.crypto.hierarchical import network_of
from kms.crypto.key_formats import DEFAULT
from kms.crypto.options import options_of
from kms.crypto.registry import algorithm_of
from kms.objects.models import SecurityObject
from kms.objects.publication import publication_of
from kms.objects.revocation import revocation_of
from kms.objects.rotation import rotation_of
from kms.operations.managed_object import ObjectView
from kms.operations.quorum_policies import policy_on_object
from kms.secret import SecretBytes


class Sobject(Response):
    """A security object in a response."""

    acct_id: UUID
    creator: dict[str, str]
    created_at: str
    enabled: bool
    key_ops: list[str]
    obj_type: str
    origin: str
    public_only: bool
    kid: UUID | None = None
    name: str | None = None
    description: str | None = None
    group_id: UUID | None = None
    key_size: int | None = None
    elliptic_curve: str | None = None
    state: str | None = None
    activation_date: str | None = None
    deactivation_date: str | None = None
    custom_metadata: Mapping[str, str] | None = None
    never_exportable: bool | None = None
    compliant_with_policies: bool | None = None
    pub_key: bytes | None = None
    aes: dict[str, Any] | None = None
    des: dict[str, Any] | None = None
    des3: dict[str, Any] | None = None
    seed: dict[str, Any] | None = None
    fpe: dict[str, Any] | None = None
    rsa: dict[str, Any] | None = None
    dsa: dict[str, int] | None = None
    mldsa: dict[str, str] | None = None
    mlkem: dict[str, str] | None = None
    bip32: dict[str, Any] | None = None
    slip10: dict[str, Any] | None = None
    export_policy: dict[str, Any] | None = None
    approval_policy: dict[str, Any] | None = None
    kcv: str | None = None
    original_key_ops: list[str] | None = None
    key_creation_method: dict[str, str] | None = None
    revocation_reason: dict[str, Any] | None = None
    compromise_date: str | None = None
    destruction_date: str | None = None
    deletion_date: str | None = None
    links: dict[str, Any] | None = None
    history: list[HistoryEntry] | None = None
    rotation_policy: dict[str, Any] | None = None
    scheduled_rotation: str | None = None
    publish_public_key: Mapping[str, Any] | None = None
    certificate: Mapping[str, Any] | None = None
    protection: str | None = None
    value: bytes | None = None
    transient_key: bytes | None = None


# Where the material was made. An imported key must not pass for one that was born here.
_BORN_HERE = frozenset({"generate", "derive", "agree", "transform", "encapsulate", "decapsulate"})
_METHODS = {
    "generate": "Generate",
    "import": "Import",
    "components": "Import",
    "unwrap": "Unwrap",
    "derive": "Derive",
    "agree": "Agree",
    "transform": "Transform",
    "encapsulate": "Encapsulate",
    "decapsulate": "Decapsulate",
}
_SIZELESS = frozenset({"EC", "BIP32", "SLIP10", "CERTIFICATE", "MLDSA", "MLKEM"})


def sobject(view: ObjectView) -> Sobject:
    row, options = view.row, options_of(view.row.options)
    asymmetric = algorithm_of(row.kind).asymmetric
    cipher = wire_cipher_options(options.cipher)
    by_kind: dict[str, dict[str, Any]] = {
        "RSA": {"rsa": wire_rsa_options(row.size, options.rsa)},
        "EC": {"elliptic_curve": row.curve},
        "MLDSA": {"mldsa": {"param_set": row.curve}},
        "MLKEM": {"mlkem": {"param_set": row.curve}},
        "DSA": {"dsa": {"subgroup_size": int(row.curve)} if row.kind == "DSA" and row.curve else None},
        "AES": {"aes": cipher, "fpe": None if options.cipher is None else options.cipher.fpe},
        "DES": {"des": cipher},
        "DES3": {"des3": cipher},
        "SEED": {"seed": cipher},
        "BIP32": {"bip32": _tree_place(row, options.derivation_path)},
        "SLIP10": {"elliptic_curve": row.curve, "slip10": _tree_place(row, options.derivation_path)},
    }
    return Sobject(
        acct_id=row.account_id,
        creator=creator_of(row.creator_kind, row.creator_id),
        created_at=wire_time(row.created_at) or "",
        enabled=row.enabled,
        key_ops=wire_operations(row.operations),
        original_key_ops=wire_operations(row.original_operations),
        obj_type=row.kind,
        origin=_origin(view),
        key_creation_method={"method": _METHODS[row.creation]} if row.creation in _METHODS else None,
        public_only=row.public_only,
        kid=None if view.transient is not None else row.id,
        name=row.name or None,
        description=row.description or None,
        group_id=row.group_id,
        key_size=None if row.kind in _SIZELESS else row.size,
        state=WIRE_STATE[view.state],
        activation_date=wire_time(row.activation_date),
        deactivation_date=wire_time(row.deactivation_date),
        compromise_date=wire_time(row.compromise_date),
        destruction_date=wire_time(row.destruction_date),
        deletion_date=wire_time(row.deletion_date),
        revocation_reason=wire_revocation(revocation_of(row.revocation)),
        custom_metadata=row.custom_metadata or None,
        never_exportable=row.never_exportable,
        compliant_with_policies=True,
        pub_key=bytes(row.public_key) if row.public_key is not None and asymmetric else None,
        export_policy=wire_export_policy(options.export),
        approval_policy=wire_group_policy(policy_on_object(row.quorum)),
        kcv=row.kcv or None,
        links=_links(view),
        history=[history_entry(item) for item in view.history] or None,
        rotation_policy=wire_rotation_policy(rotation_of(row.rotation)),
        scheduled_rotation=wire_time(row.rotates_at),
        publish_public_key=wire_publication(publication_of(row.publication)),
        certificate=_certificate(view),
        protection=row.protection,
        value=None if view.value is None else wire_material(row, view.value, view.form),
        transient_key=view.transient,
        **by_kind.get(row.kind, {}),
    )


def _origin(view: ObjectView) -> str:
    if view.row.creation not in _BORN_HERE and view.row.creation != "persist":
        return "External"
    return "Transient" if view.transient is not None or view.row.creation == "persist" else "FortanixHSM"


def _tree_place(row: SecurityObject, path: tuple[int, ...] | None) -> dict[str, Any]:
    """The way from the root, where it is known, and whose tree it is (SLIP-0010's are nobody's)."""
    found: dict[str, Any] = {} if path is None else {"derivation_path": list(path)}
    if row.kind == "BIP32" and row.public_key is not None:
        found["network"] = network_of(bytes(row.public_key))
    return found


def _links(view: ObjectView) -> dict[str, Any] | None:
    row = view.row
    found = {
        "replacement": row.replacement,
        "replaced": row.replaced,
        "copiedFrom": row.copied_from,
        "copiedTo": list(view.copies) or None,
        "subkeys": list(view.subkeys) or None,
        "parent": row.parent,
        "wrappingKey": row.wrapping_key,
    }
    return {name: value for name, value in found.items() if value is not None} or None


def _certificate(view: ObjectView) -> Mapping[str, Any] | None:
    """Ours, beside the vendor's fields: what the certificate says, so that nobody has to take it apart again."""
    if view.row.kind != "CERTIFICATE" or not view.row.attributes:
        return None
    shown = {name: value for name, value in view.row.attributes.items() if name != "der"}
    return {**shown, **extensions_of(view.row.attributes), "chain": [str(issuer) for issuer in view.chain]}


def wire_material(row: SecurityObject, material: SecretBytes, form: str) -> bytes:
    """Private keys, kept as PKCS#8, leave as PKCS#1 and SEC 1 unless another form was asked for.

    The vendor's CLI writes the armour of those two around what it gets.
    """
    traditional = form == DEFAULT and row.kind in ("RSA", "EC")
    return (traditional_der(material) if traditional else material).reveal()
