"""ML-KEM (FIPS 203): published ciphertexts are decapsulated; published public keys are encapsulated to."""

from __future__ import annotations

from collections.abc import Sequence

from tests.vectors.wycheproof import asn1
from tests.vectors.wycheproof.archive import Vector
from tests.vectors.wycheproof.edge import Edge, decoded, encoded
from tests.vectors.wycheproof.family import Family, keyed
from tests.vectors.wycheproof.outcome import Outcome, accepted, compared, refused


def decapsulation(edge: Edge, vectors: Sequence[Vector]) -> list[Outcome]:
    """The seed gives the published public key, and with it the ciphertext the published secret."""
    usable, outcomes = keyed(
        vectors, lambda vector: edge.imported("MLKEM", asn1.seeded_key(_algorithm(vector), vector.raw("seed")))
    )
    for vector, kid in usable:
        outcomes.append(_decapsulated(edge, vector, kid))
    return outcomes


def _decapsulated(edge: Edge, vector: Vector, kid: str) -> Outcome:
    made = edge.derived(
        "decapsulate", "SECRET", key={"kid": kid}, ciphertext=encoded(vector.raw("c")), key_ops=["EXPORT"]
    )
    if made.refused:
        return refused(vector, made.body)
    public = decoded(edge.described(kid)["pub_key"])
    if vector.fields["ek"] and public != asn1.public_key(_algorithm(vector), vector.raw("ek")):
        return Outcome(vector, True, wrong="the public key is not the published one")
    return compared(vector, "the secret", got=edge.exported(made.body["kid"]), published=vector.raw("K"))


def encapsulation(edge: Edge, vectors: Sequence[Vector]) -> list[Outcome]:
    """A request cannot carry the randomness, so that what comes out cannot be the published one but in length."""
    usable, outcomes = keyed(
        vectors, lambda vector: edge.imported("MLKEM", asn1.public_key(_algorithm(vector), vector.raw("ek")))
    )
    for vector, kid in usable:
        made = edge.derived("encapsulate", "SECRET", key={"kid": kid}, key_ops=["EXPORT"])
        if made.refused:
            outcomes.append(refused(vector, made.body))
        elif len(decoded(made.body["ciphertext"])) != len(vector.raw("c")):
            outcomes.append(Outcome(vector, True, wrong="the ciphertext has another length than the published one"))
        else:
            outcomes.append(accepted(vector))
    return outcomes


def _algorithm(vector: Vector) -> bytes:
    return asn1.ML_KEM[vector.group["parameterSet"]]


FAMILIES = (
    Family("ML-KEM decapsulate", r"mlkem_\d+", decapsulation),
    Family("ML-KEM encapsulate", r"mlkem_\d+_encaps", encapsulation),
)
