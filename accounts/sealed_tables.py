"""Which tables hold what decisions rest on, and whose facts each of their rows is part of. The models say it.

A row names its subject in one of its columns: the user, app, account, session, object or request that is judged by it.
The database moves the subject's version with every change of such a row (accounts 0002); row_seals seals it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from django.db.models import BinaryField, Field, Model

M = TypeVar("M", bound=type[Model])


@dataclass(frozen=True)
class SealedTable:
    """``subjects`` are the columns that name a subject; of several, each row has one.

    ``later`` are columns that came after rows had been sealed, with what those rows have there: such a row is sealed as
    if the column were not, so that an upgrade leaves every seal as it is.
    """

    model: type[Model]
    subjects: tuple[str, ...]
    later: tuple[tuple[str, object], ...] = ()

    @property
    def name(self) -> str:
        return self.model._meta.db_table

    @cached_property
    def fields(self) -> dict[str, Field[Any, Any]]:
        return {str(field.column): field for field in self.model._meta.concrete_fields}

    def said(self, row: dict[str, Any]) -> dict[str, Any]:
        """What a row says: every column that this release knows."""
        said = {column: row[column] for column in self.fields if column in row}
        for column, before in self.later:
            if said.get(column) == before:
                said.pop(column, None)
        return said

    def instance(self, row: dict[str, Any]) -> Model:
        """The row as Django would have loaded it."""
        loaded = self.model.from_db(
            "default", [f.attname for f in self.fields.values()], [_value(f, row[c]) for c, f in self.fields.items()]
        )
        return loaded


SEALED: dict[str, SealedTable] = {}


def part_of(*subjects: str, later: dict[str, object] | None = None) -> Callable[[M], M]:
    """Decorates a model: decisions about what these columns name rest on its rows."""

    def register(model: M) -> M:
        SEALED[model._meta.db_table] = SealedTable(model, subjects, tuple((later or {}).items()))
        return model

    return register


def _value(field: Field[Any, Any], value: Any) -> Any:
    """From PostgreSQL's JSON (``to_jsonb``) to what the field gives its instances."""
    if value is None:
        return None
    if isinstance(field, BinaryField):
        return bytes.fromhex(value.removeprefix("\\x"))
    base = getattr(field, "base_field", None)
    if base is not None:
        return [_value(base, each) for each in value]
    remote = getattr(field, "target_field", None)
    return (remote or field).to_python(value)
