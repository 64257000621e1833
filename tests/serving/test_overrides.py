"""Overrides: an operator decides, for some requests or for all, and a running server follows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import MainstemError
from mainstem.nodes.base import Node
from mainstem.nodes.overrides import first
from mainstem.parity.decisions import decisions
from mainstem.project.live import service

START = datetime(2026, 3, 1, tzinfo=UTC)
INSTANT = "timestamp('UTC', 6)"
PAYMENT = {"payment": "string", "paid_at": INSTANT, "card": "string", "amount": "float64", "fraud": "boolean"}


def nodes() -> dict[str, Node]:
    payments = ms.files(
        "payments.csv",
        key="payment",
        time="paid_at",
        schema=PAYMENT,
        known={"*": _.paid_at - ibis.interval(days=1), "fraud": "paid_at"},
    )
    model = ms.model(
        examples=payments,
        prediction_time=_.paid_at - ibis.interval(hours=1),
        target=_.fraud,
        features=["amount", "card"],
        candidates=["linear"],
    )
    costs = ms.cheapest(allow=_.score * 10, review=_.score + 900, block=5 * (1 - _.score), at_most={"review": "2/1d"})
    grid = ms.grid(amount=ms.steps(10, 50, 10))
    return {
        "payments": payments,
        "model": model,
        "authorise": ms.endpoint(model, decide=costs),
        "limit": ms.endpoint(model, candidates=grid, decide=ms.best(_.amount), fallback={"amount": 20}),
        "bare": ms.endpoint(model),
    }


@pytest.fixture(scope="module")
def project() -> Iterator[Any]:
    rows = [
        {
            "payment": f"p{n}",
            "paid_at": START + timedelta(hours=3 * n),
            "card": f"c{n % 7}",
            "amount": float(n * 37 % 100),
            "fraud": n * 37 % 100 > 60,
        }
        for n in range(300)
    ]
    with ms.testing.project(nodes(), {"payments": rows}) as opened:
        opened.run()
        opened.promote("model")
        yield opened
        for each in opened.overrides():
            opened.end_override(each.id)


def decided(project: Any, card: str, amount: float = 5.0) -> tuple[Any, list[str]]:
    (answer,) = project.predict("authorise", [{"card": card, "amount": amount}])
    return answer["decision"], answer["flags"]


def test_an_override_decides_for_the_requests_that_it_names(project: Any) -> None:
    assert decided(project, "c1") == ("allow", [])
    stolen = project.override("authorise", "block", {"card": "c1"}, why="stolen", who="ann")
    assert decided(project, "c1") == ("block", [f"override:{stolen.id}"])
    assert decided(project, "c2") == ("allow", [])
    every = project.override("authorise", "review", {}, why="an attack")
    assert decided(project, "c1")[0] == "block", "the override with the most fields decides"
    # An override does not use the quota of two reviews a day.
    answers = project.predict("authorise", [{"card": "c2", "amount": 5.0}] * 4)
    assert [(each["decision"], each["flags"]) for each in answers] == [("review", [f"override:{every.id}"])] * 4
    project.end_override(every.id, who="bob")
    assert decided(project, "c2") == ("allow", [])
    project.end_override(stolen.id)
    assert decided(project, "c1") == ("allow", []) and project.overrides() == []
    kept = {each.id: each for each in project.overrides(ended=True)}
    assert (kept[stolen.id].who, kept[stolen.id].why, kept[every.id].ended_by) == ("ann", "stolen", "bob")


def test_a_running_server_follows_and_the_log_has_it(project: Any, worlds: Any) -> None:
    running = service(project)
    with worlds.listening(running) as http:

        def asked(path: str, row: Any) -> Any:
            return http.post(path, json=row).json()

        def follows(path: str, row: Any, flag: str | None) -> Any:
            """Ask until the server has seen a change."""
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                answer = asked(path, row)
                if [f for f in answer.get("flags", []) if f.startswith("override:")] == ([flag] if flag else []):
                    return answer
                time.sleep(0.05)
            raise AssertionError(f"the server does not follow: {json.dumps(answer)}")

        row = {"card": "c3", "amount": 5.0}
        assert asked("/predict/authorise", row)["decision"] == "allow"
        found = project.override("authorise", "block", {"card": "c3"}, why="stolen")
        answer = follows("/predict/authorise", row, f"override:{found.id}")
        assert answer["decision"] == "block" and answer["values"]["allow"] < answer["values"]["block"]
        assert asked("/predict/limit", {"card": "c3"})["decision"]["amount"] == 50
        switch = project.override("limit", "fallback", {}, why="wrong limits")
        answer = follows("/predict/limit", {"card": "c3"}, f"override:{switch.id}")
        assert answer["decision"]["amount"] == 20 and "fallback" in answer["flags"]
        project.end_override(switch.id)
        assert follows("/predict/limit", {"card": "c3"}, None)["decision"]["amount"] == 50
        project.end_override(found.id)
    project.run()
    rows = project.query("select _decision, _flags from predictions.authorise where _flags <> ''").to_pylist()
    assert {row["_decision"] for row in rows} == {"block"} and {row["_flags"] for row in rows} == {
        f"override:{found.id}"
    }
    report = decisions(project.reading("parity"), "authorise", "predictions.authorise", sample=None, since=None)
    assert report is not None and report.reads == report.equal > 0


def test_an_override_ends_by_itself(project: Any) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    found = project.override("authorise", "block", {"card": "c5"}, why="a test", until=tomorrow)
    assert first([found], {"card": "c5"}, tomorrow - timedelta(seconds=1)) is found
    assert first([found], {"card": "c5"}, tomorrow) is None and first([found], {"card": None}, START) is None
    project.end_override(found.id)


CANNOT: list[tuple[tuple[str, str, dict[str, str], str], str]] = [
    (("authorize", "block", {}, "why"), "unknown endpoint 'authorize'"),
    (("authorise", "blok", {}, "why"), "unknown option 'blok'"),
    (("authorise", "block", {"crad": "c1"}, "why"), "unknown field of a request 'crad'"),
    (("authorise", "block", {"amount": "5"}, "why"), "the field 'amount' cannot be compared"),
    (("authorise", "block", {}, " "), "an override needs a reason"),
    (("limit", "block", {}, "why"), "unknown decision 'block'"),
    (("limit", "fallback", {"amount": "5"}, "why"), "unknown field of a request 'amount'"),
    (("bare", "block", {}, "why"), "the decisions of 'bare' cannot be overridden"),
]


@pytest.mark.parametrize(("given", "what"), CANNOT, ids=[what for _given, what in CANNOT])
def test_what_cannot_be_overridden_is_refused(project: Any, given: Any, what: str) -> None:
    *asked, why = given
    with pytest.raises(MainstemError, match=what):
        project.override(*asked, why=why)
    assert project.overrides() == []
