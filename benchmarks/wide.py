"""How what Mainstem does grows with the columns of a model: 100, 200, 400 and 1,000 of them.

    python benchmarks/wide.py [--rows 1000] [--widths 100 200 400 1000]

Latest: a view of as many columns of the examples. Windowed: the means of a quarter as many measures over four windows.
Each project collects its files, brings its view online, trains, is promoted, and predicts. LightGBM's own time is left
out: the model is `linear`. `plan` is from declarations to a plan, `dataset` from definitions to Arrow.

The last column is how many times the first width the last one took; with ten times the columns, 10 is linear.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
from ibis import _

import mainstem as ms

INSTANT = "timestamp('UTC', 6)"
START = datetime(2024, 1, 1, tzinfo=UTC)
WINDOWS = ("1h", "6h", "1d", "7d")
REPEAT = 5

Seconds = dict[str, float]


def declared(latest: int, measures: int) -> dict[str, Any]:
    schema = {"id": "string", "customer": "int64", "at": INSTANT}
    columns = {f"x{n}": "float64" for n in range(latest)}
    asks = ms.files(
        "asks.parquet",
        key="id",
        time="at",
        schema={**schema, **columns, "late": "boolean"},
        known={"*": _.at - ibis.interval(days=1), "late": _.at + ibis.interval(hours=1)},
    )
    features = {f"c{n}": "float64" for n in range(measures)}
    events = ms.files("events.parquet", key="id", time="at", schema={**schema, **features})
    if latest:
        view = ms.feature_view(asks, key="id", columns=list(columns))
    else:
        view = ms.feature_view(
            events, key="customer", windows=list(WINDOWS), **{name: _[name].mean() for name in features}
        )
    settings: dict[str, Any] = {"prediction_time": _.at, "target": _.late, "candidates": ["linear"], "folds": 2}
    late = ms.model(examples=asks, features=[view], gap="1h", **settings)
    return {"asks": asks, "events": events, "view": view, "late": late, "arrivals": ms.endpoint(late)}


def data(rows: int, latest: int, measures: int) -> dict[str, pa.Table]:
    random = np.random.default_rng(0)
    at = np.datetime64(START.replace(tzinfo=None), "us") + np.arange(rows) * np.timedelta64(60, "s")
    ids, customers = pa.array([f"i{n}" for n in range(rows)]), random.integers(0, max(rows // 10, 1), rows)
    shared = {"id": ids, "customer": customers, "at": pa.array(at, pa.timestamp("us", "UTC"))}
    inputs = {f"x{n}": random.normal(size=rows) for n in range(latest)}
    found = {f"c{n}": random.normal(size=rows) for n in range(measures)}
    return {
        "asks": pa.table({**shared, **inputs, "late": random.random(rows) > 0.5}),
        "events": pa.table({**shared, **found}),
    }


def measured(rows: int, latest: int, measures: int) -> Seconds:
    """Seconds of each thing that a project does."""
    found: Seconds = {}

    def clock(what: str, work: Callable[[], Any], repeat: int = 1) -> Any:
        began = perf_counter()
        for _turn in range(repeat):
            result = work()
        found[what] = (perf_counter() - began) / repeat
        return result

    with ms.testing.project(declared(latest, measures), data(rows, latest, measures)) as project:
        clock("plan", project.plan)
        clock("run", project.run)
        project.promote("arrivals")
        key, now = {"id": "i7"} if latest else {"customer": 7}, START + timedelta(minutes=rows)
        clock("dataset", lambda: project.dataset("late", as_of="known").to_pyarrow())
        clock("online read", lambda: project.online("view").get([key], now), REPEAT)
        clock("load and predict", lambda: project.predict("arrivals", [key], now), REPEAT)
        clock("show", lambda: project.show("view"))
    return found


def lines(title: str, taken: Mapping[int, Seconds]) -> Iterator[str]:
    """For each thing, what it took at each width, and how many times the first the last is."""
    widths = list(taken)
    for what in taken[widths[0]]:
        seconds = [taken[width][what] for width in widths]
        shown = "".join(f"{each:9.3f} s" for each in seconds)
        yield f"{title:<10}{what:<18}{shown}{seconds[-1] / seconds[0]:8.1f} ×"


def sizes(windowed: bool, width: int) -> tuple[int, int]:
    return (0, width // len(WINDOWS)) if windowed else (width, 0)


def take(title: str, windowed: bool, rows: int, widths: Sequence[int]) -> Iterator[str]:
    yield from lines(title, {width: measured(rows, *sizes(windowed, width)) for width in widths})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--widths", type=int, nargs="+", default=[100, 200, 400, 1_000])
    given = parser.parse_args()
    measured(500, 8, 0)  # what is imported and compiled once
    print(f"{'columns':<28}" + "".join(f"{width:>11,}" for width in given.widths) + "      grew", flush=True)
    for title, windowed in (("latest", False), ("windowed", True)):
        print(*take(title, windowed, given.rows, given.widths), sep="\n", flush=True)


if __name__ == "__main__":
    main()
