"""Counts, quantiles and rankings, beyond learning: a search, the report, an explanation, and versions compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import mainstem as ms
import mainstem.testing
from mainstem.models.training import train
from mainstem.models.versions import comparing, registry
from mainstem.planning.plan import Step

SCHEMA = {"id": "string", "session": "string", "hour": "float64", "side": "string"}
SCHEMA |= {"n": "int64", "minutes": "float64", "bought": "boolean"}
MODELS = {
    "busy": {"target": "n", "task": "count", "features": ["hour", "side"]},
    "arrival": {"target": "minutes", "quantiles": [0.25, 0.75], "features": ["hour", "side"]},
    "order": {"target": "bought", "query": "session", "features": ["hour", "side"]},
}


def rows(count: int = 400) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {"id": f"r{i}", "session": f"s{i // 8}", "hour": float(hour), "side": "ab"[i % 2]}
        | {"n": int(rng.poisson(np.exp(hour / 4))), "minutes": float(10 * hour + rng.normal(0, 1 + hour))}
        | {"bought": bool(hour + rng.normal(0, 1) > 6)}
        for i, hour in enumerate(rng.uniform(0, 10, count))
    ]


@pytest.fixture(scope="module")
def project():
    source = ms.files("visits.csv", key="id", schema=SCHEMA)
    common = {"examples": source, "candidates": ["linear", "lightgbm"], "folds": 2, "test": 0.25, "tune": 3}
    models = {name: ms.model(**common, **options) for name, options in MODELS.items()}
    with mainstem.testing.project({"visits": source, **models}, data={"visits": rows()}) as made:
        made.run()
        yield made


@pytest.mark.parametrize("name", MODELS)
def test_settings_are_searched_by_the_metric_of_the_task(project, name):
    card = project.show(name).card
    trials = card["evaluated"]["search"]["trials"]
    assert len(trials) == 3 and all(each["state"] != "failed" for each in trials)
    assert card["gate"]["largest"] <= 1


@pytest.mark.parametrize("name", MODELS)
def test_the_report_shows_the_task(project, name):
    report = project.report(name)
    page, text = report.html(), report.markdown()
    task = project.show(name).card["task"]
    assert f"{task} model" in page and text.startswith("# ")
    assert ("Quantiles" in page) == ("## Quantiles" in text) == (task == "quantile")
    assert ("Residuals" in page) == (task != "ranking")
    assert "Confusion" not in page and "ROC" not in page


@pytest.mark.parametrize("name", MODELS)
def test_a_score_is_explained(project, name):
    (found,) = project.explain(name, [{"hour": 9.0, "side": "a"}])
    (answer,) = project.predict(name, [{"hour": 9.0, "side": "a"}])
    assert found.score == pytest.approx(answer["score"])
    assert found.label == ("q25" if name == "arrival" else None)  # which of several scores is explained
    assert found.base + sum(each.effect for each in found.contributions) == pytest.approx(found.score)
    assert found.contributions[0].input == "hour"


@pytest.mark.parametrize("name", MODELS)
def test_versions_are_compared_by_the_metric_of_the_task(project, name, monkeypatch):
    context, resolve = project.reading("train"), train.blueprint_of

    def naive(graph, name):
        found = resolve(graph, name)
        return replace(found, model=replace(found.model, candidates=("naive",), tune=None))

    with monkeypatch.context() as patch:
        patch.setattr(train, "blueprint_of", naive)
        step = Step("train", name, "again")
        context.absorb(step, train.Train(project.adapters.lake_root)(step, context))
    old, new = registry.versions(context.records, name)[-2:]
    with context.session([f"dataset.{name}"]) as opened:
        before = registry._rows_of(old, context)
        evidence = comparing.compare(opened, project.adapters.lake_root, old, new, before, ("id",))
    assert evidence.gain.high < 0
    assert evidence.champion.value == pytest.approx(old.metrics[old.metric].value)


def test_all_columns_are_inputs_but_the_query():
    source = ms.files("visits.csv", key="id", schema=SCHEMA)
    model = ms.model(source, target="bought", query="session", features="all", candidates=["linear"], folds=2)
    with mainstem.testing.project({"visits": source, "order": model}, data={"visits": rows(160)}) as project:
        project.run()
        (version,) = registry.versions(project.adapters.state, "order")
        assert {column.name for column in version.inputs} == {"hour", "side", "n", "minutes"}
