"""Several workers over one store: real processes, which are killed and stopped under load."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from mainstem.errors import RunFailed
from mainstem.logs.predictions import logged_predictions
from mainstem.planning.plan import Step
from mainstem.serving.server import listen
from mainstem.serving.supervisor import Supervisor
from mainstem.stores.redis import RedisStore
from server_process import PROCESS

JSON = {"content-type": "application/json"}


@dataclass
class Server:
    """A server with workers: its process, and the process number of each worker that it started, in order."""

    process: subprocess.Popen[str]
    url: str = ""
    started: list[tuple[int, int]] = field(default_factory=list)

    def read(self, up: threading.Event) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("worker "):
                slot, pid = line.split()[1:]
                self.started.append((int(slot), int(pid)))
            else:
                self.url = line.strip()
                up.set()

    def pid(self, slot: int) -> int:
        return next(pid for number, pid in reversed(self.started) if number == slot)

    def replaced(self, slot: int, pid: int) -> bool:
        return self.pid(slot) != pid


@contextmanager
def serving(root: Path, workers: int = 2, errors: Any = None, **environment: str) -> Iterator[Server]:
    command = [sys.executable, str(PROCESS), str(root)]
    env = {**os.environ, "SERVER_WORKERS": str(workers), **environment}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=env)
    server, up = Server(process), threading.Event()
    thread = threading.Thread(target=server.read, args=(up,))
    thread.start()
    try:
        assert up.wait(90), "not all workers answer"
        yield server
    finally:
        for pid in (pid for _, pid in server.started):  # a stopped worker cannot end otherwise
            if alive(pid):
                os.kill(pid, signal.SIGCONT)
        if process.poll() is None:
            process.terminate()
        assert process.wait(60) == 0
        thread.join()
        assert process.stdout is not None
        process.stdout.close()
        assert not any(alive(pid) for _, pid in server.started)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def eventually(check: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


@dataclass
class Acknowledged:
    """What clients were told: the ids of predictions, and the events that were taken."""

    predictions: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    failed: int = 0
    over: bool = False


async def client(url: str, worlds: Any, number: int, told: Acknowledged) -> None:
    """Predict, and send events, on a connection that is made again when its worker is gone."""
    row = {"flight_id": "F1", "distance": 1.0, "time": worlds.NOON.isoformat()}
    sent = 0
    while not told.over:
        try:
            async with httpx.AsyncClient(base_url=url, timeout=60) as http:
                while not told.over:
                    answer = await http.post("/predict/arrivals", content=json.dumps(row), headers=JSON)
                    assert answer.status_code == 200, answer.text
                    told.predictions.append(answer.json()["id"])
                    event = {**worlds.departure(0), "flight_id": f"E{number}-{sent}"}
                    sent += 1
                    body = json.dumps({"events": [event], "backfill": True})
                    answer = await http.post("/events/departures", content=body, headers=JSON)
                    assert answer.status_code == 202, answer.text
                    told.events.append(event["flight_id"])
        except httpx.HTTPError:
            told.failed += 1


@contextmanager
def load(url: str, worlds: Any, clients: int = 8) -> Iterator[Acknowledged]:
    told = Acknowledged()

    async def every() -> None:
        await asyncio.gather(*(client(url, worlds, n, told) for n in range(clients)))

    thread = threading.Thread(target=lambda: asyncio.run(every()))
    thread.start()
    try:
        yield told
    finally:
        told.over = True
        thread.join()


def more(told: Acknowledged, count: int = 60) -> None:
    """Wait until so many more predictions and events are acknowledged."""
    before = len(told.predictions), len(told.events)
    eventually(lambda: len(told.predictions) > before[0] + count and len(told.events) > before[1] + count)


def check_nothing_lost(world: Any, told: Acknowledged) -> None:
    ids = [each.id for each in logged_predictions(world.store, "arrivals")]
    assert len(ids) == len(set(ids)) and set(told.predictions) <= set(ids)
    world.run(Step("drain", "departures", "test"))
    stored = [row["flight_id"] for row in world.rows("departures")]
    assert len(stored) == len(set(stored)) and set(told.events) <= set(stored)
    service = world.service()
    service.start()
    (answer,) = service.live.predictor("arrivals").predict([{"flight_id": "F1", "distance": 1.0, "time": NOON}])
    service.close()
    assert answer.features["airport__departures_1h"] == len(stored) + 1  # and the one of the history


NOON = "2013-12-01T12:00:00Z"


@pytest.mark.parametrize("kind", ["lmdb", "redis"])
def test_a_worker_that_is_killed_under_load_is_replaced_and_nothing_is_lost(
    kind: str, worlds: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environment, store = dict[str, str](), None
    if kind == "redis":
        server = request.getfixturevalue("make_redis")(appendonly="yes", appendfsync="always")
        environment["REDIS"] = server.url
        store = RedisStore(server.url, "flights", "main")
    world = worlds.begun(tmp_path, store=store)
    world.promote(worlds.artifact(tmp_path, 1))
    with serving(tmp_path, 3, **environment) as served, load(served.url, worlds) as told:
        for slot in (0, 1, 0):
            more(told)
            pid = served.pid(slot)
            os.kill(pid, signal.SIGKILL)
            eventually(lambda slot=slot, pid=pid: served.replaced(slot, pid))
        more(told)
    assert told.failed > 0  # connections of the killed
    check_nothing_lost(world, told)
    world.close()


def test_a_worker_that_hangs_is_replaced(world: Any, worlds: Any) -> None:
    """It may be stopped in the middle of a commit: the others wait until it is killed."""
    world.promote(worlds.artifact(world.root, 1))
    with serving(world.root, 2, HANG="2") as served, load(served.url, worlds) as told:
        more(told)
        pid = served.pid(1)
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: served.replaced(1, pid))
        assert not alive(pid)
        more(told)
    check_nothing_lost(world, told)


def test_a_new_release_reaches_all_workers(world: Any, worlds: Any) -> None:
    world.promote(worlds.artifact(world.root, 1))
    second = worlds.artifact(world.root, 2, bias=1.0)
    row = {"flight_id": "F1", "distance": 1.0, "time": NOON}

    def versions() -> set[str]:
        """Of many connections, each to any worker."""
        return {httpx.post(f"{served.url}/predict/arrivals", json=row).json()["version"] for _ in range(24)}

    with serving(world.root, 2) as served:
        assert versions() == {"late-1"}
        world.promote(second)
        eventually(lambda: versions() == {"late-2"})
        time.sleep(0.5)
        assert versions() == {"late-2"}
        world.publish(endpoints={"arrivals": type(world.release.endpoints["arrivals"])("late-1")})  # back
        eventually(lambda: versions() == {"late-1"})


def test_sigterm_lets_open_requests_of_all_workers_finish(world: Any, worlds: Any, tmp_path: Path) -> None:
    """And what waits is written: each worker ends in order, as its code says."""
    world.promote(worlds.artifact(world.root, 1))
    errors = tmp_path / "errors"
    with (
        errors.open("w") as file,
        serving(world.root, 2, errors=file) as served,
        load(served.url, worlds) as told,
    ):
        more(told)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(60) == 0
        told.over = True
    check_nothing_lost(world, told)
    assert "Traceback" not in errors.read_text() and "failed while it stopped" not in errors.read_text()


def test_new_connections_are_refused_while_open_requests_finish(world: Any) -> None:
    """They would wait for the end of the others, and then be reset: a client should try another server at once."""
    with serving(world.root, 2, DRAIN="8") as served:
        address = (urlsplit(served.url).hostname, urlsplit(served.url).port)
        with socket.create_connection(address) as open_:
            open_.sendall(
                b"POST /predict/arrivals HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            time.sleep(0.5)
            served.process.send_signal(signal.SIGTERM)

            def refused() -> bool:
                try:
                    socket.create_connection(address, timeout=5).close()
                except ConnectionRefusedError:
                    return True
                return False

            eventually(refused, 5)
            assert served.process.poll() is None, "an open request has its time"


def test_connections_are_spread_over_workers(world: Any) -> None:
    with serving(world.root, 2) as served, ExitStack() as stack:
        for _ in range(20):
            http = stack.enter_context(httpx.Client(base_url=served.url, timeout=30))
            assert http.get("/health").status_code == 200
        counts = [connections(served.pid(slot), urlsplit(served.url).port or 0) for slot in (0, 1)]
        assert sum(counts) == 20 and min(counts) >= 5


def connections(pid: int, port: int) -> int:
    """How many connections of a port a process has."""
    of = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if _is(line, port)}
    held = (str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink())
    return sum(name.removeprefix("socket:[").removesuffix("]") in of for name in held)


def _is(line: str, port: int) -> bool:
    _, local, _, state, *_ = line.split()
    return state == "01" and int(local.split(":")[1], 16) == port


def test_workers_end_when_their_supervisor_is_killed(world: Any, worlds: Any) -> None:
    process = subprocess.Popen(
        [sys.executable, str(PROCESS), str(world.root)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SERVER_WORKERS": "2"},
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    pids = [int(line.split()[2]) for line in lines if line.startswith("worker ")]
    process.kill()
    process.wait()
    process.stdout.close()
    assert len(pids) == 2
    eventually(lambda: not any(map(running, pids)))


def running(pid: int) -> bool:
    """Whether a process runs. One that has ended, and whose parent was killed, may not be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_metrics_are_of_all_workers_and_outlive_one(world: Any, worlds: Any) -> None:
    world.promote(worlds.artifact(world.root, 1))
    row = {"flight_id": "F1", "distance": 1.0, "time": NOON}

    def counted() -> float:
        text = httpx.get(f"{served.url}/metrics").text
        (line,) = (line for line in text.splitlines() if line.startswith("mainstem_predictions_total{"))
        assert text.count("# TYPE mainstem_predictions_total counter") == 1
        assert text.count('mainstem_request_seconds_bucket{le="+Inf",path="/predict/NAME"}') == 1
        return float(line.split()[-1])

    with serving(world.root, 2) as served:
        for _ in range(40):
            assert httpx.post(f"{served.url}/predict/arrivals", json=row).status_code == 200
        eventually(lambda: counted() == 40)
        for slot in (0, 1):
            pid = served.pid(slot)
            os.kill(pid, signal.SIGKILL)
            eventually(lambda slot=slot, pid=pid: served.replaced(slot, pid))
        eventually(lambda: counted() == 40)


