"""Promotions and rollbacks while clients ask: no request fails, and no answer mixes two versions."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from typing import Any

import httpx
import pytest

from mainstem.logs.predictions import logged_predictions
from mainstem.nodes.challengers import Canary
from mainstem.nodes.records import Binding

BIAS = {"late-1": -1.0, "late-2": 2.0}
THRESHOLD = 0.5


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("canary", [None, Canary(0.3, "flight_id")], ids=["shadow", "canary"])
def test_no_request_fails_and_no_answer_is_mixed(world: Any, worlds: Any, canary: Canary | None) -> None:
    world.declare(threshold=THRESHOLD, canary=canary)
    world.shadowed()
    versions = [worlds.artifact(world.root, n, bias) for n, bias in enumerate(BIAS.values(), start=1)]
    for version in versions:
        world.state.save(version)
    world.publish(endpoints={"arrivals": Binding("late-1")}, models={"late": "late-2"})
    service = world.service()
    answers, trouble, done = list[dict[str, Any]](), list[Any](), threading.Event()

    def ask(client: httpx.Client, number: int) -> None:
        body = {"rows": [{"flight_id": f"X{number}-{n}", "distance": 1.0} for n in range(5)]}
        with httpx.Client(base_url=client.base_url, timeout=30) as own:
            while not done.is_set():
                answer = own.post("/predict/arrivals", json={**body, "time": worlds.NOON.isoformat()})
                if answer.status_code != 200:
                    trouble.append((answer.status_code, answer.text))
                    return
                answers.append(answer.json())

    with worlds.listening(service) as client:
        threads = [threading.Thread(target=ask, args=(client, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        for turn in range(12):  # a promotion, then a rollback to the release before
            before = world.release
            champion = "late-2" if turn % 2 == 0 else "late-1"
            if turn % 2 == 0:
                world.publish(endpoints={"arrivals": Binding(champion)})
            else:
                world.publish(endpoints={"arrivals": Binding(champion)}, rolled_back=before.id)
            time.sleep(0.15)
        done.set()
        for thread in threads:
            thread.join()
    assert not trouble
    seen = Counter(body["version"] for body in answers)
    assert set(seen) == {"late-1", "late-2"} and sum(seen.values()) > 20
    for body in answers:
        for each in body["predictions"]:
            version = each.get("version", body["version"])
            assert each["score"] == pytest.approx(sigmoid(BIAS[version]), abs=1e-6)
            assert each["decision"] is (each["score"] >= THRESHOLD)
            assert ("canary" in each["flags"]) is (version != body["version"])
    told = {
        each["id"]: (each.get("version", b["version"]), each["score"]) for b in answers for each in b["predictions"]
    }
    logged = list(logged_predictions(world.store, "arrivals"))
    assert {entry.id: (entry.version, entry.score) for entry in logged} == told
