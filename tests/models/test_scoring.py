"""`ms.score`: a table of scores, made in batches by the champion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import DefinitionError, UnknownName
from mainstem.project.project import Project
from mainstem.settings import Profile, ProjectSettings, Serve, Settings
from spark_session import WARNINGS

pytestmark = WARNINGS
INSTANT = pa.timestamp("us", "UTC")
HOUR = 3_600_000_000
START = 1_370_000_000_000_000
ROWS = 600


def flights(root: Path, rows: int = ROWS) -> None:
    chance = np.random.default_rng(3)
    at = START + np.arange(rows, dtype="int64") * 2 * HOUR
    distance, wind = chance.uniform(100, 3_000, rows), chance.normal(10, 4, rows)
    late = distance / 1_000 + wind / 10 + chance.normal(0, 0.5, rows) > 2.5
    origin = chance.choice(["JFK", "LGA", None], rows)
    pq.write_table(
        pa.table(
            {
                "flight_id": [f"f{n}" for n in range(rows)],
                "origin": pa.array(origin.tolist(), pa.string()),
                "distance": pa.array([None if n % 11 == 0 else d for n, d in enumerate(distance)], pa.float64()),
                "scheduled_at": pa.array(at, INSTANT),
                "late": pa.array(late),
            }
        ),
        root / "flights.parquet",
    )
    pq.write_table(
        pa.table({"at": pa.array(at - HOUR, INSTANT), "origin": pa.array(origin.tolist(), pa.string()), "wind": wind}),
        root / "weather.parquet",
    )


def nodes(**changes: Any) -> dict[str, Any]:
    known = {"*": _.scheduled_at - ibis.interval(days=30), "late": _.scheduled_at + ibis.interval(hours=9)}
    found = ms.files("flights.parquet", key="flight_id", time="scheduled_at", known=known)
    weather = ms.files("weather.parquet", time="at", known="at")
    wx = ms.feature_view(weather, key="origin", windows=["6h"], wind=_.wind.mean(), n=_.count())
    late = ms.model(
        examples=found,
        prediction_time=_.scheduled_at - ibis.interval(minutes=30),
        target=_.late,
        features=["distance", wx],
        candidates=["linear"],
        metric="average_precision",
        retrain="data",
    )
    declared = {"flights": found, "weather": weather, "wx": wx, "late": late, "arrivals": ms.endpoint(late)}
    declared["scored"] = ms.score(found, late)
    return {**declared, **changes}


def opened(root: Path, declared: dict[str, Any] | None = None, **profile: Any) -> Project:
    settings = Settings(root, ProjectSettings("p", ()), Profile(**profile), "default", Serve())
    return ms.Project(settings, declared or nodes())


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    flights(tmp_path)
    yield tmp_path


def steps(project: Project) -> dict[str, str]:
    return {step.key: step.reason for step in project.plan().steps}


def scores(project: Project) -> dict[str, float]:
    rows = project.table("scored").to_pyarrow()
    return dict(zip(rows["flight_id"].to_pylist(), rows["score"].to_pylist(), strict=True))


def test_scores_are_those_of_the_dataset_and_follow_the_champion(root):
    with opened(root) as project:
        project.run()
        assert project.release.tables["scored"].rows == 0
        assert "score scored" not in steps(project)  # the endpoint has no champion yet
        project.promote("late")
        assert steps(project)["score scored"] == "late-1 can score"
        project.run()
        assert project.release.tables["scored"].rows == ROWS
        assert not project.plan()
        found = project.table("scored").to_pyarrow()
        assert set(found["version"].to_pylist()) == {"late-1"}
        assert found.schema.names == ["flight_id", "predicted_at", "score", "version"]
        assert _agrees(project, scores(project))
        assert project.show("scored").kind == "score"
        assert set(project.show("scored").reads) == {"flights", "late"}
        flights(root, ROWS + 50)
        project.run()
        assert project.release.tables["scored"].rows == ROWS + 50
        assert set(project.table("scored").to_pyarrow()["version"].to_pylist()) == {"late-1"}
        before = scores(project)
        project.promote("late")
        assert steps(project)["score scored"] == "late-2 is the champion now, not late-1"
        project.run()
        assert set(project.table("scored").to_pyarrow()["version"].to_pylist()) == {"late-2"}
        assert scores(project) != before


def _agrees(project: Project, scores: dict[str, float]) -> bool:
    """Whether the scores are those that the artifact gives the rows of the model's dataset."""
    from mainstem.models.artifact.scorer import Scorer
    from mainstem.models.data.columns import rows_of
    from mainstem.nodes.records import ModelVersion

    version = project.adapters.state.get(ModelVersion, "late-1")
    rows = project.dataset("late").to_pyarrow()
    scorer = Scorer.load(project.adapters.artifacts / version.artifact)
    expected = scorer.score_rows(rows_of(rows, version.inputs))
    own = [scores[id] for id in rows["flight_id"].to_pylist()]
    return len(own) == ROWS and len(set(own)) > 100 and own == expected.tolist()


