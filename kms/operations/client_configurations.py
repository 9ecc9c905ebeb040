"""Settings that client programs ask for: kept on accounts, groups and apps, and what they come to for one app.

They mean nothing to the server, and no decision reads them. It must not know the wire, HTTP or what a setting does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accounts.models import App
from accounts.principal import PrincipalKind
from kms.audit.entry import Category
from kms.crypto.errors import ParameterInvalid
from kms.operations.command import Call, Command, Operation, Resolved, control
from policies.decision import Target
from policies.models import AccountPolicy, GroupPolicy
from policies.permissions import Permission

# Of all that one account, group or app keeps, as JSON: a proxy's description of an interface is the longest part.
MAX_BYTES = 64 * 1024

# By program. A change replaces what is kept for a program, or takes it away with None.
ClientSettings = dict[str, dict[str, Any]]
ClientChange = Mapping[str, Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class GetClientConfigurations(Command):
    """What holds for the caller: the account's, over it those of an app's groups, over them the app's own."""


def needs(row: AccountPolicy | GroupPolicy, _wanted: ClientChange) -> Iterator[Permission]:
    yield Permission.ACCOUNT_CLIENTS if isinstance(row, AccountPolicy) else Permission.GROUP_CLIENTS


def write(_call: Call, row: AccountPolicy | GroupPolicy, wanted: ClientChange) -> None:
    row.clients = changed(row.clients, wanted)


def changed(kept: ClientSettings, wanted: ClientChange) -> ClientSettings:
    remaining = {program: settings for program, settings in kept.items() if program not in wanted}
    given = {program: dict(settings) for program, settings in wanted.items() if settings is not None}
    found = remaining | given
    if len(json.dumps(found, ensure_ascii=False).encode()) > MAX_BYTES:
        raise ParameterInvalid(f"client_configurations take at most {MAX_BYTES} bytes in one place")
    return found


def get_client_configurations(call: Call, _command: GetClientConfigurations, _payload: None) -> ClientSettings:
    account = list(AccountPolicy.objects.filter(account_id=call.account).values_list("clients", flat=True))
    if call.principal.kind is not PrincipalKind.APP:
        return overlaid(account)
    app = App.objects.get(id=call.principal.id)
    rows = GroupPolicy.objects.filter(account_id=call.account, group_id__in=call.facts.groups)
    # Of several groups the default one has the last word; the others are at least always in the same order.
    groups = sorted(rows, key=lambda row: (row.group_id == app.default_group_id, row.group_id))
    return overlaid([*account, *(row.clients for row in groups), app.clients])


def overlaid(layers: Sequence[ClientSettings]) -> ClientSettings:
    """A later layer's settings win, each by itself; one that is not set there stays."""
    found: ClientSettings = {}
    for layer in layers:
        for program, settings in layer.items():
            found[program] = found.get(program, {}) | settings
    return found


def _resolve(call: Call, _command: GetClientConfigurations) -> Sequence[Resolved]:
    own = Target(call.principal.kind.value, call.principal.id, call.account)
    return (Resolved(Permission.LIST_VISIBLE, own),)


_operation = control(Category.ADMINISTRATIVE)
OPERATIONS: tuple[Operation[Any], ...] = (
    _operation(GetClientConfigurations, "app.get-client-configurations", _resolve, get_client_configurations),
)
