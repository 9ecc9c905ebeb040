"""Diffie-Hellman on curves: both keys are imported, what they agree on is exported and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.vectors.wycheproof import asn1
from tests.vectors.wycheproof.archive import Vector
from tests.vectors.wycheproof.edge import Edge, encoded
from tests.vectors.wycheproof.family import Attempt, Family
from tests.vectors.wycheproof.outcome import Outcome, compared, refused

Encoded = Callable[[Vector], bytes]


def agreement(private: Encoded, public: Encoded) -> Attempt:
    def attempt(edge: Edge, vectors: Sequence[Vector]) -> list[Outcome]:
        return [_tried(edge, vector, private, public) for vector in vectors]

    return attempt


def _tried(edge: Edge, vector: Vector, private: Encoded, public: Encoded) -> Outcome:
    """The peer's key comes with the request, as it does in practice."""
    ours = edge.imported("EC", private(vector), key_ops=["AGREEKEY"])
    if ours.refused:
        return refused(vector, f"the private key: {ours.body}")
    agreed = edge.derived(
        "agree",
        "SECRET",
        private_key={"kid": ours.body["kid"]},
        public_key={"inline": {"obj_type": "EC", "value": encoded(public(vector))}},
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
    return asn1.scalar_key(vector.group["curve"], int(vector.fields["private"], 16))


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
