"""Calibration: scores that mean what they say are fine, others fail, and values have none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import DefinitionError
from mainstem.models.data.quantiles import packed
from mainstem.monitoring.calibration import calibrated
from mainstem.monitoring.history import DAY
from mainstem.monitoring.performance import grade
from mainstem.project.live import service


def judged(y: Any, scores: Any, task: Any, tolerance: float = 0.05) -> Any:
    times = np.arange(len(y)) * DAY // 100
    return grade(calibrated(ms.calibration(tolerance), task), y, scores, times, task=task)


def test_probabilities() -> None:
    random = np.random.default_rng(3)
    scores = random.random(4_000)
    y = (random.random(4_000) < scores).astype(float)
    fine, sure = judged(y, scores, "binary"), judged(y, np.where(scores > 0.5, 0.98, 0.02), "binary")
    assert (fine.judgement, sure.judgement) == ("fine", "failing") and fine.metric == "ece"
    assert sure.text.endswith("above the ceiling of 0.05") and 0.15 < sure.measure.value < 0.3


def test_outcomes_of_one_class_are_judged() -> None:
    """Scores around 0.5 for what never happens are the worst case, and no reason to be silent."""
    never, scores = np.zeros(1_000), np.full(1_000, 0.5)
    assert judged(never, scores, "binary").judgement == "failing"
    assert judged(never, np.full(1_000, 0.01), "binary").judgement == "fine"


def test_classes() -> None:
    random = np.random.default_rng(3)
    scores = random.dirichlet([1, 1, 1], 4_000)
    y = np.array([random.choice(3, p=row) for row in scores])
    sharp = scores**4 / (scores**4).sum(1, keepdims=True)
    assert [judged(y, each, "multiclass").judgement for each in (scores, sharp)] == ["fine", "failing"]


def test_quantiles() -> None:
    random = np.random.default_rng(3)
    y, levels = random.normal(size=4_000), [0.1, 0.5, 0.9]
    right, narrow = np.tile([-1.2816, 0.0, 1.2816], (4_000, 1)), np.tile([-0.3, 0.0, 0.3], (4_000, 1))
    found = [judged(packed(y, levels), each, "quantile") for each in (right, narrow)]
    assert [each.judgement for each in found] == ["fine", "failing"] and found[0].metric == "coverage_error"


def test_values_have_none() -> None:
    rides = ms.files("rides.csv", key="id", schema={"id": "string", "hour": "float64", "minutes": "float64"})
    model = ms.model(rides, target="minutes", features=["hour"], candidates=["linear"])
    nodes = {"rides": rides, "model": model, "desk": ms.endpoint(model, monitors=[ms.calibration()])}
    with ms.testing.project(nodes, {"rides": []}) as project:
        (broken,) = project.plan().broken
    assert isinstance(broken, DefinitionError) and "needs probabilities or quantiles" in broken.what


def test_a_run_judges_it() -> None:
    """Live outcomes are the opposite of what the model learned."""
    rides = ms.files("rides.csv", key="id", schema={"id": "string", "hour": "float64", "late": "boolean"})
    model = ms.model(rides, target=_.late, features=["hour"], candidates=["linear"])
    watched = ms.endpoint(model, monitors=[ms.calibration(0.1, min_rows=100)])
    rows = [{"id": f"r{n}", "hour": float(n % 24), "late": n * 7919 % 29 < n % 24} for n in range(400)]
    with ms.testing.project({"rides": rides, "model": model, "desk": watched}, {"rides": rows}) as project:
        project.run()
        project.promote("model")
        running = service(project)
        running.start()
        answers, log = running.live.predictor("desk").answered([{"hour": row["hour"]} for row in rows[:200]])
        running.committer.submit(log).result()
        running.close()
        outcomes = [{"id": a.id, "value": not row["late"]} for a, row in zip(answers, rows, strict=False)]
        project.outcomes("desk", outcomes)
        project.run()
        (history,) = project.monitors("desk")
        assert (history.label, history.floor) == ("calibration ece", 0.1)
        assert history.points[-1].judgement == "failing" and history.points[-1].outcomes == 200
        (monitor,) = project.status().endpoints[0].monitors
        assert monitor.monitor == "calibration" and monitor.value == pytest.approx(history.points[-1].value)
