"""Choosing among candidates: a price from a grid, a list of films from a table, and their fallbacks."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import DefinitionError, RequestError
from mainstem.logs.predictions import logged_predictions
from mainstem.nodes.base import Node
from mainstem.nodes.instants import micros_of
from mainstem.project.live import service
from mainstem.serving.coalescing import Coalescer
from mainstem.serving.decisions.bounds import MOST_TOGETHER
from mainstem.serving.decisions.exploring import draws
from mainstem.serving.service import Service

START = datetime(2026, 3, 1, tzinfo=UTC)
INSTANT = "timestamp('UTC', 6)"
SALE = {"id": "string", "at": INSTANT, "shelf": "string", "price": "float64", "sold": "float64"}
RATING = {"id": "string", "at": INSTANT, "person": "string", "movie": "int64", "liked": "boolean"}
SHELF = {"shelf": "string", "cost": "float64", "usual": "float64"}
MOVIE = {"movie": "int64", "genre": "string", "year": "int64", "views": "int64"}
PERSON = {"person": "string", "age": "int64"}
PRICES = ms.grid(price=ms.steps(_.stand__usual * 0.8, _.stand__usual * 1.2, 0.25))
PROFIT = ms.best((_.price - _.stand__cost) * _.score, where=_.price > _.stand__cost)


def past(*learned: str) -> Any:
    return {"*": _.at - ibis.interval(days=9), **dict.fromkeys(learned, "at")}


def nodes(**changes: Any) -> dict[str, Node]:
    """A shop and a cinema. `changes` are settings of the endpoint `quote`."""
    sales = ms.files("sales.csv", key="id", time="at", schema=SALE, known=past("sold"))
    shelves = ms.files("shelves.csv", key="shelf", schema=SHELF, known="always")
    stand = ms.feature_view(shelves, key="shelf", columns=["cost", "usual"], assume_known={"cost": "-", "usual": "-"})
    before = _.at - ibis.interval(hours=1)
    demand = ms.model(
        examples=sales, prediction_time=before, target=_.sold, features=[stand, "price"], candidates=["linear"]
    )
    ratings = ms.files("ratings.csv", key="id", time="at", schema=RATING, known=past("liked"))
    movies = ms.files("movies.csv", key="movie", schema=MOVIE, known="always")
    people = ms.files("people.csv", key="person", schema=PERSON, known="always")
    film = ms.feature_view(movies, key="movie", columns=["genre", "year"])
    viewer = ms.feature_view(people, key="person", columns=["age"])
    fit = ms.on_demand(gap=_.film__year - 2026 + _.viewer__age, old=_.viewer__age > 40)
    like = ms.model(
        examples=ratings, prediction_time=before, target=_.liked, features=[viewer, film, fit], candidates=["linear"]
    )
    quote = {"candidates": PRICES, "decide": PROFIT, "fallback": {"price": 9.5}, **changes}
    recommend = ms.endpoint(
        like,
        explore=0.3,
        candidates=ms.candidates(movies, key="movie", by="views", limit=30),
        decide=ms.top(5, by=_.score, at_most={"genre": 2}),
        fallback=ms.candidates(movies, key="movie", by="views", limit=10),
    )
    found = {
        "sales": sales,
        "shelves": shelves,
        "stand": stand,
        "demand": demand,
        "quote": ms.endpoint(demand, **quote),
    }
    cinema = {"ratings": ratings, "movies": movies, "people": people, "film": film, "viewer": viewer, "like": like}
    bare = ms.endpoint(demand, candidates=PRICES, decide=PROFIT, explore=ms.epsilon(0.5, within="3%"))
    return found if changes else {**found, **cinema, "recommend": recommend, "bare": bare}


def data() -> dict[str, list[dict[str, Any]]]:
    def sale(n: int) -> dict[str, Any]:
        price = 5 + n * 7 % 11 / 2
        sold = max(0.0, 30 - 2.0 * price + n * 7919 % 5)
        return {"id": f"S{n}", "at": START + timedelta(hours=n), "shelf": f"s{n % 4}", "price": price, "sold": sold}

    def rating(n: int) -> dict[str, Any]:
        person, movie = n * 31 % 20, n * 17 % 40
        liked = (person < 10) == (movie % 4 < 2) if n % 6 else n % 12 == 0
        at = START + timedelta(hours=n)
        return {"id": f"R{n}", "at": at, "person": f"p{person}", "movie": movie, "liked": liked}

    return {
        "sales": [sale(n) for n in range(300)],
        "shelves": [{"shelf": f"s{n}", "cost": 3.0 + n, "usual": 8.0 + n} for n in range(4)]
        + [{"shelf": "dear", "cost": 90.0, "usual": 8.0}],
        "ratings": [rating(n) for n in range(400)],
        "movies": [
            {
                "movie": n,
                "genre": ["drama", "comedy", "horror", "war"][n % 4],
                "year": 1990 + n % 30,
                "views": n * 13 % 41,
            }
            for n in range(40)
        ],
        "people": [{"person": f"p{n}", "age": 20 + 2 * n} for n in range(20)],
    }


@pytest.fixture(scope="module")
def project() -> Iterator[Any]:
    with ms.testing.project(nodes(), data()) as made:
        made.run()
        made.promote("demand")
        made.promote("like")
        yield made


@pytest.fixture(scope="module")
def served(project: Any) -> Iterator[Service]:
    running = service(project)
    running.start()
    assert running.trouble is None and running.broken() == {}
    yield running
    running.close()


def scores(project: Any, model: str, rows: list[dict[str, Any]]) -> list[float]:
    """The model's own score of each row, one row at a time."""
    return [project.predict(model, [row])[0]["score"] for row in rows]


