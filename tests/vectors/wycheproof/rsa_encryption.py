"""RSA decryption of the published ciphertexts, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.vectors.wycheproof.archive import Vector
from tests.vectors.wycheproof.edge import Edge, decoded, encoded
from tests.vectors.wycheproof.family import Attempt, Family, keyed, wire_hash
from tests.vectors.wycheproof.outcome import Outcome, compared, refused

Padding = Callable[[Vector], dict[str, Any]]


def decryption(padding: Padding) -> Attempt:
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
                plain = decoded(answer.body["plain"])
                outcomes.append(compared(vector, "the plaintext", got=plain, published=vector.raw("msg")))
        return outcomes

    return attempt


def _request(vector: Vector, padding: Padding) -> dict[str, Any]:
    request = {"alg": "RSA", "mode": padding(vector), "cipher": encoded(vector.raw("ct"))}
    label = vector.fields.get("label")
    return {**request, "label": encoded(bytes.fromhex(label))} if label else request


def oaep(vector: Vector) -> dict[str, Any]:
    return {"OAEP": {"mgf": {"mgf1": {"hash": wire_hash(vector.group["sha"])}}}}


FAMILIES = (
    Family("RSA PKCS#1 v1.5 decrypt", r"rsa_pkcs1_(2048|3072)", decryption(lambda _vector: {"PKCS1_V15": {}})),
    Family("RSA OAEP decrypt", r"rsa_(three_primes_)?oaep_\w+", decryption(oaep)),
)
