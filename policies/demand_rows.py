"""Rows to demands: what an account and its groups ask of calls, remembered by the version of the account.

Every row that this reads moves the version of its account (by trigger), and callers of one account share what was read.
"""

from __future__ import annotations

from types import MappingProxyType
from uuid import UUID

from accounts.lru import Lru
from accounts.row_seals import Verified, verified
from policies.demands import NO_DEMAND, NO_DEMANDS, Demand, Demands
from policies.models import AccountPolicy, GroupPolicy
from policies.stored import guard_of

Versions = dict[UUID, int]

# Of the accounts seen last, at the version of the account they were read at: callers of one account share them.
MAX_DEMANDS = 1000
_demands: Lru[tuple[UUID, int], Demands] = Lru(MAX_DEMANDS)


def demands_of(account: UUID, versions: Versions, rows: Verified) -> Demands:
    """The account's version was read before, so a change in between makes them look old, never new.

    Nothing is remembered for callers that name no version of the account: once a transaction has written, the version
    it reads may never be committed, and be another change's later.
    """
    if account not in versions:
        return _demands_in(account, rows)
    key = (account, versions[account])
    found = _demands.get(key)
    if found is None:
        found = _demands_in(account, rows)
        _demands.put(key, found)
    return found


def read_demands(account: UUID) -> Demands:
    return _demands_in(account, verified([account]))


def _demands_in(account: UUID, rows: Verified) -> Demands:
    own = rows.first(AccountPolicy, account)
    groups = {row.group_id: _demand(row.group_id, row) for row in rows.of(GroupPolicy, account)}
    if own is None and not groups:
        return NO_DEMANDS
    return Demands(NO_DEMAND if own is None else _demand(account, own), MappingProxyType(groups))


def _demand(subject: UUID, row: AccountPolicy | GroupPolicy) -> Demand:
    return Demand(guard_of(subject, row.quorum, row.guarded), row.cryptographic, row.metadata)
