"""Commands, operations, endpoints and the record's allow-list: nothing half added."""

from __future__ import annotations

import ast
import dataclasses
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import msgspec
import pytest

from accounts.principal import AuthenticationMethod, Principal, PrincipalKind
from kms.api.routes import ENDPOINTS
from kms.api.wire.base import Endpoint, WireCall
from kms.audit.entry import ALLOWED_DETAILS
from kms.operations.command import Command
from kms.operations.registry import OPERATIONS, operation_of
from tests.architecture.source import modules

ONE = uuid.UUID(int=1)


def commands(base: type[Command] = Command) -> Iterator[type[Command]]:
    """Dataclasses with ``slots`` leave their undecorated twin behind, which the second condition passes over."""
    for command in base.__subclasses__():
        if dataclasses.is_dataclass(command) and command.__module__.startswith("kms."):
            yield command
        yield from commands(command)


# -- operations ----------------------------------------------------------------------------------------------------


def test_every_command_has_exactly_one_operation() -> None:
    counted = Counter(operation.command for operation in OPERATIONS)
    assert [command for command, count in counted.items() if count > 1] == []
    named = {f"{command.__module__}.{command.__qualname__}" for command in counted}
    assert {f"{command.__module__}.{command.__qualname__}" for command in commands()} == named


def test_every_operation_has_an_action_of_its_own_that_fits_the_record() -> None:
    counted = Counter(operation.action for operation in OPERATIONS)
    assert [action for action, count in counted.items() if count > 1] == []
    for action in counted:
        noun, _, verb = action.partition(".")
        assert noun
        assert verb
        assert len(action) <= 64


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.action)
def test_commands_are_frozen(operation: Any) -> None:
    assert operation.command.__dataclass_params__.frozen


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if ".delete" in o.action or ".remove" in o.action])
def test_what_deletes_is_announced(operation: Any) -> None:
    assert operation.irreversible


# -- endpoints -----------------------------------------------------------------------------------------------------

_KEY = {"key": {"name": "k"}}
_DIRECTORY = {"dn_resolution": {"method": "search-by-mail"}, "tls": {"mode": "required"}}
# What a valid body holds beyond the fields that its struct requires.
_MORE: dict[str, dict[str, Any]] = {
    "CreateRole": {"name": "r", "details": {"kind": "group", "permissions": []}},
    "SimulateGroupPolicy": {"approval_policy": "remove"},
    "SimulateNewRole": {"name": "r", "details": {"kind": "account", "permissions": []}, "holders": [ONE]},
    "Authenticate": {"method": "password", "email": "a@example.org", "password": "x"},
    "CompleteFido2Auth": dict.fromkeys(("id", "authenticatorData", "clientDataJSON", "signature"), "eA"),
    "U2fAuth": dict.fromkeys(("keyHandle", "signatureData", "clientData"), "eA"),
    "CreateSobject": {"name": "k", "obj_type": "AES", "key_size": 256},
    "ImportSobject": {"name": "k", "obj_type": "AES", "value": b"x" * 16},
    "GetSobject": {"kid": ONE},
    "ExportSobject": {"kid": ONE},
    "Sign": {"hash_alg": "SHA256", "hash": b"x"},
    "Verify": {"hash_alg": "SHA256", "hash": b"x"},
    "MacVerify": {"mac": b"x"},
    "Wrap": {"subject": {"name": "s"}, "mode": "KWP"},
    "Unwrap": {"mode": "KWP", "name": "u", "obj_type": "AES"},
    "CopySobject": {"name": "copy"},
    "PersistTransientKey": {"name": "kept"},
    "ExportSobjectComponents": {"custodians": [{"user": ONE}, {"app": ONE}]},
    "ImportSobjectByComponents": {"key": {"name": "k", "obj_type": "AES"}, "custodians": [], "components": []},
    "Batch": {"SingleItem": {"method": "GET", "operation": "/crypto/v1/keys"}},
    "RevokeSobject": {"code": "Superseded"},
    "RevertPrevKeyOp": {"ids": [ONE]},
    "RotateSobject": {"name": "k", "obj_type": "AES"},
    "ReplaceSobject": {"replaced": {"name": "a"}, "replaced_new_name": "b", "replacement": {"name": "c"}},
    "Derive": {"name": "d", "mechanism": {"hkdf": {"hash_alg": "SHA256"}}, "key_type": "AES", "key_size": 256},
    "Transform": {"name": "t", "mechanism": {"bip32_weak_child": {"index": 1}}, "key_type": "BIP32"},
    "Agree": {"private_key": {"name": "a"}, "public_key": {"name": "b"}, "mechanism": "diffie_hellman"},
    "GetKcv": {"kid": ONE},
    "UpdateUser": {"first_name": "A"},
    "ForgotPassword": {"user_email": "a@example.org"},
    "CreateAccount": {"name": "a"},
    "InviteUser": {"user_email": "a@example.org"},
    "CreateGroup": {"name": "g"},
    "CreateExternalRole": {"name": "cn=g,dc=org", "kind": "ldap-group", "source_id": ONE},
    "TestLdapConfig": {"ldap": {"name": "d", "ldap_url": "ldaps://d", **_DIRECTORY}},
    "LdapSearch": {"filters": [{"name": "cn", "value": "x"}], "scope": "whole-subtree"},
    "CreateApprovalRequest": {"method": "GET", "operation": f"/crypto/v1/keys/{ONE}"},
    "CreateApp": {"name": "a", "add_groups": {str(ONE): []}},
    "CreateKubernetesCluster": {"jwks": {"url": "https://k8s.example/openid/v1/jwks"}},
}


