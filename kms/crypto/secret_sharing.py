"""A key split among custodians: components as long as the key, whose exclusive-or is the key (SP 800-133 rev 2 §6.3).

All of them are needed, and all but one tell nothing. Splitting into m of n (Shamir) has no name on the vendor's wire.
It must not know who holds a component.
"""

from __future__ import annotations

from collections.abc import Sequence

from kms.crypto.algorithm import Random
from kms.crypto.errors import ParameterInvalid
from kms.secret import SecretBytes


def split(material: SecretBytes, count: int, random: Random) -> tuple[SecretBytes, ...]:
    """``count`` components, each by itself uniformly random."""
    drawn = tuple(SecretBytes(random(len(material))) for _ in range(count - 1))
    return (*drawn, _xor((material, *drawn)))


def combine(components: Sequence[SecretBytes]) -> SecretBytes:
    """The key. Two components that are the same would cancel each other out, and are somebody's mistake."""
    if len({len(component) for component in components}) != 1:
        raise ParameterInvalid("the components of a key are of one length")
    if any(component == other for number, component in enumerate(components) for other in components[:number]):
        raise ParameterInvalid("two of the components are the same")
    return _xor(components)


def _xor(values: Sequence[SecretBytes]) -> SecretBytes:
    mixed = 0
    for value in values:
        mixed ^= int.from_bytes(value.reveal(), "big")
    return SecretBytes(mixed.to_bytes(len(values[0]), "big"))
