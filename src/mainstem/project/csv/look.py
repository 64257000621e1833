"""Look at a CSV file: its delimiter, the types of its columns, its key, and the task of a target."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import ibis

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import SourceError, UnknownName
from mainstem.nodes.models import Task
from mainstem.ports import RawFiles, Session
from mainstem.project.csv.forms import Form, form_of
from mainstem.sources.inference import missing_of, types_of_text
from mainstem.sources.texts import fits, is_missing, unfit

_KEY = "id|key|uuid|guid|no|nr|number|code"
KEY = re.compile(rf"(?i:(?:^|[\W_])(?:{_KEY})$)|(?<=[a-z])(?:Id|ID|Key|No|Nr|Number|Code)$")
MARKS = ("string", "int64")
"""The types of columns that may tell rows apart."""
LINES = 50
"""The number of lines that tell the delimiter."""
FEW = 20
"""A whole number with more distinct values is a quantity, not a class."""

FEW_TEXTS = 3
"""The most distinct texts that are named as the only ones of a column that are not numbers."""

SENTENCE = 3
"""The mean number of words from which a text is no key."""


@dataclass(frozen=True)
class Column:
    """A column: its Ibis type, its distinct values, its missing ones, the values themselves if there are two, whether
    they number the rows, and whether they are sentences.

    `nulls` are its texts that mean a missing value. Of texts, `form` says how they are written if something reads them,
    and `but` has the few that are not numbers, with their rows, where the others are. If the form has a verb, the type
    is that of the values that it reads.
    """

    name: str
    type: str
    distinct: int
    missing: int
    values: tuple[str, ...] = ()
    numbers_rows: bool = False
    prose: bool = False
    nulls: tuple[str, ...] = ()
    form: Form | None = None
    but: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    """What a CSV file holds. `copies` are rows that are equal to an earlier one. `options` are those of `ms.files` for
    it."""

    rows: int
    copies: int
    columns: tuple[Column, ...]
    options: Mapping[str, object]

    def __getitem__(self, name: str) -> Column:
        found = {column.name: column for column in self.columns}
        if name not in found:
            raise UnknownName.among("column", name, found)
        return found[name]

    def _keys(self, rows: int) -> list[str]:
        """Return the columns that are called as a key is, and have so many values."""
        return [c.name for c in self.columns if c.distinct == rows and c.type in MARKS and KEY.search(c.name)]

    @property
    def copied_key(self) -> str | None:
        """The column that is called as a key is, and tells rows apart but for copies of rows; None without one."""
        return next(iter(self._keys(self.rows - self.copies)), None) if self.copies else None

    @property
    def key(self) -> str | None:
        """The column that tells rows apart: one that is called so, or the first one if it is text, but not sentences,
        or numbers the rows; None without one."""
        named = self._keys(self.rows)
        unique = [c for c in self.columns if c.distinct == self.rows and c.type in MARKS]
        marks = [c for c in unique if c is self.columns[0] and (c.type == "string" or c.numbers_rows)]
        first = [c.name for c in marks if not c.prose]
        return next(iter([*named, *first]), None)


def look(file: Path, target: str | None = None) -> Look:
    """Return what a CSV file holds. Raises `SourceError` if it has no row, or one column.

    Texts mean missing values in columns that are not text, as they do for `ms.files`, in those whose texts a verb
    reads, and in the `target`.
    """
    options: dict[str, object] = {"delim": delim} if (delim := _delimiter(file)) != "," else {}
    engine = DuckdbEngine()
    with engine.session({"rows": _raw(file, options)}) as session:
        types = _types(session)
        forms = {
            name: form for name, kind in types.items() if kind == "string" and (form := _form(session, types, name))
        }
        read = [name for name, form in forms.items() if form.verb]
        read += [target] if target is not None and types.get(target) == "string" and target not in read else []
        of_texts = {name: texts for name in read if (texts := _missing(session, types, name))}
        if of_texts:
            options["nulls"] = of_texts
            session.add("rows", _raw(file, options))
        found = missing_of(session, "rows", [name for name, kind in types.items() if kind != "string"])
        nulls = {name: texts for name, (_, texts) in found.items()} | of_texts
        return Look(*_counted(session, types, nulls, forms), options)


def _form(session: Session, names: Iterable[str], name: str) -> Form | None:
    table = ibis.table(dict.fromkeys(names, "string"), name="rows")
    known = table.filter(table[name].notnull() & ~is_missing(table[name]))
    some = _some(session, known, name)
    form = form_of(name, some) if some else None
    if form is None or form.verb is None:
        return form
    unread = known.filter(form.verb.value(known[name]).isnull())
    return form.doubted if session.fetch(unread.select(name).limit(1)).num_rows else form


def _missing(session: Session, names: Iterable[str], name: str) -> list[str]:
    """Return the texts of a column that mean a missing value, as they are written."""
    table = ibis.table(dict.fromkeys(names, "string"), name="rows")
    return sorted(session.fetch(table.filter(is_missing(table[name])).select(name).distinct())[name].to_pylist())


def task_of(column: Column) -> Task:
    """Return the task of a target: two values are binary, texts and booleans are classes, numbers are values."""
    if column.type == "boolean" or column.distinct == 2:
        return "binary"
    return "multiclass" if column.type == "string" else "regression"


def _delimiter(file: Path) -> str:
    """Return the delimiter that divides the first lines into equally many columns, more than any other one."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            lines = list(islice(stream, LINES))
    except FileNotFoundError:
        raise SourceError("the file does not exist", where=str(file)) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise SourceError("the file cannot be read as CSV", where=str(file), got=str(problem)) from problem
    counts = {each: [len(row) for row in csv.reader(lines, delimiter=each) if row] for each in ",;\t|"}
    even = {each: found[0] for each, found in counts.items() if found and len(set(found[:-1] or found)) == 1}
    best = max(even, key=even.__getitem__, default=",")
    return best if even.get(best, 1) > 1 else ","


