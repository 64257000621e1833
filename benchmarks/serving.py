"""Predictions and events over HTTP, beside the bare parts of a prediction and beside a server written with FastAPI.

    python benchmarks/serving.py [--repeat 15]

Every server is a process of its own; the clients are one process with keep-alive connections. All sides take turns, so
that a busy moment of the machine hits all alike, and ratios count, not milliseconds. Mainstem's world has two views:
each prediction reads its features, and is logged on disk before it is answered. "One by one" is the same server
without coalescing. FastAPI gets the inputs of the same ONNX model from the client: it reads no features, and commits
each request to LMDB before it answers. MLServer, BentoML and MLflow get the same inputs, and log nothing. They are
installed by pip in `.mainstem/bench`, when this is run for the first time, FastAPI with uvloop and httptools as
`uvicorn[standard]` has them. The choice among candidates is Mainstem's alone. TMPDIR says which disk is measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from _environments import environment
from _load import Load
from _model_servers import started as model_servers
from _turns import take_turns

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests" / "serving"
FASTAPI = "0.115"
CLIENTS = 16


def load_world() -> Any:
    spec = importlib.util.spec_from_file_location("mainstem_test_world", TESTS / "world.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mainstem_test_world"] = module
    spec.loader.exec_module(module)
    return module


def loaded(url: str, path: str, clients: int, requests: int, body: Any) -> Load:
    """What clients measured who send a body so many times."""
    text = json.dumps(body)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(text)
        file.flush()
        command = [sys.executable, str(HERE / "_load.py"), url, path, str(clients), str(requests), file.name]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Load(**json.loads(said))


@contextmanager
def started(command: Sequence[str], **more: str) -> Iterator[str]:
    """The URL of a server. It is ready when it answers."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **more}) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            assert url.startswith("http://"), url
            yield url
        finally:
            process.terminate()


@contextmanager
def mainstem(root: Path, **more: str) -> Iterator[str]:
    with started([sys.executable, str(TESTS / "process.py"), str(root)], **more) as url:
        yield url


@contextmanager
def fastapi(root: Path, model: Path) -> Iterator[str]:
    needed = (f"fastapi=={FASTAPI}.*", "uvicorn[standard]", "onnxruntime", "numpy", "lmdb")
    python = environment("fastapi", FASTAPI, *needed) / "python"
    with started([str(python), str(HERE / "_fastapi_side.py"), str(model), str(root)]) as url:
        yield url


Sides = Mapping[str, Callable[[], list[float]]]


def compare(what: str, sides: Sides, repeat: int, unit: str) -> None:
    """Print each side: the median and how many times that of the first; `per second` is a rate."""
    taken = take_turns(sides, repeat)
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    base, width = next(iter(medians.values())), max(map(len, medians))
    print(f"{what}; median of {repeat} turns")
    for name, seconds in medians.items():
        shown = f"{1 / seconds:10,.0f} /s" if unit == "per second" else f"{seconds * 1_000:10.3f} ms"
        ratio = base / seconds if unit == "per second" else seconds / base
        print(f"  {name:<{width}} {shown}   {ratio:6.2f} ×")


def median_of(url: str, path: str, requests: int, body: Any) -> Callable[[], list[float]]:
    return lambda: [statistics.median(loaded(url, path, 1, requests, body).seconds)]


def rate_of(url: str, path: str, clients: int, requests: int, body: Any, each: int = 1) -> Callable[[], list[float]]:
    """Seconds for each request, or for each of its events."""
    return lambda: [1 / loaded(url, path, clients, requests, body).rate / each]


def beside_model_servers(ours: str, row: Any, inputs: dict[str, Any], model: Path, root: Path, repeat: int) -> None:
    """Print one row and eight clients of Mainstem and of other model servers with the same model."""
    with ExitStack() as stack:
        others = model_servers(stack, model, root, inputs)
        sides = {"Mainstem": (ours, "/predict/arrivals", row), **others}
        one = {name: median_of(url, path, 40, body) for name, (url, path, body) in sides.items()}
        compare("one row, one client, beside model servers", one, repeat, "ms")
        eight = {name: rate_of(url, path, 8, 240, body) for name, (url, path, body) in sides.items()}
        compare("one row, 8 clients, beside model servers", eight, repeat, "per second")


