"""Key wrapping (SP 800-38F): a published wrapped key is unwrapped and read, and its content is wrapped again."""

from __future__ import annotations

from collections.abc import Sequence

from tests.vectors.wycheproof.archive import Vector
from tests.vectors.wycheproof.edge import Answer, Edge, decoded, encoded
from tests.vectors.wycheproof.family import Attempt, Family, keyed
from tests.vectors.wycheproof.outcome import Outcome, accepted, compared, refused


def key_wrap(kind: str, mode: str) -> Attempt:
    def attempt(edge: Edge, vectors: Sequence[Vector]) -> list[Outcome]:
        usable, outcomes = keyed(vectors, lambda vector: edge.imported(kind, vector.raw("key")))
        return outcomes + [
            _tried(edge, vector, {"alg": kind, "mode": mode, "key": {"kid": kid}}) for vector, kid in usable
        ]

    return attempt


def _tried(edge: Edge, vector: Vector, shared: dict[str, object]) -> Outcome:
    subject = edge.template("SECRET", key_ops=["EXPORT"])
    unwrapped = edge.call(
        "POST", "/crypto/v1/unwrapkey", {**subject, **shared, "wrapped_key": encoded(vector.raw("ct"))}
    )
    wrapped = _wrapped(edge, vector, shared)
    if vector.result == "invalid":
        return refused(vector, str(unwrapped.body)) if unwrapped.refused else accepted(vector)
    if unwrapped.refused:
        return Outcome(vector, False, str(unwrapped.body), half="" if wrapped.refused else "only wrapped")
    if edge.exported(unwrapped.body["kid"]) != vector.raw("msg"):
        return Outcome(vector, True, wrong="what was unwrapped is not the published key")
    if wrapped.refused:
        return Outcome(vector, False, str(wrapped.body), half="only unwrapped")
    return compared(vector, "the wrapped key", got=decoded(wrapped.body["wrapped_key"]), published=vector.raw("ct"))


def _wrapped(edge: Edge, vector: Vector, shared: dict[str, object]) -> Answer:
    """Wrapping goes over an object, and none has an empty value."""
    subject = edge.imported("SECRET", vector.raw("msg"), key_ops=["EXPORT"])
    if subject.refused:
        return subject
    return edge.call("POST", "/crypto/v1/wrapkey", {**shared, "kid": subject.body["kid"]})


FAMILIES = (
    *(Family(f"{kind} KW", f"{kind.lower()}_wrap", key_wrap(kind, "KW")) for kind in ("AES", "SEED", "ARIA")),
    *(Family(f"{kind} KWP", f"{kind.lower()}_kwp", key_wrap(kind, "KWP")) for kind in ("AES", "ARIA")),
)
