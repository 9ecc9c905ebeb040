"""Commands and the operations that carry them out, as data. It knows no edge and no database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from uuid import UUID

from accounts.principal import Principal
from kms.audit.entry import CallContext, Category, Detail
from kms.crypto.operation import KeyOperation
from kms.objects.cryptographic_policy import Use
from policies.decision import Facts, Target
from policies.grant import Grant
from policies.permissions import Permission
from policies.quorum import Approved

if TYPE_CHECKING:
    from kms.operations.authority import Authority


class Command:
    """What a caller wants, complete and frozen. Subclasses are frozen dataclasses named verb + noun."""

    __slots__ = ()


class Plane(Enum):
    """DATA decides on cached facts and validates them in the group commit; CONTROL does all in one transaction."""

    DATA = "data"
    CONTROL = "control"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A target found, the permission needed on it, and whatever the handler wants of it (a row, a snapshot)."""

    permission: Permission
    target: Target
    payload: Any = None


@dataclass(slots=True)
class Call:
    """One execution: who, when, on which facts, and the grants made for it, in the order of the resolved targets.

    ``approved`` is what a quorum has said to it, when it is carried out because of that. ``rehearse`` decides another
    command on the same facts and does nothing of it.
    """

    principal: Principal
    context: CallContext
    now: datetime
    facts: Facts
    authority: Authority
    grants: list[Grant] = field(default_factory=list)
    details: dict[str, Detail] = field(default_factory=dict)
    touched: list[Target] = field(default_factory=list)
    approved: Approved | None = None
    rehearse: Callable[[Command], Rehearsed] | None = None

    @property
    def account(self) -> UUID:
        """The selected account; resolving any account-bound target demanded it before."""
        return self.authority.account(self.principal)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a command would act on, and the accounts, groups and objects whose quorums it would need."""

    operation: Operation[Any]
    targets: tuple[Target, ...]
    policies: tuple[UUID, ...]


class Ceremony(Protocol):
    """What surrounds a command that a quorum has approved, inside the one transaction that carries it out."""

    def subjects(self) -> Sequence[UUID]:
        """Whose rights the approval rests on: held unchanged until the end. It is asked before anything is locked."""

    def open(self, call: Call) -> Approved:
        """What has been approved, judged now. Raises when it is not to be carried out (any more)."""

    def close(self, call: Call, result: Any) -> None:
        """It has been carried out; what is written here stands or falls with it."""


class CarryOut(Protocol):
    """How an approved command is carried out: the executor's, handed to whoever runs after a commit."""

    def __call__(self, principal: Principal, command: Command, *, context: CallContext, ceremony: Ceremony) -> Any: ...


C = TypeVar("C", bound=Command)

_NO_DETAILS: Mapping[str, Detail] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Operation(Generic[C]):
    """How a command is carried out.

    ``resolve`` finds every target and names the permission needed on each; nothing runs before all are granted.
    ``handle`` gets the payloads in the same order. ``slow`` operations keep off the event loop. ``irreversible`` ones
    are announced in an entry of their own first. ``admit`` runs before the control plane's transaction and outside it:
    what it writes stays when the call fails, which is what a counter of failures needs. It may refuse. ``on_self``
    operations change the caller's own user or session, and are carried out one after the other for each.
    ``afterwards`` runs when the control plane's transaction has been committed, and what it returns is the answer.
    """

    command: type[C]
    action: str
    category: Category
    plane: Plane
    resolve: Callable[[Call, C], Sequence[Resolved]]
    handle: Callable[..., Any]
    describe: Callable[[C], Mapping[str, Detail]] = lambda _command: _NO_DETAILS
    slow: Callable[[C], bool] = lambda _command: False
    irreversible: bool = False
    on_self: bool = False
    admit: Callable[[Principal, C, CallContext], None] = lambda _principal, _command, _context: None
    afterwards: Callable[[CarryOut, C, Any], Any] | None = None


def control(category: Category) -> Callable[..., Operation[Any]]:
    """A module's shorthand for the rows of its table: all on the control plane, of one category."""

    def operation(command: type[Command], action: str, resolve: Any, handle: Any, **parts: Any) -> Operation[Any]:
        return Operation(command, action, category, Plane.CONTROL, resolve, handle, **parts)

    return operation


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """How a caller names an object: exactly one field is set."""

    id: UUID | None = None
    name: str | None = None
    transient: bytes | None = None

    def __str__(self) -> str:
        return str(self.id) if self.id else (self.name or "transient key")


@dataclass(frozen=True, slots=True)
class ObjectNeed:
    """An object, the permission wanted on it and the key operation it must allow.

    ``masking`` is the lesser permission that will do on an object that tokenises: the answer is masked then. ``use`` is
    what the request says of paddings and hashes.
    """

    ref: ObjectRef
    permission: Permission
    operation: KeyOperation | None = None
    masking: Permission | None = None
    use: Use | None = None
