"""Lists of keys as candidates: of the request, and of a feature of a view."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.client import Client
from mainstem.errors import DefinitionError, MainstemError, RequestError, SchemaError, UnknownName
from mainstem.logs.predictions import logged_predictions
from mainstem.nodes.base import Node
from mainstem.project.live import service
from mainstem.serving import late
from mainstem.serving.choosing import ChoosingPredictor

START = datetime(2026, 3, 1, tzinfo=UTC)
LATER = START + timedelta(days=30)
INSTANT = "timestamp('UTC', 6)"
RATING = {"id": "string", "at": INSTANT, "person": "string", "movie": "int64", "liked": "boolean"}
MOVIE = {"movie": "int64", "year": "int64"}
PICK = {"person": "string", "movies": "array<int64>"}
VIEW = {"view": "string", "person": "string", "movie": "int64", "at": INSTANT}


def nodes(**changes: Any) -> dict[str, Node]:
    """A cinema. `changes` are settings of one endpoint, `other`, in place of all others."""
    past: Any = {"*": _.at - ibis.interval(days=9), "liked": "at"}
    ratings = ms.files("ratings.csv", key="id", time="at", schema=RATING, known=past)
    movies = ms.files("movies.csv", key="movie", schema=MOVIE, known="always")
    picks = ms.files("picks.parquet", key="person", schema=PICK, known="always")
    views = ms.stream("views", schema=VIEW, key="view", time="at")
    film = ms.feature_view(movies, key="movie", columns=["year"])
    seen = ms.feature_view(views, key=["person", "movie"], windows=["28d"], count=_.count(), grace="100d")
    recent = ms.feature_view(views, key="person", windows=["28d"], movies=ms.last_k(_.movie, 4), grace="100d")
    like = ms.model(
        examples=ratings,
        prediction_time=_.at - ibis.interval(hours=1),
        target=_.liked,
        features=["person", film],
        candidates=["linear"],
        assume_known={"film__year": "the person and the year decide here"},
    )
    found: dict[str, Node] = {
        "ratings": ratings,
        "movies": movies,
        "views": views,
        "film": film,
        "picks": picks,
        "seen": seen,
        "recent": recent,
        "like": like,
    }
    named = {name: found[name] for name in ("movies", "picks", "seen", "recent")}
    top = ms.top(10, by=_.score)
    few = ms.candidates(movies, key="movie", by="year", limit=2)
    if changes:
        made = {name: value(named) if callable(value) else value for name, value in changes.items()}
        return {**found, "other": ms.endpoint(like, **{"decide": top, **made})}

    def listed(table: Any, **how: Any) -> Any:
        return ms.candidates(table, key="movie", **how)

    return {
        **found,
        "rank": ms.endpoint(like, candidates=listed(ms.request("movies"), limit=20), decide=top),
        "unseen": ms.endpoint(like, candidates=listed(ms.request("movies"), without=seen), decide=top, fallback=few),
        "picked_for": ms.endpoint(like, candidates=listed(picks, of="movies", limit=3), decide=top, fallback=few),
        "popular": ms.endpoint(like, candidates=few, decide=top, fallback=listed(picks, of="movies", limit=3)),
        "again": ms.endpoint(like, candidates=listed(recent, of="movies_28d"), decide=top),
        "sent": ms.endpoint(
            like,
            candidates=listed(movies),
            decide=ms.best(_.score, where=_.score > 2),
            fallback=listed(ms.request("instead")),
        ),
    }


def data() -> dict[str, list[dict[str, Any]]]:
    def rating(n: int) -> dict[str, Any]:
        movie = n * 17 % 40
        at = START + timedelta(hours=n)
        return {"id": f"R{n}", "at": at, "person": f"p{n % 5}", "movie": movie, "liked": movie * 7 % 40 > 20}

    return {
        "ratings": [rating(n) for n in range(300)],
        "movies": [{"movie": n, "year": 1980 + n * 7 % 40} for n in range(40)],
        "picks": [{"person": "p1", "movies": [5, 7, None, 5, 9, 11]}, {"person": "p5", "movies": None}],
        "views": [],
    }


@pytest.fixture(scope="module")
def project() -> Iterator[Any]:
    with ms.testing.project(nodes(), data()) as made:
        made.run()
        made.promote("like")
        yield made


def movies(answer: dict[str, Any]) -> list[int]:
    return [each["movie"] for each in answer["decision"]]


def scores(project: Any, person: str, keys: list[int]) -> dict[int, float]:
    """The model's own scores, one row at a time."""
    rows = [{"person": person, "movie": movie} for movie in keys]
    return {row["movie"]: project.predict("like", [row], time=LATER)[0]["score"] for row in rows}


