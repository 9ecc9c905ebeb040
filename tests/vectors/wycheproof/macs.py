"""Message authentication codes: made and checked, in batches."""

from __future__ import annotations

from collections.abc import Sequence

from tests.vectors.wycheproof.archive import Vector
from tests.vectors.wycheproof.edge import Edge, decoded, encoded
from tests.vectors.wycheproof.family import Attempt, Family, keyed
from tests.vectors.wycheproof.outcome import Outcome, accepted, refused


def mac(kind: str, hash_name: str | None = None, *, lent: bool = False) -> Attempt:
    """``hash_name`` is HMAC's; a block cipher's key makes CMACs and needs none.

    ``lent``: no token computes it, so the key must be one that may leave it.
    """
    operations = ["MACGENERATE", "MACVERIFY", *(["EXPORT"] if lent else [])]

    def attempt(edge: Edge, vectors: Sequence[Vector]) -> list[Outcome]:
        usable, outcomes = keyed(vectors, lambda vector: edge.imported(kind, vector.raw("key"), key_ops=operations))
        shared = [
            {"key": {"kid": kid}, "data": encoded(vector.raw("msg")), **({"alg": hash_name} if hash_name else {})}
            for vector, kid in usable
        ]
        made = edge.batch("mac", shared)
        checked = edge.batch(
            "macverify",
            [{**body, "mac": encoded(vector.raw("tag"))} for body, (vector, _) in zip(shared, usable, strict=True)],
        )
        for (vector, _), whole, check in zip(usable, made, checked, strict=True):
            tag = vector.raw("tag")
            if vector.result == "valid" and not whole.refused and decoded(whole.body["mac"])[: len(tag)] != tag:
                outcomes.append(Outcome(vector, True, wrong="the MAC is not the published one"))
            elif check.refused or not check.body["result"]:
                outcomes.append(refused(vector, str(check.body)))
            else:
                outcomes.append(accepted(vector))
        return outcomes

    return attempt


FAMILIES = (
    *(
        Family(f"HMAC {name}", f"hmac_{name.lower()}", mac("HMAC", name))
        for name in ("SHA1", "SHA224", "SHA256", "SHA384", "SHA512")
    ),
    *(
        Family(f"HMAC {name}", f"hmac_{name.lower()}", mac("HMAC", name, lent=True))
        for name in ("SHA3_224", "SHA3_256", "SHA3_384", "SHA3_512")
    ),
    *(Family(f"{kind} CMAC", f"{kind.lower()}_cmac", mac(kind)) for kind in ("AES", "ARIA")),
)
