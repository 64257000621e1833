"""A dataset of more rows than the budget is drawn by the engine, and what comes of the draw."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest
from ibis import _

import mainstem as ms
import mainstem.testing
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.engines.spark.engine import SparkEngine
from mainstem.errors import SettingsError
from mainstem.models.training.drawing import Stratum, drawn, strata
from mainstem.models.versions import registry
from mainstem.models.versions.report import card
from mainstem.nodes.hidden import TARGET, T
from mainstem.settings import Profile, load
from mainstem.testing import temporary
from spark_session import WARNINGS

pytestmark = WARNINGS

BEGIN = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
SCHEMA = {"id": "string", "at": "timestamp('UTC', 6)", "size": "float64", "late": "boolean"}
ROWS, BUDGET = 20_000, 4_000


def rows(count: int = ROWS) -> pa.Table:
    """One row an hour; a twentieth of them are true."""
    rng = np.random.default_rng(1)
    found = {
        "id": [f"r{n}" for n in range(count)],
        "at": [BEGIN + dt.timedelta(hours=n) for n in range(count)],
        "size": rng.normal(size=count),
        "late": [n % 20 == 0 for n in range(count)],
    }
    return pa.table(found, schema=ibis.schema(SCHEMA).to_pyarrow())


def draw(session: Any, table: ibis.Table, key: list[str], budget: int = BUDGET) -> pa.Table:
    found = [Stratum.of(row) for row in session.fetch(strata(table, "binary")).to_pylist()]
    return session.fetch(drawn(table, key, "binary", found, budget))


@pytest.fixture(scope="module")
def dataset() -> tuple[ibis.Table, pa.Table]:
    named = rows().rename_columns(["id", T, "size", TARGET])
    return ibis.table(ibis.Schema.from_pyarrow(named.schema), name="dataset"), named


def looks_drawn(found: pa.Table) -> None:
    """Compare with the shares of classes, and with an even spread over time."""
    assert abs(len(found) - BUDGET) < 5 * BUDGET**0.5
    positives = sum(found[TARGET].to_pylist())
    assert abs(positives - BUDGET / 20) < 5 * (BUDGET / 20) ** 0.5
    thirds = np.bincount([min(2, int(id[1:]) * 3 // ROWS) for id in found["id"].to_pylist()], minlength=3)
    # The weights rise from 1 to 3, so the thirds are as 4 : 6 : 8.
    expected = np.array([4, 6, 8]) * len(found) / 18
    assert (abs(thirds - expected) < 5 * expected**0.5).all()


@pytest.fixture(params=["duckdb", "spark"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return SparkEngine("local[2]", directory=tmp_path / "handed") if request.param == "spark" else DuckdbEngine()


@pytest.mark.parametrize("key", [["id"], []], ids=["a key", "no key"])
def test_classes_keep_their_share_and_later_rows_are_likelier(
    key: list[str], engine: Any, dataset: tuple[ibis.Table, pa.Table]
) -> None:
    table, data = dataset
    with engine.session({"dataset": data}) as session:
        found = draw(session, table, key)
        looks_drawn(found)
        again = draw(session, table, key)
    assert sorted(found["id"].to_pylist()) == sorted(again["id"].to_pylist())


def project_of() -> Any:
    known = {"*": _.at - ibis.interval(days=1), "late": _.at + ibis.interval(hours=1)}
    source = ms.files("rows.parquet", key="id", time="at", schema=SCHEMA, known=known)
    late = ms.model(examples=source, prediction_time=_.at, target=_.late, features=["size"], candidates=["linear"])
    return mainstem.testing.project({"rows": source, "late": late}, data={"rows": rows(3_000)})


def learned(budget: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The version that a project with this budget learns from 3,000 rows."""
    monkeypatch.setattr(temporary, "Profile", lambda: Profile(training_rows=budget))
    with project_of() as project:
        project.run()
        (version,) = registry.versions(project.adapters.state, "late")
        return version, card(version, project.adapters.artifacts)


def test_a_version_says_that_its_rows_were_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    version, said = learned(1_000, monkeypatch)
    assert 850 < version.rows["examples"] < 1_150
    assert "about 1,000 of 3,000 rows (training_rows)" in said["evaluation"]["sampled in the engine"]


def test_a_dataset_within_the_budget_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    version, said = learned(3_000, monkeypatch)
    assert version.rows["examples"] == 3_000 and "sampled in the engine" not in said["evaluation"]


def test_the_budget_is_at_least_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTEM_TRAINING_ROWS", "0")
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "shop"\nmodules = ["shop"]\n')
    with pytest.raises(SettingsError, match="an environment variable has an invalid value"):
        load(tmp_path)
