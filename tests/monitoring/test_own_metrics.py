"""A metric of one's own watches a model, is measured again when its code changes, and may disappear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import mainstem as ms
from mainstem.errors import DefinitionError, ModelError, UnknownName
from mainstem.models.metrics import METRICS
from mainstem.models.versions.comparing import compare
from mainstem.monitoring import versus
from mainstem.monitoring.verdicts import Cohort, Verdict
from mainstem.nodes.comparisons import Side
from mainstem.nodes.records import ModelVersion
from mainstem.project.live import service
from mainstem.project.resolve import resolve

RIDE = {"id": "string", "hour": "float64", "minutes": "float64"}
GIVEN: list[dict[str, Any]] = [
    {"id": f"r{n}", "hour": n % 24 / 2, "minutes": 3.0 * (n % 24) + n % 7} for n in range(120)
]
SOURCE = ms.files("rides.csv", key="id", schema=RIDE)
Function = Callable[[Any, Any], float]
PRICE = 2.0


@pytest.fixture(autouse=True)
def metrics_as_before() -> Iterator[None]:
    before = dict(METRICS)
    yield
    METRICS.clear()
    METRICS.update(before)


def waited(y: Any, scores: Any) -> float:
    return float(np.abs(y - scores).mean())


def longest(y: Any, scores: Any) -> float:
    return float(np.abs(y - scores).max())


longest.__name__ = "waited"


def nodes(*monitors: Any, **settings: Any) -> dict[str, Any]:
    given = {"target": "minutes", "features": ["hour"], "candidates": ["linear"], "folds": 2, **settings}
    model = ms.model(SOURCE, **given)
    return {"desk": ms.endpoint(model, monitors=monitors), "rides": SOURCE, "arrival": model}


def own(function: Function) -> Any:
    return ms.metric(higher_is_better=False)(function)


def test_a_value_that_the_metric_reads_is_part_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(y: Any, scores: Any) -> float:
        return PRICE * float(np.abs(y - scores).mean())

    def declared() -> str:
        return resolve(nodes(metric=own(counted)), {})["arrival"].fingerprint

    before = declared()
    assert declared() == before
    monkeypatch.setitem(globals(), "PRICE", 3.0)
    assert declared() != before


def test_a_monitor_has_a_metric_of_ones_own_by_function_or_by_name() -> None:
    metric = own(waited)
    resolve(nodes(ms.performance(9, metric=metric)), {})
    assert METRICS["waited"].tasks == {"regression"}
    METRICS.pop("waited")
    resolve(nodes(ms.performance(9, metric="waited"), also_measure=[metric]), {})
    resolve(nodes(ms.performance(9, metric="waited"), metric=metric), {})
    with pytest.raises(DefinitionError, match="two metrics are called 'waited'"):
        resolve(nodes(ms.performance(9, metric=own(longest)), metric=metric), {})
    METRICS.pop("waited")
    with pytest.raises(UnknownName, match="unknown regression metric 'waited'"):
        resolve(nodes(ms.performance(9, metric="waited")), {})


def test_versions_are_not_compared_by_a_metric_that_is_gone() -> None:
    usual = {"model": "m", "number": 1, "run": "", "fingerprint": "", "artifact": "", "task": "regression"}
    version = ModelVersion("m-1", **usual, algorithm="linear", metric="waited", inputs=())
    with pytest.raises(ModelError, match="no longer has the metric 'waited' of m-1"):
        compare(None, None, version, version)  # type: ignore[arg-type]
    sides = Side("m-1", 90, 90, None, {}, {}), Side("m-2", 90, 90, None, {}, {})
    text = versus._text("waited", None, "shadow", *sides, None, "too few outcomes", None)
    assert text == "whether m-2 is better is not known: waited: the project no longer has this metric"


def test_days_follow_the_code_of_the_metric_and_are_not_judged_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    first = nodes(ms.performance(9, min_rows=20), metric=own(waited))
    with ms.testing.project(first, {"rides": GIVEN}) as project:
        project.run()
        project.promote("arrival")
        running = service(project)
        running.start()
        rows = [{"id": row["id"], "hour": row["hour"]} for row in GIVEN[:40]]
        running.committer.submit(running.live.predictor("desk").answered(rows)[1]).result()
        running.close()
        project.run()
        truth = {row["id"]: row["minutes"] for row in GIVEN}
        logged = project.query("select * from predictions.desk").to_pylist()
        errors = [abs(row["score"] - truth[row["id"]]) for row in logged]
        (day,), (verdict,) = project.adapters.state.find(Cohort), project.adapters.state.find(Verdict)
        assert (day.metric, day.measure.value) == ("waited", pytest.approx(np.mean(errors)))
        assert (verdict.judgement, verdict.measure.value) == ("fine", pytest.approx(np.mean(errors)))

        kept = {"rides": project.nodes["rides"]}
        changed = nodes(ms.performance(9, min_rows=20), metric=own(longest)) | kept
        aliases = {node: name for name, node in first.items()}
        with ms.Project(project.settings, changed, aliases=aliases) as other:
            other.outcomes("desk", [{"id": "no prediction has it", "value": 1.0}])
            other.run()
            (day,) = other.adapters.state.find(Cohort)
            assert (day.metric, day.measure.value) == ("waited", pytest.approx(max(errors)))

        METRICS.pop("waited")  # as in a process whose project never had it
        without = nodes(ms.performance(9, min_rows=10), metric="mae") | kept
        with ms.Project(project.settings, without, aliases=aliases) as other:
            running = service(other)
            running.start()
            again = [{"id": row["id"], "hour": row["hour"]} for row in GIVEN[40:80]]
            running.committer.submit(running.live.predictor("desk").answered(again)[1]).result()
            running.close()
            monkeypatch.setattr("mainstem.feedback.attribute.FEWEST", 10)
            run = other.run()
            (newest,) = (each for each in other.adapters.state.find(Verdict) if each.run == run.id)
            assert newest.judgement == "not enough rows" and newest.measure is None
            assert newest.text == "waited not judged: the project no longer has this metric"
            assert all(each.measure is None for each in other.adapters.state.find(Cohort))
            told = {step.kind: step.message for step in run.steps}
            assert "waited not judged" in told["monitor"]
            assert told["attribute"] == "causes not judged: waited: the project no longer has this metric"
