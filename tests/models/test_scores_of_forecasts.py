"""`ms.score` of a model with horizons: a row for each row and horizon, with the forecast that its endpoint answers."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
import mainstem.testing
from mainstem.errors import DefinitionError, UnknownName

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAYS = 120
WEEK = (0, 5, 10, 5, 0, 20, 30)
HORIZONS = ("1d", "2d", "7d")
SCHEMA = {"shop": "string", "day": "timestamp('UTC', 6)", "units": "float64", "wares": "int64"}


def sales() -> list[dict[str, Any]]:
    draw = random.Random(0)
    return [
        {
            "shop": shop,
            "day": START + n * DAY,
            "units": base + WEEK[n % 7] + draw.gauss(0, 2),
            "wares": n % 4,
        }
        for n in range(DAYS)
        for shop, base in (("Oslo", 50), ("Rome", 90))
    ]


def nodes_of(**options: Any) -> dict[str, Any]:
    known = {"*": "day", "units": _.day + ibis.interval(hours=22)}
    days = ms.files("sales.parquet", key=["shop", "day"], time="day", schema=SCHEMA, known=known)
    past = ms.feature_view(days, key="shop", windows=["7d"], mean=_.units.mean())
    demand = ms.model(
        days,
        target=_.units,
        prediction_time=_.day + ibis.interval(days=1),
        features=[past, "wares"],
        candidates=["linear"],
        folds=2,
        **{"horizons": HORIZONS, "series": "shop", **options},
    )
    found = {"sales": days, "past": past, "demand": demand, "stock": ms.endpoint(demand)}
    return {**found, "planned": ms.score("sales", "demand")}


def opened(nodes: dict[str, Any], rows: list[dict[str, Any]] | None = None) -> Any:
    return mainstem.testing.project(nodes, {"sales": sales() if rows is None else rows})


def test_each_row_has_the_forecast_of_each_horizon_that_the_endpoint_answers():
    with opened(nodes_of()) as project:
        project.run()
        assert project.table("planned").to_pyarrow().num_rows == 0
        project.promote("demand")
        project.run()
        assert not project.plan()
        table = project.table("planned").to_pyarrow()
        assert table.column_names == ["shop", "day", "horizon", "for", "predicted_at", "score", "version"]
        assert table.num_rows == DAYS * 2 * len(HORIZONS)
        assert project.sound["planned"].node.key == ("shop", "day", "horizon")
        last = [row for row in table.to_pylist() if row["day"] == START + (DAYS - 1) * DAY]
        asked = [{"shop": shop, "wares": (DAYS - 1) % 4} for shop in ("Oslo", "Rome")]
        answers = project.predict("stock", asked, time=START + DAYS * DAY)
        for request, answer in zip(asked, answers, strict=True):
            own = {row["horizon"]: row for row in last if row["shop"] == request["shop"]}
            assert set(own) == set(HORIZONS)
            for each in answer["forecast"]:
                row = own[each["horizon"]]
                assert row["score"] == each["score"]
                assert row["for"] == datetime.fromisoformat(each["for"])
                assert row["predicted_at"] == START + DAYS * DAY


def test_a_champion_that_does_not_forecast_leaves_the_table_without_rows():
    before = nodes_of(horizons=None, series=None)
    with opened(before) as project:
        project.run()
        project.promote("demand")
        project.run()
        assert project.table("planned").to_pyarrow().num_rows == DAYS * 2
        aliases = {node: name for name, node in before.items()}
        with ms.Project(project.settings, nodes_of(), aliases=aliases) as changed:
            said = [step.message for step in changed.run().steps if step.node == "planned"]
            assert said == ["no scores: demand-1 does not forecast, as demand does now; mainstem promote stock"]
            assert "horizon" in changed.table("planned").to_pyarrow().column_names
            changed.promote("demand")
            changed.run()
            assert changed.table("planned").to_pyarrow().num_rows == DAYS * 2 * len(HORIZONS)


def test_forecasts_of_dates_are_for_dates_and_quantiles_have_all_their_scores():
    schema = {**SCHEMA, "day": "date"}
    days = ms.files("sales.parquet", key=["shop", "day"], schema=schema, known="always")
    demand = ms.model(
        days,
        target=_.units,
        prediction_time=(_.day + ibis.interval(days=1)).cast("timestamp('UTC', 6)"),
        series="shop",
        features=["wares"],
        horizons=["1d", "7d"],
        quantiles=[0.1, 0.5, 0.9],
        candidates=["linear"],
        folds=2,
    )
    nodes = {"sales": days, "demand": demand, "planned": ms.score(days, demand)}
    rows = [{**row, "day": row["day"].date()} for row in sales()]
    with opened(nodes, rows) as project:
        project.run()
        table = project.table("planned").to_pyarrow()
        assert table.column_names == ["shop", "day", "horizon", "for", "predicted_at", "score", "scores", "version"]
        first = next(row for row in table.to_pylist() if row["horizon"] == "7d")
        assert first["for"] == first["day"] + 7 * DAY
        scores = json.loads(first["scores"])
        assert list(scores) == ["q10", "q50", "q90"] and first["score"] == scores["q50"]


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda sales: sales.drop("wares"), UnknownName, "unknown column 'wares'"),
        (lambda sales: sales.mutate(horizon=1), DefinitionError, "has a column 'horizon', as forecasts do"),
    ],
)
def test_rows_that_cannot_be_forecast_are_refused(change, error, said):
    nodes = nodes_of()
    other = ms.table(change, key=["shop", "day"])
    nodes |= {"other": other, "planned": ms.score(other, nodes["demand"])}
    with pytest.raises(error, match=said), opened(nodes) as project:
        project.plan()
        for problem in project.sound.broken.values():
            raise problem
