"""Served counts, quantiles and rankings are judged by their outcomes, each by its own metric."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mainstem as ms
import mainstem.testing
from mainstem.monitoring.verdicts import Cohort, Verdict
from mainstem.project.live import service
from mainstem.serving.http.answers import shown

SCHEMA = {
    "id": "string",
    "session": "string",
    "hour": "float64",
    "n": "int64",
    "minutes": "float64",
    "bought": "boolean",
}


def rows(count: int = 400) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    hours = rng.uniform(0, 10, count)
    return [
        {
            "id": f"r{i}",
            "session": None if 8 <= i < 24 else f"s{i // 8}",
            "hour": float(hour),
            "n": int(rng.poisson(np.exp(hour / 4))),
            "minutes": float(10 * hour + rng.normal(0, 1 + hour)),
            "bought": bool(hour + rng.normal(0, 1) > 6),
        }
        for i, hour in enumerate(hours)
    ]


def test_each_task_is_judged_by_its_metric():
    source = ms.files("visits.csv", key="id", schema=SCHEMA)
    common = {"examples": source, "features": ["hour"], "candidates": ["linear"], "folds": 2}
    busy = ms.model(**common, target="n", task="count")
    arrival = ms.model(**common, target="minutes", quantiles=[0.1, 0.5, 0.9])
    order = ms.model(**common, target="bought", query="session")

    def watched(floor: float, metric: str) -> dict[str, Any]:
        return {"monitors": [ms.performance(floor, metric=metric, min_rows=100)]}

    nodes = {"visits": source, "busy": busy, "arrival": arrival, "order": order}
    nodes |= {"door": ms.endpoint(busy, **watched(1.6, "poisson_deviance"))}
    nodes |= {"desk": ms.endpoint(arrival, **watched(0.7, "coverage"))}
    nodes |= {"shop": ms.endpoint(order, **watched(0.999, "ndcg_5"))}
    given = rows()
    with mainstem.testing.project(nodes, data={"visits": given}) as project:
        project.run()
        for model in ("busy", "arrival", "order"):
            project.promote(model)
        asked = [{"id": row["id"], "hour": row["hour"]} for row in given[:200]]
        running = service(project)
        running.start()
        try:
            for name in ("door", "desk", "shop"):
                predictor = running.live.predictor(name)
                answers = predictor.predict([dict(row) for row in asked])
                running.committer.submit(predictor.logged(answers)).result()
                assert list(shown(answers[0]).get("scores", {})) == (["q10", "q50", "q90"] if name == "desk" else [])
        finally:
            running.close()
        project.run()
        found = {each.endpoint: each for each in project.adapters.state.find(Verdict)}
        days = {each.endpoint: each for each in project.adapters.state.find(Cohort)}
        assert {name: each.judgement for name, each in found.items()} == {
            "door": "fine",
            "desk": "fine",
            "shop": "failing",
        }
        assert found["door"].metric == "poisson_deviance" and 0.8 < found["door"].measure.value < 1.4
        assert found["desk"].measure.value > 0.7
        assert 0.7 < found["shop"].measure.value < 0.999
        # Rows without a query are not known: they are not one query together.
        assert {name: (each.rows, each.outcomes) for name, each in found.items()} == {
            "door": (200, 200),
            "desk": (200, 200),
            "shop": (184, 184),
        }
        assert found["shop"].measure.value == pytest.approx(ndcg_5(given[:200], project))
        # The day is judged by the same metric of the same rows.
        assert {name: day.measure for name, day in days.items()} == {n: each.measure for n, each in found.items()}
        assert (days["shop"].predictions, days["shop"].known) == (200, 184)


def ndcg_5(given: list[dict[str, Any]], project: Any) -> float:
    """The metric by hand: the mean over sessions of the gain of five places, beside that of the best order."""
    scores = {row["id"]: row["score"] for row in project.query("select id, score from predictions.shop").to_pylist()}
    sessions: dict[str, list[tuple[float, bool]]] = {}
    for row in given:
        if row["session"] is not None:
            sessions.setdefault(row["session"], []).append((scores[row["id"]], row["bought"]))

    def gain(bought: list[bool]) -> float:
        return sum(hit / math.log2(place + 2) for place, hit in enumerate(bought[:5]))

    judged = [rows for rows in sessions.values() if any(bought for _, bought in rows)]
    orders = [[bought for _, bought in sorted(rows, reverse=True)] for rows in judged]
    return float(np.mean([gain(order) / gain(sorted(order, reverse=True)) for order in orders]))
