"""Columns may be called like arguments and methods of the libraries below."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import mainstem as ms

NAMES = ("self", "by", "having", "metrics", "exprs", "name", "schema", "count", "columns", "limit", "index", "values")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "odd"\nmodules = ["odd"]\n')
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "at", *NAMES, "y"])
        for n in range(300):
            at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=n)
            rows.writerow([n, at.isoformat(), *((n * (k + 3)) % 17 for k in range(len(NAMES))), n % 5 > 2])
    return tmp_path


PROJECT = """
import ibis
import mainstem as ms
from ibis import _

rows = ms.files("rows.csv", key="id", time="at", known={{"*": "at"}}, checks=[ms.not_null("self"), ms.unique("id")])

@ms.table(key="id", clean=[ms.clean.impute("by", 0), ms.clean.within("limit", 0, 100, invalid="quarantine")], checks=[
    ms.between("having", 0, 20, severity="quarantine")])
def cleaned(rows):
    return rows

@ms.table(key="self")
def grouped(cleaned):
    return cleaned.group_by(cleaned["self"]).agg(n=cleaned["y"].sum())

view = ms.feature_view(rows, key="self", windows=["7d"], metrics=_["metrics"].mean(), by=_["by"].max())
latest = ms.feature_view(cleaned, key="id", columns={columns})
model = ms.model(cleaned, target=_.y, features={names}, task="binary")
timed = ms.model(cleaned, target=_.y, features=[latest, "self", view], task="binary",
    prediction_time=_["at"] + ibis.interval(days=1))
"""


def test_columns_called_like_arguments_go_the_whole_way(root: Path) -> None:
    (root / "odd.py").write_text(PROJECT.format(columns=list(NAMES[1:]), names=list(NAMES)))
    with ms.load(root) as project:
        run = project.run()
        assert {step.status for step in run.steps} == {"done"}
        assert project.table("cleaned").to_pyarrow().column_names[2:14] == list(NAMES)
        (answer,) = project.predict("model", [dict.fromkeys(NAMES, 3)])
        assert 0 <= answer["score"] <= 1
        assert project.describe("rows") is not None
        read = project.online("view").get([{"self": 3}])
        assert set(dict(read[0])) == {"metrics_7d", "by_7d"}
        assert project.dataset("timed").to_pyarrow().num_rows == 300
