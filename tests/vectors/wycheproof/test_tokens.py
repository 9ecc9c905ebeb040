"""Wycheproof's files for JOSE through the verifier of apps' tokens: every signature by a key pair ends as published.

What a shared secret signs and what is encrypted is refused on purpose; so are signatures whose published key says of
itself that it is for another algorithm.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from accounts import jwk, jwt_bearer
from accounts.errors import NotAuthenticated
from tests.vectors.tally import Tally
from tests.vectors.wycheproof.archive import TOKENS, Vector, members, vectors

# Published as valid although the key names PS256 for a PS384 signature, or ES521, which RFC 7518 does not know.
ANOTHER_ALGORITHM = {346, 347, 350, 351}


def ending(vector: Vector) -> str:
    """``accepted``, or why it was refused."""
    key = vector.group.get("public") or vector.group["private"]
    keys = jwk.key_set(json.dumps(key if "keys" in key else {"keys": [key]}).encode())
    given: Any = vector.fields.get("jws", vector.fields.get("jwe"))
    try:
        token = jwt_bearer.take_apart(given if isinstance(given, str) else json.dumps(given))
    except NotAuthenticated as refused:
        return refused.reason
    return "accepted" if jwt_bearer.is_signed(token, keys) else "jwt-signature"


def symmetric(vector: Vector) -> bool:
    key = vector.group.get("public") or vector.group["private"]
    return any(each["kty"] == "oct" for each in key.get("keys", [key]))


def expected(vector: Vector) -> tuple[str, set[str]]:
    """The column of the tally, and the endings that are right."""
    if "jws" not in vector.fields:
        return "on purpose", {"jwt-malformed", "jwt-algorithm"}
    if vector.result != "valid":
        return "invalid", {"jwt-malformed", "jwt-algorithm", "jwt-signature"}
    if symmetric(vector):
        return "on purpose", {"jwt-algorithm", "jwt-malformed"}  # some have letters that base64url has not
    if vector.file == "json_web_signature" and vector.number in ANOTHER_ALGORITHM:
        return "on purpose", {"jwt-signature"}
    return "valid", {"accepted"}


@pytest.mark.parametrize("file", sorted(members(TOKENS)))
def test_every_vector_ends_as_it_should(file: str, tally: Tally) -> None:
    counts: Counter[str] = Counter()
    for vector in vectors(file, TOKENS):
        column, right = expected(vector)
        assert ending(vector) in right, vector
        counts[column] += 1
    tally.add("verifier", "JOSE", file, counts)


def test_as_many_as_are_published_were_tried() -> None:
    columns = Counter(expected(vector)[0] for file in members(TOKENS) for vector in vectors(file, TOKENS))
    assert columns == {"valid": 35, "invalid": 421, "on purpose": 193}
