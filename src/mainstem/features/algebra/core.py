"""The base class of aggregations, and their table."""

from __future__ import annotations

from types import FunctionType
from typing import Any, ClassVar, TypeVar

from mainstem.errors import DefinitionError, UnknownName
from mainstem.features.algebra.calculus import Calculus, Events
from mainstem.features.windows import Span
from mainstem.graph.fingerprint import canonical, of_function
from mainstem.nodes.instants import INSTANT

__all__ = ["AGGREGATIONS", "Aggregation", "Partial", "Span", "aggregation", "register"]

Partial = tuple[Any, ...]

NUMERIC = frozenset({"int64", "float64"})
LISTED = NUMERIC | {"boolean", "string"}
ORDERED = LISTED | {INSTANT}


class Aggregation:
    """The reduction of a window. A subclass is a frozen dataclass whose fields are the parameters.

    `takes` are the supported types of the argument; booleans become 0 and 1 if only numbers are supported. `asks` names
    what it reads beyond the number and times of events: the values `x`, values of a second argument `by`, the
    `reference` (or deviation), the `origin` (or age). A `running` one is computed from partials of constant size; for
    others, the events of each window are collected and partials are lists. `finalize` of no events is the value of an
    empty window, at any time.
    """

    name: ClassVar[str]
    takes: ClassVar[frozenset[str]] = NUMERIC
    asks: ClassVar[frozenset[str]] = frozenset({"x"})
    running: ClassVar[bool] = True

    @property
    def is_summarised(self) -> bool:
        """Whether online reads keep partials of many events: they are small, whatever the number of events."""
        return self.running

    def type(self, argument: str) -> str:
        """Return the Ibis type of the result for the type of the argument."""
        return argument

    def lift(self, events: Events) -> Partial:
        raise NotImplementedError

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        raise NotImplementedError

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return partial[0]

    def identity(self) -> str:
        """Return the identity for fingerprints: name and parameters, and for an aggregation of a user also its code."""
        own = [each for each in type(self).__mro__[:-1] if not each.__module__.startswith("mainstem.")]
        bodies = [(n, of_function(f)) for each in own for n, f in vars(each).items() if isinstance(f, FunctionType)]
        return canonical([self.name, vars(self), sorted(bodies)])


AGGREGATIONS: dict[str, type[Aggregation]] = {}

_Class = TypeVar("_Class", bound=type[Aggregation])


def register(aggregation: _Class) -> _Class:
    """Register an aggregation for every interpreter under its name. It is a class decorator.

    Registering an own aggregation again is allowed, because projects are loaded again. Raises `DefinitionError` without
    a name, or for the name of a built-in one.
    """
    name = getattr(aggregation, "name", None)
    if not isinstance(name, str) or (_built_in(AGGREGATIONS.get(name)) and not _built_in(aggregation)):
        raise DefinitionError(
            f"the name {name!r} is taken by a built-in aggregation" if name else "an aggregation requires a name",
            where=f"{aggregation.__module__}.{aggregation.__qualname__}",
            got=repr(name),
            expected='another name, as in name = "rms"',
        )
    AGGREGATIONS[aggregation.name] = aggregation
    return aggregation


def _built_in(aggregation: type[Aggregation] | None) -> bool:
    return aggregation is not None and aggregation.__module__.startswith("mainstem.")


def aggregation(name: str, **parameters: Any) -> Aggregation:
    """Return the aggregation of that name with these parameters.

    Raises `UnknownName`, or `DefinitionError` for invalid parameters.
    """
    if name not in AGGREGATIONS:
        raise UnknownName.among("aggregation", name, AGGREGATIONS)
    try:
        return AGGREGATIONS[name](**parameters)
    except TypeError as problem:
        expected = ", ".join(getattr(AGGREGATIONS[name], "__dataclass_fields__", ())) or "none"
        raise DefinitionError(f"{name} does not accept these parameters", got=str(problem), expected=expected) from None
