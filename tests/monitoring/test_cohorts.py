"""Outcomes that take time: when a row has a label, what a model learns from, and which days a monitor judges."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import DefinitionError, MainstemError
from mainstem.monitoring.cohorts import saved
from mainstem.monitoring.verdicts import Verdict
from mainstem.nodes.base import Node
from mainstem.nodes.records import RunRecord
from mainstem.project.live import service

INSTANT = "timestamp('UTC', 6)"
PAYMENT = {"payment": "string", "paid_at": INSTANT, "amount": "float64", "reported_at": INSTANT}
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
FRAUD = ms.outcome(_.reported_at.notnull(), after="2d")


def nodes(**settings: Any) -> dict[str, Node]:
    payments = ms.files(
        "payments.csv",
        key="payment",
        time="paid_at",
        schema=PAYMENT,
        known={"*": "paid_at", "reported_at": "reported_at"},
    )
    given = {"target": FRAUD, "prediction_time": _.paid_at + ibis.interval(seconds=1), **settings}
    given |= {"assume_known": {"amount": "the target is made from it"}}
    fraud = ms.model(examples=payments, features=["amount"], candidates=["linear"], metric="roc_auc", **given)
    costs = ms.cheapest(allow=_.score * _.amount, block=(1 - _.score) * 10)
    watch = [ms.performance(0.2, min_rows=20), ms.value(0, min_rows=20)]
    return {"payments": payments, "fraud": fraud, "authorise": ms.endpoint(fraud, decide=costs, monitors=watch)}


def payment(n: int, at: datetime, after: timedelta | None = None) -> dict[str, Any]:
    """A payment, of which every fourth is fraud, reported a day later unless `after` is given."""
    late = timedelta(days=1) if after is None else after
    fraud = n % 4 == 0
    return {
        "payment": f"p{n}",
        "paid_at": at,
        "amount": (80.0 if fraud else 20.0) + n * 37 % 50,
        "reported_at": at + late if fraud else None,
    }


PAST = [payment(n, MIDNIGHT - timedelta(days=90) + timedelta(hours=3 * n)) for n in range(600)]
OLD, YOUNG = MIDNIGHT - timedelta(days=10), MIDNIGHT - timedelta(days=1)
# On the young day, only frauds are known yet, within an hour.
ASKED = [payment(n, OLD + timedelta(minutes=n)) for n in range(1_000, 1_040)]
ASKED += [payment(n, YOUNG + timedelta(minutes=n - 1_000), timedelta(hours=1)) for n in range(2_000, 2_040)]


@pytest.fixture(scope="module")
def project() -> Iterator[Any]:
    with ms.testing.project(nodes(), {"payments": [*PAST, *ASKED]}) as opened:
        opened.run()
        opened.promote("fraud")
        running = service(opened)
        running.start()
        rows = [
            {"payment": row["payment"], "amount": row["amount"], "time": row["paid_at"].isoformat()} for row in ASKED
        ]
        _answers, log = running.live.predictor("authorise").answered(rows)
        running.committer.submit(log).result()
        running.close()
        opened.run()
        yield opened


def said(project: Any, run: int, kind: str) -> str:
    record = project.adapters.state.find(RunRecord)[run]
    return str(next(step.message for step in record.steps if step.kind == kind))


def test_a_model_learns_only_from_rows_of_which_the_time_has_passed(project: Any) -> None:
    rows = project.dataset("fraud").to_pyarrow().to_pylist()
    assert {row["_mature"] for row in rows if row["_split"] in ("train", "test", "gap")} == {True}
    young = [row for row in rows if row["_split"] == "immature"]
    assert {row["payment"] for row in young} == {row["payment"] for row in ASKED[40:]}
    # A fraud is one as soon as it is reported, and nothing else is honest yet.
    assert {row["_target"] for row in young} == {True, None}
    assert sum(row["_target"] is True for row in young) == 10
    assert "40 not mature" in said(project, 0, "train")
    card = project.show("fraud").card
    assert card["evaluation"]["labels"] == "mature 2d after the prediction; 40 younger examples are left out"
    assert card["evaluation"]["gap"] == "2d: as long as the outcome takes"


def test_days_are_judged_when_their_outcomes_are_mature(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    state = project.adapters.state
    (verdict,) = state.find(Verdict, monitor="performance")
    assert (verdict.rows, verdict.outcomes, verdict.judgement) == (40, 40, "fine")
    old, young = saved(project.reading("test"), "authorise", verdict.model_version)
    assert (old.day, old.predictions, old.known, old.mature, old.complete) == (OLD.date(), 40, 40, True, True)
    assert old.metric == "roc_auc" and old.measure is not None and old.measure.rows == 40
    assert (young.day, young.predictions, young.known, young.mature) == (YOUNG.date(), 40, 0, False)
    assert young.measure is None and young.matures_at == MIDNIGHT + timedelta(days=2)
    assert said(project, 1, "monitor").endswith("1 of 2 days not mature: 0 of 40 outcomes known")
    shown = {each.day: each for each in project.status().endpoints[0].cohorts}
    assert (shown[str(YOUNG.date())].share, shown[str(YOUNG.date())].mature) == (0.0, False)
    assert shown[str(OLD.date())].low <= shown[str(OLD.date())].value <= shown[str(OLD.date())].high
    assert not project.plan()

    later = datetime.now(UTC) + timedelta(days=3)
    for module in ("features.targets", "monitoring.cohorts", "project.situation"):
        monkeypatch.setattr(f"mainstem.{module}.now", lambda: later)
    assert [(step.kind, step.reason) for step in project.plan().steps][:1] == [("monitor", "outcomes have matured")]
    project.run()
    _first, second = state.find(Verdict, monitor="performance")
    assert (second.rows, second.outcomes) == (40, 40)
    assert [each.known for each in saved(project.reading("test"), "authorise", verdict.model_version)] == [40, 40]
    assert not project.plan()


def test_a_decision_is_worth_what_it_saved_given_its_outcome(project: Any) -> None:
    """Always to allow costs the amount of each fraud; to block costs 10 for each honest payment."""
    state = project.adapters.state
    verdict = state.find(Verdict, monitor="value")[0]
    rows = project.query("select payment, amount, _decision from predictions.authorise").to_pylist()
    old = [row for row in rows if row["payment"] < "p2000"]
    fraud = {row["payment"] for row in ASKED if row["reported_at"]}
    saved_by = {
        "allow": lambda row: 0.0,
        "block": lambda row: row["amount"] if row["payment"] in fraud else -10.0,
    }
    assert {row["_decision"] for row in old} == {"allow", "block"}
    worth = [saved_by[row["_decision"]](row) for row in old]
    assert verdict.measure.value == pytest.approx(sum(worth) / 40) and verdict.measure.rows == 40
    assert verdict.measure.low < verdict.measure.value < verdict.measure.high
    assert (verdict.judgement, verdict.floor, verdict.metric) == ("fine", 0.0, "value")
    assert f"{sum(worth):,.0f} in all, above the floor of 0" in verdict.text
    first = saved(project.reading("test"), "authorise", verdict.model_version)[0]
    assert first.worth == verdict.measure
    assert f"{verdict.measure.value:.4g} [" in project.status().endpoints[0].cohorts[0].valued


COSTS = ms.cheapest(allow=_.score * 10, block=5)
CANNOT: list[tuple[Any, str]] = [
    ({"monitors": [ms.value(0)]}, "`ms.value` does not know what a decision is worth"),
    ({"monitors": [ms.value(0, worth=_.outcom * 2)]}, "unknown column 'outcom'"),
    ({"monitors": [ms.value(0, worth=_.outcome, against="allow")]}, "`against` requires decide=ms.cheapest"),
    ({"monitors": [ms.value(0, against="alow")], "decide": COSTS}, "unknown option 'alow'"),
    ({"monitors": [ms.value(0), ms.value(1)], "decide": COSTS}, "an endpoint values its decisions in one way"),
]


@pytest.mark.parametrize(("settings", "what"), CANNOT, ids=[what for _settings, what in CANNOT])
def test_what_has_no_value_is_refused_at_load(settings: Any, what: str) -> None:
    found = nodes()
    found["authorise"] = ms.endpoint(found["fraud"], **settings)  # type: ignore[arg-type]
    with ms.testing.project(found, {"payments": PAST[:2]}) as project, pytest.raises(MainstemError, match=what):
        project.graph.whole()


@pytest.mark.parametrize(
    ("after", "what"),
    [("soon", "'soon' is not a duration"), ("0d", "`after` must be positive"), (45, "45 is not a duration")],
)
def test_a_time_that_is_none_is_refused(after: Any, what: str) -> None:
    with pytest.raises(DefinitionError, match=what):
        ms.outcome(_.reported_at.notnull(), after=after)


def test_a_gap_that_is_shorter_than_outcomes_take_is_refused() -> None:
    with pytest.raises(DefinitionError, match="`gap` is shorter than the outcome takes") as refused:
        nodes(gap="1d")
    assert refused.value.expected == 'at least "2d"'
    assert nodes(gap="3d")["fraud"].gap == "3d" and nodes()["fraud"].gap == "2d"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("settings", "timed", "what"),
    [
        ({"target": ms.outcome(_.amount + 1, after="2d")}, True, "`ms.outcome` needs a condition"),
        ({"target": ms.outcome(_.reportd_at.notnull(), after="2d")}, True, "unknown column 'reportd_at'"),
        ({"prediction_time": None}, False, "`ms.outcome` needs the time of each example"),
    ],
)
def test_what_cannot_be_an_outcome_is_refused_at_load(settings: Any, timed: bool, what: str) -> None:
    found = nodes(**settings)
    if not timed:
        bare = ms.files("payments.csv", key="payment", schema=PAYMENT)
        fraud = ms.model(examples=bare, features=["amount"], target=FRAUD)
        found = {"payments": bare, "fraud": fraud}
    with ms.testing.project(found, {"payments": PAST[:2]}) as project, pytest.raises(MainstemError, match=what):
        project.graph.whole()
