"""The constructors of verbs: `ms.clean.trim("carrier")`.

Each returns a frozen verb for `@ms.table(clean=[…])`. Most can also be piped: `flights.pipe(ms.clean.trim("carrier"))`.
A call that does not fit is refused at its line.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Literal, ParamSpec, TypeVar

import msgspec

from mainstem.errors import DefinitionError, close_matches
from mainstem.nodes import kinds, verbs
from mainstem.nodes.base import Origin, names, refused
from mainstem.nodes.declared import declared
from mainstem.nodes.verbs import Verb

P = ParamSpec("P")
V = TypeVar("V", bound=Verb)


MAKERS: dict[str, Callable[..., Verb]] = {}
"""The constructors by name."""


def _constructor(name: str, make: Callable[P, V]) -> Callable[P, V]:
    """Return the class of a verb as a function that refuses what does not fit at the user's line."""
    kind: Any = make
    fields = msgspec.structs.fields(kind)
    signature = inspect.Signature(
        [
            inspect.Parameter(
                f.name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty if f.required else f.default,
            )
            for f in fields
        ]
    )

    def construct(*args: P.args, **kwargs: P.kwargs) -> V:
        where = str(Origin.of_caller())
        try:
            signature.bind(*args, **kwargs)
        except TypeError as problem:
            raise _misfit(name, fields, kwargs, str(problem), where) from None
        try:
            return make(*args, **kwargs)
        except DefinitionError as problem:
            raise problem.at(where) from None

    construct.__name__ = construct.__qualname__ = name
    construct.__doc__ = kind.__doc__
    construct.__dict__["__signature__"] = signature
    MAKERS[name] = construct
    return construct


def _misfit(name: str, fields: Any, given: Any, problem: str, where: str) -> DefinitionError:
    known = [field.name for field in fields]
    unknown = next((each for each in given if each not in known), None)
    return DefinitionError(
        f"{name} has no parameter {unknown!r}" if unknown else f"{name}: {problem}",
        where=where,
        got=f"{unknown}=…" if unknown else None,
        expected=f"{name}({', '.join(f.name if f.required else f'{f.name}=…' for f in fields)})",
        hint=close_matches(unknown, known) if unknown else None,
    )


_impute_constant = _constructor("impute", verbs.Impute)
_impute_typical = _constructor("impute", verbs.ImputeFitted)


@declared(
    column=kinds.column,
    constant=kinds.anything,
    using=kinds.optional(kinds.word("mean", "median", "mode")),
    by=kinds.columns(),
    fit=kinds.anything,
    indicator=kinds.words,
)
def impute(
    column: str,
    constant: bool | float | int | str | None = None,
    *,
    using: Literal["mean", "median", "mode"] | None = None,
    by: str | Sequence[str] = (),
    fit: tuple[str | date | None, str | date] | None = None,
    indicator: str = "",
) -> verbs.Impute | verbs.ImputeFitted:
    """Replace null and NaN by a `constant`, or by the mean, the median or the mode of the column, which is a fitted
    statistic, perhaps of each group `by`.

    `fit` is the window that the statistic is fitted on: from its start (None: from the beginning) to before its end.
    `indicator` names a new boolean column: whether the value was missing.
    """
    if using is not None:
        if constant is not None:
            raise refused("`constant` and `using` of impute exclude each other", constant, "one of them")
        given: Any = {"by": by, "fit": fit, "indicator": indicator}
        return _impute_typical(column, using, **given)
    for name, value in {"by": names(by) or None, "fit": fit}.items():
        if value is not None:
            raise refused(f"`{name}` of impute requires `using`", value, 'using="median", or the like')
    if constant is None:
        raise refused("impute requires a `constant` or `using`", constant, 'ms.clean.impute("age", using="median")')
    return _impute_constant(column, constant, indicator)


MAKERS["impute"] = impute

case = _constructor("case", verbs.Case)
cast = _constructor("cast", verbs.Cast)
clip = _constructor("clip", verbs.Clip)
convert = _constructor("convert", verbs.Convert)
deduplicate = _constructor("deduplicate", verbs.Deduplicate)
extract = _constructor("extract", verbs.Extract)
fill = _constructor("fill", verbs.Fill)
hash = _constructor("hash", verbs.Hash)
interpolate = _constructor("interpolate", verbs.Interpolate)
log = _constructor("log", verbs.Log)
map = _constructor("map", verbs.MapValues)
mask = _constructor("mask", verbs.Mask)
match = _constructor("match", verbs.Match)
must_match = _constructor("must_match", verbs.MustMatch)
near_duplicates = _constructor("near_duplicates", verbs.NearDuplicates)
outliers = _constructor("outliers", verbs.Outliers)
parse_date = _constructor("parse_date", verbs.ParseDate)
parse_number = _constructor("parse_number", verbs.ParseNumber)
replace = _constructor("replace", verbs.Replace)
rescale = _constructor("rescale", verbs.Rescale)
scale = _constructor("scale", verbs.Scale)
trim = _constructor("trim", verbs.Trim)
within = _constructor("within", verbs.Within)

__all__ = [*MAKERS]
