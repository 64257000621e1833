"""Look at a CSV file: its delimiter, the types of its columns, its key, and the task of a target."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ibis

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import SourceError, UnknownName
from mainstem.nodes.models import Task
from mainstem.ports import RawFiles, Session
from mainstem.sources.inference import types_of_text

MISSING = ("NA", "N/A", "n/a", "null", "NULL", "-")
"""Texts that mean a missing value where the other values of a column are numbers."""

KEY = re.compile(r"(^|_)(id|key|uuid|guid|no|nr|number|code)$", re.IGNORECASE)
FEW = 20
"""A whole number with more distinct values is a quantity, not a class."""

YES = ("yes", "y", "true", "t", "1", "positive")


@dataclass(frozen=True)
class Column:
    """A column: its Ibis type, its distinct values, its missing ones, and the values themselves if there are two."""

    name: str
    type: str
    distinct: int
    missing: int
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """What a CSV file holds. `options` are those of `ms.files` for it."""

    rows: int
    columns: tuple[Column, ...]
    options: Mapping[str, object]

    def __getitem__(self, name: str) -> Column:
        found = {column.name: column for column in self.columns}
        if name not in found:
            raise UnknownName.among("column", name, found)
        return found[name]

    @property
    def key(self) -> str | None:
        """The column that tells rows apart: one that is called so, or the first; None without one."""
        unique = [c for c in self.columns if c.distinct == self.rows and c.type in ("string", "int64")]
        named = [c.name for c in unique if KEY.search(c.name)]
        first = [c.name for c in unique if c is self.columns[0]]
        return next(iter([*named, *first]), None)


def look(file: Path) -> Look:
    """Return what a CSV file holds. Raises `SourceError` if it has no row, or one column."""
    options: dict[str, object] = {"delim": delim} if (delim := _delimiter(file)) != "," else {}
    engine = DuckdbEngine()
    plain = _types(engine, file, options)
    lenient = _types(engine, file, {**options, "nullstr": ["", *MISSING]})
    words = [name for name, kind in lenient.items() if kind != plain[name] and plain[name] == "string"]
    if words:
        options["nullstr"] = ["", *MISSING]
    types = lenient if words else plain
    with engine.session({"rows": _raw(file, options)}) as session:
        return Look(*_counted(session, types), options)


def task_of(column: Column) -> Task:
    """Return the task of a target: two values are binary, texts and booleans are classes, numbers are values."""
    if column.type == "boolean" or column.distinct == 2:
        return "binary"
    return "multiclass" if column.type == "string" else "regression"


def positive(column: Column) -> str:
    """Return which of two values is the one to predict: yes, true or 1; else the last in order."""
    return next((value for value in column.values if value.lower() in YES), column.values[-1])


def _delimiter(file: Path) -> str:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            head = stream.readline()
    except FileNotFoundError:
        raise SourceError("the file does not exist", where=str(file)) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise SourceError("the file cannot be read as CSV", where=str(file), got=str(problem)) from problem
    try:
        return csv.Sniffer().sniff(head, ",;\t|").delimiter
    except csv.Error:
        return ","


def _raw(file: Path, options: Mapping[str, object]) -> RawFiles:
    usual = {"delim": ",", "quote": '"', "escape": '"'}
    return RawFiles((str(file.resolve()),), "csv", None, {**usual, **options, "all_varchar": True})


def _types(engine: DuckdbEngine, file: Path, options: Mapping[str, object]) -> dict[str, str]:
    with engine.session({"rows": _raw(file, options)}) as session:
        names = list(session.schema("SELECT * FROM rows"))
        if len(names) < 2:
            raise SourceError("a CSV file requires a target and at least one more column", got=", ".join(names))
        return types_of_text(session, "rows", names)


def _counted(session: Session, types: Mapping[str, str]) -> tuple[int, tuple[Column, ...]]:
    table = ibis.table(dict.fromkeys(types, "string"), name="rows")
    counts = {f"distinct_{n}": table[name].nunique() for n, name in enumerate(types)}
    counts |= {f"known_{n}": table[name].count() for n, name in enumerate(types)}
    (found,) = session.fetch(table.aggregate(rows=table.count(), **counts)).to_pylist()
    rows = int(found["rows"])
    if not rows:
        raise SourceError("the CSV file has no row")
    columns = []
    for n, (name, kind) in enumerate(types.items()):
        distinct = int(found[f"distinct_{n}"])
        values = _values(session, table, name) if distinct == 2 else ()
        columns.append(Column(name, kind, distinct, rows - int(found[f"known_{n}"]), values))
    return rows, tuple(columns)


def _values(session: Session, table: ibis.Table, name: str) -> tuple[str, ...]:
    distinct: Sequence[str] = session.fetch(table.select(name).distinct())[name].drop_null().to_pylist()
    return tuple(sorted(distinct))
