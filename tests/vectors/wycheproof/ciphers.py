"""Block ciphers in the modes that hide data: both ways, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.vectors.wycheproof.archive import Vector
from tests.vectors.wycheproof.edge import Answer, Edge, decoded, encoded
from tests.vectors.wycheproof.family import Attempt, Family, keyed
from tests.vectors.wycheproof.outcome import Outcome, accepted, refused

# What is wrong with these is the request, not the ciphertext, so that sealing must be refused as well.
_BAD_REQUESTS = {"InvalidNonceSize", "ZeroLengthIv", "InvalidTagSize", "InsecureTagSize", "InvalidKeySize"}


def cipher(kind: str, mode: str, *, message: str = "msg", ad: str | None = None, tag: bool = False) -> Attempt:
    """Decrypt what is published and encrypt what it was made from. ``message`` and ``ad`` are Wycheproof's fields."""

    def opening(vector: Vector) -> dict[str, Any]:
        request = {**shared(vector), "cipher": text(vector, "ct")}
        return {**request, "tag": text(vector, "tag")} if tag else request

    def sealing(vector: Vector) -> dict[str, Any]:
        request = {**shared(vector), "plain": text(vector, message)}
        return {**request, "tag_len": vector.group["tagSize"]} if tag else request

    def shared(vector: Vector) -> dict[str, Any]:
        request = {"alg": kind, "mode": mode, "iv": text(vector, "iv")}
        return {**request, "ad": text(vector, ad)} if ad else request

    def attempt(edge: Edge, vectors: Sequence[Vector]) -> list[Outcome]:
        usable, outcomes = keyed(vectors, lambda vector: edge.imported(kind, vector.raw("key")))
        opened = edge.batch("decrypt", [{"kid": kid, "request": opening(vector)} for vector, kid in usable])
        sealed = edge.batch("encrypt", [{"kid": kid, "request": sealing(vector)} for vector, kid in usable])
        for (vector, _), out, back in zip(usable, opened, sealed, strict=True):
            outcomes.append(_seen(vector, out, back, message))
        return outcomes

    return attempt


def text(vector: Vector, name: str) -> str:
    """A field in base64; one that the vectors of its kind lack (GMAC's message and ciphertext) is empty."""
    return encoded(vector.raw(name)) if name in vector.fields else ""


def _seen(vector: Vector, opened: Answer, sealed: Answer, message: str) -> Outcome:
    if vector.result == "invalid":
        taken = not opened.refused or (not sealed.refused and not _BAD_REQUESTS.isdisjoint(vector.flags))
        return accepted(vector) if taken else refused(vector, str(opened.body))
    if opened.refused:
        return Outcome(vector, False, str(opened.body), half="" if sealed.refused else "only encrypted")
    if opened.body["plain"] != text(vector, message):
        return Outcome(vector, True, wrong="the plaintext is not the published one")
    if sealed.refused:
        return Outcome(vector, False, str(sealed.body), half="only decrypted")
    made = decoded(sealed.body["cipher"]) + decoded(sealed.body.get("tag", ""))
    published = decoded(text(vector, "ct")) + decoded(text(vector, "tag"))
    return Outcome(vector, True, wrong="" if made == published else "the ciphertext or tag is not the published one")


FAMILIES = (
    *(
        Family(f"{kind} {mode}", f"{kind.lower()}_{mode.lower()}", cipher(kind, mode, ad="aad", tag=True))
        for kind in ("AES", "SEED", "ARIA")
        for mode in ("GCM", "CCM")
    ),
    # SP 800-38D §3: a GMAC is the tag of GCM over nothing but associated data.
    Family("AES GMAC", "aes_gmac", cipher("AES", "GCM", message="", ad="msg", tag=True)),
    *(Family(f"{kind} CBC", f"{kind.lower()}_cbc_pkcs5", cipher(kind, "CBC")) for kind in ("AES", "ARIA")),
)
