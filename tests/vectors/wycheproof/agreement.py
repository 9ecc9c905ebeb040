"""Diffie-Hellman on curves: both keys are imported, what they agree on is exported and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric import ec

from kms.crypto.asymmetric import private_der
from tests.vectors.wycheproof import asn1
from tests.vectors.wycheproof.archive import Vector
from tests.vectors.wycheproof.edge import Edge
from tests.vectors.wycheproof.family import Attempt, Family
from tests.vectors.wycheproof.outcome import Outcome, compared, refused

# Wycheproof's name -> where cryptography has it. Curves that it lacks are refused by their public keys already.
CURVES: dict[str, ec.EllipticCurve] = {
    "secp224r1": ec.SECP224R1(),
    "secp256r1": ec.SECP256R1(),
    "secp384r1": ec.SECP384R1(),
    "secp521r1": ec.SECP521R1(),
    "secp256k1": ec.SECP256K1(),
    "brainpoolP256r1": ec.BrainpoolP256R1(),
    "brainpoolP384r1": ec.BrainpoolP384R1(),
    "brainpoolP512r1": ec.BrainpoolP512R1(),
}

Encoded = Callable[[Vector], bytes]


def agreement(private: Encoded, public: Encoded) -> Attempt:
    def attempt(edge: Edge, vectors: Sequence[Vector]) -> list[Outcome]:
        return [_tried(edge, vector, private, public) for vector in vectors]

    return attempt


def _tried(edge: Edge, vector: Vector, private: Encoded, public: Encoded) -> Outcome:
    theirs = edge.imported("EC", public(vector), key_ops=["AGREEKEY"])
    if theirs.refused:
        return refused(vector, f"the public key: {theirs.body}")
    ours = edge.imported("EC", private(vector), key_ops=["AGREEKEY"])
    if ours.refused:
        return refused(vector, f"the private key: {ours.body}")
    agreed = edge.derived(
        "agree",
        "SECRET",
        private_key={"kid": ours.body["kid"]},
        public_key={"kid": theirs.body["kid"]},
        mechanism="diffie_hellman",
        key_size=len(vector.raw("shared")) * 8,
        key_ops=["EXPORT"],
    )
    if agreed.refused:
        return refused(vector, agreed.body)
    secret = edge.exported(agreed.body["kid"])
    return compared(vector, "the shared secret", got=secret, published=vector.raw("shared"))


def as_published(field: str) -> Encoded:
    return lambda vector: vector.raw(field)


def scalar(vector: Vector) -> bytes:
    """A private key on a Weierstrass curve, published as a signed integer."""
    return private_der(ec.derive_private_key(int(vector.fields["private"], 16), CURVES[vector.group["curve"]])).reveal()


def bare(algorithm: bytes) -> Attempt:
    """Keys that are published without their encoding."""
    return agreement(
        lambda vector: asn1.private_key(algorithm, vector.raw("private")),
        lambda vector: asn1.public_key(algorithm, vector.raw("public")),
    )


FAMILIES = (
    Family("ECDH", r"ecdh_\w+", agreement(scalar, as_published("public"))),
    Family("X25519", "x25519", bare(asn1.X25519)),
    Family("X448", "x448", bare(asn1.X448)),
    Family("X25519, X448 encoded", r"x(25519|448)_asn", agreement(as_published("private"), as_published("public"))),
)
