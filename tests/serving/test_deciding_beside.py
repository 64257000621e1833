"""Policies with quotas beside a shadow and a canary: a shadow takes no quota, a canary's answers do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.logs.shadows import decode_shadowed
from mainstem.nodes.base import Node
from mainstem.nodes.records import ModelVersion, new_id
from mainstem.project.live import service

START = datetime(2026, 3, 1, tzinfo=UTC)
INSTANT = "timestamp('UTC', 6)"
SCHEMA = {"id": "string", "at": INSTANT, "card": "string", "amount": "float64", "fraud": "boolean"}
ALLOWED = 3


def nodes(**options: Any) -> dict[str, Node]:
    known = {"*": _.at - ibis.interval(days=9), "fraud": "at"}
    payments = ms.files("payments.csv", key="id", time="at", schema=SCHEMA, known=known)
    asked = _.at - ibis.interval(hours=1)
    features = ["amount", "card"]
    fraud = ms.model(examples=payments, prediction_time=asked, target=_.fraud, features=features, candidates=["linear"])
    rule = ms.cheapest(allow=_.score * _.amount, review=0, at_most={"review": f"{ALLOWED}/1d"})
    beside = {"shadow": [ms.challenger(fraud)], "canary": ms.canary(0.5, by="card")}
    chosen = {name: beside[name] for name in options}
    return {"payments": payments, "fraud": fraud, "queued": ms.endpoint(fraud, decide=rule, **chosen)}


def rows() -> list[dict[str, Any]]:
    def row(n: int) -> dict[str, Any]:
        amount = float(n * 37 % 400)
        fraud = (amount > 150) != (n % 7 == 0)
        return {"id": f"P{n}", "at": START + timedelta(hours=n), "card": f"c{n % 9}", "amount": amount, "fraud": fraud}

    return [row(n) for n in range(300)]


def challenged(project: Any) -> None:
    """Publish a copy of the champion as the newest version: it says what the champion says."""
    project.run()
    project.promote("fraud")
    first = project.adapters.state.get(ModelVersion, project.release.champion("queued"))
    state, before = project.adapters.state, project.release
    state.save(replace(first, id="fraud-copy", number=first.number + 1))
    release = replace(before, id=new_id("rel"), parent=before.id, models={"fraud": "fraud-copy"})
    state.save(release)
    state.move("main", release.id, expect=before.id)


def until(found: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.01)


def asked(count: int) -> list[dict[str, Any]]:
    at = (START + timedelta(days=100)).isoformat()
    return [{"amount": 50.0 + n, "card": f"c{n % 20}", "time": at} for n in range(count)]


@pytest.fixture
def shadowed() -> Iterator[Any]:
    with ms.testing.project(nodes(shadow=True), {"payments": rows()}) as project:
        challenged(project)
        yield project


def scored(project: Any) -> dict[str, Any]:
    log = project.adapters.store.entries("shadows/queued", 0)
    return {each.id: each for each in (decode_shadowed(payload) for _, payload in log)}


def test_a_shadow_takes_no_quota_and_sees_those_of_the_champion(shadowed: Any, worlds: Any) -> None:
    with worlds.listening(service(shadowed)) as client:
        answers = []
        for row in asked(10):  # one by one: the shadow works between the answers
            answers.append(client.post("/predict/queued", json=row).json())
            until(lambda: len(scored(shadowed)) == len(answers))
    assert [answer["decision"] for answer in answers] == ["review"] * ALLOWED + ["allow"] * (10 - ALLOWED)
    found = scored(shadowed)
    assert [found[answer["id"]].decision for answer in answers] == [answer["decision"] for answer in answers]
    assert {each.version for each in found.values()} == {"fraud-copy"}


def test_an_override_decides_for_the_shadow_too(shadowed: Any, worlds: Any) -> None:
    shadowed.override("queued", "review", {"card": "c7"}, why="stolen")
    with worlds.listening(service(shadowed)) as client:
        body = client.post("/predict/queued", json=asked(12)).json()["predictions"]
        until(lambda: len(scored(shadowed)) == 12)
    assert body[7]["decision"] == scored(shadowed)[body[7]["id"]].decision == "review"
    assert body[8]["decision"] == scored(shadowed)[body[8]["id"]].decision == "allow"


def test_parity_reads_the_answers_and_leaves_shadows_out(shadowed: Any, worlds: Any) -> None:
    with worlds.listening(service(shadowed)) as client:
        client.post("/predict/queued", json=asked(10))
        until(lambda: len(scored(shadowed)) == 10)
    shadowed.run()
    assert shadowed.table("shadows.queued").to_pyarrow().num_rows == 10
    (report,) = shadowed.parity("queued")
    assert (report.reads, report.ok) == (10, True)
    (found,) = shadowed.compare("queued")
    assert (found.differing, found.verdict) == (0, "too few outcomes")
    assert found.champion.decisions == found.challenger.decisions == {"allow": 10 - ALLOWED, "review": ALLOWED}


def test_a_canary_shares_the_quotas_of_the_endpoint(worlds: Any) -> None:
    with ms.testing.project(nodes(canary=True), {"payments": rows()}) as project:
        challenged(project)
        with worlds.listening(service(project)) as client:
            body = client.post("/predict/queued", json=asked(40)).json()["predictions"]
            body += client.post("/predict/queued", json=asked(40)).json()["predictions"]
        assert Counter(each["decision"] for each in body) == {"review": ALLOWED, "allow": 80 - ALLOWED}
        assert {each.get("version") for each in body} == {None, "fraud-copy"}
        assert {each["policy"] for each in body} == {body[0]["policy"]}
        project.run()
        (report,) = project.parity("queued")
        assert (report.reads, report.ok) == (80, True)
