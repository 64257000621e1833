"""Algorithms by name: a dict and `register`. Built-in ones are registered the same way.

A package adds its own by an entry point in the group `mainstem.algorithms`: `forest = "mainstem_forest:Forest"`.
"""

from __future__ import annotations

from mainstem import plugins
from mainstem.errors import DefinitionError, UnknownName
from mainstem.models.algorithms.base import Algorithm
from mainstem.models.algorithms.boosting import LightGBM
from mainstem.models.algorithms.linear import Linear
from mainstem.models.algorithms.naive import Naive

PARTS = ("fit", "settle")
GROUP = "mainstem.algorithms"
ALGORITHMS: dict[str, Algorithm] = {}


def register(name: str, algorithm: Algorithm) -> None:
    """Register an algorithm for `ms.model(candidates=[…])`. Raises `DefinitionError` for an object that is not one."""
    missing = [part for part in PARTS if not callable(getattr(algorithm, part, None))]
    if missing or isinstance(algorithm, type):
        raise DefinitionError(
            f"{name!r} is not an algorithm",
            got=f"the class {algorithm.__name__}" if isinstance(algorithm, type) else f"no method {missing[0]!r}",
            expected=f"an object with {' and '.join(PARTS)}: mainstem.models.algorithms.base.Algorithm",
        )
    ALGORITHMS[name] = algorithm


def check_name(name: str) -> None:
    """Refuse a name that no algorithm has, without importing one. Raises `UnknownName`."""
    if name not in ALGORITHMS and name not in (offered := plugins.offered(GROUP, ALGORITHMS)):
        raise UnknownName.among("algorithm", name, offered)


def algorithm(name: str) -> Algorithm:
    """Return the algorithm of a name. Raises `UnknownName`, `PluginError`."""
    if name not in ALGORITHMS:
        offered = plugins.load(GROUP, name, plugins.having(*PARTS))
        if offered is None:
            raise UnknownName.among("algorithm", name, plugins.offered(GROUP, ALGORITHMS))
        register(name, offered)
    return ALGORITHMS[name]


register("naive", Naive())
register("linear", Linear())
register("lightgbm", LightGBM())
