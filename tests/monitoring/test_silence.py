"""What it means that nothing was sent of a prediction: false if clients would have sent it, else not known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.monitoring.partition import Watched
from mainstem.project.live import service

INSTANT = "timestamp('UTC', 6)"
NOW = datetime.now(UTC)
PAYMENT = {"payment": "string", "paid_at": INSTANT, "amount": "float64", "reported_at": INSTANT}


def payment(n: int) -> dict[str, Any]:
    at = NOW - timedelta(days=90) + timedelta(hours=3 * n)
    reported = at + timedelta(days=1) if n % 4 == 0 else None
    return {"payment": f"p{n}", "paid_at": at, "amount": 20.0 + n * 37 % 50, "reported_at": reported}


PAST = [payment(n) for n in range(300)]


def nodes(**watch: Any) -> dict[str, Any]:
    known = {"*": "paid_at", "reported_at": "reported_at"}
    payments = ms.files("payments.csv", key="payment", time="paid_at", schema=PAYMENT, known=known)
    fraud = ms.model(
        payments,
        prediction_time=_.paid_at + ibis.interval(seconds=1),
        target=ms.outcome(_.reported_at.notnull(), after="2d"),
        features=["amount"],
        candidates=["linear"],
    )
    return {"payments": payments, "fraud": fraud, "authorise": ms.endpoint(fraud, **watch)}


def ask(project: Any, *rows: dict[str, Any]) -> list[Any]:
    running = service(project)
    running.start()
    answers, log = running.live.predictor("authorise").answered(list(rows))
    running.committer.submit(log).result()
    running.close()
    return list(answers)


def outcomes(project: Any) -> dict[str, float]:
    """The outcome by payment and amount, of all predictions that have one."""
    watched = Watched.of(project.reading("test"), "authorise")
    assert watched is not None
    found = watched.predictions()
    known = found.take(found.known)
    return {
        f"{row['payment']} {row['amount']:g}": y for row, y in zip(known.table.to_pylist(), known.outcomes, strict=True)
    }


def test_silence_is_false_only_of_what_was_predicted_after_the_first_outcome_was_sent(monkeypatch: Any) -> None:
    """One test of the API made every mature prediction false that had been served before."""
    old = (NOW - timedelta(days=3)).isoformat()
    with ms.testing.project(nodes(), {"payments": PAST}) as project:
        project.run()
        project.promote("fraud")
        known = {"payment": "p0", "amount": 20.0, "time": (PAST[0]["paid_at"] + timedelta(seconds=1)).isoformat()}
        first, *_others = ask(
            project,
            {"payment": "n0", "amount": 1.0, "time": old},
            {"payment": "n1", "amount": 1.0, "time": old},
            {
                "payment": "n2",
                "amount": 1.0,
            },  # its outcome is due after the first one is sent, which may have missed it
            known,
        )
        project.run()
        assert outcomes(project) == {"p0 20": 1.0}
        project.outcomes("authorise", [{"id": first.id, "value": False}])
        present = datetime.now(UTC).isoformat()
        together = [{"payment": "n4", "amount": amount, "time": present} for amount in (1.0, 2.0)]
        after = ask(project, {"payment": "n3", "amount": 1.0}, {"payment": "n5", "amount": 1.0}, *together)
        project.outcomes("authorise", [{"id": after[1].id, "value": True}, {"id": after[2].id, "value": True}])
        project.run()
        assert outcomes(project) == {"p0 20": 1.0, "n0 1": 0.0}

        later = datetime.now(UTC) + timedelta(days=3)
        for module in ("features.targets", "monitoring.cohorts", "project.situation"):
            monkeypatch.setattr(f"mainstem.{module}.now", lambda: later)
        # Of two amounts that were scored together, one was paid: nothing happened to the other.
        assert outcomes(project) == {"p0 20": 1.0, "n0 1": 0.0, "n3 1": 0.0, "n5 1": 1.0, "n4 1": 1.0}


def test_ids_say_what_belongs_together_where_they_are_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests then send no key, and rows of one instant are no alternatives."""
    found = nodes(outcomes_by="payment")
    with ms.testing.project(found, {"payments": PAST}) as project:
        project.run()
        project.promote("fraud")
        (first,) = ask(project, {"amount": 1.0})
        project.outcomes("authorise", [{"id": first.id, "value": True}])
        present = datetime.now(UTC).isoformat()
        ask(project, {"amount": 2.0, "time": present}, {"amount": 3.0, "time": present})
        project.run()
        monkeypatch.setattr("mainstem.features.targets.now", lambda: datetime.now(UTC) + timedelta(days=3))
        watched = Watched.of(project.reading("test"), "authorise")
        assert watched is not None
        rows = watched.predictions()
        assert dict(zip(rows.table["amount"].to_pylist(), rows.outcomes.tolist(), strict=True)) == {1: 1, 2: 0, 3: 0}
