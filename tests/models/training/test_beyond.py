"""Rows beyond this process: which of them a fit learns from, what it makes of them, and what is refused."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis import _

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.engines.spark.engine import SparkEngine
from mainstem.errors import DefinitionError, MissingExtra, ModelError, UnknownName
from mainstem.models.algorithms import algorithm, candidate, check, libraries
from mainstem.models.artifact import export
from mainstem.models.data.columns import rows_of
from mainstem.models.data.labels import labels
from mainstem.models.data.rows import Examples
from mainstem.models.engineering import fitting
from mainstem.models.training.beyond import Reading, Stored, stored_rows
from mainstem.models.training.prepared import prepare
from mainstem.models.training.reproduce import close
from mainstem.models.training.undrawn import with_parts
from mainstem.models.versions import registry
from mainstem.models.versions.report import card
from mainstem.nodes.engineering import Ratios
from mainstem.nodes.models import Task
from mainstem.nodes.records import InputColumn
from mainstem.nodes.sampling import Sampling
from mainstem.settings import Profile, ProjectSettings, Serve, Settings
from spark_session import WARNINGS

pytestmark = WARNINGS
INSTANT = pa.timestamp("us", "UTC")
HOUR, START = 3_600_000_000, 1_370_000_000_000_000
INPUTS = (InputColumn("a", "float"), InputColumn("b", "float"), InputColumn("city", "string"))


ROWS = 3_000


def rows(count: int = ROWS) -> pa.Table:
    """Rows of 40 shops, one an hour."""
    chance = np.random.default_rng(1)
    a, b = chance.normal(size=count), chance.uniform(size=count)
    city = chance.choice(["Lima", "Oslo", "Quito"], count)
    value = 2 * a + 3 * (city == "Oslo") + b + chance.normal(0, 0.5, count)
    return pa.table(
        {
            "id": [f"r{n}" for n in range(count)],
            "_t": pa.array(START + np.arange(count, dtype="int64") * HOUR, INSTANT),
            "a": pa.array([None if n % 13 == 0 else v for n, v in enumerate(a)], pa.float64()),
            "b": b,
            "city": city.tolist(),
            "_group": [f"shop {n % 40}" for n in range(count)],
            "_part": np.where(np.arange(count) % 5 == 0, "test", "train").tolist(),
            "_weight": np.where(np.arange(count) % 2 == 0, 1.0, 3.0),
            "value": value,
            "sure": value > 2,
            "kind": np.digitize(value, [0.0, 2.5]).astype(str).tolist(),
            "times": chance.poisson(np.exp(value / 4)),
        }
    )


# ── the fit ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> SparkEngine:
    return SparkEngine("local[2]", directory=tmp_path_factory.mktemp("handed"))


def labelled(target: str) -> pa.Table:
    """The rows as a stored dataset: every third is drawn, and some of the rest are in no part."""
    part = [
        "train" if n % 3 == 0 else "unlabelled, not drawn" if n % 20 == 1 else "train, not drawn" for n in range(ROWS)
    ]
    return rows().append_column("_target", rows()[target]).append_column("_split", pa.array(part))


def stored(spark: SparkEngine, table: pa.Table, task: Task) -> Stored:
    dataset = ibis.table(ibis.Schema.from_pyarrow(table.schema), name="dataset")
    reading = Reading(INPUTS, task, CLASSES.get(task, ()))
    found = stored_rows(dataset, lambda: spark.session({"dataset": table}), reading)
    assert found is not None
    return found.of("train")


def examples(table: pa.Table, task: Task, *parts: str) -> Examples:
    """The rows of some parts as a fit in this process sees them."""
    own = table.filter(pa.array([part in parts for part in table["_split"].to_pylist()]))
    times = np.asarray(own["_t"].cast(pa.int64()))
    weights = np.asarray(own["_weight"]) if "_weight" in own.column_names else None
    return Examples(
        rows_of(own, INPUTS),
        labels(own["_target"], task).y,
        times,
        task,
        3 if task == "multiclass" else 0,
        weights=None if weights is None else weights / weights.mean(),
        names=("a", "b", "city"),
    )


TARGETS: dict[Task, str] = {"binary": "sure", "multiclass": "kind", "regression": "value", "count": "times"}
CLASSES: dict[Task, tuple[str, ...]] = {"binary": ("false", "true"), "multiclass": ("0", "1", "2")}
ALL = ("train", "train, not drawn")
PLAIN = ms.xgboost(subsample=1.0, colsample_bytree=1.0, min_child_weight=5.0)
ROUNDS = {"rounds": 40.0}


def alike(found: Any, expected: Any) -> bool:
    """The first score is of the drawn rows, and bins are merged from those of two workers."""
    return bool(np.sqrt(np.mean((found - expected) ** 2)) < 0.1 * expected.std())


@pytest.mark.parametrize("task", list(TARGETS))
def test_a_fit_on_all_rows_scores_like_one_in_this_process(task: Task, spark: SparkEngine) -> None:
    table = labelled(TARGETS[task])
    if task == "regression":
        table = table.drop_columns("_weight")
    drawn = replace(examples(table, task, "train"), beyond=stored(spark, table, task))
    found, whole = replace(PLAIN, on="spark").fit(drawn, ROUNDS), examples(table, task, *ALL)
    here, few = PLAIN.fit(whole, ROUNDS), PLAIN.fit(drawn, ROUNDS)
    expected = here.scores(whole.rows)
    assert alike(found.scores(whole.rows), expected) and not alike(few.scores(whole.rows), expected)
    if task == "regression":  # each row weighs 1, and a leaf's weight is the number of its rows
        assert _root(found) == _root(here) == len(whole) == 2_900


def _root(found: Any) -> float:
    """The weight of the rows that the first tree has seen."""
    model = json.loads(bytes(found.raw.args[1].save_raw("json")))
    return float(model["learner"]["gradient_booster"]["model"]["trees"][0]["sum_hessian"][0])


def test_made_inputs_and_weights_of_classes_are_those_of_the_drawn_rows(spark: SparkEngine) -> None:
    table = labelled("sure")
    asked = {"engineer": (Ratios(),), "sampling": Sampling(class_weight="balanced", half_life="30d")}
    drawn = replace(examples(table, "binary", "train"), beyond=stored(spark, table, "binary"), **asked)
    whole = replace(examples(table, "binary", *ALL), **asked)
    found, here = (fitting.fit(each, of, ROUNDS) for each, of in [(replace(PLAIN, on="spark"), drawn), (PLAIN, whole)])
    plain = PLAIN.fit(examples(table, "binary", *ALL), ROUNDS).scores(whole.rows)
    assert alike(found.scores(whole.rows), here.scores(whole.rows))
    assert not alike(sampled_only(found).scores(whole.rows), plain)  # the weights were learned from
    assert isinstance(found, fitting.EngineeredScore) and len(found.inputs.made) == 1


def sampled_only(found: Any) -> Any:
    """The estimator without the correction of its probabilities."""
    return replace(found, of=found.of.of)


def test_a_fit_without_settings_finds_the_rounds_in_the_drawn_rows(spark: SparkEngine) -> None:
    table = labelled("value")
    drawn = examples(table, "regression", "train")
    found = replace(PLAIN, on="spark").fit(replace(drawn, beyond=stored(spark, table, "regression")))
    assert found.settings == PLAIN.fit(drawn).settings


def test_rows_with_a_wrong_weight_or_count_are_refused(spark: SparkEngine) -> None:
    table = labelled("times")
    weight = table.column_names.index("_weight")
    wrong = table.set_column(weight, "_weight", pa.array([-1.0 if n == 1_000 else 1.0 for n in range(ROWS)]))
    with pytest.raises(ModelError, match="`weight` must be a number of at least 0") as error:
        stored(spark, wrong, "count")
    assert error.value.got == "1 of 2,900 rows are null, negative or infinite"
    halves = labelled("value").drop_columns("_weight")
    with pytest.raises(ModelError, match="a count must be a whole number"):
        stored(spark, halves, "count")


def test_an_engine_that_does_not_boost_is_told() -> None:
    table = labelled("value")
    dataset = ibis.table(ibis.Schema.from_pyarrow(table.schema), name="dataset")
    reading = Reading(INPUTS, "regression", ())
    assert stored_rows(dataset, lambda: DuckdbEngine().session({"dataset": table}), reading) is None


# ── the parts of rows that were not drawn ─────────────────────────────────────────────────────────────


def parted(model: Any, task: Task, key: list[str], target: str = "sure", table: Any = None) -> tuple[Any, Any]:
    """The drawn rows with their parts, and the rest with theirs."""
    table = rows() if table is None else table
    table = table.append_column("_target", table[target])
    if model.prediction_time is None:
        table = table.set_column(1, "_t", pa.nulls(ROWS, INSTANT))
    third = np.arange(ROWS) % 3 == 0
    drawn, rest = table.filter(pa.array(third)), table.filter(pa.array(~third))
    prepared = prepare(model, task, drawn, INPUTS, key)
    other = ibis.table(ibis.Schema.from_pyarrow(rest.schema), name="rest")
    with DuckdbEngine().session({"rest": rest}) as session:
        return prepared.table, session.fetch(with_parts(other, model, task, prepared, key, session))


def model(**settings: Any) -> Any:
    settings = {"prediction_time": _.at, **settings}
    return ms.model("rows", target="sure", features=["a"], **settings)


def columns(table: pa.Table, *names: str) -> Any:
    return [np.array(table[name].to_pylist()) for name in names]


def test_rows_are_parted_at_the_instants_of_the_drawn_ones() -> None:
    drawn, rest = parted(model(gap="2d"), "binary", ["id"])
    (times, parts), (own, known) = columns(rest, "_t", "_split"), columns(drawn, "_t", "_split")
    cut = own[known == "test"].min()
    assert set(parts) == {"train, not drawn", "gap, not drawn", "test, not drawn"}
    assert (times[parts == "test, not drawn"] >= cut).all() and (times[parts == "gap, not drawn"] < cut).all()
    # The row at two days before the cut was drawn.
    assert cut - times[parts == "train, not drawn"].max() == dt.timedelta(hours=49)
    assert cut - times[parts == "gap, not drawn"].min() == dt.timedelta(hours=47)


def test_a_group_with_a_drawn_test_row_is_not_in_the_training() -> None:
    drawn, rest = parted(model(groups="shop"), "binary", ["id"])
    (shops, parts), (own, known) = columns(rest, "_group", "_split"), columns(drawn, "_group", "_split")
    tested = set(own[known == "test"])
    assert 0 < len(tested) < 40 and not tested & set(shops[parts == "train, not drawn"])
    assert set(shops[parts == "test, not drawn"]) == tested
    assert {"train, not drawn"} < set(parts)


@pytest.mark.parametrize("settings", [{}, {"prediction_time": None, "test": 0.3}], ids=["by time", "at random"])
def test_a_row_without_a_group_is_a_group_of_its_own(settings: dict[str, Any]) -> None:
    some = [None if n % 40 < 20 else f"shop {n % 40}" for n in range(ROWS)]
    table = rows().set_column(5, "_group", pa.array(some))
    drawn, rest = parted(model(groups="shop", **settings), "binary", ["id"], table=table)
    (own, known), (shops, parts) = columns(drawn, "_group", "_split"), columns(rest, "_group", "_split")
    alone = np.equal(own, None)
    assert {"train", "test"} <= set(known[alone])
    assert "train, not drawn" in set(parts[np.equal(shops, None)])
    assert "test, not drawn" not in set(parts[np.equal(shops, None)])


@pytest.mark.parametrize("key", ["id", "_group"])
def test_a_key_with_a_drawn_test_row_is_not_in_the_training(key: str) -> None:
    drawn, rest = parted(model(prediction_time=None, test=0.3), "binary", [key])
    (keys, parts), (own, known) = columns(rest, key, "_split"), columns(drawn, key, "_split")
    tested = set(own[known == "test"])
    assert set(keys[parts == "test, not drawn"]) == (tested if key == "_group" else set())
    assert set(parts) <= {"train, not drawn", "test, not drawn"}
    assert not tested & set(keys[parts == "train, not drawn"])


def test_a_part_that_the_user_gives_is_kept() -> None:
    _drawn, rest = parted(model(split="part"), "binary", ["id"])
    given, parts = columns(rest, "_part", "_split")
    assert [f"{part}, not drawn" for part in given] == parts.tolist()


def test_a_row_without_a_label_is_in_no_part() -> None:
    def unknown(column: pa.ChunkedArray, values: list[Any]) -> pa.ChunkedArray:
        return pa.chunked_array(
            [pa.array([v if n % 7 else values[n % len(values)] for n, v in enumerate(column.to_pylist())])]
        )

    table = rows()
    target = unknown(table["value"], [None, float("nan"), float("inf")])
    table = table.append_column("_target", target)
    third = np.arange(ROWS) % 3 == 0
    asked = model()
    prepared = prepare(asked, "regression", table.filter(pa.array(third)), INPUTS, ["id"])
    rest = table.filter(pa.array(~third))
    other = ibis.table(ibis.Schema.from_pyarrow(rest.schema), name="rest")
    with DuckdbEngine().session({"rest": rest}) as session:
        found = session.fetch(with_parts(other, asked, "regression", prepared, ["id"], session))
    ids, parts = columns(found, "id", "_split")
    assert {id for id, part in zip(ids, parts, strict=True) if part == "unlabelled, not drawn"} == {
        f"r{n}" for n in range(0, ROWS, 7) if n % 3
    }


def test_rows_that_cannot_be_told_apart_and_folds_are_refused() -> None:
    with pytest.raises(ModelError, match="cannot tell which rows are in the test"):
        parted(model(prediction_time=None, test=0.3), "binary", [])
    table = rows().append_column("_target", rows()["sure"]).set_column(1, "_t", pa.nulls(ROWS, INSTANT))
    prepared = prepare(model(prediction_time=None), "binary", table.slice(0, 900), INPUTS, ["id"])
    assert prepared.parts.folds
    with pytest.raises(ModelError, match="cannot be measured by cross-validation"):
        with_parts(ibis.table({"id": "string"}, name="rest"), model(), "binary", prepared, ["id"], None)  # type: ignore[arg-type]


# ── what is declared ──────────────────────────────────────────────────────────────────────────────────


def test_its_names_are_those_of_leaderboards() -> None:
    assert candidate("xgboost@spark").name == candidate(ms.xgboost(on="spark")).name == "xgboost@spark"
    assert candidate(ms.xgboost(on="spark", max_depth=4)).name == "xgboost@spark(max_depth=4)"
    assert algorithm("xgboost@spark") == ms.xgboost(on="spark")
    with pytest.raises(UnknownName, match="unknown algorithm 'lightgbm@spark'"):
        candidate("lightgbm@spark")
    with pytest.raises(DefinitionError, match="`on` has an invalid value"):
        ms.xgboost(on="ray")


def project(root: Path, table: pa.Table | None = None, profile: Profile | None = None, **settings: Any) -> ms.Project:
    table = rows() if table is None else table
    pq.write_table(table.rename_columns([name.lstrip("_") for name in table.column_names]), root / "rows.parquet")
    key = settings.pop("key", "id")
    source = ms.files("rows.parquet", key=key, time="t", known="always")
    defaults = {"target": _.sure, "features": ["a", "b"], "candidates": ["xgboost@spark"], "prediction_time": _.t}
    late = ms.model(source, **{**defaults, **settings})
    found = profile or Profile(engine="spark", spark={"master": "local[2]"})
    return ms.Project(
        Settings(root, ProjectSettings("p", ()), found, "default", Serve()), {"rows": source, "late": late}
    )


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        ("and the profile's engine is not Spark", {"profile": Profile()}),
        ("and the profile's engine is not Spark", {"profile": Profile(engine="spark", spark={"master": "sc://host"})}),
        ("`resample` does not allow", {"resample": "over"}),
        ("`max_rows` does not allow", {"max_rows": 1_000}),
        ("`prepare` does not allow", {"features": ["city"], "prepare": {"city": "target"}}),
        ("cannot tell which rows are in the test", {"prediction_time": None, "key": None}),
        ("xgboost@spark does not learn the task 'quantile'", {"target": _.value, "quantiles": [0.1, 0.9]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_it_cannot_do_is_refused_at_load(said: str, changes: dict[str, Any], tmp_path: Path) -> None:
    with project(tmp_path, **changes) as found, pytest.raises(DefinitionError, match=said):
        found.sound.whole()


def test_a_missing_extra_is_refused_at_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda name: None if name == "pyspark" else object())
    with pytest.raises(MissingExtra, match="pyspark is not installed"):
        check("xgboost@spark", "binary")


def test_an_engine_that_keeps_a_table_here_is_said(tmp_path: Path) -> None:
    with project(tmp_path, profile=Profile(engine="auto")) as found:
        found.run()
        (version,) = registry.versions(found.adapters.state, "late")
        said = card(version, found.adapters.artifacts)["evaluation"]
        assert said["xgboost@spark"] == "fitted in this process: the engine keeps tables of this size here"
        assert "trees" not in said and version.rows["learned"] == ROWS


def test_scores_within_the_tolerance_are_close() -> None:
    table = labelled("value")
    drawn = examples(table, "regression", "train")

    def artifact(**settings: Any) -> bytes:
        return export.graph(replace(PLAIN, **settings).fit(drawn, ROUNDS), 2, 1, "regression", 0)

    one = artifact()
    assert close(one, artifact(reg_lambda=1.000001), drawn.rows)
    assert not close(one, artifact(max_depth=2), drawn.rows)
