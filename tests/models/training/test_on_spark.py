"""`xgboost@spark`: trees that Spark fits on all rows of a dataset, of which this process holds a part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis import _
from sklearn.metrics import roc_auc_score

import mainstem as ms
from mainstem.models.artifact.manifest import Manifest, read
from mainstem.models.artifact.scorer import Scorer
from mainstem.models.data.columns import rows_of
from mainstem.models.versions import registry
from mainstem.nodes.records import ModelVersion
from mainstem.project.project import Project
from mainstem.settings import Profile, ProjectSettings, Serve, Settings
from spark_session import WARNINGS

pytestmark = WARNINGS
INSTANT = pa.timestamp("us", "UTC")
HOUR, START = 3_600_000_000, 1_370_000_000_000_000
ROWS, BUDGET = 6_000, 1_500
FEATURES = ["distance", "wind", "carrier", "seats"]
SPARK = {"engine": "spark", "spark": {"master": "local[2]"}}


def flights(rows: int = ROWS, seed: int = 3) -> pa.Table:
    """One flight an hour. Its delay depends on numbers, a text and chance; a tenth of the rows have no outcome."""
    chance = np.random.default_rng(seed)
    distance, wind = chance.uniform(100, 3_000, rows), chance.normal(10, 4, rows)
    carrier = chance.choice(["AA", "B6", "DL", "UA"], rows)
    delay = distance / 300 + np.maximum(wind - 12, 0) * 3 + (carrier == "B6") * 6 + chance.normal(0, 3, rows)
    unknown = np.arange(rows) % 10 == 9
    return pa.table(
        {
            "flight_id": [f"f{n}" for n in range(rows)],
            "carrier": pa.array([None if n % 17 == 0 else c for n, c in enumerate(carrier.tolist())], pa.string()),
            "distance": pa.array([None if n % 11 == 0 else d for n, d in enumerate(distance)], pa.float64()),
            "wind": wind,
            "seats": chance.integers(1, 5, rows),
            "scheduled_at": pa.array(START + np.arange(rows, dtype="int64") * HOUR, INSTANT),
            "delay": pa.array(delay, mask=unknown),
            "late": pa.array(delay > 9, mask=unknown),
            "kind": pa.array(np.digitize(delay, [4, 10]).astype(str), mask=unknown),
            "bags": pa.array(chance.poisson(np.exp(distance / 2_000)), mask=unknown),
        }
    )


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    pq.write_table(flights(), tmp_path / "flights.parquet")
    yield tmp_path


def nodes(target: Any = _.late, candidates: Any = ("xgboost@spark",), **settings: Any) -> dict[str, Any]:
    outcomes = dict.fromkeys(["delay", "late", "kind", "bags"], _.scheduled_at + ibis.interval(hours=9))
    known = {"*": _.scheduled_at - ibis.interval(days=30), **outcomes}
    found = ms.files("flights.parquet", key="flight_id", time="scheduled_at", known=known)
    late = ms.model(
        found,
        prediction_time=_.scheduled_at - ibis.interval(minutes=30),
        target=target,
        features=FEATURES,
        candidates=list(candidates),
        **settings,
    )
    return {"flights": found, "late": late, "arrivals": ms.endpoint(late), "scored": ms.score(found, late)}


def opened(root: Path, declared: dict[str, Any], **profile: Any) -> Project:
    root.mkdir(exist_ok=True)
    return ms.Project(Settings(root, ProjectSettings("p", ()), Profile(**profile), "default", Serve()), declared)


def version(project: Project) -> tuple[ModelVersion, Manifest]:
    found = registry.versions(project.adapters.state, "late")[-1]
    return found, read(project.adapters.artifacts / found.artifact)


def ranks(project: Project) -> float:
    """The ROC-AUC of the newest version on 20,000 flights of other chances."""
    found, _ = version(project)
    rows = flights(20_000, seed=4)
    late = np.asarray(rows["late"].fill_null(False))
    known = rows["late"].is_valid().to_numpy()
    scores = Scorer.load(project.adapters.artifacts / found.artifact).score_rows(rows_of(rows, found.inputs))
    return float(roc_auc_score(late[known], scores[known]))


def test_trees_learn_from_all_rows_and_the_rest_goes_its_usual_way(root):
    with opened(root, nodes(candidates=["xgboost"])) as project:
        project.run()
        whole = ranks(project)
    with opened(root / "drawn", nodes(candidates=["xgboost"]), training_rows=BUDGET) as project:
        pq.write_table(flights(), root / "drawn" / "flights.parquet")
        project.run()
        drawn = ranks(project)
    with opened(root / "spark", nodes(), training_rows=BUDGET, **SPARK) as project:
        pq.write_table(flights(), root / "spark" / "flights.parquet")
        project.run()
        found, manifest = version(project)
        assert ranks(project) == pytest.approx(whole, abs=0.01) and ranks(project) > drawn
        assert found.rows["learned"] == ROWS * 9 // 10
        assert BUDGET * 0.9 < found.rows["examples"] < BUDGET * 1.1
        assert "fitted by Spark on 5,400 rows" in manifest.evaluation["trees"]
        assert "within a tolerance" in manifest.evaluation["reproducible"]
        assert manifest.gate is not None and manifest.gate.rows > 500
        _parts_are_divided_at(manifest, project)
        _other_steps_work(project)
        again = project.reproduce("late-1")
        assert again.equal and {step.step for step in again.steps if step.same} >= {
            "rows",
            "model.onnx",
            "earlier.onnx",
        }
    with opened(root / "spark", nodes(), training_rows=BUDGET) as project:
        assert "the profile's engine is not Spark" in str(project.sound.broken["late"])


def _parts_are_divided_at(manifest: Manifest, project: Project) -> None:
    """Whether the rows that were not drawn are in the part of the drawn rows of their time."""
    rows = project.dataset("late").to_pyarrow()
    parts, times = np.array(rows["_split"].to_pylist()), np.asarray(rows["_t"].cast(pa.int64()))
    assert len(rows) == ROWS and sum(parts == "train, not drawn") > 2 * sum(parts == "train") > 1_000
    for known in ("train", "test"):
        own, other = times[parts == known], times[parts == f"{known}, not drawn"]
        assert abs(own.min() - other.min()) < 100 * HOUR and abs(own.max() - other.max()) < 100 * HOUR
    train, test = (np.isin(parts, [part, f"{part}, not drawn"]) for part in ("train", "test"))
    assert times[train].max() + 24 * HOUR <= times[test].min()
    assert sum(np.char.startswith(parts, "unlabelled")) == ROWS // 10
    assert manifest.measured_until is not None and manifest.trained_until is not None
    assert manifest.measured_until.timestamp() * 1e6 == times[train].max()


def _other_steps_work(project: Project) -> None:
    """A promotion, scores of a table by Spark, and predictions, which are equal."""
    project.promote("late")
    project.run()
    scored = project.table("scored").to_pyarrow()
    assert set(scored["version"].to_pylist()) == {"late-1"} and len(scored) == ROWS
    scores = dict(zip(scored["flight_id"].to_pylist(), scored["score"].to_pylist(), strict=True))
    some = flights().slice(100, 50).select(["flight_id", *FEATURES]).to_pylist()
    answers = project.predict("arrivals", some)
    assert [each["score"] for each in answers] == [scores[row["flight_id"]] for row in some]
    assert len({each["score"] for each in answers}) > 30
