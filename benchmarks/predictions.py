"""The log of predictions: blocks of columns beside one entry for each prediction, for requests of 1, 16 and 1,000 rows.

    python benchmarks/predictions.py

A prediction has 30 features. "Logged" is the time of the core that encodes and writes them to LMDB; what the disk takes
is not in it. "Drained" is the wall time of the step that brings 50,000 of them to the lake. Both sides take turns. The
log writes blocks from `FEWEST` predictions on: of fewer, the first line is what is written.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mainstem.logs import records
from mainstem.logs.predictions import FEWEST, payloads_of
from mainstem.logs.records import Prediction, predictions_of
from mainstem.planning.plan import Step
from mainstem.serving.answer import new_ids
from mainstem.stores.lmdb import LmdbStore
from mainstem.streaming import drain
from mainstem.streaming.predictions import HIDDEN
from serving import load_world

REALS = [f"airport__delay_{n}h" for n in range(18)]
WHOLE = [f"leg__flights_{n}d" for n in range(6)]
TEXTS = ["flight_id", "origin", "dest", "carrier", "tailnum"]
SCHEMA = {
    **dict.fromkeys(TEXTS, "string"),
    **dict.fromkeys(REALS, "float64"),
    **dict.fromkeys(WHOLE, "int64"),
    "busy": "boolean",
    **HIDDEN,
}
DRAINED = 50_000
SIDES = {"one by one": DRAINED + 1, "in blocks": 1}
"""The fewest predictions of a block."""


def predictions(count: int) -> list[Prediction]:
    """Predictions of different flights, the same at every run but for their ids."""
    draw = random.Random(count)
    return [
        Prediction(id, 10**15 + n, 10**15, "late-20261130-3c0d9e51", row(n, draw), draw.random(), "", {}, n % 3 == 0)
        for n, id in enumerate(new_ids(count))
    ]


def row(number: int, draw: random.Random) -> dict[str, Any]:
    texts = [f"UA-{number}", draw.choice(["JFK", "LGA", "EWR"]), draw.choice("ABCD") * 3, draw.choice("ABCD"), "N725MQ"]
    return {
        **dict(zip(TEXTS, texts, strict=True)),
        **{name: None if draw.random() < 0.05 else draw.random() * 100 for name in REALS},
        **{name: draw.randint(0, 1_000) for name in WHOLE},
        "busy": draw.random() < 0.3,
    }


def log(store: Any, made: list[Prediction], fewest: int) -> int:
    """Log predictions as one request. Return the bytes of their entries."""
    payloads, sizes = payloads_of(made, fewest)
    with store.transaction() as writer:
        records.append(writer, predictions_of("arrivals"), payloads, 0, sizes)
    return sum(map(len, payloads))


def logged(rows: int, directory: Path) -> dict[str, tuple[float, float]]:
    """The bytes, and the microseconds of a core, of a prediction that is logged in a request with so many."""
    made = predictions(rows)
    stores = {side: LmdbStore(directory / f"{rows} {side}", sync=False) for side in SIDES}
    taken: dict[str, list[float]] = {side: [] for side in SIDES}
    size = {}
    for _ in range(max(200, 20_000 // rows)):
        for side, fewest in SIDES.items():
            began = time.thread_time()
            size[side] = log(stores[side], made, fewest) / rows
            taken[side].append((time.thread_time() - began) / rows * 1e6)
    for store in stores.values():
        store.close()
    return {side: (size[side], statistics.median(taken[side])) for side in SIDES}


def drained(rows: int, directory: Path, worlds: Any) -> dict[str, float]:
    """The predictions that a run brings to the lake in a second, from a log of requests with so many rows."""
    made, found = predictions(DRAINED), dict[str, list[float]]()
    for turn in range(3):
        for side, fewest in SIDES.items():
            root = directory / f"lake {rows} {side} {turn}"
            root.mkdir()
            world = worlds.begun(root)
            with world.store.transaction() as writer:
                for start in range(0, DRAINED, rows):
                    payloads, sizes = payloads_of(made[start : start + rows], fewest)
                    records.append(writer, predictions_of("arrivals"), payloads, 0, sizes)
            found.setdefault(side, []).append(DRAINED / timed(lambda: world.run(Step("drain", "arrivals", "bench"))))  # noqa: B023
            assert world.release.tables["predictions.arrivals"].rows == DRAINED
            world.close()
    return {side: statistics.median(rates) for side, rates in found.items()}


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    worlds = load_world()
    drain.prediction_schema = lambda graph, endpoint: SCHEMA  # type: ignore[attr-defined, assignment]
    print(f"a request of fewer than {FEWEST} predictions is logged one by one, others in blocks")
    with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as directory:
        for rows in (1, 16, 1_000):
            written, rates = logged(rows, Path(directory)), drained(rows, Path(directory), worlds)
            for side, (size, core) in written.items():
                what = f"requests of {rows:,}, {side}"
                print(
                    f"{what:<30} {size:6,.0f} bytes each   logged {core:6.1f} µs each   drained {rates[side]:8,.0f} /s"
                )


if __name__ == "__main__":
    main()
