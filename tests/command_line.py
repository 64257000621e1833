"""A small real project and what is around it: commands in processes of their own, an API, a disk of a few kilobytes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

TEMPLATE = Path(__file__).parent / "cli" / "project"
NOON = datetime(2013, 12, 1, 12, tzinfo=UTC)
PATIENCE = 120.0
"""Seconds after which something that should have happened never will."""


# ── the world ─────────────────────────────────────────────────────────────────────────────────────────


class World:
    """The API of the weather. It can be taken down; and it can hold an answer back, and tell that it was asked."""

    def __init__(self) -> None:
        self.hours = 24
        self.held: set[int] = set()
        self.asked = threading.Semaphore(0)
        self.release = threading.Event()
        self._requests = 0
        self._port = 0
        self.up()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def up(self) -> None:
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                since = parse_qs(urlsplit(self.path).query).get("observed_at", [""])[0]
                body = json.dumps(world.answer(since)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle(self) -> None:
                with suppress(OSError):  # who asked was interrupted
                    super().handle()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def hold(self, request: int) -> None:
        """Keep the nth request from now on without an answer."""
        self.held = {self._requests + request}

    def answer(self, since: str) -> list[dict[str, Any]]:
        self._requests += 1
        if self._requests in self.held:
            self.asked.release()
            self.release.wait(PATIENCE)
        hours = [f"{NOON - timedelta(days=1) + timedelta(hours=n):%Y-%m-%dT%H:00:00Z}" for n in range(self.hours)]
        return [{"observed_at": hour, "wind": 5.0 + n} for n, hour in enumerate(hours) if hour >= since]


# ── the project ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str


class Project:
    """A project, seen by somebody at a terminal."""

    def __init__(self, root: Path, world: World) -> None:
        self.root = root
        self.env = {**os.environ, "WORLD_URL": world.url}
        self.env.pop("COLUMNS", None)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command in a process group of its own, as a shell starts it."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # not ignored, as in a background job
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "mainstem", *arguments],
                cwd=self.root,
                env=self.env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def end(self, process: subprocess.Popen[str], signal: int | None = None) -> Ended:
        """Wait for the end, having sent the signal to the whole group, as a terminal does."""
        if signal is not None:
            os.killpg(process.pid, signal)
        out, err = process.communicate(timeout=PATIENCE)
        return Ended(process.returncode, self.scrubbed(out), self.scrubbed(err))

    def mainstem(self, *arguments: str) -> Ended:
        return self.end(self.start(*arguments))

    def scrubbed(self, text: str) -> str:
        """What is the same in every run: paths, ids and ports have names."""
        text = text.replace(str(self.root), "/project").replace(self.env["WORLD_URL"], "http://world")
        text = re.sub(r"(run|rel)-\d{8}-[0-9a-f]{8}", r"\1-ID", text)
        text = re.sub(r"(\w+)__[0-9a-f]{8}", r"\1__HASH", text)
        return re.sub(r"[0-9a-f]{32}\.parquet|(?<=snapshot )\d+", "ID", text)

    # ── what is asserted everywhere ──────────────────────────────────────────────────────────────────

    def published(self, table: str = "legs") -> int:
        """How many rows `mainstem query` finds."""
        ended = self.mainstem("query", f"select count(*) as n from {table}", "--json")
        assert (ended.code, ended.err) == (0, ""), ended.err
        rows: int = json.loads(ended.out)["rows"][0]["n"]
        return rows

    def refuses(self, *arguments: str, code: int = 1) -> str:
        """What the command says on standard error. It fails, without a traceback, and harms nothing published."""
        ended = self.mainstem(*arguments)
        assert ended.code == code, ended
        assert "Traceback" not in ended.err + ended.out
        return ended.err

    def goes_on(self) -> str:
        """The next run publishes; what it says of its steps."""
        ended = self.mainstem("run")
        assert (ended.code, ended.err) == (0, ""), ended.err
        assert "\npublished in" in ended.out
        return ended.out

    # ── what happens to it ───────────────────────────────────────────────────────────────────────────

    def add(self, *lines: str, to: str = "data/flights.csv") -> None:
        with (self.root / to).open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    @contextmanager
    def broken(self, file: str, old: str, new: str) -> Iterator[None]:
        """The project while `old` stands as `new` in a file."""
        text = (self.root / file).read_text()
        assert old in text
        self.write(file, text.replace(old, new, 1))
        yield
        self.write(file, text)

    def write(self, file: str, text: str) -> None:
        """Write a file, a second later than before: Python takes a module of that length and second for compiled."""
        path = self.root / file
        later = path.stat().st_mtime + 1
        path.write_text(text)
        os.utime(path, (later, later))

    @contextmanager
    def small_disk(self, directory: str, free: int) -> Iterator[Any]:
        """A directory of the project on a file system of its own with `free` KiB left. What is given makes room."""
        place, kept = self.root / directory, self.root.with_name("kept")
        shutil.copytree(place, kept)
        command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        if mounted.returncode:
            shutil.rmtree(kept)
            cannot(f"a small disk cannot be mounted, which takes root on Linux: {mounted.stderr.strip()}")
        try:
            shutil.copytree(kept, place, dirs_exist_ok=True)
            disk = shutil.disk_usage(place)

            def resize(kilobytes: int) -> None:
                size = f"size={disk.used // 1024 + kilobytes}k"
                subprocess.run(["mount", "-o", f"remount,{size}", str(place)], check=True)

            resize(free)
            yield lambda: resize(64 << 10)
        finally:
            subprocess.run(["umount", str(place)], check=True)
            shutil.rmtree(kept)


def cannot(reason: str) -> None:
    """Skip a test that needs something which this machine lacks. Under CI it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def flight(number: int, **other: Any) -> str:
    """A line of the CSV files."""
    at = NOON + timedelta(hours=number - 120)
    fields = {
        "flight_id": f"F{number}",
        "origin": ("JFK", "LGA", "EWR")[number % 3],
        "distance": 500 + 13 * number % 900,
        "scheduled_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "arrived_at": f"{at + timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}",
        "delay": 37 * number % 60 - 20,
    }
    return ",".join(map(str, {**fields, **other}.values()))


