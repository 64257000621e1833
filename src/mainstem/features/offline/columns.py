"""The calculus for Ibis columns, with operations that both DuckDB and Spark have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis


class Columns:
    """Ibis columns."""

    def number(self, value: int | float) -> Any:
        return ibis.literal(repr(value)).cast("float64") if isinstance(value, float) else ibis.literal(value)

    def share(self, a: Any, b: Any) -> Any:
        return (a / b.nullif(0)).fill_null(0)

    def when(self, condition: Any, value: Any, otherwise: Any = None) -> Any:
        return condition.ifelse(value, ibis.null() if otherwise is None else otherwise)

    def least(self, a: Any, b: Any) -> Any:
        return ibis.coalesce(ibis.least(a, b), a, b)

    def greatest(self, a: Any, b: Any) -> Any:
        return ibis.coalesce(ibis.greatest(a, b), a, b)

    def root(self, a: Any) -> Any:
        return a.sqrt()

    def floor(self, a: Any) -> Any:
        return a.floor()

    def halved(self, a: Any) -> Any:
        return ibis.literal(2.0).pow(-a)

    def between(self, a: Any, b: Any, share: Any) -> Any:
        low, high = a.cast("float64"), b.cast("float64")
        return (a == b).ifelse(low, low + (high - low) * share)

    def value(self, position: Any) -> Any:
        return position["value"]

    def listed(self, values: Sequence[Any]) -> Any:
        return ibis.array(list(values))

    def merged(self, a: Any, b: Any) -> Any:
        return ibis.coalesce(a.concat(b).sort(), a, b)

    def distinct(self, a: Any) -> Any:
        return a.unique().sort()

    def head(self, a: Any, k: int) -> Any:
        return a[:k]

    def tail(self, a: Any, k: int) -> Any:
        return a[-k:]

    def turned(self, a: Any) -> Any:
        return a.map(lambda item, at: a[a.length() - 1 - at])

    def values(self, a: Any) -> Any:
        return a.map(lambda position: position["value"])

    def size(self, a: Any) -> Any:
        return a.length().fill_null(0)

    def item(self, a: Any, at: Any) -> Any:
        return a[at]

    def commonest(self, a: Any) -> Any:
        # An array of one item binds a name. Otherwise SQL would compute the starts for every run again.
        return ibis.array([_starts(a)]).map(lambda starts: _runs(a, starts).sort()[-1]["item"])[0]


def _starts(a: Any) -> Any:
    """Return where in a sorted list a new item begins."""
    return a.map(lambda item, at: at).filter(lambda at: (at == 0) | (a[at] != a[ibis.greatest(at - 1, 0)]))


def _runs(a: Any, starts: Any) -> Any:
    """Return each distinct item of a sorted list, with its number of repetitions."""

    def run(start: Any, at: Any) -> Any:
        end = (at + 1 < starts.length()).ifelse(starts[at + 1], a.length())
        return ibis.struct({"times": end - start, "item": a[start]})

    return starts.map(run)
