"""The API over features and logs on a Redis server, which is killed meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx

from mainstem.planning.plan import Step
from mainstem.stores.redis import RedisStore

DURABLE = {"appendonly": "yes", "appendfsync": "always"}


def test_a_server_that_is_killed_is_told_and_found_again(make_redis: Any, worlds: Any, tmp_path: Path) -> None:
    server = make_redis(**DURABLE)
    world = worlds.begun(tmp_path, store=RedisStore(server.url, "flights", "main"))
    world.promote(worlds.artifact(tmp_path, 1))
    service = world.service()
    row = {"flight_id": "F1", "distance": 1.0, "time": worlds.NOON.isoformat()}
    acknowledged: list[str] = []

    with worlds.listening(service) as client:

        def feed() -> None:
            for number in range(100_000):
                event = {**worlds.departure(0), "flight_id": f"E{number}"}
                body = {"events": [event], "backfill": True}
                answer = httpx.post(f"{client.base_url}/events/departures", json=body, timeout=30)
                if answer.status_code != 202:
                    return
                acknowledged.append(event["flight_id"])

        feeding = threading.Thread(target=feed)
        feeding.start()
        while len(acknowledged) < 30:
            assert client.post("/predict/arrivals", json=row).status_code == 200
        server.kill()
        feeding.join()
        answer = client.post("/predict/arrivals", json=row)
        assert answer.status_code == 503 and answer.json()["what"] == "the online store cannot be reached"
        assert client.get("/health").status_code == 200

        server.start()
        again = {**worlds.departure(0), "flight_id": "last"}
        assert client.post("/events/departures", json={"events": [again], "backfill": True}).status_code == 202
        counted = client.post("/predict/arrivals", json=row).json()["features"]["airport__departures_1h"]

    world.run(Step("drain", "departures", "test"))
    stored = [row["flight_id"] for row in world.rows("departures")]
    assert counted == len(stored) + 1  # and the one of the history
    assert len(stored) == len(set(stored)) and {*acknowledged, "last"} <= set(stored)
    assert len(stored) <= len(acknowledged) + 2  # the one on its way may have arrived
    world.close()
