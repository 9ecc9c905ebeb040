"""No algorithm without vectors: whoever adds a kind of key says here which published vectors try it."""

from __future__ import annotations

from pathlib import Path

from kms.crypto.algorithms.weierstrass import Weierstrass
from kms.crypto.registry import ALGORITHMS
from tests.vectors.wycheproof.archive import members

# Kinds that compute nothing.
_KEPT_ONLY = {"SECRET", "OPAQUE", "CERTIFICATE"}
# Kind -> a file of Wycheproof's, or a test that reads what cryptography_vectors has or an RFC prints.
_TRIED_BY = {
    "AES": "aes_gcm",
    "DES": "tests/vectors/test_nist_ciphers.py",
    "DES3": "tests/vectors/test_nist_ciphers.py",
    "SEED": "tests/vectors/test_nist_ciphers.py",
    "HMAC": "hmac_sha256",
    "RSA": "rsa_signature_2048_sha256",
    "DSA": "dsa_2048_256_sha256",
    "EC": "ecdsa_secp256r1_sha256",
    "MLDSA": "mldsa_65_verify",
    "MLKEM": "mlkem_768",
    "BIP32": "tests/crypto/test_hierarchical.py",
    "SLIP10": "tests/crypto/test_hierarchical.py",
}
_WYCHEPROOF_CURVES = {
    "NistP192": "ecdsa_secp192r1",
    "NistP224": "ecdsa_secp224r1",
    "NistP256": "ecdsa_secp256r1",
    "NistP384": "ecdsa_secp384r1",
    "NistP521": "ecdsa_secp521r1",
    "SecP256K1": "ecdsa_secp256k1",
}


def test_every_kind_is_tried() -> None:
    assert {algorithm.kind for algorithm in ALGORITHMS} - _KEPT_ONLY == _TRIED_BY.keys()
    root = Path(__file__).parents[2]
    missing = [name for name in _TRIED_BY.values() if name not in members() and not (root / name).is_file()]
    assert missing == []


def test_every_curve_is_tried() -> None:
    """Brainpool's are named after their files."""
    for curve in Weierstrass.sizes:
        prefix = _WYCHEPROOF_CURVES.get(curve) or f"ecdsa_{curve[0].lower()}{curve[1:]}"
        assert any(name.lower().startswith(prefix.lower()) for name in members()), curve