# Paths with more than ids in them, and queries that a route does not do without.
_PATHS = {"GetTile": {"tile": "0/000"}}
_CREDENTIALS = {"AuthenticateKubernetes": "Bearer a.b.c"}
_QUERIES = {
    "ExplainAccess": {"permission": "object.get"},
    "ProveGrowth": {"size": "1"},
    "ExportEvidence": {"from": "1767225600", "to": "1798761600"},
    "ReportPeriod": {"from": "1767225600", "to": "1798761600"},
    "FindByName": {"q": "x"},
    "NameIds": {"ids": str(ONE)},
}


def body_of(endpoint: Endpoint) -> Any:
    """The least body that the endpoint's struct takes."""
    if endpoint.body is None:
        return None
    name = endpoint.operation.removesuffix("ById")
    if get_origin(endpoint.body) is list:
        (item,) = get_args(endpoint.body)
        return [msgspec.convert(least(item, name.removeprefix("Batch"), keyed=True), item)]
    return msgspec.convert(least(endpoint.body, name, keyed="{" not in endpoint.path), endpoint.body)


def least(struct: Any, name: str, *, keyed: bool) -> dict[str, Any]:
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    more = {key: value for key, value in _MORE.get(name, {}).items() if key in fields}
    values = {key: value(field.type, name) for key, field in fields.items() if field.required and key not in more}
    if keyed and "key" in fields:
        values |= _KEY
    return values | more


def value(kind: Any, name: str) -> Any:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return least(kind, name, keyed=False)
    return {bytes: b"x", str: "x", int: 1, uuid.UUID: ONE, bool: True}.get(kind, {})


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: e.operation)
def test_every_endpoint_makes_a_command_that_has_an_operation(endpoint: Endpoint) -> None:
    names = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    user = Principal(PrincipalKind.USER, ONE, ONE, AuthenticationMethod.PASSWORD)
    query = _QUERIES.get(endpoint.operation, {})
    path = dict.fromkeys(names, str(ONE)) | _PATHS.get(endpoint.operation, {})
    call = WireCall(path, query, body_of(endpoint), _CREDENTIALS.get(endpoint.operation, "Basic YTpi"), user)
    command = endpoint.to_command(call)
    assert operation_of(command).command is type(command)


def test_every_endpoint_has_a_name_and_a_route_of_its_own() -> None:
    assert max(Counter(endpoint.operation for endpoint in ENDPOINTS).values()) == 1
    assert max(Counter((endpoint.method, endpoint.path) for endpoint in ENDPOINTS).values()) == 1


# -- the record ----------------------------------------------------------------------------------------------------


def detail_keys(tree: ast.AST) -> Iterator[str | None]:
    """Names of details in ``call.details[…] = …``, ``call.details.update(…)`` and the dictionaries of describers.

    None for one that is not written out, which this test could not judge.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and _is_details(node.value):
            yield _text(node.slice)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_details(node.func.value):
            yield from (keyword.arg for keyword in node.keywords)
        if isinstance(node, ast.FunctionDef) and "Mapping[str, Detail]" in ast.unparse(node.returns or node):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Dict):
                    yield from (_text(key) for key in inner.keys)


def _is_details(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "details"


def _text(node: ast.AST | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def test_every_detail_that_an_operation_records_is_on_the_allow_list() -> None:
    used = {(path, key) for path, tree in modules("kms/operations") for key in detail_keys(tree)}
    assert len(used) > 30
    assert {(path, key) for path, key in used if key not in ALLOWED_DETAILS} == set()


def test_every_allowed_detail_is_recorded_by_something() -> None:
    used = {key for _, tree in modules("kms/operations") for key in detail_keys(tree)}
    # Of rejected credentials, and of their fold; and what is written where a transaction commits.
    assert used >= ALLOWED_DETAILS - {"route", "repeats", "facts"}


def test_describers_are_typed_so_that_the_test_above_sees_them() -> None:
    for path, tree in modules("kms/operations"):
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "describe" and isinstance(node.value, ast.Name):
                functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == node.value.id]
                assert functions, f"{path}: {node.value.id} is not a function of the module"
                assert "Mapping[str, Detail]" in ast.unparse(functions[0].returns or functions[0])
