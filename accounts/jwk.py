"""Public keys that sign tokens: JSON Web Keys (RFC 7517), and sets of them, read strictly. Pure: no Django, no I/O.

It must not know tokens, apps or identity providers: who takes which key's word is judged elsewhere.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey

_OF_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_OF_CURVE = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_EDDSA = "EdDSA"
# RFC 7518 §3.1, RFC 8037. What a shared secret signs is not among them: whoever can check such a token can make one.
ALGORITHMS = frozenset({*_OF_RSA, *_OF_CURVE.values(), _EDDSA})

MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
MAX_KEYS = 64
_READERS: Mapping[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}
# CVE-2017-15361 (ROCA): such moduli are powers of 65537 modulo each of these primes.
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


class KeyRejected(Exception):
    """Not a key, or not one whose signatures are taken. The message is for whoever configures it."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and what it may verify: never more than its own kind, never less strict than it says itself."""

    kid: str | None
    key: PublicKey
    algorithms: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeySet:
    keys: tuple[VerificationKey, ...]

    def names(self, kid: str | None) -> bool:
        return kid is None or any(key.kid == kid for key in self.keys)

    def find(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        """The one key that is meant. Two that could be meant are none: nobody is to choose between them."""
        fitting = [key for key in self.keys if algorithm in key.algorithms and kid in (None, key.kid)]
        return fitting[0] if len(fitting) == 1 else None


def strict_object(text: bytes) -> dict[str, Any]:
    """A JSON object in which no name stands twice (RFC 8259 §4: what readers make of that differs). Or ValueError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name stands twice")
        return found

    def refuse(_constant: str) -> None:
        raise ValueError("not JSON")

    try:
        value = json.loads(text.decode(), object_pairs_hook=unique, parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


# -- keys ----------------------------------------------------------------------------------------------------------


def key_of(kid: str | None, public: Any) -> VerificationKey:
    """A loaded public key as one that verifies."""
    if isinstance(public, rsa.RSAPublicKey):
        _check_rsa(public)
        return VerificationKey(kid, public, _OF_RSA)
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _OF_CURVE:
        return VerificationKey(kid, public, frozenset({_OF_CURVE[public.curve.name]}))
    if isinstance(public, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return VerificationKey(kid, public, frozenset({_EDDSA}))
    raise KeyRejected("The key is none of RSA, EC on P-256, P-384 or P-521, Ed25519 and Ed448")


def key_of_bytes(kid: str, encoded: bytes) -> VerificationKey:
    """A SubjectPublicKeyInfo (RFC 5280 §4.1), as DER or PEM."""
    load = serialization.load_pem_public_key if encoded.startswith(b"-----") else serialization.load_der_public_key
    try:
        public = load(encoded)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyRejected("The key is not a public key as DER or PEM") from None
    return key_of(kid, public)


def der_of(key: VerificationKey) -> bytes:
    return key.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_of_jwk(jwk: Mapping[str, Any]) -> VerificationKey:
    """One member of a set. Its ``use``, ``key_ops`` and ``alg`` bind (RFC 7517 §4.2 to 4.4)."""
    reader = _READERS.get(jwk["kty"]) if isinstance(jwk.get("kty"), str) else None
    kid, algorithm = jwk.get("kid"), jwk.get("alg")
    if reader is None or "d" in jwk or jwk.get("use", "sig") != "sig" or not _verifies(jwk.get("key_ops")):
        raise KeyRejected("The key is not a public one for signatures")
    if not isinstance(kid, str | None):
        raise KeyRejected("The key's kid is not text")
    try:
        public = reader.from_jwk(dict(jwk))
    except (PyJWTError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        raise KeyRejected("The key is not well-formed") from None
    key = key_of(kid, public)
    if algorithm is None:
        return key
    if algorithm not in key.algorithms:
        raise KeyRejected("The key cannot do the algorithm that it names")
    return VerificationKey(kid, key.key, frozenset({algorithm}))


def key_set(document: bytes) -> KeySet:
    """A JWK Set (RFC 7517 §5). Keys that are not for us to use are passed over, as the RFC says to."""
    try:
        members = strict_object(document)["keys"]
    except (ValueError, KeyError):
        raise KeyRejected("The answer is not a JWK Set") from None
    if not isinstance(members, list) or len(members) > MAX_KEYS:
        raise KeyRejected(f"The answer is not a JWK Set of at most {MAX_KEYS} keys")
    found = []
    for member in members:
        try:
            found.append(key_of_jwk(member if isinstance(member, dict) else {}))
        except KeyRejected:
            continue
    return KeySet(tuple(found))


def _verifies(operations: Any) -> bool:
    return operations is None or (isinstance(operations, list) and "verify" in operations)


def _check_rsa(public: rsa.RSAPublicKey) -> None:
    numbers = public.public_numbers()
    if not MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS:
        raise KeyRejected(f"RSA keys have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
    if numbers.e < 3 or numbers.e % 2 == 0:
        raise KeyRejected("The RSA key's exponent is not one that signs")
    if all(numbers.n % prime in residues for prime, residues in _roca_residues().items()):
        raise KeyRejected("The RSA key was made by the faulty generator of CVE-2017-15361; make another")


@functools.cache
def _roca_residues() -> dict[int, frozenset[int]]:
    return {prime: frozenset(pow(65537, power, prime) for power in range(prime - 1)) for prime in _ROCA_PRIMES}
