"""ML-DSA (FIPS 204): pure, over a hash (HashML-DSA), and over a message representative that the caller computed.

The material is the 32-byte seed in PKCS#8 (RFC 9881).
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa

from kms.crypto.algorithm import Key, Message, SignatureParameters, lent_key
from kms.crypto.asymmetric import load_private, load_public
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.lattice import LatticeKind
from kms.crypto.operation import MANAGEMENT, KeyOperation
from kms.crypto.options import KeyOptions

_PrivateKey = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
_PublicKey = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
_PRIVATE: dict[str, type[_PrivateKey]] = {
    "MlDsa44": mldsa.MLDSA44PrivateKey,
    "MlDsa65": mldsa.MLDSA65PrivateKey,
    "MlDsa87": mldsa.MLDSA87PrivateKey,
}
_PUBLIC: dict[type[_PublicKey], str] = {
    mldsa.MLDSA44PublicKey: "MlDsa44",
    mldsa.MLDSA65PublicKey: "MlDsa65",
    mldsa.MLDSA87PublicKey: "MlDsa87",
}
# FIPS 204 §5.4: a hash as hard to collide as the signature to forge has at least twice lambda (table 1) in bits.
_PREHASH_BITS = {"MlDsa44": 256, "MlDsa65": 384, "MlDsa87": 512}
# The last arc of the hash's identifier under 2.16.840.1.101.3.4.2, and its bits.
_PREHASHES = {
    "SHA256": (1, 256),
    "SHA384": (2, 384),
    "SHA512": (3, 512),
    "SHA3_256": (8, 256),
    "SHA3_384": (9, 384),
    "SHA3_512": (10, 512),
}
_NIST_HASHES = bytes.fromhex("06096086480165030402")
_MU_BYTES, MAX_CONTEXT = 64, 255
PURE, PRE_HASH, EXTERNAL_MU = "PURE", "PRE_HASH", "EXTERNAL_MU"


class MlDsa(LatticeKind):
    kind, title, seed_format = "MLDSA", "ML-DSA", "RFC 9881"
    sets, public_sets = _PRIVATE, _PUBLIC
    operations = MANAGEMENT | {KeyOperation.SIGN, KeyOperation.VERIFY}
    defaults = frozenset({KeyOperation.SIGN, KeyOperation.VERIFY, KeyOperation.APP_MANAGEABLE})

    def sign(self, key: Key, parameters: SignatureParameters, message: Message, *, options: KeyOptions) -> bytes:
        if parameters.deterministic:
            raise AlgorithmUnsupported("the library signs with ML-DSA by fresh randomness only (FIPS 204 §3.4, hedged)")
        private = load_private(lent_key(key).material)
        assert isinstance(private, _PrivateKey)
        if _variant(parameters) == PURE:
            return private.sign(_whole(message), _context(parameters))
        return private.sign_mu(_representative(private.public_key(), parameters, message))

    def verify(
        self,
        public: bytes,
        parameters: SignatureParameters,
        message: Message,
        signature: bytes,
        *,
        options: KeyOptions,
    ) -> bool:
        key = load_public(public)
        assert isinstance(key, _PublicKey)
        try:
            if _variant(parameters) == PURE:
                key.verify(signature, _whole(message), _context(parameters))
            else:
                key.verify_mu(signature, _representative(key, parameters, message))
        except InvalidSignature:
            return False
        return True


# -- what is signed ------------------------------------------------------------------------------------------------


def _variant(parameters: SignatureParameters) -> str:
    variant = parameters.variant or PURE
    if parameters.padding is not None or variant not in (PURE, PRE_HASH, EXTERNAL_MU):
        raise ParameterInvalid(f"an ML-DSA signature takes the variant {PURE}, {PRE_HASH} or {EXTERNAL_MU}")
    if parameters.hash is not None and variant != PRE_HASH:
        raise ParameterInvalid(f"{variant} takes no hash_alg: a hash is signed as {PRE_HASH}")
    return variant


def _context(parameters: SignatureParameters) -> bytes:
    context = parameters.context or b""
    if len(context) > MAX_CONTEXT:
        raise ParameterInvalid(f"the context has at most {MAX_CONTEXT} bytes, not {len(context)}")
    return context


def _whole(message: Message) -> bytes:
    return message.whole(f"ML-DSA in the variant {PURE}")


def _representative(public: _PublicKey, parameters: SignatureParameters, message: Message) -> bytes:
    """The mu of FIPS 204 §6.2: the caller's, or that of a hashed message."""
    if parameters.variant == EXTERNAL_MU:
        return _external(parameters, message)
    context, arc = _context(parameters), _prehash(public, parameters)
    prefix = bytes([1, len(context)]) + context + _NIST_HASHES + bytes([arc])
    # FIPS 204 algorithm 4 step 23, and algorithm 7 step 6 with the public key's hash.
    key_hash = hashlib.shake_256(public.public_bytes_raw()).digest(_MU_BYTES)
    return hashlib.shake_256(key_hash + prefix + message.hashed(parameters.hash)).digest(_MU_BYTES)


def _external(parameters: SignatureParameters, message: Message) -> bytes:
    """The wire has no field of its own for it: it is a hash, so ``hash`` is where it belongs; ``data`` does as well."""
    if parameters.context is not None:
        raise ParameterInvalid(f"{EXTERNAL_MU} takes no context: the value has it inside already")
    if (message.data is None) == (message.digest is None):
        raise ParameterInvalid("give either hash or data")
    value = message.digest if message.digest is not None else message.data
    if value is None or len(value) != _MU_BYTES:
        raise ParameterInvalid(f"{EXTERNAL_MU} signs a message representative of {_MU_BYTES} bytes")
    return value


def _prehash(public: _PublicKey, parameters: SignatureParameters) -> int:
    name = next(name for kind, name in _PUBLIC.items() if isinstance(public, kind))
    enough = [known for known, (_, bits) in _PREHASHES.items() if bits >= _PREHASH_BITS[name]]
    if parameters.hash is None:
        raise ParameterInvalid("hash_alg is needed")
    if parameters.hash not in enough:
        raise AlgorithmUnsupported(f"{name} is not for messages hashed by {parameters.hash}; use {', '.join(enough)}")
    return _PREHASHES[parameters.hash][0]
