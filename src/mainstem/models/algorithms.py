"""Algorithms by name: a dict and `register`; what is built in uses the public way."""

from __future__ import annotations

from mainstem.errors import UnknownName
from mainstem.models.boosting import LightGBM
from mainstem.models.learning import Algorithm
from mainstem.models.linear import Linear
from mainstem.models.naive import Naive

ALGORITHMS: dict[str, Algorithm] = {}


def register(name: str, algorithm: Algorithm) -> None:
    """Make an algorithm available to `ms.model(candidates=[…])`."""
    ALGORITHMS[name] = algorithm


def algorithm(name: str) -> Algorithm:
    """The algorithm of a name. Raises `UnknownName`."""
    if name not in ALGORITHMS:
        raise UnknownName.among("algorithm", name, ALGORITHMS)
    return ALGORITHMS[name]


register("naive", Naive())
register("linear", Linear())
register("lightgbm", LightGBM())
