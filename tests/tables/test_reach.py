"""SQL of a user reads the project's nodes, and nothing else."""

from __future__ import annotations

from pathlib import Path

import ibis
import pytest
import sqlglot

from mainstem.errors import EngineError, MainstemError, SchemaError, UnknownName
from mainstem.tables.reach import refuse_outside
from mainstem.tables.sql import bind, inputs

INPUTS = {"t": ibis.table({"x": "int64", "g": "string"}, name="t")}

ATTACKS = [
    "SELECT * FROM read_csv('{canary}')",
    "SELECT * FROM read_csv_auto('{canary}')",
    "SELECT * FROM read_json('{canary}')",
    "SELECT * FROM read_parquet('{canary}')",
    "SELECT * FROM parquet_metadata('{canary}')",
    "SELECT * FROM read_text('{canary}')",
    "SELECT * FROM read_blob('{canary}')",
    "SELECT * FROM sniff_csv('{canary}')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM '{canary}'",
    'SELECT * FROM "{canary}"',
    "FROM '{canary}'",
    "FROM 'canary.csv'",
    "FROM 'http://127.0.0.1/a.parquet'",
    "SELECT x, (SELECT max(content) FROM read_text('{canary}')) FROM t",
    "WITH c AS (FROM read_csv('{canary}')) SELECT * FROM c",
    "SELECT * FROM t, LATERAL (SELECT * FROM read_text(t.g))",
    "SELECT * FROM t JOIN read_csv('{canary}') ON TRUE",
    "SELECT x FROM t UNION ALL SELECT 1 FROM read_csv('{canary}')",
    "SELECT * FROM query('FROM read_csv(''{canary}'')')",
    "SELECT * FROM query_table('t')",
    "SELECT * FROM sqlite_scan('{canary}', 'a')",
    "SELECT * FROM duckdb_settings()",
    "SELECT getenv('HOME') FROM t",
    "SELECT current_setting('temp_directory') FROM t",
    "SELECT x FROM t WHERE g IN (SELECT file FROM glob('/*'))",
    "COPY t TO '{out}'",
    "COPY (SELECT 1) TO '{out}'",
    "COPY t FROM '{canary}'",
    "SELECT 1; COPY (SELECT 1) TO '{out}'",
    "ATTACH '{out}' AS a",
    "INSTALL httpfs",
    "SET enable_external_access = true",
    "PRAGMA database_list",
    "CREATE TABLE a AS SELECT 1",
    "INSERT INTO t VALUES (1)",
]


@pytest.mark.parametrize("sql", ATTACKS)
def test_a_table_in_sql_reaches_no_file(sql: str, tmp_path: Path) -> None:
    (tmp_path / "canary.csv").write_text("secret\nhidden\n")
    attack = sql.format(canary=tmp_path / "canary.csv", out=tmp_path / "out")
    with pytest.raises(SchemaError) as caught:
        inputs(attack)
    assert "ms.files(" in str(caught.value.hint) and "hidden" not in str(caught.value)
    with pytest.raises(SchemaError):
        bind(attack, INPUTS, "legs (legs.sql:1)")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT unnest([x, x + 1]) AS y FROM t",
        "SELECT * FROM t, unnest([1, 2]) u(n)",
        "SELECT x FROM t WHERE g GLOB 'a*' AND g LIKE '%/b.csv'",
        "SELECT * FROM t AS csv",
        "SELECT 'read_csv' AS a, x FROM t",
    ],
)
def test_what_makes_rows_of_columns_is_allowed(sql: str) -> None:
    refuse_outside(sqlglot.parse_one(sql, dialect="duckdb"), SchemaError)
    assert bind(sql, INPUTS).columns


@pytest.mark.parametrize("sql", ATTACKS)
def test_a_query_reaches_no_file(sql: str, tmp_path: Path) -> None:
    from mainstem.project.reading import _parsed

    (tmp_path / "canary.csv").write_text("secret\nhidden\n")
    with pytest.raises(MainstemError) as caught:
        _parsed(sql.format(canary=tmp_path / "canary.csv", out=tmp_path / "out"))
    assert isinstance(caught.value, (EngineError, UnknownName)) and "hidden" not in str(caught.value)
    assert not (tmp_path / "out").exists()
