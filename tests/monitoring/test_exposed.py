"""What monitors found is in `/metrics` of a real server, and what is shipped for Prometheus and Grafana reads it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import UnknownName
from mainstem.monitoring import freshness
from mainstem.monitoring.exposed import samples
from mainstem.monitoring.newest import newest
from mainstem.monitoring.verdicts import Verdict
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.records import Binding, RunRecord
from mainstem.project.live import service
from mainstem.serving.app import create_app
from mainstem.serving.gauges import GAUGES
from mainstem.serving.server import listen, server, url_of
from mainstem.state.sql import SqlState

RIDE = {"id": "string", "hour": "float64", "minutes": "float64"}
GIVEN: list[dict[str, Any]] = [
    {"id": f"r{n}", "hour": n % 24 / 2, "minutes": 3.0 * (n % 24) + n % 7} for n in range(240)
]
YESTERDAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)


def nodes() -> dict[str, Any]:
    rides = ms.files("rides.csv", key="id", schema=RIDE)
    model = ms.model(rides, target="minutes", features=["hour"], candidates=["linear"], folds=2, metric="mae")
    watched = [
        ms.performance(0.5, min_rows=20),
        ms.performance(99, metric="rmse", min_rows=20),
        ms.value(-50, min_rows=20),
        ms.drift(min_rows=30),
    ]
    decide = ms.cheapest(go=_.score, stay=30.0)
    return {
        "rides": rides,
        "arrival": model,
        "desk": ms.endpoint(model, decide=decide, monitors=watched),
        "silent": ms.endpoint(model, monitors=[ms.performance(0.5)]),
    }


@contextmanager
def listening(served: Any) -> Iterator[httpx.Client]:
    at, up = listen("127.0.0.1", 0), threading.Event()
    running = server(create_app(served), at, lambda url: up.set())
    thread = threading.Thread(target=running.run, kwargs={"sockets": [at]})
    thread.start()
    try:
        assert up.wait(30)
        with httpx.Client(base_url=url_of(at), timeout=30) as client:
            yield client
    finally:
        running.should_exit = True
        thread.join()
        at.close()


@pytest.fixture(scope="module")
def scraped() -> Iterator[tuple[Any, dict[tuple[str, str], float]]]:
    """A project whose endpoint was judged, and the samples of a scrape by name and labels."""
    with ms.testing.project(nodes(), {"rides": GIVEN}) as project:
        project.run()
        project.promote("arrival")
        running = service(project)
        running.start()
        # The hour is 9 later than any in training, and missing in every tenth request.
        rows = [{**row, "hour": None if n % 10 == 0 else row["hour"] + 9} for n, row in enumerate(GIVEN[:80])]
        asked = [{"id": row["id"], "hour": row["hour"], "time": YESTERDAY.isoformat()} for row in rows]
        asked += [{"id": f"unknown {n}", "hour": 1.0} for n in range(5)]
        _answers, log = running.live.predictor("desk").answered(asked)
        running.committer.submit(log).result()
        running.close()
        project.run()
        with listening(service(project)) as client:
            text = client.get("/metrics").text
        yield project, dict(parsed(text))


def parsed(text: str) -> Iterator[tuple[tuple[str, str], float]]:
    for line in text.splitlines():
        if found := re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line):
            yield (found[1], found[2] or ""), float(found[3])


def labels(**values: str) -> str:
    """Labels as a scrape writes them."""
    return ",".join(f'{name}="{value}"' for name, value in sorted(values.items()))


def test_the_newest_judgement_of_each_monitor_is_a_gauge(scraped: Any) -> None:
    project, found = scraped
    verdicts = {(each.monitor, each.metric): each for each in project.adapters.state.find(Verdict, endpoint="desk")}
    assert {key: each.judgement for key, each in verdicts.items()} == {
        ("performance", "mae"): "failing",
        ("performance", "rmse"): "fine",
        ("value", "value"): "fine",
        ("drift", ""): "failing",
    }
    for (monitor, metric), verdict in verdicts.items():
        about = labels(endpoint="desk", version="arrival-1", monitor=monitor, metric=metric)
        shown = {name.removeprefix("mainstem_monitor_"): v for (name, of), v in found.items() if of == about}
        assert shown.pop("timestamp_seconds") == pytest.approx(verdict.created_at.timestamp())
        expected: dict[str, float] = {
            "failing": float(verdict.judgement == "failing"),
            "rows": verdict.rows,
            "outcomes": verdict.outcomes,
        }
        if verdict.measure is not None and verdict.floor is not None:
            measure = verdict.measure
            expected |= {"value": measure.value, "low": measure.low, "high": measure.high, "floor": verdict.floor}
        assert shown == pytest.approx(expected)
    assert not [of for _, of in found if 'endpoint="silent"' in of and "monitor" in of]


def test_inputs_and_days_are_gauges(scraped: Any) -> None:
    _project, found = scraped
    hour = labels(endpoint="desk", version="arrival-1", input="hour")
    assert found["mainstem_input_drifted", hour] == 1
    assert found["mainstem_input_null_share", hour] == pytest.approx(8 / 85)
    assert found["mainstem_input_drift_effect", hour] > 0.1
    live = labels(endpoint="desk", version="arrival-1")
    assert found["mainstem_days_not_mature", live] == 1
    assert found["mainstem_mature_day_timestamp_seconds", live] == YESTERDAY.timestamp()
    assert {name for name, _ in found if name in GAUGES} == set(GAUGES)


def test_ages_and_lags_are_gauges(scraped: Any) -> None:
    project, found = scraped
    runs = {
        status: [r for r in project.adapters.state.find(RunRecord) if r.status == status] for status in ("published",)
    }
    assert found["mainstem_run_timestamp_seconds", 'status="published"'] == runs["published"][-1].ended_at.timestamp()
    assert found["mainstem_table_timestamp_seconds", 'node="rides"'] == runs["published"][0].ended_at.timestamp()
    assert found["mainstem_log_lag", 'log="predictions/desk"'] == 0
    assert found["process_resident_memory_bytes", ""] > 10_000_000 and found["process_open_fds", ""] > 3
    with listening(service(project)) as client:
        asked = {"id": "r1", "hour": 3.0}
        client.post("/predict/desk", json=asked)
        client.post("/predict/desk", json=asked)
        again = dict(parsed(client.get("/metrics").text))
    assert again["mainstem_log_lag", 'log="predictions/desk"'] == 2


def test_the_last_good_run_is_told_however_often_runs_failed_since(scraped: Any) -> None:
    """Otherwise the alert of failed runs would end by itself, since it compares both times."""
    project, _found = scraped
    state = project.adapters.state
    first = YESTERDAY
    failed = [RunRecord(f"run-f{n}", "other", "failed", ended_at=first + timedelta(hours=n)) for n in range(60)]
    state.save(RunRecord("run-good", "other", "published", ended_at=first), *failed)
    told = {
        each.labels[0]: each.value
        for each in freshness.samples(state, project.release, "other")
        if each.name == "mainstem_run_timestamp_seconds"
    }
    assert told == {"published": first.timestamp(), "failed": (first + timedelta(hours=59)).timestamp()}


def test_a_version_that_is_not_judged_yet_has_no_gauges_of_the_one_before(scraped: Any) -> None:
    project, _ = scraped
    release = replace(project.release, endpoints={"desk": Binding("arrival-2")})
    assert list(samples(project.adapters.state, release, "main", project.graph.of(Endpoint))) == []
    assert list(samples(project.adapters.state, project.release, "another branch", project.graph.of(Endpoint))) == []


def test_the_last_judgements_are_in_the_status(scraped: Any) -> None:
    project, _ = scraped
    desk, silent = project.status().endpoints
    verdicts = {(each.monitor, each.metric): each for each in project.adapters.state.find(Verdict, endpoint="desk")}
    shown = {(each.monitor, each.metric): each for each in desk.monitors}
    assert shown.keys() == verdicts.keys() and not silent.monitors
    for key, verdict in verdicts.items():
        found = shown[key]
        assert (found.judgement, found.text, found.rows) == (verdict.judgement, verdict.text, verdict.rows)
        assert found.judged_at == verdict.created_at.isoformat() and found.floor == verdict.floor
        assert found.value == (verdict.measure.value if verdict.measure else None)


def test_every_judgement_is_kept_in_order(scraped: Any) -> None:
    project, _ = scraped
    found = {each.label: each for each in project.monitors("desk")}
    verdicts = project.adapters.state.find(Verdict, endpoint="desk")
    assert set(found) == {"performance mae", "performance rmse", "value", "drift"}
    assert sum(len(each.points) for each in found.values()) == len(verdicts)
    (point,) = found["performance mae"].points
    assert (point.judgement, found["performance mae"].floor) == (
        "failing",
        0.5,
    ) and point.low < point.value < point.high
    assert found["drift"].points[0].value == 1
    assert {each.label for each in project.status().endpoints[0].history} == set(found)
    assert project.monitors("silent") == []
    with pytest.raises(UnknownName, match="unknown endpoint 'dsk'"):
        project.monitors("dsk")


def test_too_few_rows_do_not_replace_a_judgement(tmp_path: Path) -> None:
    state = SqlState(f"sqlite:///{tmp_path / 'state.db'}")
    at = (YESTERDAY, YESTERDAY)

    def judged(id: str, judgement: Any, metric: str, monitor: str = "performance") -> Verdict:
        return Verdict(id, "desk", monitor, judgement, id, at, 9, 9, "arrival-1", metric)

    state.save(judged("v1", "failing", "mae"), judged("v2", "not enough rows", "mae"), judged("v3", "fine", "rmse"))
    state.save(judged("v4", "fine", "rmse"), judged("v5", "not enough rows", "", "value"))
    assert [each.id for each in newest(state, "desk", "main", "arrival-1")] == ["v1", "v4", "v5"]
    state.save(*(judged(f"w{n}", "not enough rows", "mae") for n in range(60)))
    assert [each.id for each in newest(state, "desk", "main", "arrival-1")] == ["v1", "v4", "v5"]
    state.close()


def test_the_verdict_of_a_monitor_that_was_removed_holds_no_longer(tmp_path: Path) -> None:
    state = SqlState(f"sqlite:///{tmp_path / 'state.db'}")
    at = (YESTERDAY, YESTERDAY)
    for id, monitor, metric in (("v1", "performance", "mae"), ("v2", "performance", "rmse"), ("v3", "drift", "")):
        state.save(Verdict(id, "desk", monitor, "failing", id, at, 9, 9, "arrival-1", metric))

    def found(*monitors: Any) -> list[str]:
        return [each.id for each in newest(state, "desk", "main", "arrival-1", monitors)]

    assert found(ms.performance(0.5, metric="rmse")) == ["v2"]
    assert found(ms.performance(0.5), ms.drift()) == ["v3", "v1", "v2"]
    assert found() == []
    state.close()
