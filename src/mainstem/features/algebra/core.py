"""What an aggregation is, and the table of them."""

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
    """What a window is reduced to. A subclass is a frozen dataclass: its fields are the parameters.

    `takes` are the types of argument that it understands; booleans are 0 and 1 where only numbers are taken. `asks`
    says what it reads of events beyond how many there are and when: the values `x`, those of a second argument `by`,
    the `reference` (or deviation), the `origin` (or age). A `running` one is computed along with time from partials of
    constant size; any other has the events of each window collected, and lists for partials. What `finalize` makes of
    no events is what an empty window gives, whenever that is.
    """

    name: ClassVar[str]
    takes: ClassVar[frozenset[str]] = NUMERIC
    asks: ClassVar[frozenset[str]] = frozenset({"x"})
    running: ClassVar[bool] = True

    def type(self, argument: str) -> str:
        """The Ibis type of the result, given the argument's."""
        return argument

    def lift(self, events: Events) -> Partial:
        raise NotImplementedError

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        raise NotImplementedError

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return partial[0]

    def identity(self) -> str:
        """What tells it from any other, for fingerprints: name and parameters and, of one's own, what it does."""
        own = [each for each in type(self).__mro__[:-1] if not each.__module__.startswith("mainstem.")]
        bodies = [(n, of_function(f)) for each in own for n, f in vars(each).items() if isinstance(f, FunctionType)]
        return canonical([self.name, vars(self), sorted(bodies)])


AGGREGATIONS: dict[str, type[Aggregation]] = {}

_Class = TypeVar("_Class", bound=type[Aggregation])


def register(aggregation: _Class) -> _Class:
    """Make an aggregation known to every interpreter under its name; a decorator of its class.

    One of one's own may be registered again, as a project is that is loaded again. Raises `DefinitionError` for one
    without a name, or with the name of a built-in one.
    """
    name = getattr(aggregation, "name", None)
    if not isinstance(name, str) or (_built_in(AGGREGATIONS.get(name)) and not _built_in(aggregation)):
        raise DefinitionError(
            f"the name {name!r} is taken by a built-in aggregation" if name else "an aggregation requires a name",
            where=f"{aggregation.__module__}.{aggregation.__qualname__}",
            got=repr(name),
            expected='a name of its own, as in name = "rms"',
        )
    AGGREGATIONS[aggregation.name] = aggregation
    return aggregation


def _built_in(aggregation: type[Aggregation] | None) -> bool:
    return aggregation is not None and aggregation.__module__.startswith("mainstem.")


def aggregation(name: str, **parameters: Any) -> Aggregation:
    """The aggregation of that name with these parameters. Raises `UnknownName`, or `DefinitionError` for those."""
    if name not in AGGREGATIONS:
        raise UnknownName.among("aggregation", name, AGGREGATIONS)
    try:
        return AGGREGATIONS[name](**parameters)
    except TypeError as problem:
        expected = ", ".join(getattr(AGGREGATIONS[name], "__dataclass_fields__", ())) or "none"
        raise DefinitionError(f"{name} does not accept these parameters", got=str(problem), expected=expected) from None
