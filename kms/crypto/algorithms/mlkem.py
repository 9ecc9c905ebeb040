"""ML-KEM (FIPS 203): keys to encapsulate to. The material is the 64-byte seed in PKCS#8 (RFC 9935).

A ciphertext of the right length always decapsulates: an altered one to a secret that nobody else has (§6.3).
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import mlkem

from kms.crypto.algorithm import Key, lent_key
from kms.crypto.asymmetric import load_private, load_public
from kms.crypto.errors import ParameterInvalid
from kms.crypto.lattice import LatticeKind
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.secret import SecretBytes

_PrivateKey = mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey
_PublicKey = mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey
_PRIVATE: dict[str, type[_PrivateKey]] = {
    "MlKem768": mlkem.MLKEM768PrivateKey,
    "MlKem1024": mlkem.MLKEM1024PrivateKey,
}
_PUBLIC: dict[type[_PublicKey], str] = {
    mlkem.MLKEM768PublicKey: "MlKem768",
    mlkem.MLKEM1024PublicKey: "MlKem1024",
}
# FIPS 203 table 3.
CIPHERTEXT_BYTES = {"MlKem768": 1088, "MlKem1024": 1568}


class MlKem(LatticeKind):
    kind, title, seed_format = "MLKEM", "ML-KEM", "RFC 9935"
    sets, public_sets, missing_sets = _PRIVATE, _PUBLIC, frozenset({"MlKem512"})
    operations = MANAGEMENT | {KeyOperation.ENCAPSULATE, KeyOperation.DECAPSULATE}
    defaults = frozenset({KeyOperation.ENCAPSULATE, KeyOperation.DECAPSULATE, KeyOperation.APP_MANAGEABLE})
    public_operations = (LatticeKind.public_operations - {KeyOperation.VERIFY}) | {KeyOperation.ENCAPSULATE}

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