def among_candidates(requests: int) -> None:
    """Print how long it takes to choose 10 of 500 candidates with 20 features each."""
    with started([sys.executable, "-W", "ignore", str(HERE / "_candidates_side.py")]) as url:
        loaded(url, "/predict/recommend", 1, 20, {})
        taken = loaded(url, "/predict/recommend", 1, requests, {}).seconds
    print(f"10 of 500 candidates with 20 features each, one client; {requests} requests")
    cuts = statistics.quantiles(taken, n=100)
    for name, seconds in (("p50", cuts[49]), ("p99", cuts[98])):
        print(f"  {name} {seconds * 1_000:10.3f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=15)
    repeat = parser.parse_args().repeat
    worlds = load_world()
    root = Path(tempfile.mkdtemp(prefix="mainstem-bench-"))
    made = [worlds.begun(root / name) for name in ("together", "alone") if not (root / name).mkdir()]
    for world in made:
        world.promote(worlds.artifact(world.root, 1))
    row = {"flight_id": "F1", "distance": 1.0, "time": worlds.NOON.isoformat()}
    inputs = {"delay": 4.0, "busy": 0.0, "distance": 1.0, "origin": "JFK"}
    payload = b"x" * 400

    def commit() -> None:
        with made[0].store.transaction() as writer:
            writer.append("bench", [payload])

    def commits() -> list[float]:
        taken = []
        for _ in range(100):
            began = time.perf_counter()
            commit()
            taken.append(time.perf_counter() - began)
        return [statistics.median(taken)]

    with ExitStack() as stack:
        ours = stack.enter_context(mainstem(root / "together"))
        alone = stack.enter_context(mainstem(root / "alone", TOGETHER="1"))
        model = root / "together" / "models" / "late" / "1" / "model.onnx"
        theirs = stack.enter_context(fastapi(root, model))
        constant = median_of(ours, "/health", 100, None)
        compare(
            "one row, one client",
            {
                "a constant reply and a durable commit": lambda: [constant()[0] + commits()[0]],
                "Mainstem": median_of(ours, "/predict/arrivals", 100, row),
                "FastAPI": median_of(theirs, "/predict", 100, [inputs]),
            },
            repeat,
            "ms",
        )
        compare(
            f"one row, {CLIENTS} clients",
            {
                "Mainstem, one by one": rate_of(alone, "/predict/arrivals", CLIENTS, 1_600, row),
                "FastAPI": rate_of(theirs, "/predict", CLIENTS, 1_600, [inputs]),
                "Mainstem": rate_of(ours, "/predict/arrivals", CLIENTS, 1_600, row),
            },
            repeat,
            "per second",
        )
        many = [{**row, "flight_id": f"F{n % 3}"} for n in range(1_000)]
        compare(
            "1,000 rows, one client",
            {
                "FastAPI": median_of(theirs, "/predict", 6, [inputs] * 1_000),
                "Mainstem": median_of(ours, "/predict/arrivals", 6, many),
            },
            repeat,
            "ms",
        )
        beside_model_servers(ours, row, inputs, model, root, repeat)
        # Last: it fills the windows that predictions read.
        events = {n: {"events": [worlds.departure(0)] * n, "backfill": True} for n in (1, 500)}
        compare(
            "events, 4 clients",
            {
                "one in a request": rate_of(ours, "/events/departures", 4, 400, events[1]),
                "500 in a request": rate_of(ours, "/events/departures", 4, 40, events[500], 500),
            },
            repeat,
            "per second",
        )
    among_candidates(40 * repeat)
    for world in made:
        world.close()


if __name__ == "__main__":
    main()
