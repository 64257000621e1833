"""Challengers of an endpoint with candidates: a shadow scores what the champion chose, a canary chooses itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.nodes.records import ModelVersion, new_id
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


@pytest.fixture
def split() -> Iterator[Any]:
    """A project whose endpoint has a champion, a challenger that learned the same, and a canary by shelf."""
    found = nodes()
    quote = ms.endpoint(
        found["richer"],
        candidates=ms.grid(price=ms.steps(5, 10, 0.5)),
        decide=ms.top(2, by=_.price * _.score),
        canary=ms.canary(0.5, by="shelf"),
    )
    rows = [sale(n) for n in range(300)]
    with ms.testing.project(
        {"sales": found["sales"], "richer": found["richer"], "quote": quote}, {"sales": rows}
    ) as made:
        made.run()
        made.promote("richer")
        state, before = made.adapters.state, made.release
        version = state.get(ModelVersion, "richer-1")
        release = replace(before, id=new_id("rel"), parent=before.id, models={"richer": "richer-2"})
        state.save(replace(version, id="richer-2", number=2), release)
        state.move("main", release.id, expect=before.id)
        yield made


def ask(client: Any, shelves: range) -> dict[str, dict[str, Any]]:
    body = {"rows": [{"shelf": f"s{n}"} for n in shelves]}
    answers = client.post("/predict/quote", json=body).json()["predictions"]
    return {f"s{n}": each for n, each in zip(shelves, answers, strict=True)}


def test_a_canary_chooses_for_its_share_and_is_sticky(worlds: Any, split: Any) -> None:
    with worlds.listening(service(split)) as client:
        first, again = ask(client, range(200)), ask(client, range(200))
        metrics = client.get("/metrics").text
    taken = {shelf for shelf, each in first.items() if "canary" in each.get("flags", ())}
    assert 60 < len(taken) < 140 and taken == {s for s, each in again.items() if "canary" in each.get("flags", ())}
    assert {first[shelf]["version"] for shelf in taken} == {"richer-2"}
    assert not any("version" in each for shelf, each in first.items() if shelf not in taken)
    assert f'mainstem_predictions_total{{endpoint="quote",version="richer-2"}} {2 * len(taken)}.0' in metrics
    split.run()
    rows = logged(split, "predictions.quote")
    assert len(rows) == 2 * 2 * 200 and all((row["shelf"] in taken) == (row["_version"] == "richer-2") for row in rows)
    assert {row["_role"] for row in rows if row["shelf"] in taken} == {"challenger"}


def test_a_canary_that_fails_leaves_the_request_to_the_champion_and_ends(worlds: Any, split: Any) -> None:
    running = service(split)
    with worlds.listening(running) as client:
        assert any("canary" in each.get("flags", ()) for each in ask(client, range(40)).values())
        beside = running.live.beside["quote"][0]

        def fail(columns: Any) -> Any:
            raise ZeroDivisionError("no such score")

        beside.predictor.scored = fail  # type: ignore[union-attr, method-assign]
        for _request in range(10):
            answers = ask(client, range(40))
            assert all(len(each["decision"]) == 2 and "flags" not in each for each in answers.values())
        assert beside.split is not None and "no such score" in beside.split.guard.end.reason  # type: ignore[union-attr]


def test_a_request_that_does_not_fit_does_not_end_a_canary(worlds: Any, split: Any) -> None:
    """It is the client's error, and the champion refuses it."""
    running = service(split)
    with worlds.listening(running) as client:
        shelf = next(name for name, each in ask(client, range(40)).items() if "canary" in each.get("flags", ()))
        for _request in range(8):
            answer = client.post("/predict/quote", json={"rows": [{"shelf": shelf}] * 10_000})
            assert answer.status_code == 400 and "too many candidates" in answer.json()["what"]
        guard = running.live.beside["quote"][0].split.guard  # type: ignore[union-attr]
        assert guard.end is None
        assert "canary" in client.post("/predict/quote", json={"shelf": shelf}).json()["flags"]


def logged(project: Any, relation: str) -> list[dict[str, Any]]:
    """Rows of a relation with its hidden columns."""
    snapshot = project.release.tables[relation]
    table = ibis.table({f.name: f.type for f in snapshot.fields}, name=relation)
    with project.adapters.engine.session({relation: project.adapters.lake.scan(snapshot)}) as session:
        found: list[dict[str, Any]] = session.fetch(table).to_pylist()
    return found
