"""Rankings: queries stay whole, order is measured per query, and a score is a number to sort by."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

import mainstem as ms
import mainstem.testing
from mainstem.errors import DefinitionError, RunFailed, UnknownName
from mainstem.models.algorithms import algorithm
from mainstem.models.metrics import METRICS, unjudged
from mainstem.models.splits import latest
from mainstem.models.versions import registry
from mainstem.project.resolve import resolve
from mainstem.testing import learning

SCHEMA = {
    "id": "string",
    "session": "string",
    "at": "timestamp('UTC')",
    "price": "float64",
    "brand": "string",
    "number": "int64",
    "bought": "boolean",
    "part": "string",
}
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def offers(sessions: int = 120, seed: int = 0) -> list[dict]:
    """Return ten offers a session, a second apart, of which cheap ones are bought; one in twenty sessions has a single
    offer, and one buys nothing."""
    rng = np.random.default_rng(seed)
    rows = []
    for session in range(sessions):
        for number in range(1 if session % 20 == 7 else 10):
            price, brand = float(rng.uniform(0.5, 1.5)), str(rng.choice(["A", "B"]))
            bought = bool(price + 0.4 * (brand == "A") + rng.normal(0, 0.1) < 0.9) or number == 4
            row = {
                "id": f"{session}-{number}",
                "session": f"s{session}",
                "price": price,
                "brand": brand,
                "number": number,
            }
            row |= {"bought": bought and session % 20 not in (7, 13), "part": "train" if number else "test"}
            rows.append(row | {"at": START + dt.timedelta(hours=3 * session, seconds=number)})
    return rows


def nodes_of(**options):
    source = ms.files("offers.parquet", key="id", time="at", known="always", schema=SCHEMA)
    settings = {"query": "session", "features": ["price", "brand"], "candidates": ["lightgbm"], "folds": 2}
    model = ms.model(source, target="bought", **{**settings, **options})
    return {"offers": source, "order": model, "shop": ms.endpoint(model)}


def project_of(**options):
    return mainstem.testing.project(nodes_of(**options), data={"offers": offers()})


def test_a_ranking_is_learned_measured_and_served():
    with project_of() as project:
        (step,) = (step for step in project.plan().steps if step.kind == "train")
        assert step.details == ("the task is ranking, as `query` declares",)
        project.run()
        version = registry.versions(project.adapters.state, "order")[-1]
        assert version.task == "ranking" and version.metric == "ndcg_10" and version.classes == ()
        assert set(version.metrics) == {"ndcg_10", "ndcg", "map", "recall_10"}
        assert version.metrics["ndcg_10"].low > version.baseline["ndcg_10"].value + 0.1
        told = project.show("order").card["evaluation"]
        assert told["queries"] == "120 with 1,146 rows; 6 of one row and 6 without a grade above 0 are not judged"
        assert told["intervals"] == "95 %, bootstrap of whole groups"

        project.promote("order")
        asked = [{"price": 0.6, "brand": "B"}, {"price": 1.4, "brand": "A"}]
        first, last = project.predict("shop", asked)
        assert first["score"] > last["score"] and first.get("label") is None


def test_a_search_orders_better_than_no_model_and_is_served():
    with project_of(tune=14, test=0.25, features=["price", "brand", "number"]) as project:
        project.run()
        card = project.show("order").card
        search = card["evaluated"]["search"]
        assert len(search["trials"]) == 14 and search["higher_is_better"]
        assert all(each["state"] != "failed" for each in search["trials"])
        assert {"ratios", "interactions"} <= {each["settings"].get("engineer") for each in search["trials"]}
        assert card["algorithm"] == "ensemble" and card["gate"]["largest"] <= 1
        version = registry.versions(project.adapters.state, "order")[-1]
        assert version.metrics["ndcg_10"].low > version.baseline["ndcg_10"].value + 0.1
        project.promote("order")
        asked = [{"price": 0.6, "brand": "B", "number": 3}, {"price": 1.4, "brand": "A", "number": 3}]
        first, last = project.predict("shop", asked)
        assert first["score"] > last["score"]


def parts_of(project) -> dict[str, set]:
    scan = project.adapters.lake.scan(project.release.tables["dataset.order"])
    with project.adapters.engine.session({"dataset.order": scan}) as session:
        rows = session.fetch('SELECT _query, _split FROM "dataset.order"').to_pylist()
    found: dict[str, set] = {}
    for row in rows:
        found.setdefault(row["_query"], set()).add(row["_split"])
    return found


@pytest.mark.parametrize("timed", [{}, {"prediction_time": "at", "gap": "0s"}], ids=["untimed", "timed"])
def test_queries_stay_whole(timed):
    with project_of(candidates=["linear"], test=0.333, **timed) as project:
        project.run()
        found = parts_of(project)
        assert len(found) == 120 and all(len(parts) == 1 for parts in found.values())
        assert set.union(*found.values()) == {"train", "test"}


@pytest.mark.parametrize(("given", "named"), [("groups", "brand"), ("split", "part")])
def test_what_divides_a_query_is_refused(given, named):
    wrong = pytest.raises(RunFailed, match=f"rows of one query have several values of `{given}`")
    with project_of(candidates=["linear"], **{given: named}) as project, wrong:
        project.run()


def test_what_does_not_fit_a_ranking_is_refused_when_the_project_loads():
    for options, error, match in [
        ({"candidates": ["knn"]}, DefinitionError, "knn does not learn the task 'ranking'"),
        ({"metric": "average_precision"}, UnknownName, "unknown ranking metric"),
        ({"slices": ["brand"]}, DefinitionError, "`slices` of a ranking are not measured"),
        ({"task": "binary"}, DefinitionError, "the task does not agree"),
        ({"query": None, "task": "ranking"}, DefinitionError, "the task does not agree"),
        ({"quantiles": [0.5]}, DefinitionError, "the task does not agree"),
    ]:
        with pytest.raises(error, match=match):
            resolve(nodes_of(**options), {})


def test_lambdamart_and_a_regression_of_the_grade_learn_the_order():
    train, test = learning.examples("ranking", 1_500), learning.examples("ranking", 600, seed=5)
    ndcg = METRICS["ndcg_10"]
    for name in ("linear", "lightgbm"):
        scores = np.asarray(algorithm(name).fit(train).scores(test.rows))
        assert ndcg.value(test.truth, scores) > ndcg.value(test.truth, scores * 0) + 0.1
    mixed = train.take(np.random.default_rng(0).permutation(len(train)))
    one, other = (algorithm("lightgbm").fit(each, {"rounds": 20.0}).scores(test.rows) for each in (train, mixed))
    assert ndcg.value(test.truth, one) == pytest.approx(ndcg.value(test.truth, other), abs=0.05)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_metrics_are_those_of_scikit_learn_as_a_mean_over_queries(queries, seed):
    rng = np.random.default_rng(seed)
    query = np.repeat(np.arange(queries), rng.integers(2, 15, queries))
    grade, scores = rng.integers(0, 3, len(query)), rng.integers(0, 4, len(query)).astype(float)  # with ties
    grade[np.searchsorted(query, np.arange(queries))] = 1
    at = rng.permutation(len(query))
    truth = np.column_stack([grade, query])
    each = [query == number for number in range(queries)]
    for k in (None, 3, 10):
        gains = [oracle.ndcg_score([2.0 ** grade[q] - 1], [scores[q]], k=k) for q in each]
        name = "ndcg" if k is None else f"ndcg_{k}"
        assert METRICS[name].value(truth[at], scores[at]) == pytest.approx(np.mean(gains))
    precisions = [oracle.average_precision_score(grade[q] > 0, scores[q]) for q in each]
    assert METRICS["map"].value(truth[at], scores[at]) == pytest.approx(np.mean(precisions))


def test_recall_is_the_share_of_the_positives_that_come_first():
    truth = np.array([[1, 0], [0, 0], [1, 0], [1, 1], [0, 1]])
    scores = np.array([3.0, 2.0, 1.0, 0.5, 0.5])
    assert METRICS["recall_1"].value(truth, scores) == pytest.approx(0.5)  # a tie is half at each of its places
    assert METRICS["recall_3"].value(truth, scores) == pytest.approx(1.0)


def test_queries_without_an_order_are_left_out_and_weights_are_of_queries():
    truth = np.array([[1, 0], [0, 0], [1, 1], [0, 2], [0, 2], [0, 3], [1, 3]])
    scores = np.array([2.0, 1.0, 1.0, 2.0, 1.0, 2.0, 1.0])
    assert unjudged(truth) == (4, 1, 1)
    worse = 1 / np.log2(3)
    assert METRICS["ndcg"].value(truth, scores) == pytest.approx((1 + worse) / 2)
    heavy = METRICS["ndcg"].value(truth, scores, np.array([3.0, 3, 1, 1, 1, 1, 1]))
    assert heavy == pytest.approx((3 + worse) / 4)
    assert np.isnan(METRICS["ndcg"].value(truth[2:5], scores[2:5]))


def test_samples_are_of_whole_queries():
    examples = learning.examples("ranking", 600)
    for rows in (examples.some(100, 0), latest(examples.times, 100, 0, examples.queries)):
        counts = np.bincount(examples.queries[rows])
        assert 75 <= len(rows) <= 105 and set(counts[counts > 0]) == {learning.RANKED}
