"""The vendor's Python SDK for tests that use it beside the CLI: one process of its interpreter, a line for a call."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.acceptance.server import RunningServer

PROGRAM = Path(__file__).with_name("sdk_lines.py")


class Refused(Exception):
    """The SDK raised its own exception."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status}: {said}")
        self.status, self.said = status, said


class Sdk:
    """Open it with ``with``: the process ends with it."""

    def __init__(self, clients: Path, server: RunningServer) -> None:
        environment = {**os.environ, "STEPS_URL": server.url, "STEPS_CA": str(server.ca)}
        command = [str(clients / "python"), str(PROGRAM)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)

    def __enter__(self) -> Sdk:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def call(self, token: str, api: str, name: str, *arguments: Any, **named: Any) -> Any:
        """``sdk.<api>(...).<name>(...)`` of the SDK's own classes; models come back as the JSON they are made of."""
        return self._ask(token=token, api=api, name=name, arguments=arguments, named=named)

    def fetch(self, token: str, method: str, path: str, body: Any = None) -> Any:
        """By the SDK's client, where the SDK has no function for it."""
        return self._ask(token=token, api="", arguments=(method, path, body))

    def log_in(self, email: str, password: str) -> str:
        answer = self._ask(api="AuthenticationApi", name="authorize", username=email, password=password)
        token: str = answer["access_token"]
        return token

    def _ask(self, **call: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        nothing = {"token": "", "username": "", "password": "", "arguments": (), "named": {}}
        self._process.stdin.write(json.dumps(nothing | call) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "status" in answer:
            raise Refused(answer["status"], answer["said"])
        return answer["result"]
