"""The same as a command: what a screen would send, as a curl command line that anybody can run with their own session.

It holds no credential: the session and the server's address are left to variables of the shell.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from kms.api.inside import ApiCall


def as_call(operation: str, *, query: Mapping[str, Any] | None = None, body: Any = None, **path: str | UUID) -> str:
    """For ``<c-as-call :command="…" />``. Takes what ``visit.call`` takes."""
    asked = {name: str(value) for name, value in (query or {}).items() if value is not None}
    call = ApiCall(operation, {name: str(value) for name, value in path.items()}, asked, body)
    lines = [
        f'curl -X {call.method} "$KEYSTEAD_URL"{shlex.quote(call.target)}',
        '-H "Authorization: Bearer $KEYSTEAD_TOKEN"',
    ]
    if body is not None:
        sent = {name: value for name, value in body.items() if value is not None} if isinstance(body, Mapping) else body
        lines += ["-H 'Content-Type: application/json'", f"--data {shlex.quote(json.dumps(sent, ensure_ascii=False))}"]
    return " \\\n  ".join(lines)
