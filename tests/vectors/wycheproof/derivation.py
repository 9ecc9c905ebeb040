"""HKDF (RFC 5869): the input key is imported, the output key exported and compared."""

from __future__ import annotations

from collections.abc import Sequence

from tests.vectors.wycheproof.archive import Vector
from tests.vectors.wycheproof.edge import Edge, encoded
from tests.vectors.wycheproof.family import Attempt, Family, keyed
from tests.vectors.wycheproof.outcome import Outcome, compared, refused


def hkdf(hash_name: str) -> Attempt:
    def attempt(edge: Edge, vectors: Sequence[Vector]) -> list[Outcome]:
        usable, outcomes = keyed(
            vectors, lambda vector: edge.imported("SECRET", vector.raw("ikm"), key_ops=["DERIVEKEY"])
        )
        for vector, kid in usable:
            outcomes.append(_derived(edge, vector, kid, hash_name))
        return outcomes

    return attempt


def _derived(edge: Edge, vector: Vector, kid: str, hash_name: str) -> Outcome:
    made = edge.derived(
        "derive",
        "SECRET",
        key={"kid": kid},
        key_size=vector.fields["size"] * 8,
        mechanism={
            "hkdf": {
                "hash_alg": hash_name,
                "salt": encoded(vector.raw("salt")),
                "info": encoded(vector.raw("info")),
            }
        },
        key_ops=["EXPORT"],
    )
    if made.refused:
        return refused(vector, made.body)
    return compared(vector, "the output key", got=edge.exported(made.body["kid"]), published=vector.raw("okm"))


FAMILIES = tuple(
    Family(f"HKDF {name}", f"hkdf_{name.lower()}", hkdf(name)) for name in ("SHA1", "SHA256", "SHA384", "SHA512")
)
