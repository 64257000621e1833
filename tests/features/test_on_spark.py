"""The point-in-time join on Spark against the oracle: a few views in every run, all in the long form."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstem.engines.spark.engine import SparkEngine
from mainstem.testing.contracts.features import every_history
from mainstem.testing.histories import Case
from mainstem.testing.interpreters import offline
from mainstem.testing.views import VIEWS
from spark_session import WARNINGS

QUICK = ("latest", "global_latest", "sums")
HISTORIES = 3

pytestmark = WARNINGS


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in VIEWS])
def test_spark_sees_what_the_oracle_sees(tmp_path: Path, name: str) -> None:
    case = Case.of(VIEWS[name](), every_history()[:HISTORIES])
    unlike = case.unlike(offline(SparkEngine("local[2]", directory=tmp_path)))
    assert case.values and not unlike, "\n".join(unlike[:20])
