"""Calls as their callers write them: what a request for approval keeps until it is carried out, and shows meanwhile.

The edge that knows the wire reads and writes them; whoever puts the parts together says which one. It must not know
HTTP, routes or JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from accounts.principal import Principal
from kms.operations.command import Command
from kms.secret import SecretBytes


@dataclass(frozen=True, slots=True)
class WireForm:
    """A call: ``operation`` is its path, with its query. ``body`` is canonical, and empty for a call without one."""

    method: str
    operation: str
    body: SecretBytes

    @property
    def route(self) -> str:
        """The call for the record, without its query and not at any length."""
        return f"{self.method} {self.operation.partition('?')[0]}"[:256]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a caller would have been answered. An answer without a body has a null for one."""

    status: int
    body: SecretBytes

    @property
    def says_nothing(self) -> bool:
        return self.body == SecretBytes(b"null")


class Wire(Protocol):
    """The one parser of stored calls, and of what became of them the one writer."""

    def command(self, form: WireForm, principal: Principal) -> Command:
        """Raises InvalidRequest for what cannot be asked for in this way."""

    def result(self, form: WireForm, result: object) -> Rendered: ...

    def error(self, error: Exception) -> Rendered: ...


_factory: Callable[[], Wire] | None = None


def install(factory: Callable[[], Wire]) -> None:
    """Say who knows the wire. The composition root calls this once; nothing is made before first use."""
    global _factory
    _factory = factory


def wire() -> Wire:
    if _factory is None:
        raise RuntimeError("nobody who knows the wire is installed")
    return _factory()
