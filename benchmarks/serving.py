"""Predictions and events over HTTP: one client with a keep-alive connection, against a server process of its own.

    python benchmarks/serving.py

It prints the median and the 95th percentile of a prediction with online features (logged on disk before it is
answered) beside the bare parts of it on this machine: an empty request to the same server, and one durable commit of
LMDB alone; then batches, events, and what eight clients get, who share commits. TMPDIR says which disk is measured.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TESTS = Path(__file__).parent.parent / "tests" / "serving"
JSON = {"content-type": "application/json"}


def load_world() -> Any:
    spec = importlib.util.spec_from_file_location("mainstem_test_world", TESTS / "world.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mainstem_test_world"] = module
    spec.loader.exec_module(module)
    return module


def timed(work: Callable[[], Any], times: int) -> list[float]:
    """Milliseconds of each call, after a tenth of them to warm up."""
    for _ in range(times // 10):
        work()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1000)
    return sorted(found)


def line(what: str, sample: list[float], rows: int = 1) -> None:
    p50, p95 = statistics.median(sample), sample[int(len(sample) * 0.95)]
    rate = rows * len(sample) / sum(sample) * 1000
    print(f"{what:<46} p50 {p50:7.3f} ms   p95 {p95:7.3f} ms   {rate:10,.0f} rows/s")


def client(url: str) -> Callable[[str, str, Any], Any]:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port)

    def send(method: str, path: str, body: Any = None) -> Any:
        connection.request(method, path, None if body is None else json.dumps(body), JSON)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status < 300, text
        return text

    return send


def concurrently(url: str, clients: int, times: int, row: Any) -> list[float]:
    found: list[float] = []

    def work() -> None:
        send = client(url)
        found.extend(timed(lambda: send("POST", "/predict/arrivals", row), times))

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(found)


def main() -> None:
    worlds = load_world()
    root = Path(tempfile.mkdtemp(prefix="mainstem-bench-"))
    world = worlds.begun(root)
    world.promote(worlds.artifact(root, 1))
    payload = b"x" * 400

    def commit() -> None:
        with world.store.transaction() as writer:
            writer.append("bench", [payload])

    row = {"flight_id": "F1", "distance": 1.0, "time": worlds.NOON.isoformat()}
    many = [{**row, "flight_id": f"F{n % 3}"} for n in range(1000)]
    event = {"events": [worlds.departure(0)], "backfill": True}
    events = {"events": [worlds.departure(0)] * 36, "backfill": True}
    command = [sys.executable, str(TESTS / "process.py"), str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        send = client(url)
        bare = timed(lambda: send("GET", "/health"), 1000)
        durable = timed(commit, 1000)
        one = timed(lambda: send("POST", "/predict/arrivals", row), 1000)
        line("GET /health: HTTP alone", bare)
        line("LMDB alone: one durable commit", durable)
        line("POST /predict: one row", one)
        line("POST /predict: 1,000 rows", timed(lambda: send("POST", "/predict/arrivals", many), 20), 1000)
        line("POST /events: one event", timed(lambda: send("POST", "/events/departures", event), 200))
        line("POST /events: 36 events", timed(lambda: send("POST", "/events/departures", events), 100), 36)
        line("POST /predict: 8 clients", concurrently(url, 8, 250, row), 8)
        parts = statistics.median(bare) + statistics.median(durable)
        print(f"a prediction costs {statistics.median(one) / parts:.2f} × the bare request and commit")
        process.terminate()
    world.close()


if __name__ == "__main__":
    main()
