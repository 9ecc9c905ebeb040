"""Signatures: the published ones are verified in batches; deterministic ones are made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.vectors.wycheproof import asn1
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


def whole(_vector: Vector) -> dict[str, Any]:
    """For schemes that hash the message themselves."""
    return {}


def pure(vector: Vector) -> dict[str, Any]:
    context = vector.fields.get("ctx")
    return {"mode": {"variant": "PURE"}, **({} if context is None else {"context": encoded(bytes.fromhex(context))})}


def seeded(edge: Edge, vectors: Sequence[Vector]) -> list[Outcome]:
    """ML-DSA signs with fresh randomness here, so a new signature is verified, and so is the published one.

    The seed must give the published public key. Vectors that state no message sign its representative (mu).
    """
    usable, outcomes = keyed(vectors, lambda vector: edge.imported("MLDSA", _seed_key(vector)))
    items = [{"key": {"kid": kid}, **_to_sign(vector)} for vector, kid in usable]
    made = edge.batch("sign", items)
    published = [
        {**item, "signature": encoded(vector.raw("sig"))} for item, (vector, _) in zip(items, usable, strict=True)
    ]
    own = [
        {**item, "signature": answer.body["signature"] if not answer.refused else ""}
        for item, answer in zip(items, made, strict=True)
    ]
    for (vector, kid), signed, first, second in zip(
        usable, made, edge.batch("verify", published), edge.batch("verify", own), strict=True
    ):
        if signed.refused:
            outcomes.append(refused(vector, signed.body))
        elif (
            decoded(edge.described(kid)["pub_key"])[-len(vector.group["publicKey"]) // 2 :].hex()
            != vector.group["publicKey"]
        ):
            outcomes.append(Outcome(vector, True, wrong="the public key is not the published one"))
        else:
            hold = all(not answer.refused and answer.body["result"] for answer in (first, second))
            outcomes.append(Outcome(vector, True, wrong="" if hold else "a signature does not hold"))
    return outcomes


def _seed_key(vector: Vector) -> bytes:
    level = vector.file.split("_")[1]
    return asn1.seeded_key(asn1.ML_DSA[level], bytes.fromhex(vector.group["privateSeed"]))


def _to_sign(vector: Vector) -> dict[str, Any]:
    if "msg" not in vector.fields:
        return {"mode": {"variant": "EXTERNAL_MU"}, "hash": encoded(vector.raw("mu"))}
    return {"data": encoded(vector.raw("msg")), **pure(vector)}


FAMILIES = (
    Family("RSA PKCS#1 v1.5 verify", r"rsa_signature_\w+", verification("RSA", pkcs1)),
    Family("RSA PKCS#1 v1.5 sign", r"rsa_pkcs1_\d+_sig_gen", generation("RSA", pkcs1)),
    Family("RSA PSS verify", r"rsa_pss_\w+", verification("RSA", pss)),
    Family("ECDSA verify", r"ecdsa_\w+", verification("EC", hashed)),
    Family("Ed25519, Ed448 verify", r"ed(25519|448)", verification("EC", whole)),
    Family("DSA verify", r"dsa_\w+", verification("DSA", hashed)),
    Family("ML-DSA verify", r"mldsa_\d+_verify", verification("MLDSA", pure)),
    Family("ML-DSA sign", r"mldsa_\d+_sign_seed", seeded),
)
