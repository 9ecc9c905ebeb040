"""What the tests of responses share: the request that all samples answer, and reading a sample."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accounts.sso.saml_response import Expected, Names, ResponseRejected, Statement, received, stated
from tests.sso.saml import forge
from tests.sso.saml.forge import Sample, encoded, key_of

NOW = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
REQUEST, AUDIENCE, RECIPIENT = "_request", "https://kms.example/saml/metadata.xml", "https://kms.example/saml/acs"
NO_NAMES = Names()
NAMES = Names("mail", "groups", "given", "family")

Edit = Callable[[str], str]


def keys(*names: str) -> list[bytes]:
    publics = [key_of(name).private.public_key() for name in names or ("rsa",)]
    return [public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for public in publics]


def expected(now: datetime = NOW, trusted: list[bytes] | None = None) -> Expected:
    return Expected(REQUEST, forge.ENTITY, AUDIENCE, RECIPIENT, keys() if trusted is None else trusted, now)


def good(**parts: object) -> Sample:
    return Sample(REQUEST, AUDIENCE, RECIPIENT, NOW).with_(**parts)


def read(text: str, names: Names = NO_NAMES, **where: object) -> Statement:
    return stated(received(encoded(text)), expected(**where), names)  # type: ignore[arg-type]  # checked when called


def refusal(text: str, names: Names = NO_NAMES, **where: object) -> str:
    with pytest.raises(ResponseRejected) as refused:
        read(text, names, **where)
    return refused.value.code