def _raw(file: Path, options: Mapping[str, object]) -> RawFiles:
    usual = {"delim": ",", "quote": '"', "escape": '"'}
    return RawFiles((str(file.resolve()),), "csv", None, {**usual, **options, "all_varchar": True})


def _types(session: Session) -> dict[str, str]:
    names = list(session.schema("SELECT * FROM rows"))
    if len(names) < 2:
        raise SourceError("a CSV file requires a target and at least one more column", got=", ".join(names))
    return types_of_text(session, "rows", names)


def _counted(
    session: Session, types: Mapping[str, str], nulls: Mapping[str, Sequence[str]], forms: Mapping[str, Form]
) -> tuple[int, int, tuple[Column, ...]]:
    table = _known(types, nulls)
    counts = {f"distinct_{n}": table[name].nunique() for n, name in enumerate(types)}
    counts |= {f"known_{n}": table[name].count() for n, name in enumerate(types)}
    (found,) = session.fetch(table.aggregate(rows=table.count(), **counts)).to_pylist()
    rows = int(found["rows"])
    if not rows:
        raise SourceError("the CSV file has no row")
    columns: list[Column] = []
    for n, (name, kind) in enumerate(types.items()):
        distinct = int(found[f"distinct_{n}"])
        values = _values(session, table, name) if distinct == 2 else ()
        numbers = not columns and kind == "int64" and distinct == rows and _numbers_rows(session, table, name, rows)
        some = _some(session, table, name) if kind == "string" else []
        missing = rows - int(found[f"known_{n}"])
        form = forms.get(name)
        but = _but(session, table, name) if some and not (form and form.verb) else {}
        kind = form.type if form else kind
        texts = tuple(nulls.get(name, ()))
        columns.append(Column(name, kind, distinct, missing, values, numbers, _is_prose(some), texts, form, but))
    whole = table.distinct()
    (unlike,) = session.fetch(whole.aggregate(rows=whole.count()))["rows"].to_pylist()
    return rows, rows - int(unlike), tuple(columns)


def _known(types: Mapping[str, str], nulls: Mapping[str, Sequence[str]]) -> ibis.Table:
    """Return the texts of all columns, without those that mean a missing value."""
    table = ibis.table(dict.fromkeys(types, "string"), name="rows")
    blank = {n: ibis.ifelse(is_missing(table[n]), ibis.null(str), table[n]) for n in nulls if types[n] != "string"}
    return table.mutate(**blank) if blank else table


def _but(session: Session, table: ibis.Table, name: str) -> dict[str, int]:
    """Return the few texts of a column of numbers that are not numbers, with their rows. Codes have digits."""
    misfits = table.filter(unfit(table[name], fits(table[name], "float64")))
    told = misfits.group_by(name).aggregate(rows=misfits.count()).order_by(ibis.desc("rows"), name).limit(FEW_TEXTS + 1)
    found = {row[name]: int(row["rows"]) for row in session.fetch(told).to_pylist()}
    if not found or len(found) > FEW_TEXTS or any(re.search(r"\d", text) for text in found):
        return {}
    (counted,) = session.fetch(table.aggregate(known=table[name].count())).to_pylist()
    return found if sum(found.values()) < counted["known"] / 2 else {}


def _values(session: Session, table: ibis.Table, name: str) -> tuple[str, ...]:
    distinct: Sequence[str] = session.fetch(table.select(name).distinct())[name].drop_null().to_pylist()
    return tuple(sorted(distinct))


def _numbers_rows(session: Session, table: ibis.Table, name: str, rows: int) -> bool:
    """Return whether whole numbers without repeats are a sequence from 0 or 1 on."""
    numbers = table[name].cast("int64")
    (found,) = session.fetch(table.aggregate(low=numbers.min(), high=numbers.max())).to_pylist()
    return found["low"] in (0, 1) and found["high"] - found["low"] == rows - 1


def _some(session: Session, table: ibis.Table, name: str) -> list[str]:
    found: list[str] = session.fetch(table.filter(table[name].notnull()).select(name).limit(100))[name].to_pylist()
    return found


def _is_prose(some: Sequence[str]) -> bool:
    """Return whether texts of a column have three words or more: a model learns from their words."""
    return sum(len(text.split()) for text in some) >= SENTENCE * max(len(some), 1)
