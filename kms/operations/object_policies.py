"""What keys an account or a group wants, and what is to be said of them: its cryptographic and key metadata policies.

To set one is one right, to change it another, to take it away a third. What they demand of objects is judged elsewhere
(judging). It must not know the wire or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from kms.crypto.errors import ParameterInvalid
from kms.crypto.options import CipherOptions, KeyOptions, RsaOptions
from kms.crypto.registry import algorithm_of
from kms.hsm.module import KeySpec
from kms.objects.cryptographic_policy import CryptographicPolicy, KindRule
from kms.objects.keystore import SEALED, SOFTWARE, TOKEN
from kms.objects.metadata_policy import MAX_SECONDS, DateRule, MetadataPolicy, MetadataRules, TextRule
from kms.operations.command import Call
from policies.models import AccountPolicy, GroupPolicy
from policies.permissions import Permission

# Each use of a key looks at all of them.
MAX_LISTED = 64
MAX_TEXTS, MAX_VALUES = 32, 256
PROTECTIONS = frozenset({TOKEN, SEALED, SOFTWARE})

PolicyRow = AccountPolicy | GroupPolicy


@dataclass(frozen=True, slots=True)
class CryptographicChange:
    """The policy from now on; None takes it away."""

    policy: CryptographicPolicy | None


@dataclass(frozen=True, slots=True)
class MetadataChange:
    """The policy from now on; None takes it away."""

    policy: MetadataPolicy | None


class _Step(Enum):
    SET = "set"
    CHANGED = "changed"
    TAKEN_AWAY = "taken away"


_OF_ACCOUNT = {
    _Step.SET: Permission.ACCOUNT_POLICY_CREATE,
    _Step.CHANGED: Permission.ACCOUNT_POLICY_UPDATE,
    _Step.TAKEN_AWAY: Permission.ACCOUNT_POLICY_DELETE,
}
_OF_GROUP = {
    _Step.SET: Permission.GROUP_POLICY_CREATE,
    _Step.CHANGED: Permission.GROUP_POLICY_UPDATE,
    _Step.TAKEN_AWAY: Permission.GROUP_POLICY_DELETE,
}


def _needed(row: PolicyRow, *, stands: bool, stays: bool) -> Permission:
    step = _Step.TAKEN_AWAY if not stays else _Step.CHANGED if stands else _Step.SET
    return (_OF_ACCOUNT if isinstance(row, AccountPolicy) else _OF_GROUP)[step]


# -- cryptographic -------------------------------------------------------------------------------------------------


def cryptographic_needs(row: PolicyRow, wanted: CryptographicChange) -> Iterator[Permission]:
    yield _needed(row, stands=row.cryptographic is not None, stays=wanted.policy is not None)


def cryptographic_write(_call: Call, row: PolicyRow, wanted: CryptographicChange) -> None:
    if wanted.policy is not None:
        for kind, rule in wanted.policy.kinds.items():
            _check_kind(kind, rule)
    row.cryptographic = None if wanted.policy is None else wanted.policy.stored()


def _check_kind(kind: str, rule: KindRule) -> None:
    """What a key of the kind could not have as its own option, no policy demands."""
    for listed in (rule.sizes, rule.curves, rule.encryption, rule.signature):
        if listed is not None and len(listed) > MAX_LISTED:
            raise ParameterInvalid(f"a list in a cryptographic policy has at most {MAX_LISTED} entries")
    if rule.encryption is not None or rule.signature is not None:
        options = KeyOptions(rsa=RsaOptions(rule.encryption, rule.signature))
        algorithm_of(kind).check_options(options, KeySpec(kind, 2048))
    if rule.fpe is not None:
        algorithm_of(kind).check_options(KeyOptions(cipher=CipherOptions(fpe=rule.fpe)), KeySpec(kind, 256))


# -- metadata ------------------------------------------------------------------------------------------------------


def metadata_needs(row: PolicyRow, wanted: MetadataChange) -> Iterator[Permission]:
    yield _needed(row, stands=row.metadata is not None, stays=wanted.policy is not None)


def metadata_write(_call: Call, row: PolicyRow, wanted: MetadataChange) -> None:
    if wanted.policy is not None:
        for rules in (wanted.policy.base, *wanted.policy.kinds.values()):
            _check_rules(rules)
    row.metadata = None if wanted.policy is None else wanted.policy.stored()


def _check_rules(rules: MetadataRules) -> None:
    if len(rules.custom) > MAX_TEXTS:
        raise ParameterInvalid(f"a key metadata policy speaks of at most {MAX_TEXTS} custom attributes")
    for name, text in rules.custom.items():
        _check_text(f"custom_metadata {name}", text)
    if rules.description is not None:
        _check_text("description", rules.description)
    for name, date in (("activation_date", rules.activation), ("deactivation_date", rules.deactivation)):
        if date is not None:
            _check_date(name, date)


def _check_text(name: str, rule: TextRule) -> None:
    if len(rule.allowed) > MAX_VALUES:
        raise ParameterInvalid(f"{name} has at most {MAX_VALUES} allowed values")
    empty = {value for value in rule.allowed if not (value.strip() if rule.non_blank else value)}
    if empty:
        raise ParameterInvalid(f"{name} is required, and one of its allowed values says nothing")


def _check_date(name: str, rule: DateRule) -> None:
    given = [span.seconds for span in (rule.least, rule.default, rule.most) if span is not None]
    if given != sorted(given):
        raise ParameterInvalid(f"{name}: min, default and max are in this order")
    if given and given[-1] > MAX_SECONDS:
        raise ParameterInvalid(f"{name}: a duration is at most {MAX_SECONDS} seconds")
