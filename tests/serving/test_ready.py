"""/ready is 503, and says which endpoint cannot answer and why; /live stays 200."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mainstem.errors import Unavailable
from mainstem.features.online.meta import space_of
from mainstem.nodes.records import Binding, Release
from mainstem.serving.counters import Shared
from mainstem.serving.limits import Limits
from mainstem.serving.live import Live


def missing(world: Any, directory: Any) -> None:
    shutil.rmtree(directory)


def damaged(world: Any, directory: Any) -> None:
    model = directory / "model.onnx"
    model.write_bytes(bytes([model.read_bytes()[0] ^ 1]) + model.read_bytes()[1:])


def truncated(world: Any, directory: Any) -> None:
    (directory / "manifest.json").write_text("{")


def unknown_version(world: Any, directory: Any) -> None:
    world.publish(endpoints={"arrivals": Binding("nonsense")})


def no_state(world: Any, directory: Any) -> None:
    with world.store.transaction() as writer:
        writer.clear(space_of("leg", world.release.online["leg"]), None)


@pytest.mark.parametrize(
    ("breaks", "what"),
    [
        (missing, "the directory has no model artifact"),
        (damaged, "the model is not the one its manifest describes"),
        (truncated, "the manifest cannot be read"),
        (unknown_version, "the champion nonsense of 'arrivals' no longer exists"),
        (no_state, "the online state of 'leg' is gone from the store"),
    ],
)
def test_an_endpoint_that_cannot_answer_is_named(
    worlds: Any, world: Any, breaks: Callable[[Any, Any], None], what: str
) -> None:
    version = worlds.artifact(world.root, 1)
    world.promote(version)
    breaks(world, world.root / version.artifact)
    with worlds.listening(world.service()) as client:
        ready = client.get("/ready")
        assert ready.status_code == 503
        assert ready.json()["ready"] is False
        assert ready.json()["broken"]["arrivals"]["what"] == what
        assert client.get("/live").status_code == client.get("/health").status_code == 200
        answer = client.post("/predict/arrivals", json={"flight_id": "F1", "distance": 1})
        assert answer.status_code >= 500 and answer.json()["what"] == what


def test_the_branch_is_followed_while_counters_cannot_be_shared(worlds: Any, world: Any, tmp_path: Path) -> None:
    """As on a full disk: one failure must not end the task that follows the branch."""
    world.promote(worlds.artifact(world.root, 1))
    service = world.service()
    service.metrics.shared = Shared(tmp_path, 0)
    with worlds.listening(service) as client:
        (tmp_path / "0.part").mkdir()  # the file cannot be written
        time.sleep(3 * service.limits.poll)
        world.promote(worlds.artifact(world.root, 2))
        end = time.monotonic() + 20
        while client.get("/ready").json()["endpoints"] != {"arrivals": "late-2"}:
            assert time.monotonic() < end, "the new champion is not followed"
            time.sleep(0.1)


def test_it_is_ready_again_when_a_good_version_is_promoted(worlds: Any, world: Any) -> None:
    version = worlds.artifact(world.root, 1)
    world.promote(version)
    missing(world, world.root / version.artifact)
    service = world.service()
    with worlds.listening(service) as client:
        assert client.get("/ready").status_code == 503
        world.promote(worlds.artifact(world.root, 2))
        service.refresh(force=True)
        assert client.get("/ready").json()["endpoints"] == {"arrivals": "late-2"}
        assert client.get("/ready").status_code == 200


def test_an_endpoint_without_a_champion_is_no_fault(worlds: Any, world: Any) -> None:
    with worlds.listening(world.service()) as client:
        ready = client.get("/ready")
        assert (ready.status_code, ready.json()["endpoints"]) == (200, {"arrivals": None})


def test_the_server_writes_again_after_a_long_hold_of_the_store(worlds: Any, world: Any) -> None:
    """Requests that waited for it longer than they may got 503. Those that come later are taken."""
    world.promote(worlds.artifact(world.root, 1))
    event = {"events": [worlds.departure(0)], "backfill": True}
    with worlds.listening(world.service(Limits(seconds=0.5))) as client:
        with world.store.transaction():  # as a run that writes
            assert client.post("/events/departures", json=event).status_code == 503
        end = time.monotonic() + 20
        while (answer := client.post("/events/departures", json=event)).status_code != 202:
            assert answer.status_code == 503 and time.monotonic() < end, answer.text


def test_what_was_scraped_outlives_a_worker_that_is_killed(worlds: Any, world: Any, tmp_path: Path) -> None:
    """A counter that falls, if only by one, is a restart for Prometheus: its rate jumps by all that was counted."""
    world.promote(worlds.artifact(world.root, 1))
    service = world.service(Limits(poll=600))
    service.metrics.shared = Shared(tmp_path, 0)
    with worlds.listening(service) as client:
        client.post("/predict/arrivals", json={"flight_id": "F1", "distance": 1})
        counted = 'mainstem_predictions_total{endpoint="arrivals",version="late-1"} 1.0'
        assert counted in client.get("/metrics").text
        assert counted in Shared(tmp_path, 1).together("")


def test_nothing_is_unknown_before_a_release_is_loaded() -> None:
    """A client sends again what gets 503, and not what gets 404."""
    live = Live(Release(id="", branch="", run=""))
    for asked in (live.predictor, live.ingest, live.taker):
        with pytest.raises(Unavailable, match="nothing is published yet"):
            asked("departures")
