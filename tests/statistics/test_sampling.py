"""A sample is of all rows, of the same rows each time, and drawn in proportion from old and new rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.ports import DataFile, Field, Target
from mainstem.statistics import sampling
from mainstem.statistics.sampling import FEW, SAMPLED, of_groups, of_new, of_stored, together

FIELDS = tuple(
    Field(number, name, type)
    for number, (name, type) in enumerate(
        [
            ("n", "int64"),
            ("text", "string"),
            ("price", "decimal(18, 2)"),
            ("day", "date"),
            ("clock", "time"),
            ("at", "timestamp('UTC', 6)"),
            ("key", "uuid"),
            ("list", "array<int64>"),
            ("raw", "binary"),
        ],
        1,
    )
)
QUERY = """SELECT i AS n, 'x' || i AS text, (i / 100)::DECIMAL(18, 2) AS price, DATE '2013-01-01' + (i % 9)::INT AS day,
TIME '10:00:00' AS clock, TIMESTAMPTZ '2013-01-01 00:00:00+00' + INTERVAL (i) SECOND AS at, uuid() AS key,
[i, i] AS list, 'a'::BLOB AS raw FROM range({}, {}) AS r(i)"""


@pytest.fixture(scope="module")
def engine() -> DuckdbEngine:
    return DuckdbEngine(threads=1)


def write(engine: DuckdbEngine, target: Target, first: int, last: int) -> tuple[DataFile, ...]:
    with engine.session({}) as session:
        return session.write(QUERY.format(first, last), target)


def test_rows_are_drawn_from_everywhere_and_the_same_each_time(engine: DuckdbEngine, tmp_path: Path) -> None:
    target = Target(str(tmp_path), FIELDS)
    total = 3 * FEW
    files = write(engine, target, 0, total)
    drawn = of_new(engine, target, files)
    assert drawn == of_new(engine, target, files)
    assert SAMPLED * 0.9 < drawn.num_rows < SAMPLED * 1.1
    numbers = drawn["n"].to_pylist()
    assert len(set(numbers)) == len(numbers)
    for tenth in range(10):
        share = sum(tenth <= number * 10 / total < tenth + 1 for number in numbers) / len(numbers)
        assert 0.07 < share < 0.13


def test_of_very_many_rows_some_row_groups_are_read(
    engine: DuckdbEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "MANY", 2 * FEW)
    target = Target(str(tmp_path), FIELDS[:1])
    with engine.session({}) as session:
        files = session.write(f"SELECT i AS n FROM range({20 * 122_880}) AS r(i)", target)
        assert sampling.draw(session, target, files) is None
    groups = {number // 122_880 for number in of_new(engine, target, files)["n"].to_pylist()}
    assert len(groups) == sampling.GROUPS_OF_MANY


def test_old_and_new_rows_are_drawn_in_proportion(engine: DuckdbEngine, tmp_path: Path) -> None:
    target = Target(str(tmp_path), FIELDS)
    old, new = write(engine, target, 0, FEW + 1), write(engine, target, FEW + 1, 4 * (FEW + 1))
    stored = of_stored([file.path for file in old], FIELDS)
    both = together([(stored, FEW + 1), (of_new(engine, target, new), 3 * (FEW + 1))])
    share = sum(number <= FEW for number in both["n"].to_pylist()) / both.num_rows
    assert both.num_rows == pytest.approx(SAMPLED, rel=0.1)
    assert share == pytest.approx(0.25, abs=0.02)


def test_a_few_new_rows_beside_very_many_may_not_be_drawn() -> None:
    stored, new = pa.table({"n": range(5_000)}), pa.table({"n": range(10)})
    assert together([(stored, 20_000_000), (new, 10)]).num_rows == SAMPLED


def test_few_rows_in_many_files_are_all_there(engine: DuckdbEngine, tmp_path: Path) -> None:
    target = Target(str(tmp_path), FIELDS)
    files = [file for start in range(0, 300, 10) for file in write(engine, target, start, start + 10)]
    assert sorted(of_new(engine, target, files)["n"].to_pylist()) == list(range(300))
    empty = of_groups([], FIELDS, 4, FEW)
    assert empty.schema.names == ["n", "text", "price", "day", "clock", "at"]
    assert together([(empty, 0), (empty, 0)]).num_rows == 0


def test_a_relation_of_opaque_columns_has_no_sample(engine: DuckdbEngine, tmp_path: Path) -> None:
    target = Target(str(tmp_path), (Field(1, "key", "uuid"),))
    with engine.session({}) as session:
        files = session.write(f"SELECT uuid() AS key FROM range({FEW + 1})", target)
    assert of_new(engine, target, files).num_columns == 0
