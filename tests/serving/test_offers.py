"""Candidates that are removed because they were seen, and nearest neighbours as candidates."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import numpy as np
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import DefinitionError, RequestError, SchemaError, Unavailable, UnknownName
from mainstem.nodes.base import Node
from mainstem.project.live import service
from mainstem.serving.decisions.neighbours import Asking, NeighbourOffer

START = datetime(2026, 3, 1, tzinfo=UTC)
LATER = START + timedelta(days=30)
INSTANT = "timestamp('UTC', 6)"
RATING = {
    "id": "string",
    "at": INSTANT,
    "person": "string",
    "watching": "int64",
    "movie": "int64",
    "liked": "boolean",
}
MOVIE = {"movie": "int64", "year": "int64", "vector": "array<float64>"}
BOUGHT = {"person": "string", "movie": "int64", "price": "float64"}
VIEW = {"view": "string", "person": "string", "movie": "int64", "at": INSTANT}
TASTE = {"person": "string", "taste": "array<float64>"}
ALL = 40


def nodes(**changes: Any) -> dict[str, Node]:
    """A cinema. `changes` are settings of the candidates of one endpoint, `other`, in place of all others."""
    past: Any = {"*": _.at - ibis.interval(days=9), "liked": "at"}
    ratings = ms.files("ratings.csv", key="id", time="at", schema=RATING, known=past)
    movies = ms.files("movies.parquet", key="movie", schema=MOVIE, known="always")
    bought = ms.files("bought.csv", key=["person", "movie"], schema=BOUGHT, known="always")
    views = ms.stream("views", schema=VIEW, key="view", time="at")
    tastes = ms.files("tastes.parquet", key="person", schema=TASTE, known="always")
    seen = ms.feature_view(views, key=["person", "movie"], windows=["28d"], count=_.count())
    like = ms.model(
        examples=ratings,
        prediction_time=_.at - ibis.interval(hours=1),
        target=_.liked,
        features=["person", "watching", "movie"],
        candidates=["linear"],
    )
    found: dict[str, Node] = {
        "ratings": ratings,
        "movies": movies,
        "bought": bought,
        "views": views,
        "tastes": tastes,
        "seen": seen,
        "like": like,
    }
    top = ms.top(ALL, by=_.score)
    if changes:
        kind = ms.neighbours if "by" in changes else ms.candidates
        return {
            **found,
            "other": ms.endpoint(like, candidates=kind(**{"table": movies, "key": "movie", **changes}), decide=top),
        }

    def near(**how: Any) -> Any:
        return ms.neighbours(movies, key="movie", by="vector", limit=5, **how)

    few = ms.candidates(movies, key="movie", by="year", limit=3)
    return {
        **found,
        "unseen": ms.endpoint(
            like, candidates=ms.candidates(movies, key="movie", without=seen), decide=top, fallback=few
        ),
        "unbought": ms.endpoint(like, candidates=ms.candidates(movies, key="movie", without=bought), decide=top),
        "similar": ms.endpoint(like, candidates=near(like="watching"), decide=top, fallback=few),
        "personal": ms.endpoint(like, candidates=near(to=tastes, measure="dot"), decide=top, fallback=few),
        "fresh": ms.endpoint(like, candidates=near(to=tastes, without=seen), decide=top),
    }


def vector(n: int) -> list[float]:
    return [float(v) for v in np.random.default_rng(n).normal(size=8) * (1 + n % 3)]


def data() -> dict[str, list[dict[str, Any]]]:
    def rating(n: int) -> dict[str, Any]:
        at = START + timedelta(hours=n)
        liked = n * 31 % 7 < 3
        return {
            "id": f"R{n}",
            "at": at,
            "person": f"p{n % 5}",
            "watching": n % 11,
            "movie": n * 17 % 40,
            "liked": liked,
        }

    return {
        "ratings": [rating(n) for n in range(400)],
        "movies": [{"movie": n, "year": 1980 + n, "vector": vector(n)} for n in range(ALL)]
        + [{"movie": 90, "year": 1900, "vector": None}, {"movie": 91, "year": 1901, "vector": [0.0] * 8}],
        "bought": [{"person": "p1", "movie": n, "price": 3.0} for n in (4, 8, 90)]
        + [{"person": "p2", "movie": 5, "price": 1.0}],
        "views": [],
        "tastes": [{"person": f"p{n}", "taste": vector(1_000 * n)} for n in (1, 2)],
    }


def request(person: str = "p1", watching: int = 3, at: datetime = LATER) -> dict[str, Any]:
    return {"person": person, "watching": watching, "time": at}


def movies(answer: dict[str, Any]) -> set[int]:
    return {each["movie"] for each in answer["decision"]}


@pytest.fixture(scope="module")
def project() -> Iterator[Any]:
    with ms.testing.project(nodes(), data()) as made:
        made.run()
        made.promote("like")
        yield made


def test_what_a_view_knows_is_removed_at_the_moment_of_the_request(project: Any) -> None:
    (before,) = project.predict("unseen", [request("p4")])
    assert len(movies(before)) == ALL and before["offered"] == ALL + 2
    events = [{"view": f"v{n}", "person": "p4", "movie": n, "at": LATER - timedelta(days=n)} for n in (1, 2, 35)]
    project.ingest("views", events, backfill=True)
    (after, other) = project.predict("unseen", [request("p4"), request("p3")])
    assert after["offered"] == ALL, "the view of 35 days ago has left the window"
    assert not movies(after) & {1, 2} and other["offered"] == ALL + 2
    (earlier,) = project.predict("unseen", [request("p4", at=LATER - timedelta(days=2))])
    assert earlier["offered"] == ALL + 2, "nothing was seen by then, and one event is of that very instant"


def test_what_a_table_has_is_removed(project: Any) -> None:
    one, two, none = project.predict("unbought", [request("p1"), request("p2"), request("p3")])
    assert [each["offered"] for each in (one, two, none)] == [ALL - 1, ALL + 1, ALL + 2]


def test_the_fallback_answers_when_every_candidate_was_seen(project: Any) -> None:
    events = [
        {"view": f"all{n}", "person": "p0", "movie": n, "at": LATER - timedelta(days=1)} for n in (*range(ALL), 90, 91)
    ]
    project.ingest("views", events, backfill=True)
    (answer,) = project.predict("unseen", [request("p0")])
    assert answer["flags"] == ["fallback"] and movies(answer) == {37, 38, 39} and answer["offered"] == 0


def nearest(wanted: list[float], count: int, *, cosine: bool, itself: int | None = None) -> set[int]:
    def near(n: int) -> float:
        one, other = np.array(vector(n)), np.array(wanted)
        return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other) if cosine else 1))

    return set(sorted((n for n in range(ALL) if n != itself), key=near)[-count:])


def test_neighbours_of_the_row_that_a_field_names(project: Any) -> None:
    for watching in range(11):
        (answer,) = project.predict("similar", [request(watching=watching)])
        assert movies(answer) == nearest(vector(watching), 5, cosine=True, itself=watching)
        assert answer["offered"] == 5 and answer["flags"] == []


def test_an_unknown_row_gets_the_fallback(project: Any) -> None:
    known, unknown = project.predict("similar", [request(watching=3), request(watching=77)])
    assert unknown["flags"] == ["unknown:watching", "fallback"] and movies(unknown) == {37, 38, 39}
    assert known["flags"] == []


def test_neighbours_of_the_vector_that_a_view_has(project: Any) -> None:
    unknown, answer = project.predict("personal", [request("p4"), request("p2")])
    assert unknown["flags"] == ["unknown:tastes", "fallback"] and movies(unknown) == {37, 38, 39}
    assert movies(answer) == nearest(vector(2_000), 5, cosine=False) and answer["flags"] == []


def test_neighbours_that_were_seen_are_removed_and_others_remain(project: Any) -> None:
    near = nearest(vector(1_000), 5, cosine=True)
    gone = min(near)
    event = {"view": "near", "person": "p1", "movie": gone, "at": LATER - timedelta(hours=1)}
    project.ingest("views", [event], backfill=True)
    (answer,) = project.predict("fresh", [request("p1")])
    assert movies(answer) == near - {gone} and answer["offered"] == 4


def test_the_server_reads_them_too(project: Any, worlds: Any) -> None:
    with worlds.listening(service(project)) as client:
        body = {**request(watching=3), "time": LATER.isoformat()}
        found = client.post("/predict/similar", json=body).json()
        assert movies(found) == nearest(vector(3), 5, cosine=True, itself=3)


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"without": "like"}, SchemaError, "has no key"),
        ({"without": "movies"}, None, ""),
        ({"without": "tastes"}, SchemaError, "cannot remove candidates"),
        ({"by": "vectr", "like": "watching"}, UnknownName, "unknown column 'vectr'"),
        ({"by": "year", "like": "watching"}, SchemaError, "does not hold vectors"),
        ({"by": "vector", "like": "seat"}, UnknownName, "unknown request field 'seat'"),
        ({"by": "vector", "like": "person"}, SchemaError, "another type"),
        ({"by": "vector", "to": "bought"}, UnknownName, "unknown field 'movie'"),
        ({"by": "vector", "to": "ratings"}, UnknownName, "unknown field 'id'"),
    ],
)
def test_what_cannot_be_looked_up_is_refused_at_load(changes: Any, error: type[Exception] | None, told: str) -> None:
    made = ms.testing.project(nodes(**changes), data())
    if error is None:
        with made:
            return
    with pytest.raises((error, UnknownName), match=told), made as project:
        project.plan()


@pytest.mark.parametrize("given", [{}, {"to": "tastes", "like": "watching"}])
def test_neighbours_of_one_vector(given: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="neighbours of one vector"):
        ms.neighbours("movies", key="movie", by="vector", **given)


@pytest.mark.parametrize(
    ("table", "row", "wrong", "told"),
    [
        ("movies", 3, {"vector": [1.0]}, "the vectors differ in length"),
        ("movies", 3, {"vector": [None] * 8}, "null or not finite"),
        ("tastes", slice(0, 2), {"taste": [1.0]}, "the vectors of 'tastes' have another length"),
    ],
)
def test_vectors_that_cannot_be_compared_are_refused(table: str, row: Any, wrong: dict[str, Any], told: str) -> None:
    given = data()
    rows = given[table][row] if isinstance(row, slice) else [given[table][row]]
    for each in rows:
        each.update(wrong)
    with ms.testing.project(nodes(by="vector", to="tastes"), given) as made:
        made.run()
        made.promote("like")
        with pytest.raises(Unavailable, match=told):
            made.predict("other", [request()])


def test_one_hundred_thousand_vectors_are_searched_in_milliseconds() -> None:
    vectors = np.random.default_rng(1).normal(size=(100_000, 64)).astype(np.float32)
    rule: Any = ms.neighbours("movies", key="movie", by="vector", to="tastes", limit=200)
    rows = {"movie": list(range(100_000))}
    asks = Asking("tastes", "tastes", "taste", ("person",), ("person",))
    offer = NeighbourOffer(rule, asks, {"movie": "int64"}, rows, vectors, vectors[7:8], {("p1",): 0})
    seconds = []
    for _round in range(5):
        began = time.perf_counter()
        (found,) = offer.expand({"person": ["p1"]}, 1)
        seconds.append(time.perf_counter() - began)
    exact = np.argsort(-(vectors @ vectors[7]), kind="stable")[:200]
    assert found["movie"] == exact.tolist() and min(seconds) < 0.25


def test_a_request_of_many_rows_is_bounded_in_candidates_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row may have up to `limit` neighbours: 10,000 rows of 200 would be 2,000,000 to score."""
    vectors = np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32)
    rule: Any = ms.neighbours("movies", key="movie", by="vector", to="tastes", limit=200)
    asks = Asking("tastes", "tastes", "taste", ("person",), ("person",))
    places = {(f"p{n}",): n for n in range(50)}
    offer = NeighbourOffer(rule, asks, {"movie": "int64"}, {"movie": list(range(300))}, vectors, vectors[:50], places)
    with pytest.raises(RequestError, match="too many candidates together"):
        offer.expand({"person": ["p1"] * 10_000}, 10_000)
    people = [f"p{n % 60}" for n in range(200)]
    whole = offer.expand({"person": people}, 200)
    monkeypatch.setattr("mainstem.serving.decisions.neighbours.MOST_PRODUCTS", 700)
    assert offer.expand({"person": people}, 200) == whole
    assert [bool(each["movie"]) for each in whole] == [n % 60 < 50 for n in range(200)]


