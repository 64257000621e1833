"""A shadow of another model reads what the champion does not: other views, other request-time features."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.features.retrieval import beyond, retrieval_of
from mainstem.features.views.view import Lookup
from mainstem.logs.shadows import decode_shadowed
from mainstem.nodes.base import Node
from mainstem.nodes.records import new_id
from mainstem.project.live import service

START = datetime(2026, 3, 1, tzinfo=UTC)
INSTANT = "timestamp('UTC', 6)"
SCHEMA = {"id": "string", "at": INSTANT, "card": "string", "amount": "float64", "fraud": "boolean"}
CARD = {"card": "string", "limit": "float64", "country": "string"}


def nodes() -> dict[str, Node]:
    known = {"*": _.at - ibis.interval(days=9), "fraud": "at"}
    payments = ms.files("payments.csv", key="id", time="at", schema=SCHEMA, known=known)
    cards = ms.files("cards.csv", key="card", schema=CARD, known="always")
    place = ms.feature_view(cards, key="card", columns=["country"])
    profile = ms.feature_view(cards, key="card", columns=["limit"])
    share = ms.on_demand(share=_.amount / _.profile__limit)
    common = {
        "examples": payments,
        "prediction_time": _.at - ibis.interval(hours=1),
        "target": _.fraud,
        "candidates": ["linear"],
    }
    fraud = ms.model(features=["amount", place], **common)
    rich = ms.model(features=["amount", place, profile, share], **common)
    shadow = [ms.challenger(fraud), ms.challenger(rich)]
    made = {"payments": payments, "cards": cards, "place": place, "profile": profile, "fraud": fraud, "rich": rich}
    return {**made, "authorise": ms.endpoint(fraud, threshold=0.5, shadow=shadow)}


def rows() -> dict[str, list[dict[str, Any]]]:
    cards = [{"card": f"c{n}", "limit": 50.0 + 40 * n, "country": "DE" if n % 2 else "FR"} for n in range(9)]

    def row(n: int) -> dict[str, Any]:
        amount = float(n * 37 % 400)
        fraud = (amount > cards[n % 9]["limit"]) != (n % 7 == 0)
        return {"id": f"P{n}", "at": START + timedelta(hours=n), "card": f"c{n % 9}", "amount": amount, "fraud": fraud}

    return {"payments": [row(n) for n in range(300)], "cards": cards}


@pytest.fixture(scope="module")
def project() -> Iterator[Any]:
    with ms.testing.project(nodes(), rows()) as made:
        made.run()
        made.promote("fraud")
        yield made


def until(found: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.01)


def asked() -> list[dict[str, Any]]:
    at = (START + timedelta(days=100)).isoformat()
    return [{"amount": 13.0 * n, "card": f"c{n % 10}", "time": at} for n in range(20)]  # c9 is not known


def test_what_both_read_is_read_once(project: Any) -> None:
    known, wanted = retrieval_of(project.graph, "fraud"), retrieval_of(project.graph, "rich")
    left = beyond(known, wanted)
    assert [action.view.name for action in left.actions if isinstance(action, Lookup)] == ["profile"]
    assert len(left.actions) == len(wanted.actions) - 1 and left.columns == wanted.columns
    assert beyond(wanted, known).actions == () and beyond(known, known).actions == ()


def test_it_says_what_its_model_would_have_said(project: Any, worlds: Any) -> None:
    with worlds.listening(service(project)) as client:
        body = client.post("/predict/authorise", json=asked()).json()
        log = lambda: list(project.adapters.store.entries("shadows/authorise", 0))  # noqa: E731
        until(lambda: len(log()) == 20)
        ready = client.get("/ready").json()["challengers"]["authorise"]
    rich = project.release.models["rich"]
    assert ready == [{"version": None}, {"version": rich}]
    found = {each.id: each for each in (decode_shadowed(payload) for _, payload in log())}
    expected = [each["score"] for each in project.predict("rich", asked())]
    scores = [found[each["id"]].score for each in body["predictions"]]
    assert scores == pytest.approx(expected) and len(set(scores)) > 10
    assert scores != pytest.approx([each["score"] for each in body["predictions"]])
    assert {each.version for each in found.values()} == {rich}
    assert [found[each["id"]].decision for each in body["predictions"]] == [score >= 0.5 for score in scores]
    assert project.status().endpoints[0].beside == [
        "shadow: no challenger yet",
        f"shadow: {rich} scores every request",
    ]
    project.run()
    (compared,) = project.compare("authorise")
    assert (compared.challenger.version, compared.challenger.rows) == (rich, 20)


def test_a_view_that_is_not_online_leaves_the_champion_alone(worlds: Any) -> None:
    with ms.testing.project(nodes(), rows()) as project:
        project.run()
        project.promote("fraud")
        before, state = project.release, project.adapters.state
        online = {name: id for name, id in before.online.items() if name != "profile"}
        release = replace(before, id=new_id("rel"), parent=before.id, online=online)
        state.save(release)
        state.move("main", release.id, expect=before.id)
        with worlds.listening(service(project)) as client:
            answer = client.post("/predict/authorise", json=asked())
            _own, other = client.get("/ready").json()["challengers"]["authorise"]
        assert answer.status_code == 200 and len(answer.json()["predictions"]) == 20
        assert other["trouble"]["what"] == "the view 'profile' is not online yet"
