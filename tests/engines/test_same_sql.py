"""The differences between DuckDB and Spark that a user would meet: each row of the page's table, on both engines."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import pytest

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.engines.queries import SqlQuery, teach
from mainstem.engines.spark.engine import SparkEngine
from mainstem.errors import EngineError
from mainstem.ports import Session
from spark_session import WARNINGS

pytestmark = WARNINGS
PAGE = Path(__file__).parents[2] / "docs" / "spark.md"
ROWS = re.findall(r"^\| [^|]+ \| `([^`]+)` \| ([^|]+) \|", PAGE.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Session]]:
    spark = SparkEngine("local[2]", directory=tmp_path_factory.mktemp("handed"))
    with DuckdbEngine().session({}) as one, spark.session({}) as other:
        yield [one, other]


def answer(session: Session, query: str | ibis.Table) -> str:
    try:
        (row,) = session.fetch(query).to_pylist()
    except EngineError:
        return "an error"
    return shown(row["x"])


def shown(value: Any) -> str:
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else f"{value:g}"
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def test_the_page_has_rows() -> None:
    assert len(ROWS) > 15


@pytest.mark.parametrize(("sql", "said"), ROWS)
def test_both_engines_answer_as_the_page_says(sessions: list[Session], sql: str, said: str) -> None:
    found = [answer(session, f"SELECT {sql} AS x") for session in sessions]
    expected = [each.strip().strip("`") for each in said.split(";")]
    if len(expected) == 1:
        assert found == expected * 2
    else:
        assert found == [each.split(": ", 1)[1].strip("`") for each in expected]


@pytest.mark.parametrize("sql", [sql for sql, said in ROWS])
def test_a_table_in_sql_has_what_a_query_answers(sessions: list[Session], sql: str) -> None:
    """A table's query is an operation of an expression. It is compiled with what else is asked of the table."""
    query, spark = f"SELECT {sql} AS x", sessions[1]
    try:
        schema = ibis.Schema.from_pyarrow(spark.fetch(query).schema)
    except EngineError:
        schema = ibis.schema({"x": "string"})
    teach()
    table = SqlQuery((), (), query, schema).to_expr()
    assert answer(spark, table.filter(ibis.literal(True))) == answer(spark, query)
