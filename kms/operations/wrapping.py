"""How one key wraps another's material: the mechanisms of a wrapping key and their parameters (SP 800-38F, -38D)."""

from __future__ import annotations

from kms.crypto.algorithm import CipherParameters, Encrypted, Random
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.registry import algorithm_of
from kms.hsm.module import AesKw, AesKwp, OpenedKey, Usage, WrapMechanism
from kms.secret import SecretBytes

# Wrapping by GCM is encryption of the material, so one opened key serves every mode.
WRAPPING_USAGE = Usage.ENCRYPT | Usage.DECRYPT | Usage.WRAP | Usage.UNWRAP
_KEY_WRAP: dict[str, WrapMechanism] = {"KW": AesKw(), "KWP": AesKwp()}


def key_wrap_mechanism(kind: str, parameters: CipherParameters) -> WrapMechanism | None:
    """KW or KWP, or None when the mode is GCM; anything else is refused."""
    if kind != "AES":
        raise AlgorithmUnsupported(f"{kind} objects cannot wrap keys here")
    mode = parameters.mode
    if mode is None:
        raise ParameterInvalid("mode is needed: GCM, KW or KWP")
    if mode == "GCM":
        return None
    if mode not in _KEY_WRAP:
        raise AlgorithmUnsupported(f"keys are wrapped by AES in GCM, KW or KWP mode, not {mode}")
    for name, value in (
        ("iv", parameters.iv),
        ("ad", parameters.aad),
        ("tag_len", parameters.tag_bits),
        ("tag", parameters.tag),
    ):
        if value is not None:
            raise ParameterInvalid(f"{mode} mode takes no {name}")
    return _KEY_WRAP[mode]


def wrap(key: OpenedKey, kind: str, parameters: CipherParameters, material: SecretBytes, random: Random) -> Encrypted:
    mechanism = key_wrap_mechanism(kind, parameters)
    if mechanism is None:
        return algorithm_of(kind).encrypt(key, parameters, material.reveal(), random)
    if isinstance(mechanism, AesKw) and (len(material) % 8 or len(material) < 16):
        raise ParameterInvalid(f"KW wraps multiples of 8 bytes from 16 up, not {len(material)}; use KWP")
    return Encrypted(key.wrap(mechanism, material))


def unwrap(key: OpenedKey, kind: str, parameters: CipherParameters, wrapped: bytes) -> SecretBytes:
    """The material in the clear, for objects that the server may hold."""
    mechanism = key_wrap_mechanism(kind, parameters)
    if mechanism is None:
        return SecretBytes(algorithm_of(kind).decrypt(key, parameters, wrapped))
    return key.unwrap(mechanism, wrapped)
