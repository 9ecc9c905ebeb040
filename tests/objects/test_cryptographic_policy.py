"""Cryptographic policies as values: kept and read back whole or not at all, and never allowing more for being added."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.crypto.operation import KeyOperation
from kms.crypto.options import CipherOptions, KeyOptions, PaddingRule, RsaOptions
from kms.objects.cryptographic_policy import (
    UNREADABLE,
    CryptographicPolicy,
    KindRule,
    Shape,
    Use,
    faults,
    policy_of,
    refused_use,
)
from kms.objects.legacy import Legacy

SIGN, VERIFY, ENCRYPT, DECRYPT = KeyOperation.SIGN, KeyOperation.VERIFY, KeyOperation.ENCRYPT, KeyOperation.DECRYPT
PSS, V15, OAEP = PaddingRule("PSS"), PaddingRule("PKCS1_V15"), PaddingRule("OAEP", "SHA256")
FORMAT = {"radix": 10, "min_length": 6, "max_length": 16, "preserve": []}

rules = st.builds(PaddingRule, st.sampled_from([None, "PSS", "PKCS1_V15", "OAEP"]), st.sampled_from([None, "SHA256"]))
kind_rules = st.builds(
    KindRule,
    sizes=st.none() | st.lists(st.sampled_from([128, 256, 2048]), max_size=2).map(tuple),
    least=st.none() | st.sampled_from([0, 256, 4096]),
    curves=st.none() | st.lists(st.sampled_from(["NistP256", ""]), max_size=2).map(tuple),
    random_iv=st.none() | st.booleans(),
    fpe=st.none() | st.just(FORMAT),
    encryption=st.none() | st.lists(rules, max_size=2).map(tuple),
    signature=st.none() | st.lists(rules, max_size=2).map(tuple),
)
policies = st.builds(
    CryptographicPolicy,
    kinds=st.dictionaries(st.sampled_from(["AES", "RSA", "EC"]), kind_rules),
    operations=st.none() | st.frozensets(st.sampled_from(KeyOperation)),
    protection=st.none() | st.frozensets(st.sampled_from(["token", "sealed", "software"])),
    digests=st.none() | st.frozensets(st.sampled_from(["SHA1", "SHA256"])),
    legacy=st.none() | st.sampled_from(Legacy),
)
shapes = st.builds(
    Shape,
    kind=st.sampled_from(["AES", "RSA", "EC"]),
    size=st.sampled_from([128, 256, 2048]),
    curve=st.sampled_from(["", "NistP256"]),
    operations=st.frozensets(st.sampled_from(KeyOperation)),
    protection=st.sampled_from(["token", "sealed", "software"]),
    options=st.builds(
        KeyOptions,
        cipher=st.none() | st.builds(CipherOptions, random_iv=st.booleans(), fpe=st.none() | st.just(FORMAT)),
        rsa=st.none() | st.builds(RsaOptions, signature=st.none() | st.lists(rules, max_size=2).map(tuple)),
    ),
    public_only=st.booleans(),
)
uses = st.none() | st.builds(
    Use, st.none() | rules, st.frozensets(st.sampled_from(["SHA1", "SHA256", "SHA512"]), max_size=2)
)
operations = st.sampled_from(KeyOperation)


# -- kept and read back --------------------------------------------------------------------------------------------


@given(policies)
def test_what_is_kept_reads_back_the_same(policy: CryptographicPolicy) -> None:
    assert policy_of(json.loads(json.dumps(policy.stored()))) == policy


WHOLE = CryptographicPolicy(
    kinds={"AES": KindRule((256,), 128, ("NistP256",), True, FORMAT, (OAEP,), (PSS,)), "SECRET": KindRule()},
    operations=frozenset({SIGN, VERIFY}),
    protection=frozenset({"token"}),
    digests=frozenset({"SHA256", "SHA512"}),
    legacy=Legacy.ALLOWED,
)


def damaged(stored: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The policy with one place of it damaged, for each place and each way."""
    here = stored
    for step in at:
        here = here[step]
    if at == ("kinds", "AES", "fpe"):
        return  # a format is whatever the algorithm takes
    if isinstance(here, dict):
        spoilt = deepcopy(stored)
        found = spoilt
        for step in at:
            found = found[step]
        found["nonsense"] = 1
        yield f"{at} with a field that nobody knows", spoilt
    if at:
        wrongs: tuple[Any, ...] = (7.5, [{"nonsense": []}])
        for wrong in wrongs:
            spoilt = deepcopy(stored)
            found = spoilt
            for step in at[:-1]:
                found = found[step]
            found[at[-1]] = wrong
            yield f"{at} is {wrong}", spoilt
    for step in here if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ():
        yield from damaged(stored, (*at, step))


