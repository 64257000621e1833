"""Fills and interpolation on DuckDB against a plain Python oracle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mainstem as ms
from mainstem.errors import DefinitionError, SchemaError
from mainstem.nodes.verbs import Verb
from mainstem.tables.corrections import transformed

ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 50), st.floats(-9, 9) | st.none() | st.just(math.nan)),
    min_size=1,
    max_size=10,
    unique_by=lambda row: (row[0], row[1]),
)
Row = tuple[str, int, float | None]


def applied(verb: Verb, rows: Sequence[Row], *, kind: Any = None, where: Any = None) -> list[dict[str, Any]]:
    table = ibis.memtable(
        pa.table(
            {
                "n": list(range(len(rows))),
                "g": [g for g, *_ in rows],
                "o": pa.array([o for _, o, _ in rows], pa.int64()),
                "x": pa.array([x for *_, x in rows], kind or pa.float64(), from_pandas=False),
            }
        )
    )
    found = transformed(table, verb, None if where is None else where(table))
    assert found.columns[:4] == table.columns and found["x"].type() == table["x"].type()
    shown: list[dict[str, Any]] = found.order_by("n").to_pyarrow().to_pylist()
    return shown


def is_missing(x: float | None) -> bool:
    return x is None or math.isnan(x)


def neighbour(rows: Sequence[Row], row: Row, *, after: bool, by: bool) -> Row | None:
    """The nearest row with a value, before or after in the order."""
    others = [r for r in rows if (not by or r[0] == row[0]) and not is_missing(r[2])]
    beside = [r for r in others if (r[1] > row[1] if after else r[1] < row[1])]
    return (min if after else max)(beside, key=lambda r: r[1], default=None)


@given(ROWS, st.sampled_from(["forward", "backward"]))
@settings(deadline=None, max_examples=60)
def test_fill_of_groups(rows: list[Row], direction: Any) -> None:
    wanted = []
    for row in rows:
        found = neighbour(rows, row, after=direction == "backward", by=True) if is_missing(row[2]) else row
        wanted.append(None if found is None else found[2])
    shown = applied(ms.clean.fill("x", "o", direction, by="g", indicator="gone"), rows)
    assert [row["gone"] for row in shown] == [is_missing(row[2]) for row in rows]
    assert [row["x"] for row in shown] == pytest.approx(wanted, nan_ok=True)


@given(ROWS)
@settings(deadline=None, max_examples=60)
def test_interpolation_of_groups(rows: list[Row]) -> None:
    wanted = []
    for row in rows:
        before, after = (neighbour(rows, row, after=after, by=True) for after in (False, True))
        if not is_missing(row[2]):
            wanted.append(row[2])
        elif before is None or after is None:
            wanted.append(None)
        else:
            share = (row[1] - before[1]) / (after[1] - before[1])
            wanted.append(before[2] + (after[2] - before[2]) * share)  # type: ignore[operator]
    shown = [row["x"] for row in applied(ms.clean.interpolate("x", "o", by=["g"]), rows)]
    assert [None if x is None else pytest.approx(x, abs=1e-9) for x in wanted] == shown


def test_values_beyond_the_ends_stay_missing_and_integers_are_rounded() -> None:
    rows: list[Any] = [("a", 0, None), ("a", 1, 1), ("a", 2, None), ("a", 3, 4), ("a", 4, None)]
    shown = applied(ms.clean.interpolate("x", "o"), rows, kind=pa.int64())
    assert [row["x"] for row in shown] == [None, 1, 3, 4, None]


def test_a_row_without_a_place_in_the_order_is_not_filled() -> None:
    rows: list[Any] = [("a", 0, 1.0), ("a", None, None), ("a", 2, None)]
    assert [row["x"] for row in applied(ms.clean.fill("x", "o"), rows)] == [1.0, None, 1.0]
    assert [row["x"] for row in applied(ms.clean.interpolate("x", "o"), rows)] == [1.0, None, None]


def test_only_the_rows_of_a_condition_are_filled() -> None:
    rows: list[Any] = [("a", 0, 1.0), ("a", 1, None), ("a", 2, None)]
    shown = applied(ms.clean.fill("x", "o"), rows, where=lambda table: table["o"] == 2)
    assert [row["x"] for row in shown] == [1.0, None, 1.0]


def test_instants_are_an_order_of_interpolation() -> None:
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    at = [noon, noon + timedelta(hours=1), noon + timedelta(hours=4)]
    table = ibis.memtable(pa.table({"at": pa.array(at, pa.timestamp("us", "UTC")), "x": [0.0, None, 8.0]}))
    found = ms.clean.interpolate("x", "at")(table).order_by("at").to_pyarrow()["x"].to_pylist()
    assert found == pytest.approx([0.0, 2.0, 8.0])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DefinitionError, match="distinct columns"):
        ms.clean.fill("x", "x")
    with pytest.raises(SchemaError, match="cannot order by 'g'"):
        transformed(ibis.table({"x": "float64", "g": "string"}, name="t"), ms.clean.interpolate("x", "g"))
