"""A day is measured again when what it follows from has changed: an outcome, the metric, how decisions are valued."""

from __future__ import annotations

from typing import Any

import pytest
from ibis import _

import mainstem as ms
from mainstem.monitoring.verdicts import Cohort
from mainstem.project.live import service

RIDE = {"id": "string", "hour": "float64", "minutes": "float64"}
GIVEN: list[dict[str, Any]] = [
    {"id": f"r{n}", "hour": n % 24 / 2, "minutes": 3.0 * (n % 24) + n % 7} for n in range(120)
]
ASKED = GIVEN[:40]
SOURCE = ms.files("rides.csv", key="id", schema=RIDE)
MODEL = ms.model(SOURCE, target="minutes", features=["hour"], candidates=["linear"], folds=2, metric="mae")
WAIT = ms.cheapest(go=_.score, stay=30.0)


def nodes(worth: Any = None, metric: str = "mae") -> dict[str, Any]:
    watched = [ms.value(0, worth=worth, min_rows=20), ms.performance(9, metric=metric, min_rows=20)]
    return {"rides": SOURCE, "arrival": MODEL, "desk": ms.endpoint(MODEL, decide=WAIT, monitors=watched)}


def day(project: Any) -> Cohort:
    (found,) = project.adapters.state.find(Cohort)
    return found


def errors(project: Any, outcomes: dict[str, float]) -> list[float]:
    return [row["score"] - outcomes[row["_id"]] for row in project.query("select * from predictions.desk").to_pylist()]


def test_a_day_follows_its_outcomes_its_metric_and_its_value() -> None:
    first = nodes()
    with ms.testing.project(first, {"rides": GIVEN}) as project:
        project.run()
        project.promote("arrival")
        running = service(project)
        running.start()
        answers, log = running.live.predictor("desk").answered([{"id": r["id"], "hour": r["hour"]} for r in ASKED])
        running.committer.submit(log).result()
        running.close()
        outcomes = {answer.id: ride["minutes"] for answer, ride in zip(answers, ASKED, strict=True)}
        project.run()
        before = day(project)
        assert before.measure is not None
        assert before.measure.value == pytest.approx(sum(map(abs, errors(project, outcomes))) / 40)

        # As many outcomes as before are known, and one of them is another.
        outcomes[answers[0].id] += 400
        project.outcomes("desk", [{"id": answers[0].id, "value": outcomes[answers[0].id]}])
        project.run()
        after = day(project)
        assert (after.known, after.predictions) == (before.known, before.predictions) == (40, 40)
        assert after.measure is not None and before.worth is not None and after.worth is not None
        assert after.measure.value == pytest.approx(sum(map(abs, errors(project, outcomes))) / 40)
        decisions = {
            row["_id"]: row["_decision"] for row in project.query("select * from predictions.desk").to_pylist()
        }
        saved = [outcomes[id] - 30 if decision == "stay" else 0.0 for id, decision in decisions.items()]
        assert after.worth.value == pytest.approx(sum(saved) / 40)

        changed = {**project.nodes, "desk": nodes(_.outcome * 2 - _.score, "rmse")["desk"]}
        aliases = {node: name for name, node in first.items()}
        with ms.Project(project.settings, changed, aliases=aliases) as other:
            other.outcomes("desk", [{"id": "no prediction has it", "value": 1.0}])
            other.run()
            found = day(other)
            assert (found.known, found.metric) == (40, "rmse")
            wrong = errors(other, outcomes)
            assert found.measure is not None and found.worth is not None
            assert found.measure.value == pytest.approx((sum(each**2 for each in wrong) / 40) ** 0.5)
            scores = {row["_id"]: row["score"] for row in other.query("select * from predictions.desk").to_pylist()}
            assert found.worth.value == pytest.approx(sum(outcomes[id] * 2 - scores[id] for id in scores) / 40)


def test_a_day_that_did_not_change_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with ms.testing.project(nodes(), {"rides": GIVEN}) as project:
        project.run()
        project.promote("arrival")
        running = service(project)
        running.start()
        _answers, log = running.live.predictor("desk").answered([{"id": r["id"], "hour": r["hour"]} for r in ASKED])
        running.committer.submit(log).result()
        running.close()
        project.run()
        before = day(project)

        def again(*args: Any) -> None:
            raise AssertionError("the day was measured again")

        monkeypatch.setattr("mainstem.monitoring.cohorts._measured", again)
        project.outcomes("desk", [{"id": "no prediction has it", "value": 1.0}])
        assert "monitor desk" in [f"{step.kind} {step.node}" for step in project.plan().steps]
        project.run()
        assert day(project) == before