def test_spark_gives_the_same_scores_in_its_workers(root):
    with opened(root) as project:
        project.run()
        project.promote("late")
        project.run()
        embedded = scores(project)
    with opened(root, engine="spark", spark={"master": "local[2]"}) as project:
        project.run("scored", full_refresh=True)
        assert not steps(project)
        from mainstem.models.scoring import Scoring
        from mainstem.planning.plan import Step

        outcome = Scoring(project.adapters.artifacts)(Step("score", "scored", "again"), project.reading("score"))
        scan = project.adapters.lake.scan(outcome.tables["scored"])
        rows = pq.read_table([str(path) for path in scan.files])
    found = dict(zip(rows["flight_id"].to_pylist(), rows["score"].to_pylist(), strict=True))
    assert found == embedded


def test_a_model_without_an_endpoint_scores_with_its_newest_version_in_the_same_run(root):
    declared = nodes()
    del declared["arrivals"]
    with opened(root, declared) as project:
        project.run()
        assert project.release.tables["scored"].rows == ROWS
        assert not project.plan()


def test_what_cannot_be_scored_is_refused_at_load(root):
    def refused(error: type[Exception], said: str, **changes: Any) -> None:
        with pytest.raises(error, match=said), opened(root, nodes(**changes)) as project:
            project.plan()
            for problem in project.sound.broken.values():
                raise problem

    declared = nodes()
    keyless = {**declared, "scored": ms.score(declared["weather"], declared["late"])}
    refused(DefinitionError, "scores require a key", **keyless)
    narrow = ms.table(lambda flights: flights.drop("distance"), key="flight_id", name="narrow")
    refused(UnknownName, "unknown column 'distance'", narrow=narrow, scored=ms.score(narrow, "late"))
    refused(DefinitionError, "is not a model", scored=ms.score("flights", "wx"))
    with pytest.raises(DefinitionError, match="scores require a model"):
        ms.score(declared["flights"], declared["flights"])


def test_columns_may_be_called_as_arguments_of_a_library_are(root):
    rows = pq.read_table(root / "flights.parquet").rename_columns({"flight_id": "self", "distance": "by"})
    pq.write_table(rows, root / "flights.parquet")
    flown = ms.files("flights.parquet", key="self", time="scheduled_at")
    late = ms.model(flown, target="late", features=["by", "origin"], candidates=["linear"])
    with opened(root, {"flown": flown, "late": late, "scored": ms.score(flown, late)}) as project:
        project.run()
        assert project.release.tables["scored"].rows == ROWS


def positive(declared: dict[str, Any]) -> dict[str, Any]:
    """These nodes, and a table over the scores."""
    return {**declared, "above": ms.table(lambda scored: scored.filter(scored.score > 0), key="flight_id")}


def test_a_table_over_scores_is_built_before_there_is_a_champion(root):
    with opened(root, positive(nodes())) as project:
        project.run()
        assert project.release.models["late"] == "late-1"
        assert project.release.tables["scored"].rows == project.release.tables["above"].rows == 0
        project.promote("late")
        project.run()
        assert project.release.tables["above"].rows == ROWS


def test_a_champion_that_requires_a_removed_feature_does_not_block_its_challenger(root):
    with opened(root) as project:
        project.run()
        project.promote("late")
        project.run()
        before = scores(project)
    declared = nodes()
    node = declared["late"]
    late = ms.model(
        examples=declared["flights"],
        prediction_time=node.prediction_time,
        target=_.late,
        features=[declared["wx"]],
        candidates=["linear"],
        metric="average_precision",
        retrain="data",
    )
    changed = {**declared, "late": late, "arrivals": ms.endpoint(late), "scored": ms.score(declared["flights"], late)}
    flights(root, ROWS + 50)
    with opened(root, changed) as project:
        said = [step.message for step in project.run().steps if step.node == "scored"]
        assert "late-1 requires distance, which late has no more" in said[0]
        assert project.release.models["late"] == "late-2" and scores(project) == before
        project.promote("late")
        project.run()
        assert len(scores(project)) == ROWS + 50


