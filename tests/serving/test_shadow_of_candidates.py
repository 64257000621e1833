"""A shadow of an endpoint with candidates scores those that the champion chose, and changes no answer."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.project.live import service

START = datetime(2026, 3, 1, tzinfo=UTC)


def nodes() -> dict[str, Any]:
    schema = {"id": "string", "at": "timestamp('UTC', 6)", "shelf": "string", "price": "float64", "sold": "float64"}
    past: Any = {"*": _.at - ibis.interval(days=9), "sold": "at"}
    sales = ms.files("sales.csv", key="id", time="at", schema=schema, known=past)
    before = _.at - ibis.interval(hours=1)
    demand = ms.model(examples=sales, prediction_time=before, target=_.sold, features=["price"], candidates=["linear"])
    richer = ms.model(
        examples=sales, prediction_time=before, target=_.sold, features=["price", "shelf"], candidates=["linear"]
    )
    menu = ms.endpoint(
        richer,
        candidates=ms.grid(price=ms.steps(5, 10, 0.5)),
        decide=ms.top(3, by=_.price * _.score),
        shadow=[ms.challenger(demand)],
    )
    return {"sales": sales, "demand": demand, "richer": richer, "menu": menu}


def sale(n: int) -> dict[str, Any]:
    price, shelf = 5 + n * 7 % 11 / 2, n * 5 % 3
    at = START + timedelta(hours=n)
    return {"id": f"S{n}", "at": at, "shelf": f"s{shelf}", "price": price, "sold": 30 - 2.0 * price + shelf + n % 5}


def test_the_chosen_candidates_are_scored_by_the_shadow(worlds: Any) -> None:
    with ms.testing.project(nodes(), {"sales": [sale(n) for n in range(300)]}) as project:
        project.run()
        project.promote("richer")
        running = service(project)
        with worlds.listening(running) as client:
            found = [client.post("/predict/menu", json={"shelf": f"s{n % 3}"}).json()["decision"] for n in range(20)]
            wanted = project.predict("menu", [{"shelf": "s1"}])[0]["decision"]
            scored = 'mainstem_shadow_rows_total{endpoint="menu",result="scored",version="demand-1"} 60.0'
            end = time.monotonic() + 20
            while scored not in client.get("/metrics").text:
                assert time.monotonic() < end, client.get("/metrics").text
                time.sleep(0.05)
        assert [each["price"] for each in found[1]] == [each["price"] for each in wanted]
        project.run()
        rows = {row["_id"]: row for row in logged(project, "shadows.menu")}
        items = [item for each in found for item in each]
        assert len(rows) == 60 and set(rows) == {item["id"] for item in items}
        for item in items[:6]:
            (own,) = project.predict("demand", [{"price": item["price"]}])
            assert rows[item["id"]]["score"] == pytest.approx(own["score"])
            assert rows[item["id"]]["_decision"] is None
        (report,) = project.compare("menu")
        assert report.way == "shadow" and (report.champion.rows, report.challenger.rows) == (60, 60)
        assert "decisions differ" not in report.text and not report.champion.decisions


def logged(project: Any, relation: str) -> list[dict[str, Any]]:
    """Rows of a relation with its hidden columns."""
    snapshot = project.release.tables[relation]
    table = ibis.table({f.name: f.type for f in snapshot.fields}, name=relation)
    with project.adapters.engine.session({relation: project.adapters.lake.scan(snapshot)}) as session:
        found: list[dict[str, Any]] = session.fetch(table).to_pylist()
    return found