def test_the_best_price_of_the_grid_is_what_the_model_itself_gives(project: Any) -> None:
    answers = project.predict("quote", [{"shelf": f"s{n}"} for n in range(4)])
    for n, answer in enumerate(answers):
        usual, cost = 8.0 + n, 3.0 + n
        prices = [usual * 0.8 + 0.25 * k for k in range(100) if usual * 0.8 + 0.25 * k <= usual * 1.2 + 1e-9]
        rows = [{"shelf": f"s{n}", "price": price} for price in prices]
        profit = [(p - cost) * s for p, s in zip(prices, scores(project, "demand", rows), strict=True)]
        best = max(range(len(prices)), key=lambda each: profit[each])
        assert answer["decision"]["price"] == pytest.approx(prices[best])
        assert answer["decision"]["value"] == pytest.approx(profit[best], rel=1e-5)
        assert (answer["offered"], answer["flags"]) == (len(prices), [])


def test_the_best_list_has_the_highest_scores_within_the_bounds_of_genres(project: Any) -> None:
    answers = project.predict("recommend", [{"person": "p3"}] * 40)
    answer = next(each for each in answers if "explored" not in each["decision"][-1])
    movies = sorted(data()["movies"], key=lambda movie: (-movie["views"], movie["movie"]))[:30]
    found = scores(project, "like", [{"person": "p3", "movie": movie["movie"]} for movie in movies])
    wanted, genres = list[int](), Counter[str]()
    for movie, _score in sorted(zip(movies, found, strict=True), key=lambda pair: -pair[1]):
        if genres[movie["genre"]] < 2 and len(wanted) < 5:
            genres[movie["genre"]] += 1
            wanted.append(movie["movie"])
    assert [item["movie"] for item in answer["decision"]] == wanted
    assert [item["value"] for item in answer["decision"]] == [item["score"] for item in answer["decision"]]
    assert answer["offered"] == 30


def test_an_unknown_person_gets_the_fallback_in_its_order(project: Any) -> None:
    (answer,) = project.predict("recommend", [{"person": "nobody"}])
    assert answer["flags"] == ["unknown:viewer", "fallback"]
    movies = sorted(data()["movies"], key=lambda movie: (-movie["views"], movie["movie"]))
    assert answer["decision"][0]["movie"] == movies[0]["movie"]
    genres = Counter(data()["movies"][item["movie"]]["genre"] for item in answer["decision"])
    assert len(answer["decision"]) == 5 and max(genres.values()) == 2


