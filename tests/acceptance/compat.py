"""Every operation the vendor's Python and Go clients know, and whether this server serves it (`make compat`).

The clients' own source is read for method and path; nothing of them is run. The answer is docs/compatibility.md, which
a test compares with what the running server does.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENT = CHECKOUT / "docs" / "compatibility.md"
GO_PROGRAM = Path(__file__).with_name("go")
GO_MODULE = "github.com/fortanix/sdkms-client-go"

WORKS, REFUSED, MISSING = "works", "refused", "missing"

# What is refused on purpose: a pattern for "METHOD /path", and why. Everything else that has no route is missing.
PURPOSE: tuple[tuple[str, str], ...] = (
    (r"\w+ /sys/v1/groups/.*hmg.*", "keys live in this server's token, not in another vendor's KMS"),
    (
        r"POST /crypto/v1/keys/\{\}/(restore|schedule_deletion|cancel_deletion|delete_key_material)",
        "keys live in this server's token, not in another vendor's KMS",
    ),
    (
        r"POST /sys/v1/session/aws_temporary_credentials",
        "keys live in this server's token, not in another vendor's KMS",
    ),
    (r"GET /sys/v1/marketplace", "there is no marketplace"),
    (r"(POST|GET|PATCH|DELETE) /sys/v1/plugins/.*", "no customer's code runs inside the server"),
    (r"POST /sys/v1/plugins", "no customer's code runs inside the server"),
    (r"\w+ /sys/v1/accounts.*/child", "accounts stand side by side; none owns another"),
    (r"\w+ /sys/v1/users/child_account.*", "accounts stand side by side; none owns another"),
    (r"POST /sys/v1/users", "nobody signs up alone; an administrator invites"),
)
# Served beside the table of endpoints.
OPEN_ROUTES = ("GET /sys/v1/version", "GET /sys/v1/health")


class ClientsMissing(Exception):
    """A client's source is not here. The message says what to do."""


@dataclass(slots=True)
class Operation:
    """One method and path, and what each client calls it."""

    method: str
    path: str
    python: set[str] = field(default_factory=set)
    go: set[str] = field(default_factory=set)

    @property
    def key(self) -> str:
        return f"{self.method} {normalised(self.path)}"


@dataclass(frozen=True, slots=True)
class Row:
    operation: Operation
    state: str
    reason: str = ""


def normalised(path: str) -> str:
    """Parameters without their names: /keys/{key-id}, /keys/:id and /keys/{key_id} are one."""
    return re.sub(r"\{[^}]*\}|:[A-Za-z_]+", "{}", path.partition("?")[0]).rstrip("/")


# -- what the clients know -------------------------------------------------------------------------------------------


def python_source() -> Path:
    found = sorted((CHECKOUT / ".venv-clients" / "lib").glob("python3*/site-packages/sdkms/v1/apis"))
    if not found:
        raise ClientsMissing("The vendor's Python clients are not installed; `make test` does it")
    return found[0]


