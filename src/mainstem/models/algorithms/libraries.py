"""The machine-learning libraries, imported on first use. Raises `MissingExtra` if one is not installed."""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any

from mainstem.errors import MissingExtra

MANY_ROWS = 20_000
"""Rows from which a second thread saves more than it costs."""

MANY_CELLS = 5_000_000
"""Rows times columns from which a second thread of LightGBM does. Threads that do not spin are woken for each part of a
tree: measured on two cores, it makes a fit of 100,000 × 12 twice as slow, and one of 600,000 × 60 1.7 times as fast."""

MOST_THREADS = 8
"""The most threads of a fit. More than two were not measured."""


def lightgbm() -> Any:
    return _library("lightgbm", "lightgbm")


def xgboost() -> Any:
    return _library("xgboost", "xgboost", "xgboost")


def catboost() -> Any:
    return _library("catboost", "catboost", "catboost")


def sklearn(module: str) -> Any:
    return _library(f"sklearn.{module}", "scikit-learn")


def scipy(module: str) -> Any:
    return _library(f"scipy.{module}", "scikit-learn")


def skl2onnx(module: str = "") -> Any:
    return _library(f"skl2onnx{module}", "skl2onnx", "sklearn")


def holidays() -> Any:
    return _library("holidays", "holidays", "holidays")


def pandas() -> Any:
    return _library("pandas", "pandas", "sklearn")


def check(module: str, name: str, extra: str) -> None:
    """Refuse a library that is not installed, without importing it. Raises `MissingExtra`."""
    if importlib.util.find_spec(module) is None:
        raise MissingExtra.named(extra, name)


def threads(rows: int) -> int:
    """Return how many threads a fit on so many rows uses. The result does not depend on it."""
    return min(cores(), MOST_THREADS) if rows > MANY_ROWS else 1


def lightgbm_threads(rows: int, columns: int) -> int:
    """Return how many threads a fit of LightGBM uses. The result does not depend on it."""
    return threads(rows) if rows * columns > MANY_CELLS else 1


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limited(rows: int) -> Any:
    """Return a context in which linear algebra and OpenMP use as many threads as a fit on so many rows."""
    return _library("threadpoolctl", "scikit-learn").threadpool_limits(threads(rows))


def one_thread() -> Any:
    """Return a context in which linear algebra uses one thread.

    One thread makes results reproducible and fits faster: OpenBLAS threads wait by spinning, which made a logistic
    regression thirteen times slower on a busy machine.
    """
    return _library("threadpoolctl", "scikit-learn").threadpool_limits(1)


def _library(module: str, name: str, extra: str = "learn") -> Any:
    # OpenMP's threads wait by spinning. On a busy machine this made LightGBM seven
    # times slower. Its runtime reads this once, when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtra.named(extra, name) from None