@pytest.mark.parametrize("stored", [pytest.param(found, id=name) for name, found in damaged(WHOLE.stored())])
def test_a_damaged_policy_forbids_everything(stored: Any) -> None:
    assert policy_of(stored) == UNREADABLE


@pytest.mark.parametrize("stored", [{}, [], "", 0, {"kinds": None}], ids=str)
def test_what_is_no_policy_forbids_everything(stored: Any) -> None:
    assert policy_of(stored) == UNREADABLE


@given(shapes, operations, uses)
def test_under_what_does_not_read_nothing_is_allowed(shape: Shape, operation: KeyOperation, use: Use | None) -> None:
    assert faults(UNREADABLE, shape)
    assert refused_use([UNREADABLE], shape, operation, use)


# -- what is judged ------------------------------------------------------------------------------------------------


def aes(size: int = 256, **fields: Any) -> Shape:
    return Shape("AES", size, "", fields.pop("operations", frozenset({ENCRYPT})), "token", **fields)


def rsa(size: int = 2048, *signature: PaddingRule) -> Shape:
    options = KeyOptions(rsa=RsaOptions(signature=signature)) if signature else KeyOptions()
    return Shape("RSA", size, "", frozenset({SIGN}), "token", options)


def ec(curve: str) -> Shape:
    return Shape("EC", 256, curve, frozenset({SIGN}), "token")


def only(kind: str, **rule: Any) -> CryptographicPolicy:
    return CryptographicPolicy({kind: KindRule(**rule)})


IVS_OF_THE_SERVER = KeyOptions(cipher=CipherOptions(random_iv=True))
TOKENISING = KeyOptions(cipher=CipherOptions(fpe=FORMAT))
JUDGED = [
    ("a kind", only("AES"), aes(), rsa()),
    ("a size", only("AES", sizes=(256,)), aes(256), aes(128)),
    ("a least size", only("RSA", least=3072), rsa(3072), rsa(2048)),
    ("a curve", only("EC", curves=("NistP256",)), ec("NistP256"), ec("SecP256K1")),
    ("IVs", only("AES", random_iv=True), aes(options=IVS_OF_THE_SERVER), aes()),
    ("IVs of tokens", only("AES", random_iv=True), aes(options=TOKENISING), aes()),
    (
        "a format",
        only("AES", fpe=FORMAT),
        aes(options=TOKENISING),
        aes(options=KeyOptions(cipher=CipherOptions(fpe={}))),
    ),
    ("a key's padding", only("RSA", signature=(PSS,)), rsa(2048, PSS), rsa(2048, V15)),
    ("one of its paddings", only("RSA", signature=(PSS,)), rsa(2048, PaddingRule()), rsa(2048, PSS, V15)),
    ("an open padding", only("RSA", signature=(PSS,)), rsa(2048), rsa(2048, V15)),
    (
        "operations",
        CryptographicPolicy({"AES": KindRule()}, operations=frozenset({ENCRYPT})),
        aes(),
        aes(operations=frozenset({ENCRYPT, DECRYPT})),
    ),
    (
        "protection",
        CryptographicPolicy({"AES": KindRule()}, protection=frozenset({"token"})),
        aes(),
        Shape("AES", 256, "", frozenset(), "software"),
    ),
    (
        "protection of what is public",
        CryptographicPolicy({"EC": KindRule()}, protection=frozenset({"token"})),
        Shape("EC", 256, "NistP256", frozenset(), "sealed", public_only=True),
        Shape("EC", 256, "NistP256", frozenset(), "sealed"),
    ),
]