def test_where_no_candidate_is_left_the_fallback_answers(project: Any) -> None:
    dear, unknown, usual = project.predict("quote", [{"shelf": "dear"}, {"shelf": "x"}, {"shelf": "s1"}])
    assert (dear["decision"]["price"], dear["flags"], dear["offered"]) == (9.5, ["fallback"], 13)
    assert (unknown["decision"]["price"], unknown["flags"]) == (9.5, ["unknown:stand", "fallback"])
    assert usual["decision"]["price"] != 9.5 and usual["flags"] == []


def test_without_a_fallback_no_choice_is_an_answer_too(project: Any, worlds: Any) -> None:
    with worlds.listening(service(project)) as http:
        body = http.post("/predict/bare", json={"shelf": "dear"}).json()
    assert (body["decision"], body["offered"], body["flags"]) == (None, 13, ["undecided"])
    (unknown,) = project.predict("bare", [{"shelf": "x"}])
    assert (unknown["decision"], unknown["offered"]) == (None, 0)
    assert unknown["flags"] == ["unknown:stand", "undecided"]


def test_http_answers_alike_and_the_log_has_only_what_was_chosen(project: Any, worlds: Any) -> None:
    with worlds.listening(service(project)) as http:
        time = (START + timedelta(days=30)).isoformat()
        body = http.post("/predict/quote", json={"shelf": "s2", "time": time}).json()
        many = http.post("/predict/recommend", json=[{"person": f"p{n % 20}"} for n in range(70)]).json()
        refused = http.post("/predict/quote", json={"shelf": "s2", "price": 4.0})
        fields = http.get("/openapi.json").json()["paths"]["/predict/quote"]["post"]["requestBody"]
    assert refused.status_code == 400 and "price" in refused.json()["what"]
    assert '"price"' not in json.dumps(fields)
    (answer,) = project.predict("quote", [{"shelf": "s2"}])
    assert {n: v for n, v in body["decision"].items() if n != "id"} == {
        n: v for n, v in answer["decision"].items() if n != "id"
    }
    assert (body["offered"], body["policy"], body["version"]) == (
        answer["offered"],
        answer["policy"],
        answer["version"],
    )
    assert [len(each["decision"]) for each in many["predictions"]] == [5] * 70
    project.run()
    (row,) = project.table("predictions.quote").to_pyarrow().to_pylist()
    assert row["_id"] == body["decision"]["id"] and row["_request"] == body["id"]
    assert (row["price"], row["_rank"], row["_offered"]) == (body["decision"]["price"], 1, body["offered"])
    assert json.loads(row["_decision"]) == {"price": row["price"]}
    assert json.loads(row["_values"])["value"] == body["decision"]["value"]
    listed = project.table("predictions.recommend").to_pyarrow().to_pylist()
    assert {row["_propensity"] for row in listed if row["_rank"] < 5} == {1.0}
    assert all(0 < row["_propensity"] <= 1 for row in listed)
    assert len(listed) == 350 and Counter(row["_rank"] for row in listed) == dict.fromkeys(range(1, 6), 70)
    for name in ("quote", "recommend"):
        (report,) = project.parity(name)
        assert report.ok and report.reads == len(project.table(f"predictions.{name}").to_pyarrow())


