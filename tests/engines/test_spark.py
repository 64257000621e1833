from datetime import UTC, date, datetime
from typing import ClassVar

import ibis
import pyarrow as pa
import pytest

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.engines.spark.engine import SparkEngine
from mainstem.errors import EngineError
from mainstem.ports import Field, Target
from mainstem.sources.conversion import converted
from mainstem.testing.contracts.engine import EngineContract
from spark_session import WARNINGS

pytestmark = WARNINGS


@pytest.fixture
def engine(tmp_path):
    return SparkEngine("local[2]", directory=tmp_path / "handed")


class TestSpark(EngineContract):
    WIDER: ClassVar = {"uint64": "decimal(20, 0)"}


def test_a_sample_with_a_seed_is_the_same_each_time(engine):
    with engine.session({"t": pa.table({"n": list(range(2_000))})}) as session:
        sampled = ibis.table({"n": "int64"}, name="t").sample(0.1, method="row", seed=7)
        first, again = session.fetch(sampled)["n"].to_pylist(), session.fetch(sampled)["n"].to_pylist()
        assert first == again and 100 < len(first) < 300


def test_dates_are_parsed_as_on_the_embedded_engine(engine):
    verb = ms.clean.parse_date("a", ["%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M"], invalid="null")
    texts = ["31.12.2024 10:05", "2025-02-03 9:00", "31.02.2024 10:00", " 01.01.2024 00:00 ", None, "x"]
    parsed = ibis.table({"a": "string"}, name="t").select(at=verb.value(ibis.table({"a": "string"}, name="t").a))
    found = []
    for each in (DuckdbEngine(), engine):
        with each.session({"t": pa.table({"a": texts})}) as session:
            found.append(session.fetch(parsed)["at"].to_pylist())
    assert found[0] == found[1] and [at is None for at in found[0]] == [False, False, True, False, True, True]


def test_a_column_becomes_wider_or_names_the_value_that_does_not_fit(engine):
    rows = ibis.table({"n": "int64", "day": "date"}, name="t")
    wider = rows.select(n=converted(rows.n, "float64"), at=converted(rows.day, "timestamp('UTC', 6)"))
    day = date(2024, 1, 2)
    with engine.session({"t": pa.table({"n": [1, None], "day": [day, None]})}) as session:
        found = session.fetch(wider).to_pylist()
        assert found[0] == {"n": 1.0, "at": datetime(2024, 1, 2, tzinfo=UTC)} and found[1] == {"n": None, "at": None}
    with (
        pytest.raises(Exception, match="a value that does not fit its column: 9007199254740993"),
        engine.session({"t": pa.table({"n": [2**53 + 1], "day": [day]})}) as session,
    ):
        session.fetch(wider)


def test_a_worker_that_is_killed_while_it_writes_leaves_no_file_and_may_be_tried_again(engine, tmp_path):
    kill, out = tmp_path / "kill", tmp_path / "out"
    schema = ibis.schema({"n": "int64"})

    def doubled(batch: pa.RecordBatch) -> pa.RecordBatch:
        import os
        import signal

        if kill.exists() and batch.column("n")[-1].as_py() > 50_000:  # after other batches were written
            os.kill(os.getpid(), signal.SIGKILL)
        return pa.RecordBatch.from_pydict({"n": [2 * each for each in batch.column("n").to_pylist()]})

    kill.touch()
    target = Target(str(out), (Field(1, "n", "int64"),))
    rows = ibis.table(schema, name="t")
    with engine.session({"t": pa.table({"n": list(range(100_000))})}) as session:
        with pytest.raises(EngineError, match="a worker of Spark has ended") as caught:
            session.write_mapped(rows, doubled, schema, target)
        assert caught.value.transient and not [path for path in out.rglob("*") if path.is_file()]
        kill.unlink()
        files = session.write_mapped(rows, doubled, schema, target)
    assert sum(file.rows for file in files) == 100_000
    assert sorted(str(path) for path in out.rglob("*.parquet")) == sorted(file.path for file in files)
