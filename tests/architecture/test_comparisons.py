"""Secrets and their digests are compared in constant time (``hmac.compare_digest``), never with ``==`` or ``in``."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source import modules

SECRET = frozenset(
    {"challenge", "cookie", "digest", "hash", "hmac", "nonce", "otp", "password", "passwords", "pin", "secret"}
    | {"secrets", "signature", "thumbprint", "token", "tokens", "totp", "verifier"}
)
# What has such a name and is not secret, or is compared with the caller's own.
HARMLESS = {
    (
        "kms/operations/providers.py",
        "known.secrets_go_to(row.config)",
    ): "addresses, to which secrets are sent",
    ("kms/operations/providers.py", "known.secrets_go_to(parsed_config)"): "addresses, to which secrets are sent",
    ("kms/operations/epochs.py", "asked.token"): "what the token, a device, remembers of the record",
}
# Of a secret, but not it.
_ABOUT = ("_version", "_id")
_OPERATORS = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)


def plain_comparisons(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of operands with a secret's name, where nothing they are compared with is a constant."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare) or not any(isinstance(op, _OPERATORS) for op in node.ops):
            continue
        operands = [node.left, *node.comparators]
        if any(_is_constant(operand) for operand in operands):
            continue
        for operand in operands:
            name = _name(operand).lower()
            if SECRET & set(name.split("_")) and not name.endswith(_ABOUT):
                yield node.lineno, ast.unparse(operand)


def _is_constant(node: ast.expr) -> bool:
    """A literal, or something of an enumeration or module in capitals."""
    if isinstance(node, ast.Constant | ast.Tuple | ast.Set | ast.List):
        return True
    return _name(node).isupper()


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call):
        wanted = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        return wanted[0] if _name(node.func) == "get" and wanted else _name(node.func)
    if isinstance(node, ast.Subscript):
        return node.slice.value if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str) else ""
    return ""


def test_secrets_are_compared_in_constant_time() -> None:
    found = {
        (path, text): line
        for path, tree in modules("accounts", "policies", "kms/operations", "kms/api", "kms/objects")
        for line, text in plain_comparisons(tree)
    }
    assert {f"{path}:{line} {text}" for (path, text), line in found.items() if (path, text) not in HARMLESS} == set()
    assert HARMLESS.keys() - found.keys() == set(), "no longer there: take it off the list"


@pytest.mark.parametrize(
    "line",
    [
        "row.secret_digest == given",
        "digest(x) != y",
        "token in tokens_known",
        "body['password'] == stored",
        "a == mac.otp",
    ],
)
def test_the_rule_sees_what_it_forbids(line: str) -> None:
    assert list(plain_comparisons(ast.parse(line)))


@pytest.mark.parametrize("line", ["kind == CredentialKind.SECRET", "secret == ''", "token_type == 'Bearer'", "a == b"])
def test_the_rule_lets_constants_pass(line: str) -> None:
    assert not list(plain_comparisons(ast.parse(line)))