def test_the_list_of_a_request_is_ranked_by_the_models_scores(project: Any) -> None:
    asked = [31, 2, 17, 40_000, 8]
    (answer,) = project.predict("rank", [{"person": "p1", "movies": asked}], time=LATER)
    own = scores(project, "p1", asked)
    assert movies(answer) == sorted(asked, key=lambda movie: (-own[movie], asked.index(movie)))
    assert {each["movie"]: each["score"] for each in answer["decision"]} == pytest.approx(own)
    assert (answer["offered"], answer["flags"]) == (5, [])


def test_each_request_has_its_own_list_and_repeats_are_said(project: Any) -> None:
    rows = [{"person": "p1", "movies": [3, 4, 3]}, {"person": "p2", "movies": []}, {"person": "p3", "movies": [9]}]
    first, empty, last = project.predict("rank", rows, time=LATER)
    assert sorted(movies(first)) == [3, 4] and (first["offered"], first["flags"]) == (2, ["repeated:movies"])
    assert (empty["decision"], empty["flags"]) == ([], ["undecided"])
    assert (movies(last), last["flags"]) == ([9], [])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"movies": [*range(21)]}, "the list has too many candidates"),
        ({"movies": None}, "the field 'movies' must not be null"),
        ({}, "the field 'movies' is missing"),
        ({"movies": 5}, "the field 'movies' has the wrong type or value"),
        ({"movies": [1, None]}, "the field 'movies' has the wrong type or value"),
        ({"movies": ["1"]}, "the field 'movies' has the wrong type or value"),
        ({"movies": [1], "movie": 1}, "unknown field 'movie'"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(project: Any, given: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestError) as refused:
        project.predict("rank", [{"person": "p1", **given}])
    assert refused.value.what == told


def test_what_was_seen_is_removed_and_the_fallback_answers_when_nothing_is_left(project: Any) -> None:
    events = [{"view": f"a{n}", "person": "p3", "movie": n, "at": LATER - timedelta(days=1)} for n in (1, 2)]
    project.ingest("views", events, backfill=True)
    (some,) = project.predict("unseen", [{"person": "p3", "movies": [1, 2, 3, 4]}], time=LATER)
    assert sorted(movies(some)) == [3, 4] and some["offered"] == 2
    (none,) = project.predict("unseen", [{"person": "p3", "movies": [1, 2]}], time=LATER)
    newest = sorted(data()["movies"], key=lambda row: -row["year"])[:2]
    assert (movies(none), none["flags"]) == ([row["movie"] for row in newest], ["fallback"])


def test_a_table_offers_the_list_that_it_has_for_the_request(project: Any) -> None:
    people = [{"person": f"p{n}"} for n in (1, 2, 5)]
    known, unknown, null = project.predict("picked_for", people, time=LATER)
    assert sorted(movies(known)) == [5, 7, 9] and known["offered"] == 3  # each once, no null, up to the limit
    assert unknown["flags"] == ["unknown:picks", "fallback"] and len(movies(unknown)) == 2
    assert null["flags"] == ["fallback"] and len(movies(null)) == 2


def test_what_the_fallback_does_not_know_is_no_reason_to_take_it(project: Any) -> None:
    (answer,) = project.predict("popular", [{"person": "p2"}], time=LATER)
    assert len(movies(answer)) == 2 and answer["flags"] == []


def test_an_event_changes_the_next_list_of_a_window(project: Any) -> None:
    def view(n: int) -> dict[str, Any]:
        return {"view": f"b{n}", "person": "p4", "movie": n, "at": LATER - timedelta(hours=20 - n)}

    (before,) = project.predict("again", [{"person": "p4"}], time=LATER)
    assert (before["decision"], before["flags"]) == ([], ["unknown:recent", "undecided"])
    project.ingest("views", [view(n) for n in range(6)], backfill=True)
    (after,) = project.predict("again", [{"person": "p4"}], time=LATER)
    assert sorted(movies(after)) == [2, 3, 4, 5]


def test_the_fallback_may_be_a_list_of_the_request(project: Any) -> None:
    (answer,) = project.predict("sent", [{"person": "p1", "instead": [8, 3]}])
    assert answer["decision"]["movie"] == 8 and answer["flags"] == ["fallback"]


def test_late_requests_get_the_list_that_they_sent(project: Any) -> None:
    running = service(project)
    running.start()
    (answer,), _log = late.instead(running.live.predictor("sent"), [{"person": "p1", "instead": [8, 3]}], None)
    running.close()
    assert answer.items[0].row["movie"] == 8 and answer.flags == ("late", "fallback")
    assert "instead" not in answer.items[0].row


def test_every_protocol_takes_a_list_and_the_log_has_the_chosen(project: Any, worlds: Any) -> None:
    running = service(project)
    asked = [31, 2, 17]
    with worlds.listening(running) as client:
        body = {"person": "p1", "movies": asked, "time": LATER.isoformat()}
        native = client.post("/predict/rank", json=body)
        assert native.status_code == 200, native.text
        own = scores(project, "p1", asked)
        assert movies(native.json()) == sorted(asked, key=lambda movie: -own[movie])
        with Client(str(client.base_url)) as python:
            assert movies(python.predict("rank", {"person": "p1", "movies": asked})) == movies(native.json())
        model = client.get("/v2/models/rank").json()
        assert {"name": "movies", "datatype": "INT64", "shape": [-1, -1]} in model["inputs"]
        inputs = [
            {"name": "person", "datatype": "BYTES", "shape": [2], "data": ["p1", "p2"]},
            {"name": "movies", "datatype": "INT64", "shape": [2, 2], "data": [31, 2, 17, 8]},
        ]
        found = {
            each["name"]: each["data"]
            for each in client.post("/v2/models/rank/infer", json={"inputs": inputs}).json()["outputs"]
        }
        assert ['"movie": 31' in each for each in found["answer"]] == [True, False]
        assert ['"movie": 17' in each for each in found["answer"]] == [False, True]
        flat = {**inputs[1], "shape": [4]}
        refused = client.post("/v2/models/rank/infer", json={"inputs": [inputs[0], flat]})
        assert refused.status_code == 400 and "[rows, elements]" in refused.json()["error"]
        empty = {**inputs[1], "shape": [2**62, 0], "data": []}
        assert client.post("/v2/models/rank/infer", json={"inputs": [empty]}).status_code == 400
        schema = client.get("/openapi.json").json()["paths"]["/predict/rank"]["post"]["requestBody"]["content"]
        row = schema["application/json"]["schema"]["oneOf"][0]
        assert row["properties"]["movies"] == {"type": "array", "items": {"type": "integer"}}
        assert set(row["required"]) == {"person", "movies"} and "movie" not in row["properties"]
    logged = list(logged_predictions(project.adapters.store, "rank"))
    assert {each.offered for each in logged} == {3, 2} and all("movies" not in each.row for each in logged)
    assert project.show("rank").request == {"person": "string", "movies": "array<int64>"}
    project.run()
    (report,) = project.parity("rank")
    assert (report.reads, report.ok) == (len(logged), True)


def test_a_large_request_is_logged_in_parts_that_small_ones_pass(
    project: Any, worlds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, log = list[int](), ChoosingPredictor.chosen

    def noted(self: ChoosingPredictor, answers: Any) -> Any:
        together.append(sum(len(each.items) for each in answers))
        return log(self, answers)

    monkeypatch.setattr(ChoosingPredictor, "chosen", noted)
    rows = [{"person": "p1", "movies": [n, n + 1, n + 2]} for n in range(1_000)]
    with worlds.listening(service(project)) as client:
        before = project.adapters.store.end("predictions/rank")
        found = client.post("/predict/rank", json=rows).json()["predictions"]
        assert [each["offered"] for each in found] == [3] * 1_000
        assert project.adapters.store.end("predictions/rank") == before + 3_000
    assert sum(together[1:]) == 3_000 and max(together[1:]) <= 500


def asked_of(view: str, **how: Any) -> Any:
    return lambda named: ms.candidates(named[view], key="movie", **how)


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"candidates": asked_of("recent")}, SchemaError, "a view offers the keys in one of its features"),
        ({"candidates": asked_of("picks", of="films")}, UnknownName, "unknown column 'films'"),
        ({"candidates": asked_of("recent", of="films")}, UnknownName, "unknown feature 'films'"),
        ({"candidates": asked_of("seen", of="count_28d")}, SchemaError, "is not a list of 'movie'"),
        ({"candidates": asked_of("movies", of="year")}, SchemaError, "'year' of 'movies' is not a list of 'movie'"),
        ({"candidates": ms.candidates(ms.request("person"), key="movie")}, SchemaError, "another field 'person'"),
        ({"candidates": ms.candidates(ms.request("id"), key="movie")}, SchemaError, "another field 'id'"),
        ({"candidates": ms.candidates(ms.request("a"), key="film")}, UnknownName, "unknown request field 'film'"),
        (
            {
                "candidates": ms.candidates(ms.request("a"), key="movie"),
                "fallback": asked_of("recent", of="movies_28d"),
                "latency": ms.latency("9ms", otherwise="fallback"),
            },
            DefinitionError,
            "a late request cannot read its fallback from a view",
        ),
    ],
)
def test_what_cannot_be_listed_is_refused_at_load(changes: Any, error: type[MainstemError], told: str) -> None:
    with pytest.raises(error) as refused, ms.testing.project(nodes(**changes), data()):
        pass
    assert told in refused.value.what and "test_lists.py" in str(refused.value.where)


@pytest.mark.parametrize(
    "given",
    [
        lambda: ms.candidates(ms.request("movies"), key="movie", by="year"),
        lambda: ms.candidates(ms.request("movies"), key="movie", of="year"),
        lambda: ms.candidates(ms.request("movie"), key="movie"),
        lambda: ms.candidates(ms.request("movies"), key="movie", limit=10_001),
        lambda: ms.request(""),
    ],
)
def test_a_list_has_no_order_and_a_name_of_its_own(given: Any) -> None:
    with pytest.raises(DefinitionError):
        given()