FLIGHTS = 120
HEADER = "flight_id,origin,distance,scheduled_at,arrived_at,delay"
PAST = ["flight_id,origin,delay,departed_at", *(f"P{n},{n},5,2013-11-30T10:00:00Z" for n in ("JFK", "LGA", "EWR"))]


def publish(root: Path, world: World, modules: str) -> Project:
    shutil.copytree(TEMPLATE, root, ignore=shutil.ignore_patterns("__pycache__"))
    settings = root / "mainstem.toml"
    settings.write_text(settings.read_text().replace('modules = ["flights"]', f"modules = {modules}"))
    (root / "data").mkdir()
    project = Project(root, world)
    project.add(HEADER, *map(flight, range(FLIGHTS)))
    project.add(*PAST, to="past.csv")
    project.goes_on()
    return project


@contextmanager
def restored(project: Project) -> Iterator[Project]:
    """A project that is afterwards as it was before, in the same place: stored tables know where they lie."""
    saved = project.root.with_name("saved")
    shutil.copytree(project.root, saved)
    try:
        yield project
    finally:
        shutil.rmtree(project.root)
        saved.rename(project.root)


# ── a server ──────────────────────────────────────────────────────────────────────────────────────────


class Served:
    """`mainstem serve` and a client of it."""

    def __init__(self, project: Project, process: subprocess.Popen[str], url: str) -> None:
        self.project, self.process = project, process
        self.client = httpx.Client(base_url=url, timeout=30)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """The status of an answer and its JSON; a text is sent as it is."""
        content = body if isinstance(body, str) else json.dumps(body)
        answer = self.client.post(path, content=content, headers={"content-type": "application/json"})
        return answer.status_code, answer.json()

    def count(self, metric: str) -> float:
        """The sum of a counter over its labels."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(metric))


@contextmanager
def serving(project: Project, *arguments: str) -> Iterator[Served]:
    process = project.start("serve", "--port", "0", *arguments)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), (line, process.communicate()[1])
        served = Served(project, process, line.split()[0])
        with served.client:
            yield served
    finally:
        if process.poll() is None:
            ended = project.end(process, signal.SIGINT)
            assert ended.code == 0
            said = [json.loads(line) for line in ended.err.splitlines()]
            assert [line for line in said if "traceback" in line] == []


@pytest.fixture(scope="session")
def one_world() -> Iterator[World]:
    made = World()
    yield made
    made.down()


@pytest.fixture(scope="session")
def live_once(one_world: World, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with its model, which is live."""
    project = publish(tmp_path_factory.mktemp("live") / "project", one_world, '["flights", "live"]')
    assert project.mainstem("promote", "late").code == 0
    return project
