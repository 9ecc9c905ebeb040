"""How one key wraps another's material: by a wrapping mode in the token (SP 800-38F), or as encryption of the material.

It must not know rows, the wire or HTTP.
"""

from __future__ import annotations

from kms.crypto.algorithm import CipherParameters, Encrypted, token_key
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.registry import algorithm_of
from kms.hsm.module import AesKw, AesKwp, Usage, WrapMechanism
from kms.objects import keystore
from kms.objects.snapshot import ObjectSnapshot
from kms.operations.errors import InvalidRequest
from kms.secret import SecretBytes
from policies.grant import Grant

_KEY_WRAP: dict[str, WrapMechanism] = {"KW": AesKw(), "KWP": AesKwp()}
# Tokenisation keeps a text's format; a key has none.
_NOT_FOR_KEYS = frozenset({"FF1"})


def key_wrap_mechanism(key: ObjectSnapshot, parameters: CipherParameters) -> WrapMechanism | None:
    """KW or KWP in the token, or None when the material is encrypted like any data; what wraps nothing is refused."""
    mode = parameters.mode
    if algorithm_of(key.kind).asymmetric:
        return None
    if mode is None and key.options.cipher is not None:
        mode = key.options.cipher.mode
    if mode is None:
        raise ParameterInvalid("mode is needed: GCM, KW or KWP")
    if mode in _NOT_FOR_KEYS:
        raise AlgorithmUnsupported(f"keys are not wrapped in {mode} mode")
    if key.kind != "AES" or mode not in _KEY_WRAP:
        return None
    for name, value in (
        ("iv", parameters.iv),
        ("ad", parameters.aad),
        ("tag_len", parameters.tag_bits),
        ("tag", parameters.tag),
        ("RSA padding", parameters.padding),
    ):
        if value is not None:
            raise ParameterInvalid(f"{mode} mode takes no {name}")
    return _KEY_WRAP[mode]


def check_export_rule(key: ObjectSnapshot, subject: ObjectSnapshot) -> None:
    """An object whose export policy names its wrapping keys leaves under those only."""
    rule = subject.options.export
    if rule is not None and rule.by and str(key.id) not in rule.by:
        raise InvalidRequest("The object's export policy does not name this wrapping key", "export-wrapping-key")


def wrap(grant: Grant, key: ObjectSnapshot, parameters: CipherParameters, material: SecretBytes) -> Encrypted:
    mechanism = key_wrap_mechanism(key, parameters)
    if mechanism is None:
        return _encrypt(grant, key, parameters, material)
    if isinstance(mechanism, AesKw) and (len(material) % 8 or len(material) < 16):
        raise ParameterInvalid(f"KW wraps multiples of 8 bytes from 16 up, not {len(material)}; use KWP")
    opened = token_key(keystore.open_key(grant, key, Usage.WRAP | Usage.UNWRAP))
    return Encrypted(opened.wrap(mechanism, material))


def _encrypt(grant: Grant, key: ObjectSnapshot, parameters: CipherParameters, material: SecretBytes) -> Encrypted:
    algorithm = algorithm_of(key.kind)
    if algorithm.asymmetric:
        if key.public_key is None:
            raise AlgorithmUnsupported(f"{key.kind} objects cannot wrap keys")
        return algorithm.public_encrypt(key.public_key, parameters, material.reveal(), options=key.options)
    opened = keystore.open_key(grant, key, Usage.ENCRYPT | Usage.DECRYPT)
    return algorithm.encrypt(opened, parameters, material.reveal(), keystore.random, options=key.options)


def unwrap(grant: Grant, key: ObjectSnapshot, parameters: CipherParameters, wrapped: bytes) -> SecretBytes:
    """The material in the clear, for objects that the server may hold."""
    mechanism = key_wrap_mechanism(key, parameters)
    if mechanism is not None:
        opened = token_key(keystore.open_key(grant, key, Usage.WRAP | Usage.UNWRAP))
        return opened.unwrap(mechanism, wrapped)
    cipher = keystore.open_key(grant, key, Usage.ENCRYPT | Usage.DECRYPT)
    return SecretBytes(algorithm_of(key.kind).decrypt(cipher, parameters, wrapped, options=key.options))
