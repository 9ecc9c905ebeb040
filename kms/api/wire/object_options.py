"""What an object's owner fixes for it, on the wire: cipher and RSA options, export, rotation and publication policies.

Each has its structs, a function from the request and one to the response. It must not know rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any
from uuid import UUID

import msgspec

from kms.api.wire.base import Request, WireError, time_of, unsupported, wire_time
from kms.crypto.options import CipherOptions, ExportRule, KeyOptions, PaddingRule, RsaOptions
from kms.objects.publication import Publication
from kms.objects.rotation import RotationPolicy

# The request's field for the options of each kind of block cipher.
CIPHER_FIELDS = {"AES": "aes", "ARIA": "aria", "DES": "des", "DES3": "des3", "SEED": "seed"}
_PADDINGS = ("OAEP", "PKCS1_V15", "RAW_DECRYPT", "PSS")


class WireCipherOptions(Request):
    cipher_mode: str | None = None
    iv_length: int | None = None
    tag_length: int | None = None
    random_iv: bool | None = None
    key_sizes: list[int] | None = None
    fpe: dict[str, Any] | None = None


class WireRsaOptions(Request):
    key_size: int | None = None
    public_exponent: int | None = None
    encryption_policy: list[dict[str, Any]] | None = None
    signature_policy: list[dict[str, Any]] | None = None
    minimum_key_length: int | None = None


class WireDsaOptions(Request):
    subgroup_size: int | None = None


class WireParameterSet(Request):
    """Of ML-DSA and ML-KEM."""

    param_set: str | None = None


class WireKeys(Request):
    kid: UUID


class WireWrappers(Request):
    type: str = msgspec.field(name="$type")
    keys: list[WireKeys] | None = None


class WireExportPolicy(Request):
    type: str = msgspec.field(name="$type")
    by: WireWrappers | None = None
    allow_weakening: bool = False


class WireSelectedCopies(Request):
    select: list[UUID]


class WireInterval(Request):
    interval_days: int | None = None
    interval_months: int | None = None


class WireRotationPolicy(Request):
    """``interval`` is how the vendor's Python client sends what its server takes one level higher."""

    interval_days: int | None = None
    interval_months: int | None = None
    interval: WireInterval | None = None
    effective_at: str | None = None
    deactivate_rotated_key: bool | None = None
    rotate_copied_keys: WireSelectedCopies | str | None = None


class WirePublication(Request):
    state: str
    list_previous_version: bool | None = None


# -- requests ------------------------------------------------------------------------------------------------------


def key_options(body: Any, kind: str | None) -> KeyOptions:
    """The options in a request about an object of ``kind``; those of other kinds are refused by name."""
    return KeyOptions(
        cipher=_cipher_options(body, kind),
        rsa=rsa_options(body.rsa),
        export=export_rule(body.export_policy),
    )


def _cipher_options(body: Any, kind: str | None) -> CipherOptions | None:
    given = {name: getattr(body, name) for name in CIPHER_FIELDS.values() if getattr(body, name) is not None}
    own = given.pop(CIPHER_FIELDS.get(kind or "", ""), None)
    unsupported(**given)
    fpe = body.fpe
    if own is None and fpe is None:
        return None
    wire: WireCipherOptions = own if own is not None else WireCipherOptions()
    unsupported(key_sizes=wire.key_sizes)
    if fpe is not None and wire.fpe is not None:
        raise WireError("Invalid request: fpe is given twice")
    found = CipherOptions(
        mode=wire.cipher_mode,
        iv_bytes=wire.iv_length,
        random_iv=wire.random_iv,
        tag_bits=wire.tag_length,
        fpe=fpe if fpe is not None else wire.fpe,
    )
    return None if found == CipherOptions() else found


def rsa_options(wire: WireRsaOptions | None) -> RsaOptions | None:
    if wire is None:
        return None
    unsupported(minimum_key_length=wire.minimum_key_length)
    if wire.encryption_policy is None and wire.signature_policy is None:
        return None
    return RsaOptions(padding_rules(wire.encryption_policy), padding_rules(wire.signature_policy))


def padding_rules(policy: list[dict[str, Any]] | None) -> tuple[PaddingRule, ...] | None:
    return None if policy is None else tuple(map(_rule, policy))


def _rule(item: dict[str, Any]) -> PaddingRule:
    """``{}``, ``{"padding": {"OAEP": {"mgf": {"mgf1": {"hash": "SHA256"}}}}}``, with any tail left out."""
    if item.keys() - {"padding"}:
        raise WireError("Invalid request: a padding policy takes padding")
    padding = item.get("padding")
    if padding is None:
        return PaddingRule()
    if not isinstance(padding, dict) or len(padding) != 1 or next(iter(padding)) not in _PADDINGS:
        raise WireError(f"Invalid request: padding is an object with one of {', '.join(_PADDINGS)}")
    ((name, options),) = padding.items()
    return PaddingRule(name, _mgf_hash(options))


