"""Compare the rows that a table has with those that are expected, and tell the differences to a person."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mainstem.errors import RequestError
from mainstem.testing.rows import Rows, columns_of, to_arrow

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 20
"""The most differences that are shown."""

TOLERANCE = 1e-9
"""The relative difference of floats that count as equal."""

Row = Mapping[str, Any]


@dataclass(frozen=True, repr=False)
class Comparison:
    """Whether rows are as expected; if not, `lines` say what differs. It is true if they are equal."""

    name: str
    lines: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.lines

    def __repr__(self) -> str:
        if not self.lines:
            return f"{self.name} is as expected"
        more = [f"… and {len(self.lines) - SHOWN} more"] if len(self.lines) > SHOWN else []
        return "\n".join([f"{self.name} is not as expected:", *(f"  {line}" for line in self.lines[:SHOWN]), *more])


def compare(
    name: str,
    found: pa.Table,
    expected: Rows,
    schema: Mapping[str, str],
    *,
    key: Sequence[str] = (),
    ordered: bool = False,
    columns: Sequence[str] | None = None,
) -> Comparison:
    """Compare the columns that `expected` has, or `columns`.

    With a `key`, rows are paired by it. Otherwise each expected row must be there as often as it is expected; with
    `ordered`, in that order. Raises `UnknownName` and `RequestError`.
    """
    where = f"expected rows of {name!r}"
    _, given = columns_of(expected, where)
    compared = list(columns or given or schema)
    unknown = [column for column in compared if column not in schema]
    if unknown:
        from mainstem.errors import UnknownName

        raise UnknownName.among("column", unknown[0], schema, where=where)
    wanted = to_arrow(expected, schema, where).select(compared).to_pylist()
    rows = found.select(compared).to_pylist()
    if ordered:
        return Comparison(name, tuple(_in_order(rows, wanted)))
    paired = [column for column in key if column in compared]
    if key and len(paired) == len(key) and _unique(rows, key) and _unique(wanted, key):
        return Comparison(name, tuple(_by_key(rows, wanted, key)))
    return Comparison(name, tuple(_as_bag(rows, wanted)))


def assert_rows(
    found: Any,
    expected: Rows,
    *,
    key: str | Sequence[str] | None = None,
    ordered: bool = False,
    columns: Sequence[str] | None = None,
) -> None:
    """Assert that a built table, or an Arrow table, has these rows. The error lists the differences.

    `columns` are the compared ones; by default those that `expected` has. Raises `AssertionError`.
    """
    if not hasattr(found, "equals_rows"):
        import ibis
        import pyarrow as pa

        if not isinstance(found, pa.Table):
            raise RequestError(
                "rows of this kind cannot be compared", got=type(found).__name__, expected="project.build"
            )
        schema = {name: str(type) for name, type in ibis.Schema.from_pyarrow(found.schema).items()}
        names = (key,) if isinstance(key, str) else tuple(key or ())
        made = compare("the table", found, expected, schema, key=names, ordered=ordered, columns=columns)
    else:
        made = found.equals_rows(expected, key=key, ordered=ordered, columns=columns)
    __tracebackhide__ = True
    if not made:
        raise AssertionError(repr(made))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


def _equal(one: Row, other: Row) -> bool:
    return all(_same(one[name], other[name]) for name in one)


def _unique(rows: Sequence[Row], key: Sequence[str]) -> bool:
    keys = [repr([row[name] for name in key]) for row in rows]
    return len(set(keys)) == len(keys)


def _by_key(rows: Sequence[Row], wanted: Sequence[Row], key: Sequence[str]) -> Iterator[str]:
    def index(of: Sequence[Row]) -> dict[str, Row]:
        return {", ".join(f"{name}={row[name]!r}" for name in key): row for row in of}

    here, there = index(rows), index(wanted)
    for at, row in there.items():
        if at not in here:
            yield f"missing     {_shown(row)}"
            continue
        yield from _changes(at, here[at], row)
    yield from (f"unexpected  {_shown(row)}" for at, row in here.items() if at not in there)


def _in_order(rows: Sequence[Row], wanted: Sequence[Row]) -> Iterator[str]:
    for number, (row, want) in enumerate(zip(rows, wanted, strict=False), 1):
        yield from _changes(f"row {number}", row, want)
    yield from (f"missing     {_shown(row)}" for row in wanted[len(rows) :])
    yield from (f"unexpected  {_shown(row)}" for row in rows[len(wanted) :])


def _changes(at: str, row: Row, want: Row) -> Iterator[str]:
    for name, value in want.items():
        if not _same(row[name], value):
            yield f"{at}: {name} is {_plain(row[name])}, expected {_plain(value)}"


def _as_bag(rows: Sequence[Row], wanted: Sequence[Row]) -> Iterator[str]:
    left = list(rows)
    missing = []
    for want in wanted:
        match: Callable[[Row], bool] = lambda row, want=want: _equal(want, row)  # type: ignore[misc]  # noqa: E731
        found = next((place for place, row in enumerate(left) if match(row)), None)
        if found is None:
            missing.append(want)
        else:
            left.pop(found)
    yield from (f"missing     {_shown(row)}" for row in missing)
    yield from (f"unexpected  {_shown(row)}" for row in left)


def _shown(row: Row) -> str:
    return ", ".join(f"{name}={_plain(value)}" for name, value in row.items())


def _plain(value: Any) -> str:
    if value is None:
        return "null"
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)
