"""The learning libraries, loaded when they are needed. Each raises `MissingExtra` where it is not installed."""

from __future__ import annotations

import importlib
import os
from typing import Any

from mainstem.errors import MissingExtra


def lightgbm() -> Any:
    return _library("lightgbm", "lightgbm")


def sklearn(module: str) -> Any:
    return _library(f"sklearn.{module}", "scikit-learn")


def one_thread() -> Any:
    """A context in which linear algebra stays on one thread.

    So the same rows give the same model, and quickly: OpenBLAS' threads wait for each other spinning, which made a
    logistic regression thirteen times slower on a machine with other work to do.
    """
    return _library("threadpoolctl", "scikit-learn").threadpool_limits(1)


def _library(module: str, name: str) -> Any:
    # OpenMP's threads wait for each other spinning: beside any other work on the machine that made LightGBM seven
    # times slower. Its runtime reads this once, when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtra.named("learn", name) from None
