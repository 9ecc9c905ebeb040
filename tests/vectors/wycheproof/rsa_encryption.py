"""RSA decryption of the published ciphertexts, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.vectors.wycheproof.archive import Vector
from tests.vectors.wycheproof.edge import Edge, decoded, encoded
from tests.vectors.wycheproof.family import Attempt, Family, keyed, wire_hash
from tests.vectors.wycheproof.outcome import Outcome, accepted, compared, refused

Padding = Callable[[Vector], dict[str, Any]]


def decryption(padding: Padding, seen: Callable[[Vector, bytes], Outcome]) -> Attempt:
    """``seen`` judges what was decrypted."""

    def attempt(edge: Edge, vectors: Sequence[Vector]) -> list[Outcome]:
        usable, outcomes = keyed(
            vectors,
            lambda vector: edge.imported(
                "RSA",
                bytes.fromhex(vector.group["privateKeyPkcs8"]),
                rsa={"encryption_policy": [{"padding": padding(vector)}]},
            ),
        )
        answers = edge.batch("decrypt", [{"kid": kid, "request": _request(vector, padding)} for vector, kid in usable])
        for (vector, _), answer in zip(usable, answers, strict=True):
            if answer.refused:
                outcomes.append(refused(vector, answer.body))
            else:
                outcomes.append(seen(vector, decoded(answer.body["plain"])))
        return outcomes

    return attempt


def _request(vector: Vector, padding: Padding) -> dict[str, Any]:
    request = {"alg": "RSA", "mode": padding(vector), "cipher": encoded(vector.raw("ct"))}
    label = vector.fields.get("label")
    return {**request, "label": encoded(bytes.fromhex(label))} if label else request


def oaep(vector: Vector) -> dict[str, Any]:
    return {"OAEP": {"mgf": {"mgf1": {"hash": wire_hash(vector.group["sha"])}}}}


def pkcs1(_vector: Vector) -> dict[str, Any]:
    return {"PKCS1_V15": {}}


def published_or_wrong(vector: Vector, plain: bytes) -> Outcome:
    return compared(vector, "the plaintext", got=plain, published=vector.raw("msg"))


def published_or_made_up(vector: Vector, plain: bytes) -> Outcome:
    """Implicit rejection (draft-irtf-cfrg-rsa-guidance §7): a bad padding is answered by bytes of the server's own.

    They are a refusal when they are not the end of the padded message, which is where a message is taken from.
    """
    if vector.result != "invalid":
        return published_or_wrong(vector, plain)
    key = {name: int(vector.group["privateKey"][name], 16) for name in ("modulus", "privateExponent")}
    width = (key["modulus"].bit_length() + 7) // 8
    padded = pow(int.from_bytes(vector.raw("ct")), key["privateExponent"], key["modulus"]).to_bytes(width)
    return accepted(vector) if plain and padded.endswith(plain) else refused(vector, "bytes of the server's own")


FAMILIES = (
    Family("RSA PKCS#1 v1.5 decrypt", r"rsa_pkcs1_(2048|3072)", decryption(pkcs1, published_or_made_up)),
    Family("RSA OAEP decrypt", r"rsa_(three_primes_)?oaep_\w+", decryption(oaep, published_or_wrong)),
)
