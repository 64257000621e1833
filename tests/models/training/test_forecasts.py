"""Models that forecast: they beat the last value and that of weeks before, and the report says so by horizon."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import numpy as np
import pytest
from ibis import _

import mainstem as ms
import mainstem.testing
from mainstem.models.artifact.manifest import read
from mainstem.models.artifact.scorer import Scorer
from mainstem.models.data.ahead import grid_of
from mainstem.models.versions import registry
from mainstem.models.versions.comparing import _seen_until
from mainstem.models.versions.report import text

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SCHEMA = {"shop": "string", "day": "timestamp('UTC', 6)", "units": "int64"}
WEEK = (0, 5, 10, 5, 0, 20, 30)
HORIZONS = ("1d", "2d", "7d")


def sales(growth: float = 5, days: int = 210) -> list[dict[str, Any]]:
    """Return series with a weekly pattern and growth, by so much a week in the first shop and twice in the second."""
    random_ = random.Random(0)
    return [
        {
            "shop": f"s{shop}",
            "day": START + day * DAY,
            "units": round(40 + 20 * shop + growth * (shop + 1) * day / 7 + WEEK[day % 7] + random_.gauss(0, 3)),
        }
        for day in range(days)
        for shop in range(2)
    ]


def nodes_of(**options):
    known = {"*": "day", "units": _.day + ibis.interval(hours=22)}
    source = ms.files("sales.parquet", key=["shop", "day"], time="day", schema=SCHEMA, known=known)
    past = ms.feature_view(source, key="shop", windows=["1d", "7d"], mean=_.units.mean())
    by_day = ms.feature_view(source, key=["shop", "day"], columns=["units"])
    week = ms.on_demand(weekday_before=_["for"] - ibis.interval(days=7))
    settings = {
        "target": _.units,
        "prediction_time": _.day + ibis.interval(days=1),
        "series": "shop",
        "horizons": HORIZONS,
        "features": [past, week, by_day.on("shop", "weekday_before")],
        "candidates": ["linear"],
        "folds": 2,
    }
    return {"sales": source, "past": past, "by_day": by_day, "demand": ms.model(source, **{**settings, **options})}


def trained(growth: float = 5, **options):
    """Return the version, the card, the text of the card and the dataset of a trained model."""
    with mainstem.testing.project(nodes_of(**options), data={"sales": sales(growth)}) as project:
        (step,) = (step for step in project.plan().steps if step.kind == "train")
        project.run()
        version = registry.versions(project.adapters.state, "demand")[-1]
        root = project.adapters.lake_root / version.artifact
        scorer = Scorer.load(root, "earlier.onnx")
        rows = project.dataset("demand", "test").to_pyarrow()
        scores = scorer.score({column.name: rows[column.name].to_pylist() for column in version.inputs})
        report = project.report("demand")
        return {
            "step": step,
            "version": version,
            "manifest": read(root),
            "card": project.show("demand").card,
            "text": text(version, project.adapters.lake_root),
            "rows": rows.to_pylist(),
            "scores": np.asarray(scores),
            "pages": (report.html(), report.markdown()),
        }


@pytest.fixture(scope="module")
def found():
    return trained()


def test_a_model_beats_the_last_value_and_that_of_the_week_before(found):
    each = found["card"]["evaluated"]["horizons"]
    assert [one["horizon"] for one in each] == list(HORIZONS)
    for one in each:
        assert one["last"]["skill"] > 0.25 and one["season"]["skill"] > 0.25
        assert one["error"]["high"] < one["season"]["error"]
    assert each[0]["last"]["skill"] > 0.6
    assert found["version"].metrics["mae"].value < found["version"].baseline["mae"].value / 4


def test_a_search_finds_a_forecast_on_the_folds_of_the_backtest(found):
    made = trained(tune=20, candidates=["linear", "lightgbm"])
    search = made["card"]["evaluated"]["search"]
    assert len(search["trials"]) == 20 and all(each["state"] != "failed" for each in search["trials"])
    assert any("engineer" in each["settings"] for each in search["trials"])
    assert made["card"]["algorithm"] == "ensemble" and made["card"]["gate"]["largest"] <= 1
    assert made["version"].metrics["rmse"].value < 1.05 * found["version"].metrics["rmse"].value
    for one in made["card"]["evaluated"]["horizons"]:
        assert one["season"]["skill"] > 0.25


def test_the_errors_are_those_of_the_oracle(found):
    y = {(row["shop"], row["day"]): row["units"] for row in sales()}
    for one in found["card"]["evaluated"]["horizons"]:
        days = int(one["horizon"].removesuffix("d"))
        at = [n for n, row in enumerate(found["rows"]) if row["horizon"] == days]
        assert one["rows"] == len(at) > 50
        truth = [y[found["rows"][n]["shop"], found["rows"][n]["day"] + days * DAY] for n in at]
        errors = [abs(t - found["scores"][n]) for t, n in zip(truth, at, strict=True)]
        assert one["error"]["value"] == pytest.approx(np.mean(errors), rel=1e-6)
        assert one["measure"]["value"] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-6)
        last = [abs(t - y[found["rows"][n]["shop"], found["rows"][n]["day"]]) for t, n in zip(truth, at, strict=True)]
        assert one["last"]["error"] == pytest.approx(np.mean(last))
        assert one["last"]["skill"] == pytest.approx(1 - np.mean(errors) / np.mean(last), rel=1e-6)
        before = [row["for"] - 7 * DAY for row in (found["rows"][n] for n in at)]
        season = [abs(t - y[found["rows"][n]["shop"], d]) for t, n, d in zip(truth, at, before, strict=True)]
        assert one["season"]["error"] == pytest.approx(np.mean(season))


def test_the_gap_is_the_longest_horizon_and_folds_roll(found):
    said = found["card"]["evaluation"]
    assert said["gap"] == "7d: the longest horizon" and said["folds"].startswith(
        "2, rolling-origin backtest, each from all before it"
    )
    assert said["forecast"] == "1d, 2d, 7d ahead, by shop; rows are 1 d apart"
    assert found["step"].details[1] == "forecasts 1d, 2d, 7d ahead, by shop; folds are a rolling-origin backtest"
    tested = min(row["_t"] for row in found["rows"])
    assert found["version"].measured_until < tested - 7 * DAY
    assert found["manifest"].horizons == HORIZONS
    step, first = found["manifest"].grid
    assert step == DAY / timedelta(microseconds=1) and first % step == 0


def test_versions_are_compared_on_labels_that_the_champion_has_not_seen(found):
    version, manifest = found["version"], found["manifest"]
    assert _seen_until(version, manifest) == version.measured_until + 7 * DAY
    assert _seen_until(version, replace(manifest, horizons=())) == version.measured_until


def test_the_report_shows_the_horizons(found):
    assert "last value, skill" in found["text"] and "  7d " in found["text"]
    for page in found["pages"]:
        assert "Horizons" in page and "weeks before" in page and "series" in page


@pytest.mark.parametrize("options", [{"quantiles": [0.1, 0.5, 0.9]}, {"task": "count", "candidates": ["lightgbm"]}])
def test_other_numbers_are_forecast_too(options):
    found = trained(growth=0, **options)  # trees do not extrapolate
    each = found["card"]["evaluated"]["horizons"]
    assert all(one["measure"] is not None for one in each) and each[0]["last"]["skill"] > 0.1
    if "quantiles" in options:
        at = [n for n, row in enumerate(found["rows"]) if row["horizon"] == 2]
        errors = [abs(found["rows"][n]["_target"] - found["scores"][n][1]) for n in at]
        assert found["card"]["evaluated"]["horizons"][1]["error"]["value"] == pytest.approx(np.mean(errors), rel=1e-6)


def test_the_grid_is_the_longest_step_between_rows():
    assert grid_of(np.array([7, 10, 19])) == (3, 7)
    assert grid_of(np.array([7, 8, 19])) == (1, 7)
    assert grid_of(np.array([5])) == (1, 5)
