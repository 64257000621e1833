"""Dates and instants among the features of a model: their parts are inputs, offline as online."""

from __future__ import annotations

import random
from datetime import UTC, datetime, time, timedelta

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import SchemaError
from mainstem.features.retrieval import retrieval_of
from mainstem.models.versions import registry

START = datetime(2024, 1, 1, tzinfo=UTC)
INSTANT = "timestamp('UTC', 6)"
SALE = {"id": "string", "city": "string", "at": INSTANT, "opens": "time", "y": "float64"}


def declared(*more):
    sales = ms.files(
        "data/sales.csv",
        key="id",
        time="at",
        known={"*": _.at - ibis.interval(days=3), "y": "at"},
        schema=SALE,
    )
    cities = ms.files(
        "data/cities.csv", key="city", time="t", schema={"city": "string", "t": INSTANT, "renewed": INSTANT}
    )
    city = ms.feature_view(cities, key="city", columns=["renewed"])
    model = ms.model(
        examples=sales,
        prediction_time=_.at - ibis.interval(hours=1),
        target="y",
        features=[city, *more],
        assume_known={"at": "it is planned"},
    )
    return {"sales": sales, "cities": cities, "city": city, "model": model}


def rows():
    draw = random.Random(1)
    at = [START + timedelta(hours=5 * n, minutes=n % 60) for n in range(200)]
    sales = [
        {
            "id": f"s{n}",
            "city": draw.choice("abc"),
            "at": t,
            "opens": time(n % 24),
            "y": t.weekday() + 3 * draw.random(),
        }
        for n, t in enumerate(at)
    ]
    sold = [START - timedelta(days=30)] * 3
    renewed = [datetime(2000 + n, 5, 6, 7 + n, tzinfo=UTC) for n in range(3)]
    return {
        "sales": sales,
        "cities": [{"city": c, "t": t, "renewed": r} for c, t, r in zip("abc", sold, renewed, strict=True)],
    }


def parts(name, *also):
    return {f"{name}__{part}" for part in ("year", "month", "day", "weekday", *also)}


def test_instants_of_views_and_computed_dates_bring_their_parts_offline_as_online():
    computed = ms.on_demand(day=_.at.date(), later=_.at + ibis.interval(hours=1))
    with ms.testing.project(declared(computed), rows()) as project:
        project.run()
        inputs = {each.name: each for each in registry.versions(project.adapters.state, "model")[-1].inputs}
        assert set(inputs) == {*parts("city__renewed", "hour"), *parts("day"), *parts("later", "hour")}
        assert inputs["city__renewed__year"].sources == ("cities.renewed",)
        assert inputs["day__weekday"].sources == ("sales.at",)
        for row in project.dataset("model").to_pyarrow().to_pylist()[:20]:
            (answer,) = project.predict("model", [{"city": row["city"], "at": row["at"].isoformat()}])
            assert {name: row[name] for name in inputs} == {name: answer["features"][name] for name in inputs}
            then = row["at"] + timedelta(hours=1)
            assert (row["later__day"], row["later__hour"]) == (then.day, then.hour)
            assert (row["day__month"], row["day__weekday"]) == (row["at"].month, row["at"].weekday())


def test_an_instant_that_an_on_demand_feature_reads_brings_no_parts():
    with ms.testing.project(declared(ms.on_demand(hour=_.city__renewed.hour())), rows()) as project:
        assert set(retrieval_of(project.graph, "model").columns) == {"city__renewed", "hour"}


@pytest.mark.parametrize(
    ("feature", "what"),
    [
        (ms.on_demand(wait=_.at - _.city__renewed), "a duration cannot be a feature: 'wait'"),
        ("opens", "a time of day cannot be a feature: 'opens'"),
    ],
)
def test_durations_and_times_of_day_are_refused_at_load(feature, what):
    with pytest.raises(SchemaError, match=what), ms.testing.project(declared(feature), rows()) as project:
        project.run()
