"""Trees that continue a trend: on a linear model, and on logarithms."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import ibis
import numpy as np
import pytest
from ibis import _

import mainstem as ms
import mainstem.testing
from mainstem.errors import ModelError
from mainstem.models.algorithms.candidates import usual
from mainstem.models.artifact import export, gate
from mainstem.models.artifact.scorer import run, session
from mainstem.models.data.rows import Examples, Rows
from mainstem.models.evaluation.comparison import compare, divided, mean_of, means
from mainstem.models.metrics import metric
from mainstem.models.training.growing import growing
from mainstem.models.training.preparation import preparation
from mainstem.nodes.prepare import Number
from mainstem.nodes.records import InputColumn

DAY = 86_400_000_000


def sales(n=900, *, percent=0.0, slope=0.0, seed=0) -> Examples:
    """Sales by day and shop size: they grow, and jump for shops above 50, which a line does not have."""
    random = np.random.default_rng(seed)
    day, size = np.arange(n, dtype=np.float64), random.uniform(10, 100, n)
    level = (100 + slope * day) * np.exp(percent / 100 * day) * np.where(size > 50, 1.5, 1.0)
    y = level * np.exp(random.normal(0, 0.02, n))
    rows = Rows(np.column_stack([day, size]).astype(np.float32), np.array([["A"], ["B"]] * (n // 2), object))
    return Examples(rows, y, (day * DAY).astype(np.int64), "regression", names=("day", "size", "shop"))


def parted(examples: Examples) -> tuple[Examples, Examples]:
    cut = len(examples) * 2 // 3
    return examples.take(np.arange(cut)), examples.take(np.arange(cut, len(examples)))


def error(algorithm, examples: Examples) -> float:
    """Return the relative error on the last third."""
    past, future = parted(examples)
    return float(np.abs(algorithm.fit(past).scores(future.rows) / future.y - 1).mean())


def test_a_trend_goes_on_where_trees_stay():
    growing = sales(slope=2.0)
    found = {each.name: error(each, growing) for each in (ms.lightgbm(), ms.linear(), ms.linear_boosting())}
    assert found["lightgbm"] > 0.15, "trees stay at the last value"
    assert found["linear_boosting"] < 0.12
    assert found["linear_boosting"] < 0.7 * min(found["lightgbm"], found["linear"])


def test_growth_by_percentages_is_a_line_of_logarithms():
    examples = sales(percent=0.3)
    logarithms, line = error(ms.linear_boosting(log=True), examples), error(ms.linear(), examples)
    assert logarithms < 0.5 * line


def test_logarithms_expect_the_mean_and_not_the_median():
    random = np.random.default_rng(3)
    examples = replace(sales(2_000), y=np.exp(random.normal(0, 1, 2_000)))
    found = ms.linear_boosting(log=True).fit(examples).scores(examples.rows)
    assert found.mean() == pytest.approx(examples.y.mean())
    assert examples.y.mean() > 1.5 * np.median(examples.y)


def test_targets_that_have_no_logarithm_are_refused():
    examples = sales()
    with pytest.raises(ModelError) as error:
        ms.linear_boosting(log=True).fit(replace(examples, y=examples.y - 150))
    assert error.value.what == "linear_boosting(log=True) requires positive targets"
    assert "of 765 are 0 or less" in str(error.value.got), "early stopping watches the latest rows"


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("task", ["regression", "count"])
def test_the_artifact_scores_like_the_fitted_model(task, log):
    examples = sales(slope=1.0)
    examples = replace(examples, task=task, y=np.round(examples.y / 20) + 1 if task == "count" else examples.y)
    past, future = parted(examples)
    found = ms.linear_boosting(log=log).fit(past)
    onnx = export.graph(found, 2, 1, task, 0)
    gate.check(found, onnx, future.rows, seed=1)
    assert run(session(onnx), future.rows) == pytest.approx(found.scores(future.rows), rel=1e-5)
    assert found.importances(3).sum() == pytest.approx(1)
    assert set(np.argsort(-found.importances(3))[:2]) == {0, 1}


def test_logarithms_stay_within_what_was_seen_twice_over():
    past, _ = parted(sales(percent=0.3))
    found = ms.linear_boosting(log=True).fit(past)
    beyond = Rows(np.array([[1e9, 1e9], [-1e9, -1e9]], np.float32), np.array([["A"], ["B"]], object))
    low, high = past.y.min(), past.y.max()
    scores = found.scores(beyond)
    assert scores.max() <= 1.01 * found.factor * high * (high / low) and scores.min() >= 0


def test_the_report_tells_what_both_parts_do():
    past, _ = parted(sales())
    inputs = [InputColumn("day", "float"), InputColumn("size", "float"), InputColumn("shop", "string")]
    done = {each.input: each.done for each in preparation(ms.linear_boosting(log=True).fit(past), inputs, ())}
    assert done["day"].startswith("linear: ") and "trees: " in done["day"]
    assert "logarithm" not in done["day"], "days are not skewed"


def test_logarithms_are_of_skewed_numbers_that_no_step_is_declared_for():
    examples = sales()
    examples.rows.floats[:, 1] = np.exp(np.random.default_rng(1).normal(5, 1, len(examples)))
    line = ms.linear_boosting(log=True).fit(examples).line
    assert (told := line.fitted.told())[0].startswith("standardised") and told[1].startswith("logarithm")
    declared = replace(examples, prepare=(None, Number(scale="robust"), None))
    assert "quartiles" in ms.linear_boosting(log=True).fit(declared).line.fitted.told()[1]


# ── what is compared without candidates= ──────────────────────────────────────────────────────────────


def test_it_is_compared_where_numbers_go_beyond_what_was_learned_from():
    assert growing(sales())
    still = sales()
    still.rows.floats[:, 0] %= 30
    assert not growing(still)
    assert not growing(replace(sales(), times=np.zeros(900, np.int64)))
    assert usual(900, 3, monotone=False) == ("linear", "lightgbm")
    names = ("linear", "lightgbm", "linear_boosting")
    assert usual(900, 3, monotone=False, growing=True) == names
    assert usual(900, 3, monotone=False, growing=True, positive=True) == (*names, ms.linear_boosting(log=True))
    assert usual(900, 3, monotone=True, growing=True, positive=True) == ("lightgbm",)


def test_no_logarithm_is_compared_if_a_target_of_the_test_has_none():
    """What ships is fitted on all rows."""

    start = datetime(2024, 1, 1, tzinfo=UTC)

    def compared(last):
        rows = [
            {"id": f"r{n}", "at": start + timedelta(days=n), "n": float(n), "y": last if n == 199 else 1.02**n + n % 3}
            for n in range(200)
        ]
        schema = {"id": "string", "at": "timestamp('UTC', 6)", "n": "float64", "y": "float64"}
        source = ms.files("rows.parquet", key="id", time="at", schema=schema, known={"*": "at"})
        model = ms.model(source, target="y", features=["n"], prediction_time=_.at + ibis.interval(hours=1), folds=2)
        with mainstem.testing.project({"rows": source, "sold": model}, data={"rows": rows}) as project:
            project.run()
            return set(project.show("sold").card["folds"])

    assert compared(50.0) - compared(0.0) == {"linear_boosting(log=True)"}


def test_later_folds_count_more():
    _, folds = divided(sales(), folds=3, gap="0s")
    assert [fold.weight for fold in folds] == [1, 2, 3]
    assert mean_of([6.0, 3.0, 2.0], folds) == pytest.approx(3.0)
    assert mean_of([6.0, float("nan"), 2.0], folds) == pytest.approx(3.0)
    assert means({"a": [6.0, 3.0, 2.0]}, timed=True) == {"a": pytest.approx(3.0)}
    assert means({"a": [6.0, 3.0, 3.0]}) == {"a": pytest.approx(4.0)}
    _, untimed = divided(replace(sales(), times=np.zeros(900, np.int64)), folds=3, gap="0s")
    assert [fold.weight for fold in untimed] == [1, 1, 1]


def test_an_early_fold_does_not_choose():
    """The candidate that is best in the first fold alone is worse in the mean of later ones."""
    examples = sales(1_200)
    early = examples.times < np.quantile(examples.times, 0.5)
    y = np.where(early, 100.0, examples.y)
    examples = replace(examples, y=y)
    found = compare(examples, ["naive", "linear"], metric("rmse"), folds=3, gap="0s", report=lambda told: None)
    first, *_, last = zip(found.scores["naive"], found.scores["linear"], strict=True)
    assert first[0] <= first[1] and last[0] > last[1]
    assert found.chosen == "linear"
