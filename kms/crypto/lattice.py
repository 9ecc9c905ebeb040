"""What ML-DSA and ML-KEM share (FIPS 204, FIPS 203): kinds whose shape is a parameter set and whose material is a seed.

No token of ours wraps such keys, so the material, the seed in PKCS#8, is lent. A spec's ``curve`` is the parameter set;
the key has no size in bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kms.crypto.algorithm import Described
from kms.crypto.asymmetric import NO_SIZE, KeyPairs, described, load_either, private_der
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes


class LatticeKind(KeyPairs):
    """``sets`` maps a parameter set to the library's private key, ``public_sets`` the library's public key to it."""

    token_capable = False
    title: str
    seed_format: str
    sets: Mapping[str, Any]
    public_sets: Mapping[Any, str]
    missing_sets: frozenset[str] = frozenset()

    def generation_spec(self, *, size: int | None, curve: str | None, public_exponent: int | None) -> KeySpec:
        known = ", ".join(self.sets)
        if curve is None:
            raise ParameterInvalid(f"an {self.title} key needs {self.kind.lower()}: {{param_set}}, one of {known}")
        if curve in self.missing_sets:
            raise AlgorithmUnsupported(f"neither the token nor the library has {curve}; use one of {known}")
        if curve not in self.sets:
            raise AlgorithmUnsupported(f"{curve} is no parameter set of {self.title}; use one of {known}")
        if size not in (None, NO_SIZE):
            raise ParameterInvalid(f"an {self.title} key has a parameter set, not a key_size")
        return KeySpec(self.kind, NO_SIZE, curve)

    def generate_material(self, spec: KeySpec) -> SecretBytes:
        return private_der(self.sets[spec.curve or ""].generate())

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        key, public = load_either(material)
        name = next((name for kind, name in self.public_sets.items() if isinstance(public, kind)), None)
        if name is None:
            raise ParameterInvalid(
                f"the value is not an {self.title} key (a private key must come with its seed, {self.seed_format})"
            )
        if curve is not None and curve != name:
            raise ParameterInvalid(f"param_set is {curve}, but the key's is {name}")
        return described(self.generation_spec(size=size, curve=name, public_exponent=None), key, public)
