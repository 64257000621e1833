"""Point-in-time joins: features as they were known at each example's time, as one Ibis query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import ibis

from mainstem.features.instants import to_instant, to_micros
from mainstem.features.latest import latest
from mainstem.features.view import CompiledView, Feature
from mainstem.features.windowed import joined, windowed

AsOf = Literal["arrived", "known"]
"""What a query at `t` may see: what had arrived by then, or what was known by then wherever it was."""


@dataclass(frozen=True)
class Lookup:
    """A view as it is looked up: each key column's value in the examples' column `on`; features get `prefix__`."""

    view: CompiledView
    on: tuple[str, ...]
    prefix: str

    @property
    def columns(self) -> dict[str, Feature]:
        """Model column → feature."""
        return {f"{self.prefix}__{feature.name}": feature for feature in self.view.features}


def join(examples: ibis.Table, time: str, lookups: list[Lookup], as_of: AsOf = "arrived") -> ibis.Table:
    """Every row of `examples` once, with the features of each lookup as of the instant in its column `time`.

    Later lookups may be keyed by columns that earlier ones brought.
    """
    for lookup in lookups:
        examples = _looked_up(examples, time, lookup, as_of)
    return examples


def _looked_up(examples: ibis.Table, time: str, lookup: Lookup, as_of: AsOf) -> ibis.Table:
    """Features are a function of key and time, so they are computed once for each pair that occurs."""
    view = lookup.view
    asked = {f"_on_{i}": _key(examples[column], kind) for i, (column, kind) in enumerate(_keys(lookup).items())}
    examples = examples.mutate(**asked, _asked_at=to_micros(examples[time]))
    queries = examples.select(**{c: examples[f"_on_{i}"] for i, c in enumerate(view.key)}, _t=examples["_asked_at"])
    queries = queries.filter(*(queries[c].notnull() for c in queries.columns)).distinct()
    compute = windowed if view.windowed else latest
    found = compute(queries, view, arrived=as_of == "arrived")
    renamed = {f"_on_{i}": c for i, c in enumerate(view.key)} | {"_asked_at": "_t"}
    found = found.select(
        **{ours: found[theirs] for ours, theirs in renamed.items()},
        **{name: found[feature.name] for name, feature in lookup.columns.items()},
    )
    matched = joined(examples, found, list(renamed))
    values = {name: _delivered(matched[name], feature) for name, feature in lookup.columns.items()}
    return matched.mutate(**values).drop(*renamed)


def _keys(lookup: Lookup) -> Mapping[str, str]:
    return dict(zip(lookup.on, lookup.view.key.values(), strict=True))


def _key(value: Any, kind: str) -> Any:
    return value.cast(kind)


def _delivered(value: Any, feature: Feature) -> Any:
    """A feature as examples get it: instants as timestamps, the value of an empty window where nothing was found."""
    if feature.type.startswith("timestamp"):
        return to_instant(value)
    empty = feature.aggregation and feature.aggregation.empty
    return value if empty is None else value.fill_null(empty)