def _mgf_hash(options: Any) -> str | None:
    for name in ("mgf", "mgf1", "hash"):
        if not options:
            return None
        if not isinstance(options, dict) or options.keys() != {name}:
            raise WireError("Invalid request: a padding policy takes mgf: {mgf1: {hash}}")
        options = options[name]
    return str(options)


def export_rule(wire: WireExportPolicy | None) -> ExportRule | None:
    if wire is None:
        return None
    if wire.type == "Unrestricted" and wire.by is None:
        return ExportRule()
    if wire.type != "Wrapped" or wire.by is None or wire.by.type not in ("Any", "Only"):
        raise WireError("Invalid request: export_policy is Unrestricted, or Wrapped by Any or Only")
    if (wire.by.type == "Only") != bool(wire.by.keys):
        raise WireError("Invalid request: Only takes keys by kid, and Any takes none")
    keys = tuple(sorted(str(key.kid) for key in wire.by.keys or []))
    return ExportRule(wrapped=True, by=keys, may_weaken=wire.allow_weakening)


def parameter_set(body: Any) -> str | None:
    """The curve, or what stands in its place for kinds without one."""
    given = [
        body.elliptic_curve,
        None if body.mldsa is None else body.mldsa.param_set,
        None if body.mlkem is None else body.mlkem.param_set,
        None if body.dsa is None or body.dsa.subgroup_size is None else str(body.dsa.subgroup_size),
    ]
    found = [value for value in given if value is not None]
    if len(found) > 1:
        raise WireError("Invalid request: elliptic_curve, mldsa, mlkem and dsa exclude each other")
    return found[0] if found else None


def rotation_policy(wire: WireRotationPolicy | None) -> RotationPolicy | None:
    if wire is None:
        return None
    interval = wire.interval or WireInterval(interval_days=wire.interval_days, interval_months=wire.interval_months)
    if wire.interval is not None and (wire.interval_days, wire.interval_months) != (None, None):
        raise WireError("Invalid request: a rotation interval is given twice")
    copies: tuple[str, ...] = ()
    if isinstance(wire.rotate_copied_keys, WireSelectedCopies):
        copies = tuple(str(key) for key in wire.rotate_copied_keys.select)
    elif wire.rotate_copied_keys is not None and wire.rotate_copied_keys != "all_external":
        raise WireError("Invalid request: rotate_copied_keys is all_external or {select: [...]}")
    return RotationPolicy(
        days=interval.interval_days,
        months=interval.interval_months,
        effective_at=time_of(wire.effective_at, "effective_at"),
        deactivate=bool(wire.deactivate_rotated_key),
        copies=copies,
    ).checked()


def publication(wire: WirePublication | None) -> Publication | None:
    if wire is None or wire.state == "disabled":
        return None
    if wire.state != "enabled":
        raise WireError("Invalid request: publish_public_key's state is enabled or disabled")
    return Publication(bool(wire.list_previous_version))


# -- responses -----------------------------------------------------------------------------------------------------


def wire_cipher_options(options: CipherOptions | None) -> dict[str, Any] | None:
    if options is None:
        return None
    found = {
        "cipher_mode": options.mode,
        "iv_length": options.iv_bytes,
        "random_iv": options.random_iv,
        "tag_length": options.tag_bits,
        "fpe": options.fpe,
    }
    return {name: value for name, value in found.items() if value is not None}


def wire_rsa_options(size: int, options: RsaOptions | None) -> dict[str, Any]:
    encryption = options.encryption if options is not None else None
    signature = options.signature if options is not None else None
    return {
        "key_size": size,
        "encryption_policy": wire_padding_rules(encryption if encryption is not None else (PaddingRule("OAEP"),)),
        "signature_policy": wire_padding_rules(signature if signature is not None else (PaddingRule(),)),
    }


def wire_padding_rules(rules: tuple[PaddingRule, ...]) -> list[dict[str, Any]]:
    return [_wire_rule(rule) for rule in rules]


def _wire_rule(rule: PaddingRule) -> dict[str, Any]:
    if rule.padding is None:
        return {}
    options = {} if rule.mgf_hash is None else {"mgf": {"mgf1": {"hash": rule.mgf_hash}}}
    return {"padding": {rule.padding: options}}


def wire_export_policy(rule: ExportRule | None) -> dict[str, Any] | None:
    if rule is None:
        return None
    by: dict[str, Any] = {"$type": "Only", "keys": [{"kid": key} for key in rule.by]} if rule.by else {"$type": "Any"}
    return {"$type": "Wrapped", "by": by, "allow_weakening": rule.may_weaken}


def wire_rotation_policy(policy: RotationPolicy | None) -> dict[str, Any] | None:
    if policy is None:
        return None
    found = {
        "interval_days": policy.days,
        "interval_months": policy.months,
        "effective_at": None if policy.effective_at is None else wire_time(policy.effective_at.astimezone(UTC)),
        "deactivate_rotated_key": policy.deactivate,
        "rotate_copied_keys": {"select": list(policy.copies)} if policy.copies else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def wire_publication(found: Publication | None) -> Mapping[str, Any] | None:
    return None if found is None else {"state": "enabled", "list_previous_version": found.previous}
