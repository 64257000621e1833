from typing import ClassVar

import ibis
import pyarrow as pa
import pytest

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.engines.spark.engine import SparkEngine
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
