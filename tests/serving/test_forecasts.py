"""Forecasts that are served: all horizons of a series, with the features of the dataset, judged by later rows."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis import _

import mainstem as ms
import mainstem.testing
from mainstem.cli.app import run
from mainstem.errors import DefinitionError, RequestError, Unavailable
from mainstem.monitoring.partition import Watched
from mainstem.monitoring.verdicts import Verdict
from mainstem.project.live import service
from mainstem.project.resolve import resolve
from mainstem.serving.coalescing import Coalescer
from mainstem.serving.http.answers import shown

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAYS = 120
SCHEMA = {"shop": "string", "day": "timestamp('UTC', 6)", "units": "float64", "promotion": "boolean"}
WEEK = (0, 5, 10, 5, 0, 20, 30)
HORIZONS = ["1d", "2d", "7d"]


def sales(days: int = DAYS) -> list[dict[str, Any]]:
    random_ = random.Random(0)
    return [
        {
            "shop": f"s{shop}",
            "day": START + day * DAY,
            "units": 50 * (shop + 1) + 0.1 * day + WEEK[day % 7] + random_.gauss(0, 2),
            "promotion": day % 3 == 0,
        }
        for day in range(days)
        for shop in range(2)
    ]


def nodes_of(endpoint=None, **options):
    known = {"*": "day", "units": _.day + ibis.interval(hours=22)}
    source = ms.files("sales.parquet", key=["shop", "day"], time="day", schema=SCHEMA, known=known)
    past = ms.feature_view(source, key="shop", windows=["7d"], grace="1000d", mean=_.units.mean())
    settings = {
        "target": _.units,
        "prediction_time": _.day + ibis.interval(days=1),
        "series": "shop",
        "horizons": HORIZONS,
        "features": [past, "promotion"],
        "candidates": ["linear"],
        "folds": 2,
    }
    demand = ms.model(source, **{**settings, **options})
    return {"sales": source, "past": past, "demand": demand, "stock": ms.endpoint(demand, **(endpoint or {}))}


@pytest.fixture(scope="module")
def project():
    with mainstem.testing.project(nodes_of(), data={"sales": sales()}) as project:
        project.run()
        project.promote("demand")
        yield project


def deliver(project: ms.Project, rows: list[dict[str, Any]]) -> None:
    """Let more days pass."""
    path = project.settings.root / "sales.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)


def asked(shop: str = "s1", day: int = DAYS, **more: Any) -> dict[str, Any]:
    """Return a request on the evening before the day of this number."""
    return {"shop": shop, "promotion": (day - 1) % 3 == 0, "time": (START + day * DAY).isoformat(), **more}


def test_a_request_is_answered_with_all_horizons(project):
    (answer,) = project.predict("stock", [asked()])
    assert answer["flags"] == [] and answer["version"] == "demand-1"
    found = answer["forecast"]
    assert [each["horizon"] for each in found] == HORIZONS
    assert [each["for"] for each in found] == ["2024-04-30T00:00:00Z", "2024-05-01T00:00:00Z", "2024-05-06T00:00:00Z"]
    assert len({each["id"] for each in found}) == 3
    for each, days in zip(found, (1, 2, 7), strict=True):
        day = DAYS - 1 + days
        assert each["score"] == pytest.approx(100 + 0.1 * day + WEEK[day % 7], abs=12)


def test_a_row_comes_from_the_latest_day_that_is_over(project):
    def times(at: datetime) -> list[str]:
        (answer,) = project.predict("stock", [{"shop": "s0", "promotion": False}], time=at)
        return [each["for"][:10] for each in answer["forecast"]]

    evening = START + DAYS * DAY
    assert times(evening) == times(evening + timedelta(hours=23)) == ["2024-04-30", "2024-05-01", "2024-05-06"]
    assert times(evening - timedelta(seconds=1)) == ["2024-04-29", "2024-04-30", "2024-05-05"]


def test_holidays_of_the_time_that_is_forecast_are_known_when_it_is_served():
    """May Day is two days after the last row. Its year is read by the holidays, and is no input of the algorithm."""
    holidays = pytest.importorskip("holidays").country_holidays("DE", years=[2022, 2023, 2024])
    days = (START + timedelta(days=121) - datetime(2022, 1, 1, tzinfo=UTC)).days
    rows = [
        {**each, "day": day, "units": 0.0 if day.date() in holidays else 100.0 + WEEK[n % 7]}
        for n in range(days)
        for each in [sales(1)[0]]
        for day in [datetime(2022, 1, 1, tzinfo=UTC) + n * DAY]
    ]
    made = {"engineer": ms.holidays("for", country="DE"), "candidates": None}
    with mainstem.testing.project(nodes_of(**made), data={"sales": rows}) as project:
        project.run()
        project.promote("demand")
        (dated,) = [each for each in project.show("demand").card["preparation"] if each["input"] == "for__year"]
        assert dated["left_out"] and dated["done"] == "left out: only holidays read it"
        assert set(project.show("demand").card["folds"]) == {"linear", "lightgbm"}  # a year does not make a trend
        found = project.dataset("demand").to_pyarrow().to_pylist()
        assert all(each["for__year"] == each["for"].year for each in found)
        (answer,) = project.predict("stock", [{"shop": "s0", "promotion": False}], time=START + 121 * DAY)
    scores = {each["for"][:10]: each["score"] for each in answer["forecast"]}
    assert list(scores) == ["2024-05-01", "2024-05-02", "2024-05-07"]
    assert scores.pop("2024-05-01") == pytest.approx(0, abs=25) and min(scores.values()) > 90


def test_served_features_are_those_of_the_dataset(project):
    examples = project.dataset("demand").to_pyarrow().to_pylist()
    rows = [each for each in examples if each["day"] >= START + 90 * DAY]
    requests = [
        {"shop": e["shop"], "promotion": e["promotion"], "time": e["_t"].isoformat(), "horizon": f"{e['horizon']:g}d"}
        for e in rows
    ]
    running = service(project)
    running.start()
    try:
        answers = running.live.predictor("stock").predict(requests)
    finally:
        running.close()
    assert len(answers) == len(rows) > 100
    names = [name for name in rows[0] if not name.startswith("_") and name not in ("day", "for", "past__mean_7d")]
    for answer, row in zip(answers, rows, strict=True):
        assert {name: answer.row[name] for name in names} == {name: row[name] for name in names}
        assert answer.row["past__mean_7d"] == pytest.approx(row["past__mean_7d"], rel=1e-9)
        assert [answer.row[name] for name in ("day", "for")] == [
            int(row[name].timestamp()) * 1_000_000 for name in ("day", "for")
        ]


def test_one_horizon_is_answered_alone(project):
    (every,), (one,) = (project.predict("stock", [asked(**more)]) for more in ({}, {"horizon": "7d"}))
    (found,) = one["forecast"]
    assert found["horizon"] == "7d" and found["score"] == every["forecast"][2]["score"]
    (trial,) = project.predict("demand", [asked()])
    assert [each["score"] for each in trial["forecast"]] == [each["score"] for each in every["forecast"]]
    with pytest.raises(RequestError, match="does not forecast the horizon '3d'") as refused:
        project.predict("stock", [asked(horizon="3d")])
    assert refused.value.expected == "one of 1d, 2d, 7d; all without it"
    for field in ("day", "for"):
        with pytest.raises(RequestError, match=f"unknown field '{field}'"):
            project.predict("stock", [asked() | {field: "2024-04-01T00:00:00Z"}])
    with pytest.raises(RequestError, match="the field 'shop' is missing"):
        project.predict("stock", [{"promotion": False}])


def test_http_answers_alike(project, worlds):
    request = asked()
    with worlds.listening(service(project)) as http:
        body = http.post("/predict/stock", json=request).json()
        many = http.post("/predict/stock", json=[asked("s0"), asked("s7")]).json()
        refused = http.post("/predict/stock", json={**request, "horizon": "3d"})
        schema = http.get("/openapi.json").json()["paths"]["/predict/stock"]["post"]["requestBody"]
    (plain,) = project.predict("stock", [request])
    scores = [[each["score"] for each in answer["forecast"]] for answer in (body, plain)]
    assert scores[0] == scores[1] and body["version"] == "demand-1" and body["time"] == "2024-04-30T00:00:00Z"
    assert [each["for"] for each in body["forecast"]] == [each["for"] for each in plain["forecast"]]
    known, unknown = many["predictions"]
    assert "flags" not in known and unknown["flags"] == ["unknown:past"]
    assert refused.status_code == 400 and "does not forecast the horizon" in refused.text
    fields = str(schema)
    assert "horizon" in fields and "shop" in fields and "'day'" not in fields


def test_a_file_of_rows_is_answered_by_row_and_horizon(project):
    found = project.predict_texts("stock", [{"shop": "s0", "promotion": "false", "note": "x"}]).to_pylist()
    assert [(row["shop"], row["note"], row["horizon"]) for row in found] == [("s0", "x", each) for each in HORIZONS]
    assert all(row["for"] > "2026" and isinstance(row["score"], float) for row in found)
    explained = project.explain("stock", [asked()])
    assert len(explained) == 3 and {c.input for c in explained[0].contributions} >= {"horizon", "for__weekday"}


def test_the_command_explains_each_horizon(project, monkeypatch, capsys):
    monkeypatch.setattr("mainstem.cli.commands.explain.opened", lambda *given: nullcontext(project))
    assert run(["explain", "stock", "shop=s0", "promotion=false"]) == 0
    assert capsys.readouterr().out.count("demand-1  score ") == 3
    assert run(["explain", "stock", "--row", json.dumps(asked()), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 3
    assert run(["explain", "stock", "--row", json.dumps(asked(horizon="7d")), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == "demand-1"


def test_forecasts_are_logged_compared_and_judged_by_later_rows():
    monitors = [ms.performance(4, metric="mae", min_rows=20), ms.drift(min_rows=20)]
    nodes = nodes_of({"monitors": monitors})
    # The last 20 days are not there when it is trained, and the last week is not there when it is judged.
    with mainstem.testing.project(nodes, data={"sales": sales(DAYS - 20)}) as project:
        project.run()
        project.promote("demand")
        requests = [asked(shop, day) for shop in ("s0", "s1") for day in range(DAYS - 20, DAYS - 6)]
        running = service(project)
        running.start()
        try:
            predictor = running.live.predictor("stock")
            answers, log = predictor.answered(requests)
            running.committer.submit(log).result()
            plain = [json.loads(json.dumps(shown(answer))) for answer in answers]
        finally:
            running.close()
        assert all([each["horizon"] for each in answer["forecast"]] == HORIZONS for answer in plain)
        project.run()
        (report,) = project.parity("stock")
        assert report.reads == 3 * len(requests) and all(each.equal == each.reads for each in report.features)
        deliver(project, sales(DAYS - 7))
        project.run()
        logged = project.table("predictions.stock").to_pyarrow().to_pylist()
        assert len(logged) == 3 * len(requests)
        assert {row["_id"] for row in logged} == {each["id"] for answer in plain for each in answer["forecast"]}
        assert {row["_request"] for row in logged} == {answer["id"] for answer in plain}
        verdicts = {each.monitor: each for each in project.adapters.state.find(Verdict)}
        units = {(row["shop"], row["day"]): row["units"] for row in sales(DAYS - 7)}
        errors = [
            abs(units[row["shop"], row["for"]] - row["score"]) for row in logged if (row["shop"], row["for"]) in units
        ]
        judged = verdicts["performance"]
        assert judged.rows == judged.outcomes and 0 < judged.rows <= len(errors) < len(logged)
        batch = Watched.of(project.reading("monitor"), "stock").predictions()  # type: ignore[union-attr]
        joined = zip(batch.table.to_pylist(), batch.outcomes.tolist(), strict=True)
        for row, outcome in joined:
            expected = units.get((row["shop"], row["for"]))
            assert outcome == expected or (expected is None and outcome != outcome)
        watched = {shift.input for shift in verdicts["drift"].shifts}
        assert watched == {"past__mean_7d", "promotion"}


def test_dates_in_a_table_with_a_key_of_its_own():
    schema = {"id": "int64", "shop": "string", "day": "date", "units": "float64", "promotion": "boolean"}
    raw = ms.files("sales.parquet", key="id", schema=schema, known="always")

    @ms.table(key="id", clean=[ms.clean.trim("shop")])
    def days(sales):
        return sales

    model = ms.model(
        days,
        target=_.units,
        prediction_time=(_.day + ibis.interval(days=1)).cast("timestamp('UTC', 6)"),
        series="shop",
        horizons=["1d", "7d"],
        features=["promotion", "shop"],
        candidates=["linear"],
        folds=2,
    )
    endpoint = ms.endpoint(model, threshold=120, monitors=[ms.performance(60, metric="mae", min_rows=5)])
    nodes = {"sales": raw, "days": days, "demand": model, "stock": endpoint}

    def numbered(count: int) -> list[dict[str, Any]]:
        return [{**row, "id": n, "day": row["day"].date()} for n, row in enumerate(sales(count))]

    with mainstem.testing.project(nodes, data={"sales": numbered(DAYS - 20)}) as project:
        project.run()
        project.promote("demand")
        running = service(project)
        running.start()
        try:
            predictor = running.live.predictor("stock")
            answers, log = predictor.answered([asked(" s1 ", day) for day in range(DAYS - 20, DAYS)])
            running.committer.submit(log).result()
        finally:
            running.close()
        told = shown(answers[0])["forecast"]
        assert [each["for"] for each in told] == ["2024-04-10", "2024-04-16"]
        assert {each["decision"] for answer in answers for each in shown(answer)["forecast"]} == {True, False}
        deliver(project, numbered(DAYS))
        done = project.run()
        batch = Watched.of(project.reading("monitor"), "stock").predictions()  # type: ignore[union-attr]
        units = {(row["shop"], row["day"]): row["units"] for row in numbered(DAYS)}
        found = zip(batch.table.to_pylist(), batch.outcomes.tolist(), strict=True)
        known = [(row, outcome) for row, outcome in found if (row["shop"], row["for"]) in units]
        assert len(known) == 20 + 14 and all(outcome == units[row["shop"], row["for"]] for row, outcome in known)
        assert {row["shop"] for row, _outcome in known} == {"s1"}
        (report,) = project.parity("stock")
        assert report.reads == 40 and all(each.equal == each.reads for each in report.features)
        (step,) = (step for step in done.steps if step.kind == "attribute")
        assert "causes are not searched for forecasts" in step.message


def test_one_series_is_forecast_without_a_name():
    rows = [{**row, "day": START + n * timedelta(hours=1)} for n, row in enumerate(sales(200)) if row["shop"] == "s0"]
    asked_at = _.day + ibis.interval(hours=2)
    nodes = nodes_of(series=None, horizons=["2h", "12h"], features=["promotion"], prediction_time=asked_at)
    del nodes["past"]
    with mainstem.testing.project(nodes, data={"sales": rows}) as project:
        project.run()
        at = START + timedelta(days=5, hours=3)
        (answer,) = project.predict("demand", [{"promotion": False}], time=at)
    # Rows are two hours apart, and a prediction is made two hours after its row: here that of midnight.
    assert [each["for"][:16] for each in answer["forecast"]] == ["2024-01-06T02:00", "2024-01-06T12:00"]


def test_an_endpoint_answers_the_horizons_that_its_version_learned():
    with mainstem.testing.project(nodes_of(horizons=["1d", "2d"]), data={"sales": sales()}) as project:
        project.run()
        project.promote("demand")
        with ms.Project(project.settings, nodes_of()) as changed:
            (answer,) = changed.predict("stock", [asked()])
        assert [each["horizon"] for each in answer["forecast"]] == ["1d", "2d"]


def test_a_version_that_does_not_forecast_is_unavailable():
    plain = {"horizons": None, "series": None, "features": ["promotion"], "target": _.units}
    with mainstem.testing.project(nodes_of(**plain), data={"sales": sales()}) as project:
        project.run()
        project.promote("demand")
        with ms.Project(project.settings, nodes_of()) as changed, pytest.raises(Unavailable, match="does not forecast"):
            changed.predict("stock", [asked()])
    with mainstem.testing.project(nodes_of(), data={"sales": sales()}) as project:
        project.run()
        project.promote("demand")
        with ms.Project(project.settings, nodes_of(**plain)) as changed, pytest.raises(Unavailable, match="inputs"):
            changed.predict("stock", [{"promotion": False}])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"decide": ms.cheapest(few=_.score, many=9)}, "has no `decide`"),
        ({"canary": ms.canary(0.1)}, "has no `canary`"),
        ({"outcomes_by": "shop"}, "has no `outcomes_by`"),
        ({"monitors": [ms.value(0, worth=_.score)]}, "has no `ms.value"),
    ],
)
def test_what_needs_one_score_is_refused_when_the_project_loads(options, match):
    with pytest.raises(DefinitionError, match=match) as found:
        resolve(nodes_of(options), {})
    assert "answers 1d, 2d, 7d at once" in found.value.got


def test_requests_that_wait_together_are_answered_as_alone(project):
    live = service(project)
    live.start()
    predictor = live.live.predictor("stock")
    requests = [[asked(f"s{n % 2}", DAYS - n % 5)] for n in range(10)]
    requests += [[asked(horizon="2d")], [asked(horizon="9d")], [asked("nowhere")]]

    async def ask():
        coalescer = Coalescer(live.committer.submit, 8, threads=1)
        waiting = (coalescer.answered(predictor, rows, None) for rows in requests)
        return await asyncio.gather(*waiting, return_exceptions=True)

    found = asyncio.run(ask())
    assert isinstance(found.pop(11), RequestError)
    for rows, (answer,) in zip(requests[:11] + requests[12:], found, strict=True):
        ((alone,), _log) = predictor.answered(rows)
        assert (answer.horizons, answer.time, answer.flags) == (alone.horizons, alone.time, alone.flags)
        assert [item.row for item in answer.items] == [item.row for item in alone.items]
        scores = [[item.score for item in each.items] for each in (answer, alone)]
        assert scores[0] == pytest.approx(scores[1], rel=1e-6)
    live.close()
