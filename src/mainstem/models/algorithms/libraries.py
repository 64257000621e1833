"""The machine-learning libraries, imported on first use. Raises `MissingExtra` if one is not installed."""

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
    """Return a context in which linear algebra uses one thread.

    One thread makes results reproducible and fits faster: OpenBLAS threads wait by spinning, which made a logistic
    regression thirteen times slower on a busy machine.
    """
    return _library("threadpoolctl", "scikit-learn").threadpool_limits(1)


def _library(module: str, name: str) -> Any:
    # OpenMP's threads wait by spinning. On a busy machine this made LightGBM seven
    # times slower. Its runtime reads this once, when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtra.named("learn", name) from None