def test_a_fallback_that_throws_leaves_its_requests_undecided_and_the_others_as_they_are(
    project: Any, worlds: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = service(project)
    rows = [{"shelf": "s1"}, {"shelf": "s99"}, {"shelf": "dear"}]
    with worlds.listening(running) as client:
        before = project.adapters.store.end("predictions/quote")
        fallback = running.live.predictor("quote").chooser.fallback

        def throwing(columns: Any, count: int) -> Any:
            raise ZeroDivisionError("no such price")

        object.__setattr__(fallback, "expand", throwing)
        answer = client.post("/predict/quote", json=rows)
        assert answer.status_code == 200, answer.text
        known, unknown, none = answer.json()["predictions"]
        assert known["decision"]["price"] > 0 and "flags" not in known
        assert (unknown["decision"], unknown["flags"]) == (None, ["unknown:stand", "failed:fallback", "undecided"])
        assert (none["decision"], none["flags"]) == (None, ["failed:fallback", "undecided"])
    assert project.adapters.store.end("predictions/quote") == before + 1
    assert "the fallback of 'quote' failed: no such price" in caplog.text


def test_an_endpoint_with_candidates_has_no_score_of_a_row(served: Service) -> None:
    with pytest.raises(RequestError, match="chooses among candidates"):
        served.live.predictor("quote").predict([{"shelf": "s1"}])


def test_exploration_follows_from_the_id_and_tells_its_propensity(project: Any, served: Service) -> None:
    predictor: Any = served.live.predictor("bare")
    answers = predictor.choose([{"shelf": "s1"}] * 400)
    (usual,) = {a.items[0].row["price"] for a in answers if "explored" not in a.items[0].flags}
    best = next(a.items[0].values["value"] for a in answers if a.items[0].row["price"] == usual)
    prices = Counter[float]()
    for answer in answers:
        (item,) = answer.items
        prices[item.row["price"]] += 1
        assert item.values["value"] >= best * 0.97 - 1e-9
    eligible = len(prices)
    assert eligible >= 3
    for answer in answers:
        first, second = draws(answer.id)
        price = answer.items[0].row["price"]
        assert ("explored" in answer.items[0].flags) == (price != usual)
        assert price == (sorted(prices)[int(second * eligible)] if first < 0.5 else usual)
        assert answer.propensities == (pytest.approx(0.5 / eligible + (0.5 if price == usual else 0)),)
    assert sum(1 / a.propensities[0] for a in answers) / 400 == pytest.approx(eligible, rel=0.3)


def test_a_list_explores_its_last_place_within_the_bounds_of_genres(project: Any) -> None:
    answers = project.predict("recommend", [{"person": "p3"}] * 100)
    assert len({tuple(item["movie"] for item in answer["decision"][:-1]) for answer in answers}) == 1
    assert len({answer["decision"][-1]["movie"] for answer in answers}) > 5
    for answer in answers:
        assert [item["propensity"] for item in answer["decision"][:-1]] == [1.0] * 4
        assert max(Counter(data()["movies"][item["movie"]]["genre"] for item in answer["decision"]).values()) <= 2
        assert answer["decision"][-1].get("explored", False) == (answer["decision"][-1]["propensity"] < 0.5)


def test_too_many_candidates_are_refused() -> None:
    wide = ms.grid(price=ms.steps(0, 100_000, 0.5))
    with ms.testing.project(nodes(candidates=wide), {n: data()[n] for n in ("sales", "shelves")}) as made:
        made.run()
        made.promote("demand")
        with pytest.raises(RequestError, match="too many candidates"):
            made.predict("quote", [{"shelf": "s1"}])


def test_candidates_of_many_rows_together_are_bounded(project: Any) -> None:
    rows = [{"person": "p3"}] * (MOST_TOGETHER // 30 + 1)
    with pytest.raises(RequestError, match="too many candidates together"):
        project.predict("recommend", rows)


def test_features_of_a_python_function_wait_for_the_candidate() -> None:
    shop = nodes(candidates=ms.grid(price=ms.steps(5, 9, 1)))
    twice = ms.on_demand(twice=lambda row: row.price * 2)
    shop["demand"] = ms.model(
        examples=shop["sales"], prediction_time=_.at - ibis.interval(hours=1), target=_.sold,
        features=[shop["stand"], "price", twice], candidates=["linear"],
    )  # fmt: skip
    shop["quote"] = ms.endpoint(shop["demand"], candidates=ms.grid(price=ms.steps(5, 9, 1)), decide=PROFIT)
    with ms.testing.project(shop, {n: data()[n] for n in ("sales", "shelves")}) as made:
        made.run()
        made.promote("demand")
        (answer,) = made.predict("quote", [{"shelf": "s1"}])
    assert answer["offered"] == 5


def test_a_bound_may_not_depend_on_the_candidate() -> None:
    late = ms.on_demand(twice=_.price * 2)
    shop = nodes(candidates=PRICES)
    demand: Any = shop["demand"]
    shop["demand"] = ms.model(
        examples=shop["sales"], prediction_time=demand.prediction_time, target=_.sold,
        features=[shop["stand"], "price", late], candidates=["linear"],
    )  # fmt: skip
    shop["quote"] = ms.endpoint(shop["demand"], candidates=ms.grid(price=ms.steps(1, _.twice, 1)), decide=PROFIT)
    with (
        pytest.raises(DefinitionError, match="'twice'"),
        ms.testing.project(shop, {n: data()[n] for n in ("sales", "shelves")}) as made,
    ):
        _graph = made.graph


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"candidates": ms.grid(prise=ms.steps(1, 2, 0.5))}, "'prise'"),
    ({"candidates": ms.grid(score=ms.steps(1, 2, 0.5))}, "cannot be told by 'score'"),
    ({"candidates": ms.grid(price=ms.steps(_.stand__usal, 9, 1))}, "'stand__usal'"),
    ({"candidates": ms.grid(price=ms.steps(_.price, 9, 1))}, "'price'"),
    ({"decide": ms.best(_.price * _.skore)}, "'skore'"),
    ({"decide": ms.best(_.price > 3)}, "is not a number"),
    ({"decide": ms.best(_.price, where=_.price + 1)}, "is not a condition"),
    ({"decide": ms.top(3, by=_.score, at_most={"genre": 2})}, "'genre'"),
    ({"fallback": {"shelf": 3.0}}, "'shelf' is not a number"),
    ({"candidates": ms.candidates("shelves", key="cost"), "fallback": None}, "'cost'"),
]