def test_a_champion_whose_features_mean_something_else_now_is_told(root):
    with opened(root) as project:
        project.run()
        project.promote("late")
        project.run()
    declared = nodes()
    wx = ms.feature_view(declared["weather"], key="origin", windows=["6h"], wind=(_.wind * 2).mean(), n=_.count())
    late = ms.model(
        declared["flights"],
        prediction_time=_.scheduled_at - ibis.interval(minutes=30),
        target=_.late,
        features=["distance", wx],
        candidates=["linear"],
    )
    changed = {"wx": wx, "late": late, "arrivals": ms.endpoint(late), "scored": ms.score(declared["flights"], late)}
    flights(root, ROWS + 50)
    with opened(root, {**declared, **changed}) as project:
        said = [step.message for step in project.run().steps if step.node == "scored"]
    assert said == ["scored by late-1; wx.wind_6h changed since it was trained"]


def test_features_of_another_definition_make_the_scores_due(root):
    """The features computed on demand count as those of views do, and what only the training reads does not."""

    def late(factor, **settings):
        declared = nodes()
        far = ms.on_demand(far=_.distance * factor)
        given = {"target": _.late, "features": ["distance", far], "candidates": ["linear"], **settings}
        model = ms.model(declared["flights"], prediction_time=_.scheduled_at - ibis.interval(minutes=30), **given)
        scored = ms.score(declared["flights"], model)
        return {**declared, "late": model, "arrivals": ms.endpoint(model), "scored": scored}

    with opened(root, late(2)) as project:
        project.run()
        project.promote("late")
        project.run()
    with opened(root, late(2, metric="brier")) as project:
        assert [step.node for step in project.plan().steps] == ["late"]
    with opened(root, late(3)) as project:
        due = {step.node: step.reason for step in project.plan().steps}
        assert due["scored"] == "features of late are defined otherwise now"
        said = [step.message for step in project.run().steps if step.node == "scored"]
        assert said == ["scored by late-1; far changed since it was trained"]
        assert not project.plan()


def test_a_champion_that_learned_numbers_where_texts_are_now_does_not_block_its_challenger(root):
    with opened(root) as project:
        project.run()
        project.promote("late")
        project.run()
    flown = ms.table(
        lambda flights: flights.mutate(distance=(flights.distance > 900).ifelse("far", "near")),
        name="flown",
        key="flight_id",
        time="scheduled_at",
    )
    declared = nodes()
    late = ms.model(
        flown,
        prediction_time=_.scheduled_at - ibis.interval(minutes=30),
        target=_.late,
        features=["distance"],
        candidates=["linear"],
    )
    changed = {**declared, "flown": flown, "late": late, "arrivals": ms.endpoint(late), "scored": ms.score(flown, late)}
    with opened(root, changed) as project:
        said = [step.message for step in project.run().steps if step.node == "scored"]
        assert "late-1 requires distance as numbers" in said[0]
        assert project.release.models["late"] == "late-2"
        project.promote("late", breaking=True)
        project.run()
        assert len(scores(project)) == ROWS


@pytest.mark.parametrize(
    ("changes", "columns"),
    [
        ({"target": "origin"}, ["score", "label", "scores"]),
        ({"target": "distance", "quantiles": [0.1, 0.5, 0.9]}, ["score", "scores"]),
    ],
)
def test_classes_and_quantiles_have_all_their_scores(root, changes, columns):
    found = ms.files("flights.parquet", key="flight_id")
    model = ms.model(found, features=["late", "wind_speed"], candidates=["linear"], folds=2, **changes)
    rows = pq.read_table(root / "flights.parquet")
    draw = np.random.default_rng(1)
    pq.write_table(rows.append_column("wind_speed", pa.array(draw.normal(size=ROWS))), root / "flights.parquet")
    with opened(root, {"found": found, "model": model, "scored": ms.score(found, model)}) as project:
        project.run()
        table = project.table("scored").to_pyarrow()
        assert table.schema.names == ["flight_id", *columns, "version"]
        asked = pq.read_table(root / "flights.parquet").slice(0, 20).to_pylist()
        answers = project.predict("model", [{name: row[name] for name in ("late", "wind_speed")} for row in asked])
        stored = {row["flight_id"]: row for row in table.to_pylist()}
        for row, answer in zip(asked, answers, strict=True):
            own = stored[row["flight_id"]]
            assert json.loads(own["scores"]) == answer["scores"] and own["score"] == answer["score"]
            assert own.get("label") == answer["label"]
