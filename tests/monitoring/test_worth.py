"""Decisions that read several scores: each is valued by the outcome, not by the prediction that it was made with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import SchemaError
from mainstem.monitoring.verdicts import Cohort, Verdict
from mainstem.project.live import service

RIDE = {"id": "string", "hour": "float64", "fare": "float64", "minutes": "float64", "end": "string"}
CLASSES = ("early", "late", "on time")
SENT = 5


def rides(count: int = 300) -> list[dict[str, Any]]:
    random = np.random.default_rng(3)
    found = []
    for i, hour in enumerate(random.uniform(0, 10, count)):
        minutes = 10 * hour + random.normal(0, 5 + 2 * hour)
        end = "early" if minutes < 20 else "late" if minutes > 70 else "on time"
        fare = float(random.uniform(5, 30))
        found.append({"id": f"r{i}", "hour": float(hour), "fare": fare, "minutes": float(minutes), "end": end})
    return found


GIVEN = rides()
ASKED = GIVEN[:120]


def nodes() -> dict[str, Any]:
    source = ms.files("rides.csv", key="id", schema=RIDE)
    common = {"examples": source, "features": ["hour", "fare"], "candidates": ["linear"], "folds": 2}
    arrival = ms.model(**common, target="minutes", quantiles=[0.1, 0.5, 0.9])
    end = ms.model(**common, target="end", metric="accuracy")
    wait = ms.cheapest(go=_.scores.q90 - _.scores.q10 + _.score, stay=45.0)
    warn = ms.cheapest(keep=_.scores["late"] * _.fare, warn=2.0 + _.scores["early"], drop=_.scores["on time"] * 5)
    best = ms.best(_.fare * (_.scores.q50 - 40) - _.scores.q90)
    fares = ms.grid(fare=ms.steps(5.0, 8.0, 1.0))
    value = [ms.value(0, min_rows=50)]
    own = [ms.value(0, worth=(_.outcome == "late").ifelse(_.fare, -1.0), min_rows=50)]
    watched = [
        ms.value(0, min_rows=50),
        ms.performance(0.3, min_rows=50),
        ms.performance(2, metric="log_loss", min_rows=50),
    ]
    return {
        "rides": source,
        "arrival": arrival,
        "end": end,
        "desk": ms.endpoint(arrival, decide=wait, monitors=value),
        "bell": ms.endpoint(end, decide=warn, monitors=watched),
        "own": ms.endpoint(end, decide=warn, monitors=own),
        "till": ms.endpoint(arrival, decide=best, candidates=fares, outcomes_by="id", monitors=value),
    }


@pytest.fixture(scope="module")
def project() -> Iterator[Any]:
    with ms.testing.project(nodes(), data={"rides": GIVEN}) as opened:
        opened.run()
        for model in ("arrival", "end"):
            opened.promote(model)
        running = service(opened)
        running.start()
        answers = {}
        for name in ("desk", "bell", "own", "till"):
            fields = ("hour",) if name == "till" else ("id", "hour", "fare")
            rows = [{field: ride[field] for field in fields} for ride in ASKED]
            answers[name], log = running.live.predictor(name).answered(rows)
            running.committer.submit(log).result()
        running.close()
        told = [{"id": answer.id, "value": "late"} for answer in answers["bell"][:SENT]]
        told.append({"id": answers["bell"][SENT].id, "value": "cancelled"})
        opened.outcomes("bell", told)
        opened.outcomes(
            "till", [{"id": a.id, "value": r["minutes"]} for a, r in zip(answers["till"], ASKED, strict=True)]
        )
        opened.run()
        yield opened


def decisions(project: Any, name: str) -> list[tuple[Any, str]]:
    """The rides in the order of the log, with what was decided."""
    rides = {ride["id"]: ride for ride in ASKED}
    return [
        (rides[row["id"]], row["_decision"]) for row in project.query(f"select * from predictions.{name}").to_pylist()
    ]


def verdict(project: Any, name: str, monitor: str, metric: str) -> Verdict:
    found = project.adapters.state.find(Verdict, endpoint=name, monitor=monitor)
    return next(each for each in found if each.metric == metric)


def day(project: Any, name: str) -> Cohort:
    (found,) = project.adapters.state.find(Cohort, endpoint=name)
    return found


def test_every_quantile_of_what_happened_is_the_outcome(project: Any) -> None:
    """With q90 as it was predicted, the value would say that the model agrees with itself."""
    found = verdict(project, "desk", "value", "value").measure
    made = decisions(project, "desk")
    assert {decision for _, decision in made} == {"go", "stay"}
    saved = [0.0 if decision == "go" else ride["minutes"] - 45 for ride, decision in made]
    assert found is not None and found.rows == 120
    assert found.value == pytest.approx(np.mean(saved))
    assert day(project, "desk").worth == found


def test_the_value_of_a_chosen_candidate_reads_outcomes_for_quantiles(project: Any) -> None:
    found = verdict(project, "till", "value", "value").measure
    chosen = {row["_request"]: row["fare"] for row in project.query("select * from predictions.till").to_pylist()}
    assert set(chosen.values()) >= {5.0, 8.0}
    sent = project.query("select _id, value from outcomes.till").to_pylist()
    worth = [chosen[row["_id"]] * (row["value"] - 40) - row["value"] for row in sent]
    assert found is not None and (found.rows, found.value) == (120, pytest.approx(np.mean(worth)))


def ends(project: Any) -> list[tuple[dict[str, Any], str, str]]:
    """The rides of `bell` with the decision and the outcome: the client's before that of the examples.

    The version does not know one that was sent, so it is not known.
    """
    sent = {row["_id"]: row["value"] for row in project.query("select _id, value from outcomes.bell").to_pylist()}
    found = []
    for row in project.query("select * from predictions.bell").to_pylist():
        ride = next(ride for ride in ASKED if ride["id"] == row["id"])
        end = sent.get(row["_id"], sent.get(row["_request"], ride["end"]))
        found.append((row, row["_decision"], end))
    assert sum(end == "late" for row, _, end in found[:SENT]) == SENT
    return [each for each in found if each[2] in CLASSES]


def test_a_class_that_happened_has_the_score_1_and_others_0(project: Any) -> None:
    found = verdict(project, "bell", "value", "value").measure
    costs = {
        "keep": lambda row, end: (end == "late") * row["fare"],
        "warn": lambda row, end: 2.0 + (end == "early"),
        "drop": lambda row, end: (end == "on time") * 5.0,
    }
    rows = ends(project)
    assert {decision for _, decision, _ in rows} == {"keep", "warn", "drop"}
    saved = [costs["keep"](row, end) - costs[decision](row, end) for row, decision, end in rows]
    assert found is not None and (found.rows, found.value) == (119, pytest.approx(np.mean(saved)))


def test_classes_are_judged_by_the_metrics_of_the_version(project: Any) -> None:
    rows = ends(project)
    scores = [json.loads(row["_scores"]) for row, _, _ in rows]
    right = [max(each, key=each.get) == end for each, (_, _, end) in zip(scores, rows, strict=True)]
    loss = [-np.log(each[end]) for each, (_, _, end) in zip(scores, rows, strict=True)]
    accuracy = verdict(project, "bell", "performance", "accuracy")
    assert accuracy.measure is not None and accuracy.measure.value == pytest.approx(np.mean(right))
    losses = verdict(project, "bell", "performance", "log_loss")
    assert losses.measure is not None and losses.measure.value == pytest.approx(np.mean(loss))
    found = day(project, "bell")
    assert (found.predictions, found.known, found.metric, found.measure) == (120, 119, "log_loss", losses.measure)


def test_an_own_expression_reads_the_name_of_the_class(project: Any) -> None:
    found = verdict(project, "own", "value", "value").measure
    worth = [ride["fare"] if ride["end"] == "late" else -1.0 for ride in ASKED]
    assert found is not None and found.value == pytest.approx(np.mean(worth))


def test_a_class_is_not_compared_with_a_number() -> None:
    found = nodes()
    found["own"] = ms.endpoint(found["end"], monitors=[ms.value(0, worth=_.outcome * 2.0)])
    with ms.testing.project(found, {"rides": GIVEN[:2]}) as project, pytest.raises(SchemaError, match="worth"):
        project.graph.whole()
