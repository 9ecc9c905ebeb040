"""ML-KEM against `cryptography`: what one side encapsulates the other decapsulates."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mlkem

from kms.crypto.algorithms.mlkem import CIPHERTEXT_BYTES
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.registry import algorithm_of
from kms.operations.executor import execute
from kms.operations.lifecycle import ExportObject
from kms.operations.queries import GetObject
from tests.crypto.curve_lab import der, opened, spki
from tests.kit.tenants import Tenant

THEIRS: dict[str, Any] = {"MlKem768": mlkem.MLKEM768PrivateKey, "MlKem1024": mlkem.MLKEM1024PrivateKey}
every = pytest.mark.parametrize("name", THEIRS)
ML_KEM = algorithm_of("MLKEM")


@every
def test_secrets_are_shared_both_ways(name: str, tenant: Tenant) -> None:
    private = THEIRS[name].generate()
    shared, ciphertext = ML_KEM.encapsulate(spki(private))
    assert private.decapsulate(ciphertext) == shared.reveal()
    assert (len(shared), len(ciphertext)) == (32, CIPHERTEXT_BYTES[name])
    theirs, sent = private.public_key().encapsulate()
    assert ML_KEM.decapsulate(opened("MLKEM", der(private)), sent).reveal() == theirs
    assert ML_KEM.encapsulate(spki(private))[0] != shared


@every
def test_an_altered_ciphertext_gives_another_secret_and_no_error(name: str, tenant: Tenant) -> None:
    private = THEIRS[name].generate()
    key = opened("MLKEM", der(private))
    shared, ciphertext = ML_KEM.encapsulate(spki(private))
    altered = ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])
    other = ML_KEM.decapsulate(key, altered)
    assert other != shared
    assert other == ML_KEM.decapsulate(key, altered)


@every
def test_a_ciphertext_of_another_length_is_refused(name: str, tenant: Tenant) -> None:
    key = opened("MLKEM", der(THEIRS[name].generate()))
    for length in (0, 768, CIPHERTEXT_BYTES[name] - 1, CIPHERTEXT_BYTES[name] + 1):
        with pytest.raises(ParameterInvalid, match=f"has {CIPHERTEXT_BYTES[name]} bytes"):
            ML_KEM.decapsulate(key, bytes(length))


@every
def test_a_key_encapsulates_and_does_nothing_else(name: str, tenant: Tenant) -> None:
    row = execute(tenant.app, GetObject(tenant.key("MLKEM", curve=name))).row
    assert (row.curve, row.protection) == (name, "software")
    assert row.operations == ["app-manageable", "decapsulate", "encapsulate"]
    public = execute(tenant.app, GetObject(tenant.imported("MLKEM", spki(THEIRS[name].generate())))).row
    assert public.operations == ["app-manageable", "encapsulate"]
    with pytest.raises(ParameterInvalid, match="cannot have the operations agree"):
        tenant.key("MLKEM", curve=name, operations=["agree"])


@every
def test_an_exportable_key_comes_back_whole(name: str, tenant: Tenant) -> None:
    private = THEIRS[name].generate()
    key = tenant.imported("MLKEM", der(private), operations=["decapsulate", "export"])
    assert execute(tenant.app, ExportObject(key)).value.reveal() == der(private)


@pytest.mark.parametrize(("curve", "words"), [("MlKem512", "neither the token"), ("MlDsa44", "is no parameter set")])
def test_other_parameter_sets_are_refused_with_the_reason(tenant: Tenant, curve: str, words: str) -> None:
    with pytest.raises(AlgorithmUnsupported, match=words):
        tenant.key("MLKEM", curve=curve)


@every
def test_a_key_has_a_parameter_set_and_no_size(name: str, tenant: Tenant) -> None:
    material = der(THEIRS[name].generate())
    with pytest.raises(ParameterInvalid, match="not a key_size"):
        tenant.imported("MLKEM", material, size=768)
    with pytest.raises(ParameterInvalid, match=f"but the key's is {name}"):
        tenant.imported("MLKEM", material, curve=next(other for other in THEIRS if other != name))
