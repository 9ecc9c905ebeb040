"""Signatures: the published ones are verified in batches; deterministic ones are made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.vectors.wycheproof.archive import Vector
from tests.vectors.wycheproof.edge import Edge, decoded, encoded
from tests.vectors.wycheproof.family import Attempt, Family, keyed, wire_hash
from tests.vectors.wycheproof.outcome import Outcome, accepted, compared, refused

Parts = Callable[[Vector], dict[str, Any]]


def hashed(vector: Vector) -> dict[str, Any]:
    return {"hash_alg": wire_hash(vector.group["sha"])}


def pkcs1(vector: Vector) -> dict[str, Any]:
    return {**hashed(vector), "mode": {"PKCS1_V15": {}}}


def pss(vector: Vector) -> dict[str, Any]:
    return {**hashed(vector), "mode": {"PSS": {"mgf": {"mgf1": {"hash": wire_hash(vector.group["mgfSha"])}}}}}


def verification(kind: str, parts: Parts) -> Attempt:
    """``parts`` says what a request has beside key, data and signature."""

    def attempt(edge: Edge, vectors: Sequence[Vector]) -> list[Outcome]:
        usable, outcomes = keyed(
            vectors, lambda vector: edge.imported(kind, bytes.fromhex(vector.group["publicKeyDer"]))
        )
        items = [
            {
                "key": {"kid": kid},
                "data": encoded(vector.raw("msg")),
                "signature": encoded(vector.raw("sig")),
                **parts(vector),
            }
            for vector, kid in usable
        ]
        for (vector, _), answer in zip(usable, edge.batch("verify", items), strict=True):
            holds = not answer.refused and answer.body["result"]
            outcomes.append(accepted(vector) if holds else refused(vector, str(answer.body)))
        return outcomes

    return attempt


def generation(kind: str, parts: Parts) -> Attempt:
    """The same signature as published, from the private key."""

    def attempt(edge: Edge, vectors: Sequence[Vector]) -> list[Outcome]:
        usable, outcomes = keyed(
            vectors, lambda vector: edge.imported(kind, bytes.fromhex(vector.group["privateKeyPkcs8"]))
        )
        items = [{"key": {"kid": kid}, "data": encoded(vector.raw("msg")), **parts(vector)} for vector, kid in usable]
        for (vector, _), answer in zip(usable, edge.batch("sign", items), strict=True):
            if answer.refused:
                outcomes.append(refused(vector, answer.body))
            else:
                made = decoded(answer.body["signature"])
                outcomes.append(compared(vector, "the signature", got=made, published=vector.raw("sig")))
        return outcomes

    return attempt


FAMILIES = (
    Family("RSA PKCS#1 v1.5 verify", r"rsa_signature_\w+", verification("RSA", pkcs1)),
    Family("RSA PKCS#1 v1.5 sign", r"rsa_pkcs1_\d+_sig_gen", generation("RSA", pkcs1)),
    Family("RSA PSS verify", r"rsa_pss_\w+", verification("RSA", pss)),
    Family("ECDSA verify", r"ecdsa_\w+", verification("EC", hashed)),
)
