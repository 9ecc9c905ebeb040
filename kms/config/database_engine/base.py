"""Django's PostgreSQL, with one thing more: what a transaction changes of what decisions rest on is sealed with it.

Here, because every commit of this server comes by here, whoever wrote: nobody can forget it (accounts.row_seals). The
moves go on the record, in the same transaction. Django names an engine by its package and looks for this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.backends.postgresql import base

from accounts.sealed_tables import SEALED

_WRITES = re.compile(r"\s*(INSERT INTO|UPDATE|DELETE FROM|WITH)\b", re.IGNORECASE)


class DatabaseWrapper(base.DatabaseWrapper):
    """``seals_facts`` is off while migrations run, as the tables' owner: no key may be there, nor tables."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seals_facts = True
        self.facts_moved = False
        self.facts_forgotten: list[UUID] = []
        self.execute_wrappers.append(self._watched)

    def _watched(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        """A statement that stands alone and changes facts gets a transaction, so that there is a commit to seal in."""
        if not self.seals_facts or not _moves_facts(sql):
            return execute(sql, params, many, context)
        self.facts_moved = True
        if self.in_atomic_block or not self.get_autocommit():
            return execute(sql, params, many, context)
        with transaction.atomic(using=self.alias):
            return execute(sql, params, many, context)

    def _configure_connection(self, connection: Any) -> bool:
        """The one statement that is prepared (accounts.row_seals) is planned once: it is wide, and its plan depends on
        no value. Django's own are bound by the client, which prepares none."""
        connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.prepare_threshold = 0
        super()._configure_connection(connection)  # type: ignore[misc]  # untyped in the stubs
        return True

    def _commit(self) -> None:
        if self.facts_moved:
            try:
                self._seal()
            except BaseException:
                self.rollback()
                raise
        super()._commit()  # type: ignore[misc]  # untyped in the stubs
        self._forget_moves()

    def _rollback(self) -> None:
        self._forget_moves()
        super()._rollback()  # type: ignore[misc]  # untyped in the stubs

    def _seal(self) -> None:
        from accounts import row_seals  # these have models, and engines are loaded before any
        from kms.audit import fact_moves

        moved = row_seals.seal_moved(self.facts_forgotten)
        if moved:
            fact_moves.record(moved)

    def _forget_moves(self) -> None:
        self.facts_moved = False
        self.facts_forgotten.clear()


def _moves_facts(sql: Any) -> bool:
    """A statement that reads after WITH is only looked at once more; one that is missed leaves rows without a seal."""
    return isinstance(sql, str) and _WRITES.match(sql) is not None and any(name in sql for name in _watched_tables())


def _watched_tables() -> tuple[str, ...]:
    return (*SEALED, "accounts_factversion")