@pytest.mark.parametrize(("changes", "told"), REFUSED, ids=[told for _changes, told in REFUSED])
def test_what_cannot_be_chosen_is_refused_at_load_with_its_line(changes: dict[str, Any], told: str) -> None:
    with (
        pytest.raises(DefinitionError) as problem,
        ms.testing.project(nodes(**changes), {n: data()[n] for n in ("sales", "shelves")}) as made,
    ):
        _graph = made.graph
    assert told in str(problem.value) and "test_choosing.py" in str(problem.value.where)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"candidates": None}, "choose among candidates"),
        ({"decide": ms.cheapest(a=_.score, b=1)}, "need a rule that chooses"),
        ({"decide": None, "candidates": None}, "`fallback` requires candidates"),
        ({"decide": None, "candidates": None, "fallback": None, "explore": 0.1}, "`explore` requires candidates"),
    ],
)
def test_a_rule_and_its_candidates_belong_together(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        nodes(**changes)


@pytest.mark.parametrize("endpoint", ["quote", "recommend"])
def test_requests_that_wait_together_are_answered_as_alone(
    served: Service, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    predictor = served.live.predictor(endpoint)
    coalescer = Coalescer(served.committer.submit, 8, threads=2)
    field, known = ("shelf", [f"s{n}" for n in range(4)]) if endpoint == "quote" else ("person", ["p3", "p4", "p5"])
    asked = [*(known[n % len(known)] for n in range(18)), "nobody", 3]
    requests = [[{field: value}] for value in asked]
    # Each draw of `recommend` depends on the id of its answer: all have the same one.
    monkeypatch.setattr("mainstem.serving.choosing.new_ids", lambda count: ["7"] * count)
    sizes, noon, log = list[int](), micros_of(datetime.now(UTC)), f"predictions/{endpoint}"
    before = served.store.end(log)
    original = predictor.answers_at

    def counted(rows: Any, times: Any) -> Any:
        sizes.append(len(rows))
        return original(rows, times)

    monkeypatch.setattr(predictor, "answers_at", counted)

    async def ask() -> list[Any]:
        return await asyncio.gather(
            *(coalescer.answered(predictor, rows, noon) for rows in requests), return_exceptions=True
        )

    *found, refused = asyncio.run(ask())
    assert sorted(sizes) == [3, 8, 8] and isinstance(refused, RequestError)
    items = [item for answers in found for answer in answers for item in answer.items]
    entries = list(logged_predictions(served.store, endpoint, before))
    assert sorted((e.id, e.score) for e in entries) == sorted((item.id, item.score) for item in items)
    for rows, (answer,) in zip(requests, found, strict=False):
        ((alone,), _log) = predictor.answered(rows, noon)
        assert (answer.flags, answer.offered, answer.propensities) == (alone.flags, alone.offered, alone.propensities)
        assert [(a.row, a.observed, a.time) for a in answer.items] == [(a.row, a.observed, a.time) for a in alone.items]
        scores = [[item.score for item in each.items] for each in (answer, alone)]
        assert scores[0] == pytest.approx(scores[1], rel=1e-6)
