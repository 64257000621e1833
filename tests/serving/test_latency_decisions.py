"""Latencies that act where decisions have quotas, where events ask, and where candidates are chosen; and what later
reads of the log make of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.logs.predictions import logged_predictions
from mainstem.monitoring.verdicts import Cohort
from mainstem.nodes.base import Node
from mainstem.project.live import service

START = datetime(2026, 3, 1, tzinfo=UTC)
LATER = START + timedelta(days=60)
JUST_NOW = datetime.now(UTC) - timedelta(minutes=10)
INSTANT = "timestamp('UTC', 6)"
SWIPE = {"id": "string", "card": "string", "amount": "float64", "at": INSTANT}
RATING = {"id": "string", "at": INSTANT, "person": "string", "movie": "int64", "liked": "boolean"}
MOVIE = {"movie": "int64", "genre": "string", "year": "int64", "views": "int64"}
LATE = ["late", "fallback"]
LIMIT = "60ms"


def nodes() -> dict[str, Node]:
    known = {"*": _.at - ibis.interval(seconds=1), "fraud": _.at + ibis.interval(days=1)}
    payments = ms.files("payments.csv", key="id", time="at", schema={**SWIPE, "fraud": "boolean"}, known=known)
    swipes = ms.stream("swipes", schema=SWIPE, key="id", time="at")
    card = ms.feature_view(swipes, key="card", windows=["1d"], count=_.count(), grace="400d")
    fraud = ms.model(
        examples=payments,
        prediction_time=_.at,
        target=_.fraud,
        gap="1d",
        candidates=["linear"],
        features=[card, "amount"],
    )
    rule = ms.cheapest(allow=_.score * _.amount, review=0.1 + 0 * _.score, block=5, at_most={"review": "3/1d"})
    late = ms.latency(LIMIT, otherwise="review")
    watched = [ms.drift(min_rows=20), ms.performance(0.1, min_rows=20), ms.value(floor=-100, min_rows=20)]
    ratings = ms.files(
        "ratings.csv", key="id", time="at", schema=RATING, known={"*": _.at - ibis.interval(days=9), "liked": "at"}
    )
    movies = ms.files("movies.csv", key="movie", schema=MOVIE, known="always")
    film = ms.feature_view(movies, key="movie", columns=["genre", "year"])
    like = ms.model(
        examples=ratings,
        prediction_time=_.at - ibis.interval(hours=1),
        target=_.liked,
        features=[film, "person"],
        candidates=["linear"],
        assume_known={"film__genre": "the person and the genre decide here"},
    )
    recommend = ms.endpoint(
        like,
        candidates=ms.candidates(movies, key="movie", by="year", limit=30),
        decide=ms.top(4, by=_.score, at_most={"genre": 2}),
        fallback=ms.candidates(movies, key="movie", by="views", limit=10),
        latency=ms.latency(LIMIT, otherwise="fallback"),
        explore=0.2,
    )
    return {
        "payments": payments,
        "swipes": swipes,
        "card": card,
        "fraud": fraud,
        "authorise": ms.endpoint(fraud, on=swipes, decide=rule, latency=late),
        "queued": ms.endpoint(fraud, decide=rule, latency=late, monitors=watched),
        "ratings": ratings,
        "movies": movies,
        "film": film,
        "like": like,
        "recommend": recommend,
    }


def payment(n: int) -> dict[str, Any]:
    amount = float(n * 37 % 120)
    at = START + timedelta(hours=n)
    return {"id": f"P{n}", "card": f"c{n % 7}", "amount": amount, "at": at, "fraud": amount > 70 or n % 9 == 0}


def data() -> dict[str, list[dict[str, Any]]]:
    genres = ["drama", "comedy", "horror", "war"]
    return {
        "payments": [payment(n) for n in range(400)],
        "ratings": [
            {
                "id": f"R{n}",
                "at": START + timedelta(hours=n),
                "person": f"p{n % 5}",
                "movie": n * 17 % 40,
                "liked": n * 17 % 40 % 4 < 2,
            }
            for n in range(300)
        ],
        "movies": [
            {"movie": n, "genre": genres[n % 4], "year": 1990 + n % 30, "views": n * 13 % 41} for n in range(40)
        ],
    }


@pytest.fixture
def project() -> Iterator[Any]:
    with ms.testing.project(nodes(), data()) as made:
        made.run()
        made.promote("fraud")
        made.promote("like")
        yield made


@contextmanager
def slowed(running: Any, endpoint: str) -> Iterator[None]:
    """Let the model of an endpoint take a quarter of a second."""
    predictor = running.live.predictor(endpoint)
    own = predictor.scored
    predictor.scored = lambda columns: (time.sleep(0.25), own(columns))[1]
    yield
    time.sleep(0.4)  # what was too late has ended
    predictor.scored = own


def swipe(n: int, **more: Any) -> dict[str, Any]:
    return {"id": f"s{n}", "card": "x", "amount": 20.0, "at": (JUST_NOW + timedelta(seconds=n)).isoformat(), **more}


def ask(client: Any, endpoint: str, *rows: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    answer = client.post(f"/predict/{endpoint}", json={"rows": list(rows), **options})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["predictions"]
    return found


def entries(project: Any, endpoint: str) -> list[Any]:
    return list(logged_predictions(project.adapters.store, endpoint))


def ends(project: Any) -> tuple[int, int]:
    store = project.adapters.store
    return store.end("predictions/authorise"), store.end("events/swipes")


def test_a_late_event_is_ingested_once_and_asked_again_gets_the_same_answer(project: Any, worlds: Any) -> None:
    running = service(project)
    with worlds.listening(running) as client:
        with slowed(running, "authorise"):
            (late,) = ask(client, "authorise", swipe(0))
            assert (late["decision"], late["score"], late["flags"]) == ("review", None, LATE)
            assert ends(project) == (1, 1)
            began = time.monotonic()
            (during,) = ask(client, "authorise", swipe(0))
            assert during == {**late, "repeated": True} and time.monotonic() - began < 0.25
        (after,) = ask(client, "authorise", swipe(0))
        assert after == {**late, "repeated": True} and ends(project) == (1, 1)
        (second,) = ask(client, "authorise", swipe(1, at=datetime.now(UTC).isoformat()))
        assert second["features"]["card__count_1d"] == 1 and second["score"] is not None  # the late event counts
        refused = client.post("/predict/authorise", json={"rows": [swipe(0, amount=1.0)]})
        assert refused.status_code == 400
    assert ends(project) == (2, 2)
    assert [each.flags for each in entries(project, "authorise")] == ["late,fallback", ""]


def test_many_late_events_are_ingested_in_order_and_have_their_answers(project: Any, worlds: Any) -> None:
    running = service(project)
    with worlds.listening(running) as client:
        rows = [swipe(n) for n in range(250)]
        with slowed(running, "authorise"):
            found = ask(client, "authorise", *reversed(rows))
        assert all(each["flags"] == LATE for each in found) and len({each["id"] for each in found}) == 250
        assert [each["event"]["offset"] for each in found] == [*reversed(range(250))]
        again = ask(client, "authorise", *reversed(rows))
        assert again == [{**each, "repeated": True} for each in found]
    assert ends(project) == (250, 250)


def test_past_events_are_not_late(project: Any, worlds: Any) -> None:
    running = service(project)
    with worlds.listening(running) as client, slowed(running, "authorise"):
        past = [{**swipe(n), "at": (LATER + timedelta(hours=n)).isoformat()} for n in range(3)]
        found = ask(client, "authorise", *past, backfill=True)
        assert all(each["score"] is not None and "late" not in each.get("flags", ()) for each in found)
        assert "mainstem_late_answers_total{" not in client.get("/metrics").text


def test_a_late_answer_takes_the_quota_and_is_given_although_it_is_exhausted(project: Any, worlds: Any) -> None:
    running = service(project)
    asked = {"card": "x", "amount": 60.0, "time": LATER.isoformat()}
    with worlds.listening(running) as client:
        with slowed(running, "queued"):
            late = [ask(client, "queued", asked)[0] for _ in range(2)]
        own = [ask(client, "queued", asked)[0]["decision"] for _ in range(3)]
        with slowed(running, "queued"):
            late += ask(client, "queued", asked)
    assert [(each["decision"], each["flags"]) for each in late] == [("review", LATE)] * 3
    assert Counter(own)["review"] == 1
    assert [each.quotas["review"] for each in entries(project, "queued")] == [0, 1, 2, 3, 3, 3]


def test_what_an_operator_decided_holds_for_late_requests(project: Any, worlds: Any) -> None:
    made = project.override("queued", "block", {"card": "c9"}, why="stolen")
    switch = project.override("recommend", "fallback", {}, why="wrong films")
    running = service(project)
    with worlds.listening(running) as client, slowed(running, "queued"), slowed(running, "recommend"):
        (found,) = ask(client, "queued", {"card": "c9", "amount": 60.0})
        assert (found["decision"], found["flags"]) == ("block", ["late", f"override:{made.id}"])
        assert found["policy"] and found["values"] == {}
        (films,) = ask(client, "recommend", {"person": "p1"})
        assert films["flags"] == ["late", f"override:{switch.id}", "fallback"] and len(films["decision"]) == 4


def test_the_declared_fallback_answers_late_requests_in_its_order(project: Any, worlds: Any) -> None:
    running = service(project)
    movies = {row["movie"]: row for row in data()["movies"]}
    with worlds.listening(running) as client:
        with slowed(running, "recommend"):
            (late,) = ask(client, "recommend", {"person": "p1"}, reasons=2)
        (after,) = ask(client, "recommend", {"person": "p1"})
    assert late["flags"] == LATE and late["offered"] == 0
    expected, taken = list[int](), Counter[str]()
    for movie in sorted(movies, key=lambda each: -movies[each]["views"]):
        genre = movies[movie]["genre"]
        if taken[genre] < 2 and len(expected) < 4:
            taken[genre] += 1
            expected.append(movie)
    assert [each["movie"] for each in late["decision"]] == expected
    assert all((each["score"], each["value"], each["reasons"]) == (None, None, []) for each in late["decision"])
    assert after["offered"] == 30 and all(each["score"] is not None for each in after["decision"])
    found = entries(project, "recommend")
    assert [(e.row["movie"], e.row["person"], e.flags, e.rank) for e in found[:4]] == [
        (movie, "p1", "late,fallback", rank) for rank, movie in enumerate(expected, start=1)
    ]
    assert len(found) == 4 + len(after["decision"])
    project.run()
    (report,) = project.parity("recommend")
    assert (report.reads, report.ok) == (len(after["decision"]), True)


def test_parity_and_monitors_leave_late_answers_out(project: Any, worlds: Any) -> None:
    running = service(project)
    asked = [{"card": f"c{n % 7}", "amount": float(n * 37 % 120), "time": LATER.isoformat()} for n in range(60)]
    with worlds.listening(running) as client:
        with slowed(running, "queued"):
            late = ask(client, "queued", *asked[:30])
        own = ask(client, "queued", *asked)
        outcomes = [{"id": each["id"], "value": n % 3 == 0} for n, each in enumerate([*late, *own])]
        assert client.post("/outcomes/queued", json={"outcomes": outcomes}).status_code == 202
    assert all(each["flags"] == LATE for each in late) and all("late" not in each["flags"] for each in own)
    project.run()
    (report,) = project.parity("queued")
    assert (report.reads, report.ok) == (60, True) and report.features[-1].reads == 60
    stored = project.table("predictions.queued").to_pyarrow().num_rows
    assert stored == 90
    (day,) = project.adapters.state.find(Cohort, endpoint="queued")
    assert (day.predictions, day.known) == (60, 60)
    assert sum(day.shape.decisions.values()) == 60 and not day.shape.nulls
    verdicts = {each.monitor: each.rows for each in verdicts_of(project)}
    assert verdicts == {"drift": 60, "performance": 60, "value": 60}


def verdicts_of(project: Any) -> list[Any]:
    from mainstem.monitoring.verdicts import Verdict

    found: Callable[..., list[Any]] = project.adapters.state.find
    return [each for each in found(Verdict, endpoint="queued") if each.monitor != "attribution"]