def test_a_table_with_days_and_instants_in_its_key_removes_what_it_has() -> None:
    past: Any = {"*": _.at - ibis.interval(days=9), "liked": "at"}
    ratings = ms.files(
        "ratings.csv", key="id", time="at", schema={**RATING, "day": "date", "slot": INSTANT}, known=past
    )
    movies_ = ms.files("movies.parquet", key="movie", schema={"movie": "int64", "year": "int64"}, known="always")
    kinds = {"day": "date", "slot": INSTANT}
    booked = {
        name: ms.files(f"{name}.csv", key=["movie", name], schema={"movie": "int64", name: kind}, known="always")
        for name, kind in kinds.items()
    }
    like = ms.model(
        examples=ratings,
        prediction_time=_.at - ibis.interval(hours=1),
        target=_.liked,
        features=["movie", *kinds],
        candidates=["linear"],
    )
    ends = {
        f"of_{name}": ms.endpoint(
            like, candidates=ms.candidates(movies_, key="movie", without=table), decide=ms.top(ALL, by=_.score)
        )
        for name, table in booked.items()
    }
    rows = [{**row, "day": row["at"].date(), "slot": row["at"]} for row in data()["ratings"]]
    april = datetime(2026, 4, 1, tzinfo=UTC)
    given = {
        "ratings": rows,
        "movies": [{"movie": n, "year": 1980 + n} for n in range(ALL)],
        "day": [{"movie": n, "day": april.date()} for n in (4, 8)],
        "slot": [{"movie": n, "slot": april} for n in (4, 8)],
    }
    with ms.testing.project({"ratings": ratings, "movies": movies_, **booked, "like": like, **ends}, given) as made:
        made.run()
        made.promote("like")
        for name in ends:
            asked = {"day": "2026-04-01", "slot": april.isoformat(), "time": LATER}
            (answer,) = made.predict(name, [asked])
            assert answer["offered"] == ALL - 2 and not movies(answer) & {4, 8}, name
