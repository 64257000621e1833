"""Metrics of one's own: `@ms.metric(higher_is_better=False)` above a function of targets and scores."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from mainstem.errors import DefinitionError
from mainstem.nodes.base import Origin, refused
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import boolean, text

Measured = Callable[[Any, Any], float]


@dataclass(frozen=True, eq=False)
class OwnMetric:
    """A metric that the user wrote. It stays callable: `function(y, scores)` returns a number.

    `y` [n] is 0/1, a class number, or a value. `scores` are P(true) [n], probabilities [n, K], or values [n]. Of
    quantiles, `y` [n, 1 + Q] has the levels beside each value, and `scores` are [n, Q]; of a ranking, `y` [n, 2] has
    the number of the query beside each grade.
    """

    name: str
    function: FunctionType
    higher_is_better: bool
    where: str

    def __call__(self, y: Any, scores: Any) -> float:
        return float(self.function(y, scores))


def name_of(metric: str | OwnMetric) -> str:
    """Return the name of a metric that is declared by its name, or of one's own."""
    return metric.name if isinstance(metric, OwnMetric) else metric


def name_or_own(name: str, value: Any) -> None:
    """Require the name of a metric, or one's own."""
    if callable(value) and not isinstance(value, OwnMetric):
        hint = "@ms.metric(higher_is_better=…) above the function"
        raise refused(f"`{name}` is a function that does not say whether higher is better", value, "ms.metric", hint)
    if not isinstance(value, OwnMetric):
        text(name, value)


@declared(higher_is_better=boolean)
def metric(*, higher_is_better: bool) -> Callable[[Measured], OwnMetric]:
    """Make a metric of the decorated function, for `ms.model(metric=…)`, `also_measure=[…]` and
    `ms.performance(metric=…)`. Its name is that of the function.

    The function gets numpy arrays: targets and scores, as `OwnMetric` says. It is tried when the project loads. Raises
    `DefinitionError` for an object that is not a function of two arguments.
    """
    where = str(Origin.of_caller())

    def made(function: Measured) -> OwnMetric:
        if not isinstance(function, FunctionType) or function.__name__ == "<lambda>":
            raise DefinitionError("a metric must be a function with a name", where=where, got=repr(function))
        try:
            inspect.signature(function).bind("y", "scores")
        except TypeError as problem:
            expected = f"def {function.__name__}(y, scores): …"
            name = function.__name__
            raise DefinitionError(
                f"the metric {name!r} {problem}", where=where, got=str(inspect.signature(function)), expected=expected
            ) from None
        return OwnMetric(function.__name__, function, higher_is_better, where)

    return made
