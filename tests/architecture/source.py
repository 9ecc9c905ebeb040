"""The tree as syntax, for rules that no type checker knows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("accounts", "policies", "kms")


def modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Path and syntax of every module under the folders (all rooms when none are given), migrations left out."""
    for folder in folders or ROOMS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def calls_by_function(tree: ast.AST, outer: str = "") -> Iterator[tuple[str, ast.Call]]:
    """Every call with the dotted name of the function (or class) it stands in."""
    for node in ast.iter_child_nodes(tree):
        name = outer
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{outer}.{node.name}" if outer else node.name
        if isinstance(node, ast.Call):
            yield name, node
        yield from calls_by_function(node, name)


def called_name(call: ast.Call) -> str:
    """``f`` of ``f(…)`` and of ``a.b.f(…)``."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""
