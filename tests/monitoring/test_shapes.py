"""How the predictions of a day are distributed, from the log to the status."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.project.live import service

MONDAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)


@pytest.fixture(scope="module")
def project() -> Iterator[Any]:
    """Two endpoints, one of which decides, with predictions of two days."""
    schema = {"id": "string", "at": "timestamp('UTC', 6)", "hour": "float64", "driver": "string", "late": "boolean"}
    past: Any = {"*": _.at - ibis.interval(days=9), "late": "at"}
    rides = ms.files("rides.csv", key="id", time="at", schema=schema, known=past)
    drivers = ms.files("drivers.csv", key="driver", schema={"driver": "string", "years": "float64"}, known="always")
    who = ms.feature_view(drivers, key="driver", columns=["years"])
    before = _.at - ibis.interval(hours=1)
    model = ms.model(rides, prediction_time=before, target=_.late, features=["hour", who], candidates=["linear"])
    minutes = ms.model(
        rides, prediction_time=before, target=_.late.ifelse(9.0, 3.0), features=["driver"], candidates=["linear"]
    )
    desk = ms.endpoint(model, decide=ms.cheapest(wait=_.score, go=0.5), monitors=[ms.drift(min_rows=50)])
    nodes = {
        "rides": rides,
        "drivers": drivers,
        "who": who,
        "model": model,
        "minutes": minutes,
        "desk": desk,
        "clock": ms.endpoint(minutes, monitors=[ms.drift(min_rows=50)]),
    }
    rows = [
        {
            "id": f"r{n}",
            "at": MONDAY + timedelta(hours=n - 500),
            "hour": float(n % 24),
            "driver": f"d{n % 5}",
            "late": n * 7919 % 29 < n % 24,
        }
        for n in range(400)
    ]
    given = {"rides": rows, "drivers": [{"driver": f"d{n}", "years": float(n)} for n in range(5)]}
    with ms.testing.project(nodes, given) as made:
        made.run()
        made.promote("model")
        made.promote("minutes")
        running = service(made)
        running.start()
        for day, driver in ((0, "d1"), (1, "stranger")):
            asked = [
                {"hour": None if n % 4 == 0 else row["hour"], "driver": driver if n % 2 else "d2"}
                for n, row in enumerate(rows[:100])
            ]
            at = int((MONDAY + timedelta(days=day)).timestamp()) * 1_000_000
            _answers, log = running.live.predictor("desk").answered(asked, at)
            running.committer.submit(log).result()
            _answers, log = running.live.predictor("clock").answered([{"driver": "d1"}] * 60, at)
            running.committer.submit(log).result()
        running.close()
        made.run()
        yield made


def days(project: Any, endpoint: str) -> list[Any]:
    return list(next(each for each in project.status().endpoints if each.name == endpoint).days)


def test_decisions_nulls_and_unknown_entities_are_counted_by_day(project: Any) -> None:
    first, second = days(project, "desk")
    assert (first.day, second.day) == tuple((MONDAY + timedelta(days=n)).date().isoformat() for n in (0, 1))
    assert sum(first.decisions.values()) == 100 and set(first.decisions) <= {"wait", "go", "undecided"}
    assert first.nulls == {"hour": 0.25} and first.unknown == 0
    assert second.nulls == {"hour": 0.25, "who__years": 0.5} and second.unknown == 0.5


def test_scores_have_a_histogram_of_probabilities_and_quantiles_of_all(project: Any) -> None:
    logged = project.table("predictions.desk").to_pyarrow().column("score").to_pylist()
    both = days(project, "desk")
    assert [sum(each.histogram) for each in both] == [100, 100] and all(len(each.histogram) == 20 for each in both)
    for each in both:
        assert list(each.quantiles) == sorted(each.quantiles) and min(logged) <= each.quantiles[0]
    assert [each.predictions for each in days(project, "clock")] == [60, 60]
    assert all(
        not each.histogram and not each.decisions and len(each.quantiles) == 5 for each in days(project, "clock")
    )
