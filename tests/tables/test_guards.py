"""Guards mean what they mean in SQL, and can do nothing else."""

from __future__ import annotations

from pathlib import Path

import ibis
import pyarrow as pa
import pytest

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import DefinitionError, UnknownName
from mainstem.tables.guards import guard

SCHEMA = {"day": "int64", "x": "float64", "g": "string"}
ROWS = pa.table({"day": [1, 1, 1, 2, 2], "x": [0.0, 4.0, -9.0, None, 100.0], "g": ["a", " A", None, "b", "b"]})

MEANT = [
    "median(abs(nullif(x, 0))) BETWEEN 1.5 AND 31",
    "avg(x) > 0 AND count(*) >= 2",
    "count(x) = 1 OR min(x) < -5",
    "count(DISTINCT g) = 1",
    "max(x) - min(x) > 10",
    "NOT (sum(x) / count(*) > 3)",
    "stddev(x) IS NULL",
    "quantile_cont(x, 0.25) < 0",
    "max(length(trim(lower(g)))) = 1",
    "round(avg(coalesce(x, 0)), 0) IN (-2, 50)",
    "max(sqrt(ln(abs(x) + 2))) < 2",
    "max(upper(g)) >= 'B'",
    "-max(x) < -50",
    "mean(floor(x) + ceil(x)) % 2 = 0",
    "count(*) > 1 AND TRUE",
]


@pytest.mark.parametrize("sql", MEANT)
def test_a_guard_means_what_it_means_in_the_engine(sql: str) -> None:
    rows = ibis.table(SCHEMA, name="t")
    with DuckdbEngine().session({"t": ROWS}) as session:
        mine = session.fetch(rows.group_by("day").aggregate(held=guard(rows, sql)).order_by("day"))
        theirs = session.fetch(f"SELECT day, ({sql}) AS held FROM t GROUP BY day ORDER BY day")
    assert mine["held"].to_pylist() == theirs["held"].to_pylist()


@pytest.mark.parametrize(
    ("sql", "held"), [("x < 50", [True, False]), ("TRUE", [True, True]), ("FALSE", [False, False])]
)
def test_a_condition_of_rows_holds_in_every_row(sql: str, held: list[bool]) -> None:
    rows = ibis.table(SCHEMA, name="t")
    with DuckdbEngine().session({"t": ROWS}) as session:
        found = session.fetch(rows.group_by("day").aggregate(held=guard(rows, sql)).order_by("day"))
    assert found["held"].to_pylist() == held


ATTACKS = [
    "(SELECT count(*) FROM read_csv('{canary}')) > 0",
    "(SELECT max(content) FROM read_text('{canary}')) = 'x'",
    "count(*) > (SELECT count(*) FROM '{canary}')",
    "read_text('{canary}') = 'x'",
    "max(getenv('HOME')) = 'x'",
    "EXISTS (SELECT 1 FROM glob('/*'))",
    "x IN (SELECT 1)",
    "TRUE) AS held FROM t; COPY (SELECT 1) TO '{out}' --",
    "TRUE; COPY (SELECT 1) TO '{out}'",
    "COPY t TO '{out}'",
    "ATTACH '{out}'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '1GB'",
    "max(current_setting('temp_directory')) = 'x'",
    "count(*) FILTER (WHERE x > 1) > 0",
    "sum(x) OVER () > 0",
    "median(abs(nothing)) > 1; SELECT 1",
    "x > avg(x)",
    "sum(g) > 1",
    "abs(1, 2) > 1",
    "max(x)",
    "",
]


@pytest.mark.parametrize("sql", ATTACKS)
def test_nothing_else_is_taken(sql: str, tmp_path: Path) -> None:
    (tmp_path / "canary.csv").write_text("secret\n1\n")
    attack = sql.format(canary=tmp_path / "canary.csv", out=tmp_path / "out")
    with pytest.raises(DefinitionError) as caught:
        guard(ibis.table(SCHEMA, name="t"), attack, "remedies.toml, t.x")
    assert caught.value.where == "remedies.toml, t.x" and "secret" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(UnknownName, match="unknown column 'y'"):
        guard(ibis.table(SCHEMA, name="t"), "median(y) > 1")
