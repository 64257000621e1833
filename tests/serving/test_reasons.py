"""Reasons on request: the inputs that moved a score most, as `project.explain` computes them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import NotFound, RequestError
from mainstem.project.live import service

START = datetime(2026, 3, 1, tzinfo=UTC)
INSTANT = "timestamp('UTC', 6)"
SALE = {"id": "string", "at": INSTANT, "shelf": "string", "price": "float64", "promoted": "boolean", "sold": "float64"}


def nodes() -> dict[str, Any]:
    """A model of several classes, one of an ensemble, one that chooses a price, and one that forecasts."""
    learned = {"sold": "at"}
    past: Any = {"*": _.at - ibis.interval(days=9), **learned}
    sales = ms.files("sales.csv", key="id", time="at", schema=SALE, known=past)
    before = _.at - ibis.interval(hours=1)
    inputs = ["price", "shelf", "promoted"]
    demand = ms.model(examples=sales, prediction_time=before, target=_.sold, features=inputs, ensemble=True)
    size = ms.model(
        examples=sales,
        prediction_time=before,
        target=ibis.cases((_.sold > 22, "high"), (_.sold > 14, "middle"), else_="low"),
        features=inputs,
        candidates=["lightgbm"],
    )
    busy = ms.model(examples=sales, prediction_time=before, target=_.sold > 15, features=inputs, candidates=["linear"])
    quote = ms.endpoint(
        busy, candidates=ms.grid(price=ms.steps(5, 10, 0.5)), decide=ms.best(_.price * _.score), explore=0.2
    )
    menu = ms.endpoint(busy, candidates=ms.grid(price=ms.steps(5, 10, 0.5)), decide=ms.top(15, by=_.score))
    return {
        "sales": sales,
        "demand": demand,
        "size": size,
        "busy": busy,
        "sold": ms.endpoint(demand),
        "sized": ms.endpoint(size),
        "quote": quote,
        "menu": menu,
    }


def data() -> dict[str, list[dict[str, Any]]]:
    def sale(n: int) -> dict[str, Any]:
        price, shelf, promoted = 5 + n * 7 % 11 / 2, f"s{n * 5 % 3}", n * 13 % 4 == 0
        sold = 30 - 2.0 * price + 2 * promoted + (n * 7919 % 5)
        at = START + timedelta(hours=n)
        return {"id": f"S{n}", "at": at, "shelf": shelf, "price": price, "promoted": promoted, "sold": sold}

    return {"sales": [sale(n) for n in range(300)]}


@pytest.fixture(scope="module")
def project() -> Iterator[Any]:
    with ms.testing.project(nodes(), data()) as made:
        made.run()
        for model in ("demand", "size", "busy"):
            made.promote(model)
        yield made


@pytest.fixture
def client(worlds: Any, project: Any) -> Iterator[Any]:
    with worlds.listening(service(project)) as found:
        yield found


ROW = {"price": 9.5, "shelf": "s1", "promoted": True}


def explained(project: Any, name: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    (found,) = project.explain(name, [row])
    return [{"input": c.input, "value": c.value, "effect": c.effect} for c in found.contributions]


@pytest.mark.parametrize("name", ["demand", "size", "busy"])
def test_reasons_are_the_largest_contributions(project: Any, name: str) -> None:
    wanted = explained(project, name, ROW)
    (answer,) = project.predict(name, [ROW], reasons=2)
    assert answer["reasons"] == wanted[:2] and len(wanted) == 3
    (price,) = [each for each in wanted if each["input"] == "price"]
    assert price["value"] == 9.5 and (name == "size" or price["effect"] < 0), "a high price sells less"
    assert "reasons" not in project.predict(name, [ROW])[0]


def test_the_server_gives_them_for_one_row_and_for_many(project: Any, client: Any) -> None:
    wanted = explained(project, "sold", ROW)
    one = client.post("/predict/sold?reasons=2", json=ROW).json()
    assert one["reasons"] == [{**each, "effect": pytest.approx(each["effect"])} for each in wanted[:2]]
    other = {**ROW, "price": 5.0}
    many = client.post("/predict/sold", json={"rows": [ROW, other], "reasons": 3}).json()["predictions"]
    assert [len(each["reasons"]) for each in many] == [3, 3]
    assert many[0]["reasons"][0]["effect"] < 0 < many[1]["reasons"][0]["effect"]
    assert "reasons" not in client.post("/predict/sold", json=ROW).json()
    assert "reasons" not in client.post("/predict/sold?reasons=0", json=ROW).json()


def test_each_chosen_candidate_has_its_own(project: Any, client: Any) -> None:
    row = {"shelf": "s1", "promoted": False}
    decision = client.post("/predict/quote?reasons=1", json=row).json()["decision"]
    (reason,) = decision["reasons"]
    assert reason == explained(project, "busy", {**row, "price": decision["price"]})[0]
    menu = client.post("/predict/menu?reasons=3", json=row).json()["decision"]
    assert len(menu) == 11 and all(
        {each["input"]: each["value"] for each in item["reasons"]}["price"] == item["price"] for item in menu
    )


def test_reasons_are_not_logged_and_follow_from_the_log(project: Any, client: Any) -> None:
    asked = {**ROW, "price": 7.25}
    given = client.post("/predict/sold?reasons=3", json=asked).json()["reasons"]
    project.run()
    logged = project.table("predictions.sold").to_pyarrow().to_pylist()
    (row,) = [each for each in logged if each["price"] == 7.25]
    assert not [name for name in row if "reason" in name]
    assert explained(project, "sold", {name: row[name] for name in ROW}) == given


@pytest.mark.parametrize("asked", [21, -1, "three", True, 1.5])
def test_another_number_is_refused(client: Any, asked: Any) -> None:
    answer = client.post("/predict/sold", json={"rows": [ROW], "reasons": asked})
    assert answer.status_code == 400 and answer.json()["what"] == "`reasons` is not a number of reasons"


def test_too_many_predictions_are_refused_before_they_are_logged(client: Any) -> None:
    for path, rows, got in (("sold", [ROW] * 21, "21"), ("menu", [{"shelf": "s1", "promoted": True}] * 2, "30")):
        answer = client.post(f"/predict/{path}", json={"rows": rows, "reasons": 1})
        assert (answer.status_code, answer.json()["got"]) == (400, got)
    assert "mainstem_predictions_total{" not in client.get("/metrics").text


def test_a_version_whose_rows_are_gone_has_none(worlds: Any, project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(version: Any) -> Any:
        raise NotFound(f"the rows that {version.id} was trained on are gone")

    served = service(project)
    monkeypatch.setattr(served.reasons, "_background", gone)
    with worlds.listening(served) as client:
        refused = client.post("/predict/sold?reasons=3", json=ROW)
        assert refused.status_code == 404 and "are gone" in refused.json()["what"]
        assert client.post("/predict/sold", json=ROW).status_code == 200


def test_python_refuses_another_number(project: Any) -> None:
    with pytest.raises(RequestError, match="not a number of reasons"):
        project.predict("sold", [ROW], reasons=21)
