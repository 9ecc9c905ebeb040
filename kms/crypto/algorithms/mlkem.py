"""ML-KEM (FIPS 203): keys to encapsulate to. No token of ours wraps such keys, so the material is lent.

It is the 64-byte seed in PKCS#8 (RFC 9935). A spec's ``curve`` is the parameter set; the key has no size in bits. A
ciphertext of the right length always decapsulates: an altered one to a secret that nobody else has (§6.3).
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import mlkem

from kms.crypto.algorithm import Described, Key, lent_key
from kms.crypto.asymmetric import (
    NO_SIZE,
    KeyPairs,
    PublicKey,
    described,
    load_either,
    load_private,
    load_public,
    private_der,
)
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.hsm.module import KeySpec
from kms.secret import SecretBytes

_PrivateKey = mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey
_PublicKey = mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey
_PRIVATE: dict[str, type[_PrivateKey]] = {
    "MlKem768": mlkem.MLKEM768PrivateKey,
    "MlKem1024": mlkem.MLKEM1024PrivateKey,
}
# FIPS 203 table 3.
CIPHERTEXT_BYTES = {"MlKem768": 1088, "MlKem1024": 1568}


class MlKem(KeyPairs):
    kind = "MLKEM"
    token_capable = False
    operations = MANAGEMENT | {KeyOperation.ENCAPSULATE, KeyOperation.DECAPSULATE}
    defaults = frozenset({KeyOperation.ENCAPSULATE, KeyOperation.DECAPSULATE, KeyOperation.APP_MANAGEABLE})
    public_operations = (KeyPairs.public_operations - {KeyOperation.VERIFY}) | {KeyOperation.ENCAPSULATE}

    def generation_spec(self, *, size: int | None, curve: str | None, public_exponent: int | None) -> KeySpec:
        known = ", ".join(_PRIVATE)
        if curve is None:
            raise ParameterInvalid(f"an ML-KEM key needs mlkem: {{param_set}}, one of {known}")
        if curve == "MlKem512":
            raise AlgorithmUnsupported(f"neither the token nor the library has MlKem512; use one of {known}")
        if curve not in _PRIVATE:
            raise AlgorithmUnsupported(f"{curve} is no parameter set of ML-KEM; use one of {known}")
        if size not in (None, NO_SIZE):
            raise ParameterInvalid("an ML-KEM key has a parameter set, not a key_size")
        return KeySpec(self.kind, NO_SIZE, curve)

    def generate_material(self, spec: KeySpec) -> SecretBytes:
        return private_der(_PRIVATE[spec.curve or ""].generate())

    def describe(self, material: SecretBytes, *, size: int | None, curve: str | None) -> Described:
        key, public = load_either(material)
        name = _parameter_set(public)
        if name is None:
            raise ParameterInvalid("the value is not an ML-KEM key (a private key must come with its seed, RFC 9935)")
        if curve is not None and curve != name:
            raise ParameterInvalid(f"param_set is {curve}, but the key's is {name}")
        return described(self.generation_spec(size=size, curve=name, public_exponent=None), key, public)

    def encapsulate(self, public: bytes) -> tuple[SecretBytes, bytes]:
        key = load_public(public)
        assert isinstance(key, _PublicKey)
        shared, ciphertext = key.encapsulate()
        return SecretBytes(shared), ciphertext

    def decapsulate(self, key: Key, ciphertext: bytes) -> SecretBytes:
        lent = lent_key(key)
        name = lent.spec.curve or ""
        if len(ciphertext) != CIPHERTEXT_BYTES[name]:
            raise ParameterInvalid(f"a {name} ciphertext has {CIPHERTEXT_BYTES[name]} bytes, not {len(ciphertext)}")
        private = load_private(lent.material)
        assert isinstance(private, _PrivateKey)
        return SecretBytes(private.decapsulate(ciphertext))


def _parameter_set(public: PublicKey) -> str | None:
    if isinstance(public, mlkem.MLKEM768PublicKey):
        return "MlKem768"
    return "MlKem1024" if isinstance(public, mlkem.MLKEM1024PublicKey) else None