def go_source() -> Path:
    if shutil.which("go") is None:
        raise ClientsMissing("go is not on the PATH; install it (Debian: apt-get install golang)")
    command = ["go", "mod", "download", "-json", GO_MODULE]
    done = subprocess.run(command, cwd=GO_PROGRAM, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClientsMissing(f"The Go client could not be fetched: {done.stderr.strip()}")
    return Path(json.loads(done.stdout)["Dir"]) / "sdkms"


def python_operations(source: Path) -> Iterator[tuple[str, str, str]]:
    """(method, path, name) for each function that calls the API."""
    for file in sorted(source.glob("*_api.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.FunctionDef) or not node.name.endswith("_with_http_info"):
                continue
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "call_api":
                    path, method = (ast.literal_eval(argument) for argument in call.args[:2])
                    yield method, path, node.name.removesuffix("_with_http_info")


_GO_FUNCTION = re.compile(r"^func \(c \*Client\) (\w+)\(.*?^}", re.MULTILINE | re.DOTALL)
_GO_FETCH = re.compile(r"c\.fetch\w*\(ctx, http\.Method(\w+),")


def go_operations(source: Path) -> Iterator[tuple[str, str, str]]:
    for file in sorted(source.glob("*.go")):
        for function in _GO_FUNCTION.finditer(file.read_text()):
            fetch = _GO_FETCH.search(function[0])
            path = re.search(r'"(/[^"]+)"', function[0])
            if fetch and path:
                yield fetch[1].upper(), path[1], function[1]


def operations(python: Iterable[tuple[str, str, str]], go: Iterable[tuple[str, str, str]]) -> list[Operation]:
    merged: dict[str, Operation] = {}
    for found, client in ((python, "python"), (go, "go")):
        for method, path, name in found:
            new = Operation(method, path)
            getattr(merged.setdefault(new.key, new), client).add(name)
    return sorted(merged.values(), key=lambda operation: (normalised(operation.path), operation.method))


# -- what the server serves ------------------------------------------------------------------------------------------


def routes() -> set[str]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kms.config.settings")
    import django

    django.setup()
    from kms.api.routes import ENDPOINTS
    from kms.api.wire.streams import STREAMS

    streams = {f"{stream.method} {stream.path}" for stream in STREAMS.values()}
    endpoints = {f"{endpoint.method} {normalised(endpoint.path)}" for endpoint in ENDPOINTS}
    return endpoints | streams | set(OPEN_ROUTES)


def classified(known: Iterable[Operation], served: set[str]) -> list[Row]:
    return [_row(operation, served) for operation in known]


def _row(operation: Operation, served: set[str]) -> Row:
    if operation.key in served:
        return Row(operation, WORKS)
    for pattern, reason in PURPOSE:
        if re.fullmatch(pattern, operation.key):
            return Row(operation, REFUSED, reason)
    return Row(operation, MISSING)


def rows() -> list[Row]:
    known = operations(python_operations(python_source()), go_operations(go_source()))
    return classified(known, routes())


# -- the document ----------------------------------------------------------------------------------------------------


def counts(table: list[Row]) -> str:
    number = {state: sum(row.state == state for row in table) for state in (WORKS, REFUSED, MISSING)}
    return (
        f"{len(table)} operations known to the vendor's clients: {number[WORKS]} work, "
        f"{number[REFUSED]} are refused on purpose, {number[MISSING]} are missing"
    )


def document(table: list[Row]) -> str:
    lines = [
        "# Compatibility",
        "",
        "Generated by `make compat` from the source of the vendor's clients (Python package `sdkms`, Go module",
        f"`{GO_MODULE}`) and this server's routes; do not edit. A test compares it with the running server.",
        "",
        f"{counts(table)}.",
        "",
        "*works*: the route is served. Which options of it are not is in [divergences.md](divergences.md), and a",
        "request with one of those is refused by name, never half obeyed. *refused*: on purpose, with the reason.",
        "*missing*: not there yet.",
        "",
        "| Method | Path | Python | Go | State |",
        "|---|---|---|---|---|",
        *(_line(row) for row in table),
        "",
    ]
    return "\n".join(lines)


def _line(row: Row) -> str:
    operation = row.operation
    state = f"{row.state}: {row.reason}" if row.reason else row.state
    path = re.sub(r":([A-Za-z_]+)", r"{\1}", operation.path.partition("?")[0])
    names = (", ".join(f"`{name}`" for name in sorted(names)) for names in (operation.python, operation.go))
    return f"| {operation.method} | `{path}` | {' | '.join(names)} | {state} |"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="compat", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the document is stale")
    wanted = parser.parse_args(arguments)
    try:
        table = rows()
    except ClientsMissing as error:
        print(error, file=sys.stderr)
        return 2
    text = document(table)
    if wanted.check:
        if not DOCUMENT.exists() or DOCUMENT.read_text() != text:
            print(f"{DOCUMENT.relative_to(CHECKOUT)} is stale; run `make compat`", file=sys.stderr)
            return 1
    else:
        DOCUMENT.write_text(text)
    print(counts(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
