"""Served counts, quantiles and rankings are judged by their outcomes, each by its own metric."""

from __future__ import annotations

from typing import Any

import numpy as np

import mainstem as ms
import mainstem.testing
from mainstem.monitoring.verdicts import Verdict
from mainstem.project.live import service
from mainstem.serving.http.predict import shown

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
            "session": f"s{i // 8}",
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
        assert {name: each.judgement for name, each in found.items()} == {
            "door": "fine",
            "desk": "fine",
            "shop": "failing",
        }
        assert found["door"].metric == "poisson_deviance" and 0.8 < found["door"].measure.value < 1.4
        assert found["desk"].measure.value > 0.7
        assert 0.7 < found["shop"].measure.value < 0.999
