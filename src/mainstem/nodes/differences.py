"""How the published data of two releases differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["equal", "differs", "added", "removed"]


@dataclass(frozen=True)
class Example:
    """A row that differs: its key, or for a table without key its values; and the changed columns, before and after."""

    key: Mapping[str, Any]
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class TableDifference:
    """How a table differs. Without `key` the rows are compared as a multiset: a changed row counts as one removed and
    one added.

    `rows` are the numbers of rows before and after. `changed` counts the rows with the same key and other values,
    `columns` the changed values by column. `new`, `gone` and `retyped` are columns that are not compared; `retyped`
    maps one to its types. `note` says why a key was not used.
    """

    table: str
    state: State
    rows: tuple[int | None, int | None] = (None, None)
    key: tuple[str, ...] = ()
    added: int = 0
    removed: int = 0
    changed: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)
    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    retyped: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    examples: Mapping[str, tuple[Example, ...]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """How two releases differ. `others` maps a model or an endpoint to its versions. Without `data` rows were not
    compared."""

    before: str
    after: str
    tables: tuple[TableDifference, ...]
    others: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    data: bool = True

    @property
    def is_empty(self) -> bool:
        return not self.others and all(table.state == "equal" for table in self.tables)
