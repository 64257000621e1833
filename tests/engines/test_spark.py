from typing import ClassVar

import ibis
import pyarrow as pa
import pytest

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
