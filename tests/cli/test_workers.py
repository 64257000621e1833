"""`mainstem serve --workers`: the command, its processes and its log."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx

from command_line import serving

FLIGHT = {"flight_id": "F110", "time": "2013-12-01T01:00:00Z"}


def workers(parent: int) -> list[int]:
    """The processes of `mainstem.cli.worker` that a process started."""
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in found if b"mainstem.cli.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_two_workers_answer_events_and_predictions_and_pages(live: Any) -> None:
    """One is killed, and another takes its place. The log says so, as JSON."""
    with serving(live, "--workers", "2") as server:
        first = workers(server.process.pid)
        assert len(first) == 2
        event = {"flight_id": "E1", "origin": "JFK", "delay": 5.0, "departed_at": "2013-12-01T10:30:00Z"}
        assert server.post("/events/departures", event)[0] == 202
        os.kill(first[0], signal.SIGKILL)
        end = time.monotonic() + 60
        while len(workers(server.process.pid)) < 2 or first[0] in workers(server.process.pid):
            assert time.monotonic() < end
            time.sleep(0.05)
        with httpx.Client(base_url=server.client.base_url, timeout=30) as again:  # the other's worker may be gone
            answer = again.post("/predict/arrivals", json=FLIGHT).json()
            assert 0 < answer["score"] < 1
            assert "departures" in again.get("/").text
        ended = live.end(server.process, signal.SIGINT)
    assert ended.code == 0
    assert '"event":"worker replaced"' in ended.err and '"ended":"signal SIGKILL"' in ended.err
    assert not any(Path(f"/proc/{pid}").exists() for pid in first)
