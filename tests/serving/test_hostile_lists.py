"""Lists of candidates that are large or malformed, and lists where a canary or a latency answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import ModelError
from mainstem.nodes.base import Node
from mainstem.nodes.records import ModelVersion, new_id
from mainstem.project.live import service
from mainstem.serving import late
from mainstem.serving.decisions.lookups import lists_of

START = datetime(2026, 3, 1, tzinfo=UTC)
RATING = {"id": "string", "at": "timestamp('UTC', 6)", "person": "string", "movie": "int64", "liked": "boolean"}
MOVIE = {"movie": "int64", "year": "int64"}
PICK = {"person": "string", "movies": "array<int64>"}
MANY = 1_500_000
FEW = 12


def nodes() -> dict[str, Node]:
    past: Any = {"*": _.at - ibis.interval(days=9), "liked": "at"}
    ratings = ms.files("ratings.csv", key="id", time="at", schema=RATING, known=past)
    movies = ms.files("movies.csv", key="movie", schema=MOVIE, known="always")
    picks = ms.files("picks.parquet", key="person", schema=PICK, known="always")
    film = ms.feature_view(movies, key="movie", columns=["year"])
    like = ms.model(
        examples=ratings,
        prediction_time=_.at - ibis.interval(hours=1),
        target=_.liked,
        features=["person", film],
        candidates=["linear"],
        assume_known={"film__year": "the person and the year decide here"},
    )
    sent = ms.candidates(ms.request("movies"), key="movie", limit=FEW)
    picked = ms.candidates(picks, key="movie", of="movies", limit=3)
    return {
        "ratings": ratings,
        "movies": movies,
        "picks": picks,
        "film": film,
        "like": like,
        "rank": ms.endpoint(like, candidates=sent, decide=ms.top(10, by=_.score), fallback=picked),
        "timely": ms.endpoint(
            like,
            candidates=sent,
            decide=ms.top(10, by=_.score),
            fallback=picked,
            latency=ms.latency("60ms", otherwise="fallback"),
        ),
        "split": ms.endpoint(
            like, candidates=sent, decide=ms.top(10, by=_.score), canary=ms.canary(0.999, by="person", errors=0.9)
        ),
    }


def data() -> dict[str, list[dict[str, Any]]]:
    def rating(n: int) -> dict[str, Any]:
        movie, at = n * 17 % 40, START + timedelta(hours=n)
        return {"id": f"R{n}", "at": at, "person": f"p{n % 5}", "movie": movie, "liked": movie * 7 % 40 > 20}

    return {
        "ratings": [rating(n) for n in range(300)],
        "movies": [{"movie": n, "year": 1980 + n * 7 % 40} for n in range(40)],
        "picks": [{"person": "p1", "movies": [5, 7, None, 5, 9, 11]}, {"person": "p5", "movies": None}],
    }


@pytest.fixture(scope="module")
def project() -> Iterator[Any]:
    with ms.testing.project(nodes(), data()) as made:
        made.run()
        made.promote("like")
        state, before = made.adapters.state, made.release
        version = state.get(ModelVersion, "like-1")
        release = replace(before, id=new_id("rel"), parent=before.id, models={"like": "like-2"})
        state.save(replace(version, id="like-2", number=2), release)
        state.move("main", release.id, expect=before.id)
        yield made


def movies(answer: Any) -> list[int]:
    return [each["movie"] for each in answer["decision"]]


def test_a_canary_that_fails_leaves_a_list_to_the_champion(
    project: Any, worlds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = service(project)
    with worlds.listening(running) as client:
        (beside,) = running.live.beside["split"]
        assert beside.split is not None

        def fail(columns: Any) -> Any:
            raise ModelError("broken")

        body = {"rows": [{"person": f"p{n}", "movies": [3, 7, 3]} for n in range(5)]}
        own = client.post("/predict/split", json=body)
        assert own.status_code == 200 and "canary" in own.json()["predictions"][1]["flags"]
        monkeypatch.setattr(beside.split.challenger, "scored", fail)
        answer = client.post("/predict/split", json=body)
        assert answer.status_code == 200, answer.text
        assert [sorted(movies(each)) for each in answer.json()["predictions"]] == [[3, 7]] * 5
        assert all(each["flags"] == ["repeated:movies"] for each in answer.json()["predictions"])


def test_a_late_request_gets_the_list_that_a_table_has_for_it(project: Any) -> None:
    running = service(project)
    running.start()
    rows = [{"person": person, "movies": [1]} for person in ("p1", "p5", "p9")]
    (picked, empty, unknown), _log = late.instead(running.live.predictor("timely"), rows, None)
    running.close()
    assert [item.row["movie"] for item in picked.items] == [5, 7, 9]
    assert picked.flags == ("late", "fallback")
    assert (empty.items, empty.flags) == ((), ("late", "undecided"))
    assert (unknown.items, unknown.flags) == ((), ("late", "unknown:picks", "undecided"))


def test_the_row_whose_list_is_too_long_is_named(project: Any, worlds: Any) -> None:
    with worlds.listening(service(project)) as client:
        rows = [{"person": "p9", "movies": [1]}, {"person": "p1", "movies": [*range(FEW)]}]
        for endpoint in ("rank", "split", "timely"):
            asked = [*rows, {"person": "p1", "movies": [*range(FEW + 1)]}]
            answer = client.post(f"/predict/{endpoint}", json={"rows": asked})
            assert answer.status_code == 400
            error = answer.json()
            assert error["what"] == "the list has too many candidates"
            assert error["where"] == f"endpoint {endpoint}, rows[2].movies"
            assert (error["got"], error["expected"]) == ("13", "up to 12")


@pytest.mark.parametrize("element", ["1", "[1]", "[" * 900 + "]" * 900])
@pytest.mark.parametrize("endpoint", ["rank", "timely"])
def test_a_huge_list_does_not_hold_the_loop(project: Any, worlds: Any, endpoint: str, element: str) -> None:
    with worlds.listening(service(project)) as client:
        count = MANY // (len(element) + 1)
        body = '{"person": "p1", "movies": [' + ",".join([element] * count) + "]}"
        found, json = list[Any](), {"content-type": "application/json"}
        asking = threading.Thread(
            target=lambda: found.append(client.post(f"/predict/{endpoint}", content=body, headers=json))
        )
        client.get("/health")
        asking.start()
        longest = 0.0
        while asking.is_alive():
            began = time.monotonic()
            client.get("/health")
            longest = max(longest, time.monotonic() - began)
        asking.join()
        assert found[0].status_code == 400 and found[0].json()["what"] == "the list has too many candidates"
        assert longest < 0.7


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('[1, "2"]', "the field 'movies' has the wrong type or value"),
        ("[[1]]", "the field 'movies' has the wrong type or value"),
        ("[null]", "the field 'movies' has the wrong type or value"),
        ("[true]", "the field 'movies' has the wrong type or value"),
        ("[1.5]", "the field 'movies' has the wrong type or value"),
        ("[9223372036854775808]", "the field 'movies' has the wrong type or value"),
        ("[1" + "0" * 400 + "]", "the field 'movies' has the wrong type or value"),
        ("{}", "the field 'movies' has the wrong type or value"),
        ("[NaN]", "the body is not JSON"),
        ("[1e999]", "the body is not JSON"),
        ("[" * 2_000 + "]" * 2_000, "the body is not JSON"),
    ],
)
def test_an_element_that_is_not_a_key_is_refused(project: Any, worlds: Any, given: str, told: str) -> None:
    with worlds.listening(service(project)) as client:
        body = '{"person": "p1", "movies": ' + given + "}"
        answer = client.post("/predict/timely", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["what"]) == (400, told)
        assert len(answer.text) < 1_000


def test_dates_in_a_table_of_lists_are_texts_as_in_requests() -> None:
    days = [[date(2026, 3, 1), None], None, [], [date(2026, 3, 2)]]
    assert lists_of(pa.chunked_array([days[:1], days[1:]], pa.list_(pa.date32()))) == [
        ["2026-03-01", None],
        None,
        [],
        ["2026-03-02"],
    ]
