"""Decisions: the cheapest option by the score, quotas, and the same decision from the engine over logged rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest
from ibis import _

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import DefinitionError, MainstemError
from mainstem.nodes.base import Node
from mainstem.project.live import service
from mainstem.serving.decisions.policy import path_of, policy_of
from mainstem.serving.service import Service

START = datetime(2026, 3, 1, tzinfo=UTC)
INSTANT = "timestamp('UTC', 6)"
SCHEMA = {"id": "string", "at": INSTANT, "amount": "float64", "abroad": "boolean", "fraud": "boolean", "kind": "string"}


def price(option: str, score: float, amount: float) -> float:
    """The costs as the docs say them, in Python."""
    costs = {
        "allow": score * (amount + 15),
        "review": 4 + 0.1 * score * (amount + 15),
        "block": (1 - score) * (0.03 * amount + 8),
    }
    return costs[option]


def cheapest(**more: Any) -> Any:
    return ms.cheapest(
        allow=_.score * (_.amount + 15),
        review=4 + 0.1 * _.score * (_.amount + 15),
        block=(1 - _.score) * (0.03 * _.amount + 8),
        **more,
    )


def nodes(*models: str, **endpoints: Any) -> dict[str, Node]:
    known = {"*": _.at - ibis.interval(days=9), "fraud": "at", "kind": "at"}
    payments = ms.files("payments.csv", key="id", time="at", schema=SCHEMA, known=known)
    common = {"examples": payments, "prediction_time": _.at - ibis.interval(hours=1)}
    features = ["amount", "abroad"]
    fraud = ms.model(**common, target=_.fraud, features=features, candidates=["linear"])
    kind = ms.model(**common, target=_.kind, features=features, task="multiclass", candidates=["linear"])
    made = {name: ms.endpoint(kind if name == "sort" else fraud, decide=rule) for name, rule in endpoints.items()}
    learned = {"fraud": fraud, "kind": kind}
    return {"payments": payments, **{name: learned[name] for name in models}, **made}


def rows() -> list[dict[str, Any]]:
    def row(n: int) -> dict[str, Any]:
        amount, abroad = float(n * 37 % 400), n % 3 == 0
        fraud = (abroad and amount > 150) != (n % 7 == 0)
        noisy = float(n * 37 % 400 + (n * 7919 % 13 - 6) * 25)
        kind = "large" if noisy > 250 else "small" if noisy < 100 else "medium"
        at = START + timedelta(hours=n)
        return {"id": f"P{n}", "at": at, "amount": amount, "abroad": abroad, "fraud": fraud, "kind": kind}

    return [row(n) for n in range(300)]


RULES = {
    "authorise": cheapest(),
    "queued": cheapest(at_most={"review": "3/1d"}),
    "odd": ms.cheapest(allow=_.amount.log() - 4, block=1.0),
    "fixed": ms.cheapest(keep=2, send=1.5),
    "sort": ms.cheapest(shelf=_.scores["small"] * 3, hall=1 - _.scores["small"] + 0 * _.scores["large"]),
}


@pytest.fixture(scope="module")
def project() -> Iterator[Any]:
    with ms.testing.project(nodes("fraud", "kind", **RULES), {"payments": rows()}) as made:
        made.run()
        made.promote("fraud")
        made.promote("kind")
        yield made


@pytest.fixture(scope="module")
def served(project: Any) -> Iterator[Service]:
    running = service(project)
    running.start()
    assert running.trouble is None and running.broken() == {}
    yield running
    running.close()


def asked(count: int = 120, day: int = 1) -> list[dict[str, Any]]:
    time = (START + timedelta(days=100 + day)).isoformat()
    return [{"amount": float(n * 7 % 400), "abroad": n % 2 == 0, "time": time} for n in range(count)]


def ask(served: Service, name: str, given: list[dict[str, Any]]) -> list[Any]:
    """Answer and log as the server does."""
    predictor = served.live.predictor(name)
    answers = predictor.predict([dict(row) for row in given])
    return list(served.committer.submit(predictor.logged(answers)).result())


def test_the_cheapest_option_is_taken_and_every_cost_is_told(served: Service) -> None:
    answers = ask(served, "authorise", asked())
    for answer in answers:
        costs = {option: price(option, answer.score, answer.row["amount"]) for option in ("allow", "review", "block")}
        assert dict(answer.values) == pytest.approx(costs)
        assert answer.decision == min(costs, key=lambda each: costs[each])
    assert set(Counter(a.decision for a in answers)) == {"allow", "review", "block"}


def test_http_and_python_give_the_same_decision(project: Any, worlds: Any) -> None:
    given = asked(1)[0]
    with worlds.listening(service(project)) as http:
        body = http.post("/predict/authorise", json=given).json()
    (answer,) = project.predict("authorise", [given])
    assert list(body) == [
        "endpoint",
        "model",
        "version",
        "id",
        "time",
        "score",
        "decision",
        "values",
        "policy",
        "features",
    ]
    assert {name: body[name] for name in ("decision", "values", "policy", "version", "score")} == {
        name: answer[name] for name in ("decision", "values", "policy", "version", "score")
    }


def test_a_quota_gives_the_next_cheapest_option_once_it_is_exhausted(served: Service, project: Any) -> None:
    free = ask(served, "authorise", asked(day=2))
    assert sum(a.decision == "review" for a in free) > 3
    first, second = asked(day=2)[:60], asked(day=2)[60:]
    limited = [*ask(served, "queued", first), *ask(served, "queued", second)]  # two requests share the quota
    taken = 0
    for one, other in zip(free, limited, strict=True):
        assert other.quotas == {"review": taken}
        if one.decision == "review" and taken == 3:
            assert other.decision == min(("allow", "block"), key=lambda each: other.values[each])
            assert other.flags == ("exhausted:review",)
        else:
            assert (other.decision, other.flags) == (one.decision, ())
        taken += other.decision == "review"
    assert taken == 3
    want = next(n for n, a in enumerate(free) if a.decision == "review")
    (shown,) = project.predict("queued", [asked(day=2)[want]])
    assert shown["flags"] == ["exhausted:review"], "a call that logs nothing sees the quota"
    assert project.predict("queued", [asked(day=3)[want]] * 5)[0]["decision"] == "review", "each day has its own"
    assert ask(served, "queued", [asked(day=3)[want]])[0].quotas == {"review": 0}, "and a look takes nothing of it"


def test_a_cost_that_is_not_finite_takes_its_option_out(served: Service) -> None:
    (answer,) = ask(served, "odd", [{"amount": 0.0, "abroad": False}])
    assert (answer.decision, answer.flags) == ("block", ("unpriced:allow",))
    assert dict(answer.values) == {"allow": None, "block": 1.0}


def test_constants_may_be_all_that_is_compared(served: Service) -> None:
    answers = ask(served, "fixed", asked(3))
    assert [(a.decision, dict(a.values)) for a in answers] == [("send", {"keep": 2, "send": 1.5})] * 3


def test_the_scores_of_classes_decide(served: Service) -> None:
    for answer in ask(served, "sort", asked(40)):
        small = answer.scores["small"]
        assert dict(answer.values) == pytest.approx({"shelf": small * 3, "hall": 1 - small})
        assert answer.decision == ("shelf" if small * 3 <= 1 - small else "hall")


def test_the_engine_decides_logged_rows_as_the_server_did(served: Service, project: Any) -> None:
    for name in RULES:
        ask(served, name, asked(50, day=9))
    project.run()
    for name in RULES:
        (report,) = project.parity(name)
        decided = report.features[-1]
        log = project.table(f"predictions.{name}").to_pyarrow().to_pylist()
        assert (decided.name, decided.reads, decided.mismatches) == ("decision", len(log), 0), name
        assert len({row["_decision"] for row in log}) >= (1 if name == "fixed" else 2)
    log = project.table("predictions.queued").to_pyarrow().to_pylist()
    assert {row["_policy"] for row in log} == {served.live.predictor("queued").policy.fingerprint}  # type: ignore[union-attr]
    assert all(row["_values"].startswith('{"allow":') and row["_quotas"].startswith('{"review":') for row in log)


def test_parity_finds_a_decision_that_the_policy_does_not_give(served: Service, project: Any) -> None:
    predictor = served.live.predictor("odd")
    answers = predictor.predict(asked(2, day=20))
    wrong = [replace(answer, decision="allow" if answer.decision == "block" else "block") for answer in answers]
    served.committer.submit(predictor.logged(wrong)).result()
    project.run()
    (report,) = project.parity("odd")
    assert (report.features[-1].different, report.ok) == (2, False)


def test_the_version_of_a_policy_follows_its_meaning(project: Any) -> None:
    def version(rule: Any) -> str:
        with ms.testing.project(nodes("fraud", authorise=rule), {"payments": rows()}) as made:
            found = policy_of(made.graph, "authorise")
            assert found is not None
            return found.fingerprint

    assert version(cheapest()) == version(cheapest())
    assert len({version(rule) for rule in (cheapest(), RULES["odd"], cheapest(at_most={"review": "3/1d"}))}) == 3


REFUSED: list[tuple[Any, str]] = [
    (lambda: ms.cheapest(allow=_.amuont * _.score, block=8), "amuont"),
    (lambda: ms.cheapest(allow=_.score > 0.5, block=8), "the value of 'allow' is not a number"),
    (lambda: ms.cheapest(allow=_.score.sum(), block=8), "not a function of one row"),
    (lambda: ms.cheapest(allow=_.scores["a"], block=8), "scores"),
    (lambda: ms.cheapest(block=8), "at least two options"),
    (lambda: ms.cheapest(allow="amount", block=8), "must be an expression"),
    (lambda: cheapest(at_most={"reviw": "3/1d"}), "unknown option 'reviw'"),
    (lambda: cheapest(at_most={"review": "often"}), "cannot be read"),
    (lambda: cheapest(at_most=dict.fromkeys(("allow", "review", "block"), "3/1d")), "limits every option"),
]


@pytest.mark.parametrize(("rule", "told"), REFUSED, ids=[told for _rule, told in REFUSED])
def test_a_rule_that_cannot_decide_is_refused_at_load_with_its_line(rule: Any, told: str) -> None:
    with (
        pytest.raises(DefinitionError) as problem,
        ms.testing.project(nodes("fraud", authorise=rule()), {"payments": rows()[:2]}) as made,
    ):
        _graph = made.graph
    assert told in str(problem.value) and "test_decisions.py" in str(problem.value.where)


def test_one_way_to_decide_for_an_endpoint() -> None:
    model = nodes("fraud")["fraud"]
    with pytest.raises(DefinitionError, match="decides in one way"):
        ms.endpoint(model, threshold=0.5, decide=cheapest())  # type: ignore[arg-type]


def test_an_unknown_class_makes_only_its_endpoint_unavailable() -> None:
    rule = ms.cheapest(a=_.scores["smal"], b=0.5)
    with ms.testing.project(nodes("kind", sort=rule), {"payments": rows()}) as made:
        made.run()
        made.promote("kind")
        with pytest.raises(MainstemError) as problem:
            made.predict("sort", asked(1))
    assert "'smal'" in str(problem.value) and "small" in str(problem.value.hint)


@pytest.mark.parametrize("name", ["a.b", "N/A", "$10", "plain", "[x]"])
def test_the_engine_reads_the_scores_of_any_class(name: str) -> None:
    rows = ibis.table({"scores": "string"}, name="rows")
    found = rows.select(score=rows.scores.cast("json")[path_of(name)].float)
    held = pa.table({"scores": [json.dumps({name: 0.25, "other": 0.75})]})
    with DuckdbEngine().session({"rows": held}) as session:
        assert session.fetch(found)["score"].to_pylist() == [0.25]
