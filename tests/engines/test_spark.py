from typing import ClassVar

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