def test_a_worker_that_cannot_start_ends_the_server(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    with pytest.raises(RunFailed, match="a worker ended before it could answer") as caught:
        Supervisor(command, listen("127.0.0.1", 0), 2, patience=10, drain=1).run()
    assert caught.value.got == "exit code 3" and caught.value.hint


def test_a_server_lives_when_the_system_cannot_start_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a worker was killed for want of memory, and there still is none."""
    beating = (
        "import socket, sys, time\n"
        "link = socket.socket(fileno=int(sys.argv[2]))\n"
        "while True:\n    link.send(b'+')\n    time.sleep(0.1)\n"
    )
    start, refused, pids = subprocess.Popen, list[bool](), list[int]()

    def popen(*arguments: Any, **options: Any) -> Any:
        if pids and len(refused) < 2:
            refused.append(True)
            raise BlockingIOError(11, "Resource temporarily unavailable")
        made = start(*arguments, **options)
        pids.append(made.pid)
        return made

    def act() -> None:
        os.kill(pids[0], signal.SIGKILL)
        try:
            eventually(lambda: len(pids) == 2, 20)
        finally:
            if not over.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", popen)
    killer, over = threading.Thread(target=act), threading.Event()
    command = [sys.executable, "-c", beating]
    told = [killer.start]
    try:
        Supervisor(command, listen("127.0.0.1", 0), 1, patience=10, drain=1, started=lambda url: told.pop()()).run()
    finally:
        over.set()
    killer.join()
    assert len(refused) == 2 and len(pids) == 2
