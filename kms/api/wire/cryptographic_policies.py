"""``cryptographic_policy`` on the wire: which kinds of keys an account or a group allows, and how they are used.

``protection`` and ``digests`` are ours: the levels of protection and the hash functions that are allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from kms.api.wire.base import Request, WireError
from kms.api.wire.names import WIRE_OPERATION, operations_of
from kms.api.wire.object_options import padding_rules, wire_padding_rules
from kms.api.wire.quorum_policies import Remove
from kms.crypto.digest import HASHES
from kms.objects.cryptographic_policy import CryptographicPolicy, KindRule, policy_of
from kms.objects.legacy import Legacy
from kms.operations.object_policies import PROTECTIONS, CryptographicChange

LegacyPolicy = Literal["allowed", "prohibited", "unprotect_only"]
LEGACY = {
    "allowed": Legacy.ALLOWED,
    "prohibited": Legacy.PROHIBITED,
    "unprotect_only": Legacy.UNPROTECT_ONLY,
}
WIRE_LEGACY = {legacy: name for name, legacy in LEGACY.items()}
CURVES = frozenset(
    [
        "X25519",
        "Ed25519",
        "Ed448",
        "X448",
        "SecP192K1",
        "SecP224K1",
        "SecP256K1",
        "NistP192",
        "NistP224",
        "NistP256",
        "NistP384",
        "NistP521",
        "Gost256A",
    ]
)
_MAX_BITS = 2**32 - 1


class Allowed(Request):
    """A kind without limits."""


class AllowedCipher(Request):
    random_iv: bool | None = None


class AllowedSizes(AllowedCipher):
    key_sizes: list[int] | None = None


class AllowedAes(AllowedSizes):
    fpe: dict[str, Any] | None = None


class AllowedRsa(Request):
    encryption_policy: list[dict[str, Any]] | None = None
    minimum_key_length: int | None = None
    signature_policy: list[dict[str, Any]] | None = None


class AllowedEc(Request):
    elliptic_curves: list[str] | None = None


class AllowedHmac(Request):
    minimum_key_length: int | None = None


class WireCryptographicPolicy(Request):
    """A kind that is left out is not allowed."""

    aes: AllowedAes | None = None
    aria: AllowedSizes | None = None
    bip32: Allowed | None = None
    bls: Allowed | None = None
    certificate: Allowed | None = None
    des: AllowedCipher | None = None
    des3: AllowedSizes | None = None
    dsa: Allowed | None = None
    ec: AllowedEc | None = None
    eckcdsa: Allowed | None = None
    hmac: AllowedHmac | None = None
    kcdsa: Allowed | None = None
    lms: Allowed | None = None
    mldsa: Allowed | None = None
    mlkem: Allowed | None = None
    opaque: Allowed | None = None
    rsa: AllowedRsa | None = None
    secret: Allowed | None = None
    seed: AllowedCipher | None = None
    slip10: Allowed | None = None
    xmss: Allowed | None = None
    digests: list[str] | None = None
    key_ops: list[str] | None = None
    legacy_policy: LegacyPolicy | None = None
    protection: list[str] | None = None


NO_KINDS = frozenset({"digests", "key_ops", "legacy_policy", "protection"})


# -- requests ------------------------------------------------------------------------------------------------------


def cryptographic_change(body: WireCryptographicPolicy | Remove | None) -> CryptographicChange | None:
    if body is None:
        return None
    return CryptographicChange(None if body == "remove" else _policy(body))


def _policy(body: WireCryptographicPolicy) -> CryptographicPolicy:
    kinds = {name: getattr(body, name) for name in body.__struct_fields__ if name not in NO_KINDS}
    return CryptographicPolicy(
        kinds={name.upper(): _rule(allowed) for name, allowed in kinds.items() if allowed is not None},
        operations=operations_of(body.key_ops),
        protection=_named("protection", body.protection, PROTECTIONS),
        digests=_named("digests", body.digests, frozenset(HASHES)),
        legacy=None if body.legacy_policy is None else LEGACY[body.legacy_policy],
    )


def _rule(allowed: Request) -> KindRule:
    """A kind's struct has the fields that its keys can be limited by."""
    given = {name: getattr(allowed, name) for name in allowed.__struct_fields__}
    curves = _named("elliptic_curves", given.get("elliptic_curves"), CURVES)
    sizes = given.get("key_sizes")
    least = given.get("minimum_key_length")
    _check_bits("key_sizes", sizes or ())
    _check_bits("minimum_key_length", () if least is None else (least,))
    return KindRule(
        sizes=None if sizes is None else tuple(sorted(set(sizes))),
        least=least,
        curves=None if curves is None else tuple(sorted(curves)),
        random_iv=given.get("random_iv"),
        fpe=given.get("fpe"),
        encryption=padding_rules(given.get("encryption_policy")),
        signature=padding_rules(given.get("signature_policy")),
    )


def _check_bits(what: str, numbers: Iterable[int]) -> None:
    if not all(0 <= number <= _MAX_BITS for number in numbers):
        raise WireError(f"Invalid request: {what} counts bits")


def _named(what: str, names: list[str] | None, known: frozenset[str]) -> frozenset[str] | None:
    if names is None:
        return None
    if not known.issuperset(names):
        raise WireError(f"Invalid request: {what} takes {', '.join(sorted(known))}")
    return frozenset(names)


# -- responses -----------------------------------------------------------------------------------------------------


def wire_cryptographic_policy(stored: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """One that does not read is shown as what it comes to: nothing is allowed."""
    if stored is None:
        return None
    policy = policy_of(stored)
    found: dict[str, Any] = {kind.lower(): _wire_rule(rule) for kind, rule in policy.kinds.items()}
    held = policy.operations
    lists = {
        "key_ops": None if held is None else [name for operation, name in WIRE_OPERATION.items() if operation in held],
        "protection": None if policy.protection is None else sorted(policy.protection),
        "digests": None if policy.digests is None else sorted(policy.digests),
        "legacy_policy": None if policy.legacy is None else WIRE_LEGACY[policy.legacy],
    }
    return found | _given(lists)


def _wire_rule(rule: KindRule) -> dict[str, Any]:
    return _given(
        {
            "key_sizes": rule.sizes,
            "minimum_key_length": rule.least,
            "elliptic_curves": rule.curves,
            "random_iv": rule.random_iv,
            "fpe": rule.fpe,
            "encryption_policy": None if rule.encryption is None else wire_padding_rules(rule.encryption),
            "signature_policy": None if rule.signature is None else wire_padding_rules(rule.signature),
        }
    )


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