@pytest.mark.parametrize(("policy", "good", "bad"), [case[1:] for case in JUDGED], ids=[case[0] for case in JUDGED])
def test_an_object_complies_or_is_told_what_is_not_allowed(
    policy: CryptographicPolicy, good: Shape, bad: Shape
) -> None:
    assert faults(policy, good) == frozenset()
    assert len(faults(policy, bad)) == 1


USES = [
    (SIGN, Use(PSS), False),
    (SIGN, Use(V15), True),
    (ENCRYPT, Use(OAEP), False),
    (ENCRYPT, Use(PaddingRule("OAEP", "SHA1")), True),
    (ENCRYPT, Use(V15), True),
    (KeyOperation.WRAP, Use(V15), True),
    (SIGN, Use(PSS, frozenset({"SHA256"})), False),
    (SIGN, Use(PSS, frozenset({"SHA1"})), True),
    (KeyOperation.MAC_GENERATE, Use(hashes=frozenset({"SHA1"})), True),
    (KeyOperation.DERIVE, Use(hashes=frozenset({"SHA1"})), True),
]


@pytest.mark.parametrize(("operation", "use", "refused"), USES)
@pytest.mark.parametrize("legacy", [None, *Legacy])
def test_a_use_is_judged_by_its_padding_and_its_hash(
    operation: KeyOperation, use: Use, refused: bool, legacy: Legacy | None
) -> None:
    rule = KindRule(encryption=(OAEP,), signature=(PSS,))
    policy = CryptographicPolicy({"RSA": rule}, digests=frozenset({"SHA256"}), legacy=legacy)
    assert (refused_use([policy], rsa(), operation, use) is not None) == refused


@pytest.mark.parametrize("legacy", [None, *Legacy])
def test_what_was_protected_otherwise_is_undone_unless_that_is_prohibited(legacy: Legacy | None) -> None:
    policy = CryptographicPolicy({"RSA": KindRule(encryption=(OAEP,), signature=(PSS,))}, legacy=legacy)
    for operation in (VERIFY, DECRYPT, KeyOperation.UNWRAP):
        assert (refused_use([policy], rsa(), operation, Use(V15)) is not None) == (legacy is Legacy.PROHIBITED)


@pytest.mark.parametrize("operation", KeyOperation)
def test_what_legacy_objects_may(operation: KeyOperation) -> None:
    """The vendor's table, in its words."""
    undoing = operation.value in ("decrypt", "verify", "mac-verify", "unwrap")
    expected = {None: True, Legacy.ALLOWED: True, Legacy.UNPROTECT_ONLY: undoing, Legacy.PROHIBITED: False}
    for legacy, may in expected.items():
        policy = CryptographicPolicy({"AES": KindRule(sizes=(256,))}, legacy=legacy)
        assert (refused_use([policy], aes(128), operation, None) is None) == may


# -- together ------------------------------------------------------------------------------------------------------


@given(st.lists(policies, max_size=3), policies, shapes, operations, uses)
def test_a_policy_more_never_allows_more(
    before: list[CryptographicPolicy],
    added: CryptographicPolicy,
    shape: Shape,
    operation: KeyOperation,
    use: Use | None,
) -> None:
    if refused_use(before, shape, operation, use) is not None:
        assert refused_use([*before, added], shape, operation, use) is not None
        assert refused_use([added, *before], shape, operation, use) is not None


@given(policies, shapes, operations, uses, st.sampled_from(["operations", "protection", "digests"]))
def test_asking_for_less_never_forbids_more(
    policy: CryptographicPolicy, shape: Shape, operation: KeyOperation, use: Use | None, part: str
) -> None:
    looser = msgspec.structs.replace(policy, **{part: None})
    assert faults(looser, shape) <= faults(policy, shape)
