"""Every key that a run and a promotion take can be sent to a prediction; another type is refused at load."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import DefinitionError, NotFound
from mainstem.nodes.base import Node
from mainstem.project.live import service

START = datetime(2026, 3, 1, tzinfo=UTC)
INSTANT = "timestamp('UTC', 6)"


def nodes(type: str, *, looked_up: bool = False) -> dict[str, Node]:
    schema = {"id": type, "at": INSTANT, "distance": "float64", "delay": "float64", "arrived_at": INSTANT}
    known = {"*": _.at - ibis.interval(days=9), "delay": "arrived_at", "arrived_at": "arrived_at"}
    flights = ms.files("flights.csv", key="id", time="at", schema=schema, known=known)
    leg = ms.feature_view(flights, key="id", columns=["distance"]) if looked_up else None
    late = ms.model(
        examples=flights,
        prediction_time=_.at - ibis.interval(hours=1),
        target=_.delay > 15,
        features=[leg or "distance"],
    )
    return {"flights": flights, **({"leg": leg} if leg else {}), "late": late, "arrivals": ms.endpoint(late)}


def rows(values: list[Any]) -> list[dict[str, Any]]:
    return [
        {
            "id": value,
            "at": START + timedelta(hours=n),
            "distance": float(n % 7),
            "delay": 30.0 if (n % 7 > 3) != (n * 7919 % 5 == 0) else 0.0,
            "arrived_at": START + timedelta(hours=n + 5),
        }
        for n, value in enumerate(values)
    ]


N = 300
KEYS: list[tuple[str, list[Any], Any]] = [
    ("date", [date(2020, 1, 1) + timedelta(days=n) for n in range(N)], "2020-01-05"),
    ("int16", list(range(N)), 4),
    ("string", [f"F{n}" for n in range(N)], "F4"),
    (INSTANT, [START + timedelta(minutes=n) for n in range(N)], "2026-03-01T00:04:00Z"),
    ("float64", [n / 2 for n in range(N)], 2.0),
    ("decimal(9, 2)", [Decimal(n) / 2 for n in range(N)], 2.0),
]


@pytest.mark.parametrize(("type", "values", "sent"), KEYS, ids=[type for type, *_ in KEYS])
def test_a_key_that_runs_can_be_predicted_and_drained(type: str, values: list[Any], sent: Any) -> None:
    with ms.testing.project(nodes(type), {"flights": rows(values)}) as project:
        project.run()
        project.promote("late")
        served = service(project)  # as `mainstem serve` does
        served.start()
        assert served.broken() == {} and served.trouble is None
        predictor = served.live.predictor("arrivals")
        answers = predictor.predict([{"id": sent, "distance": 1.0}])
        served.committer.submit(predictor.logged(answers)).result()
        served.close()
        project.run()
        (logged,) = project.table("predictions.arrivals").to_pyarrow().to_pylist()
        assert logged["id"] == values[4]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_key_that_a_view_is_looked_up_by_finds_what_the_run_stored(number: int) -> None:
    type, values, sent = KEYS[number]
    with ms.testing.project(nodes(type, looked_up=True), {"flights": rows(values)}) as project:
        project.run()
        project.promote("late")
        (answer,) = project.predict("arrivals", [{"id": sent}])
        assert (answer["features"], answer["flags"]) == ({"leg__distance": 4.0}, [])


@pytest.mark.parametrize("type", ["date", "float64", "decimal(9, 2)"])
def test_a_view_refuses_a_key_that_it_could_not_find(type: str) -> None:
    with (
        pytest.raises(DefinitionError, match=r"'id'|feature column"),
        ms.testing.project(nodes(type, looked_up=True), {"flights": []}) as project,
    ):
        _ = project.graph


@pytest.mark.parametrize("type", ["time", "binary", "uuid", "timestamp(6)", "array<int64>", "interval('s')"])
def test_a_key_that_cannot_be_sent_is_refused_at_load(type: str) -> None:
    with pytest.raises(DefinitionError) as caught, ms.testing.project(nodes(type), {"flights": []}) as project:
        _ = project.graph
    assert "id" in str(caught.value)


def test_promoting_an_unknown_version_changes_nothing() -> None:
    with ms.testing.project(nodes("string"), {"flights": rows([f"F{n}" for n in range(N)])}) as project:
        project.run()
        before = project.release
        for version, hint in (("nonsense", "mainstem show late"), ("late-2", "did you mean 'late-1'?")):
            with pytest.raises(NotFound, match=f"unknown version '{version}'") as caught:
                project.promote("late", version)
            assert (caught.value.expected, caught.value.hint) == ("one of late-1", hint)
        assert project.release == before
        assert project.promote("late", "late-1").champion("arrivals") == "late-1"
