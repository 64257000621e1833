"""A project with as many columns as asked for, and a count of the work done: for the tests of wide data."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import ibis
import numpy as np
import pyarrow as pa
from ibis import _

import mainstem as ms
from mainstem.nodes.base import Node

INSTANT = "timestamp('UTC', 6)"
START = datetime(2024, 1, 1, tzinfo=UTC)
WINDOWS = ("1h", "6h", "1d", "7d")
CUSTOMERS = 50

R = TypeVar("R")


def nodes(latest: int = 0, windowed: int = 0, **model: Any) -> dict[str, Node]:
    """A model over a view of `latest` columns and one of `windowed` aggregates, over four windows each."""
    measures = {f"c{n}": "float64" for n in range(windowed // len(WINDOWS))}
    asks = ms.files(
        "asks.parquet",
        key="id",
        time="at",
        schema={"id": "string", "customer": "int64", "at": INSTANT, **_columns(latest), "late": "boolean"},
        known={"*": _.at - ibis.interval(days=1), "late": _.at + ibis.interval(hours=1)},
    )
    events = ms.files("events.parquet", key="id", time="at", schema={"id": "string", **_event(measures)})
    found: dict[str, Node] = {"asks": asks, "events": events}
    if latest:
        found["row"] = ms.feature_view(asks, key="id", columns=list(_columns(latest)))
    if windowed:
        means = {name: _[name].mean() for name in measures}
        found["recent"] = ms.feature_view(events, key="customer", windows=list(WINDOWS), **means)
    views = [found[name] for name in ("row", "recent") if name in found]
    settings = {"candidates": ["linear"], "gap": "1h", "folds": 2} | model
    found["late"] = ms.model(examples=asks, prediction_time=_.at, target=_.late, features=views, **settings)
    found["arrivals"] = ms.endpoint(found["late"], monitors=[ms.drift()])
    return found


def data(rows: int, latest: int = 0, windowed: int = 0) -> dict[str, pa.Table]:
    """An example and an event a minute; the target follows the first column."""
    random = np.random.default_rng(0)
    at = np.datetime64(START.replace(tzinfo=None), "us") + np.arange(rows) * np.timedelta64(60, "s")
    shared = {
        "id": pa.array([f"i{n}" for n in range(rows)]),
        "customer": random.integers(0, CUSTOMERS, rows),
        "at": pa.array(at, pa.timestamp("us", "UTC")),
    }
    inputs = {name: random.normal(size=rows) for name in _columns(latest)}
    measures = {f"c{n}": random.normal(size=rows) for n in range(windowed // len(WINDOWS))}
    late = inputs.get("x0", random.normal(size=rows)) + random.normal(size=rows) > 0
    return {"asks": pa.table({**shared, **inputs, "late": late}), "events": pa.table({**shared, **measures})}


@contextmanager
def project(rows: int, latest: int = 0, windowed: int = 0, **model: Any) -> Iterator[ms.Project]:
    made = nodes(latest, windowed, **model)
    with ms.testing.project(made, data(rows, latest, windowed)) as opened:
        yield opened


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def counted(work: Callable[[], R]) -> tuple[int, R]:
    """The calls of functions, Python's and others, that some work makes in this thread, and its result."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    gc.collect()
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        result = work()
    finally:
        sys.setprofile(before)
    return calls, result


def _columns(count: int) -> dict[str, str]:
    return {f"x{n}": "float64" for n in range(count)}


def _event(measures: dict[str, str]) -> dict[str, str]:
    return {"customer": "int64", "at": INSTANT, **measures}
