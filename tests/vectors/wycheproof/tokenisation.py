"""FF1 (SP 800-38G revision 1): each vector's key gets a format of its alphabet and length; both ways, in batches.

Vectors over lists of numbers go as text too: number n is the n-th character of a plane that has nothing else in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.vectors.wycheproof.archive import Vector
from tests.vectors.wycheproof.edge import Answer, Edge, decoded, encoded
from tests.vectors.wycheproof.family import Family, keyed
from tests.vectors.wycheproof.outcome import Outcome, accepted, refused

_PLANE = 0x10000


def attempt(edge: Edge, vectors: Sequence[Vector]) -> list[Outcome]:
    usable, outcomes = keyed(vectors, lambda vector: edge.imported("AES", vector.raw("key"), fpe=_format(vector)))
    taken = edge.batch("encrypt", [_item(vector, kid, plain=_text(vector, "msg")) for vector, kid in usable])
    given = edge.batch("decrypt", [_item(vector, kid, cipher=_text(vector, "ct")) for vector, kid in usable])
    for (vector, _), token, back in zip(usable, taken, given, strict=True):
        outcomes.append(_seen(vector, token, back))
    return outcomes


def _format(vector: Vector) -> dict[str, Any]:
    length = len(vector.fields["msg"])
    return {"format": {"char_set": _alphabet(vector), "min_length": length, "max_length": length}}


def _alphabet(vector: Vector) -> list[list[str]]:
    """Ranges of characters, in the order of the numbers they stand for."""
    if "alphabet" in vector.group:
        return [[character, character] for character in vector.group["alphabet"]]
    return [[chr(_PLANE), chr(_PLANE + vector.group["radix"] - 1)]]


def _text(vector: Vector, name: str) -> str:
    value = vector.fields[name]
    return value if isinstance(value, str) else "".join(chr(_PLANE + number) for number in value)


def _item(vector: Vector, kid: str, **texts: str) -> dict[str, Any]:
    data = {name: encoded(text.encode()) for name, text in texts.items()}
    return {"kid": kid, "request": {"alg": "AES", "mode": "FF1", "ad": encoded(vector.raw("tweak")), **data}}


def _seen(vector: Vector, token: Answer, back: Answer) -> Outcome:
    if vector.result == "invalid":
        return refused(vector, token.body) if token.refused else accepted(vector)
    if token.refused or back.refused:
        half = "" if token.refused and back.refused else "only one way"
        return Outcome(vector, False, f"{token.body}; {back.body}", half=half)
    published = (_text(vector, "ct"), _text(vector, "msg"))
    got = (decoded(token.body["cipher"]).decode(), decoded(back.body["plain"]).decode())
    return Outcome(vector, True, wrong="" if got == published else "token or text is not the published one")


FAMILIES = (Family("AES FF1", r"aes_ff1_\w+", attempt),)
