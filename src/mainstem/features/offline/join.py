"""Point-in-time joins: features as they were known at each example's time, as one Ibis query."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import ibis

from mainstem.features.instants import to_instant, to_micros
from mainstem.features.offline.joins import byte, joined
from mainstem.features.offline.latest import latest
from mainstem.features.offline.windowed import windowed
from mainstem.features.online.sight import nothing
from mainstem.features.views.view import CompiledView, Feature

AsOf = Literal["arrived", "known"]
"""What a query at `t` may see: what had arrived by then, or what was known by then wherever it was."""


_ALL = "_all"


@dataclass(frozen=True)
class Lookup:
    """A view as it is looked up: each key column's value in the examples' column `on`; features get `prefix__`."""

    view: CompiledView
    on: tuple[str, ...]
    prefix: str

    @property
    def keys(self) -> dict[str, str]:
        """Key column → the examples' column that has its value."""
        return dict(zip(self.view.key, self.on, strict=True))

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
    view = _keyed(lookup.view if as_of == "arrived" else lookup.view.as_known())
    asked: dict[str, Any] = {f"_on_{c}": examples[ours].cast(view.key[c]) for c, ours in lookup.keys.items()}
    asked = asked or {f"_on_{_ALL}": byte(0)}
    examples = examples.mutate(**asked, _asked_at=to_micros(examples[time]))
    pairs = examples.select(**{c: examples[f"_on_{c}"] for c in view.key}, _t=examples["_asked_at"])
    queries = pairs.filter(*(pairs[c].notnull() for c in pairs.columns)).distinct()
    compute = windowed if view.windowed else latest
    found = compute(queries, view, arrived=as_of == "arrived")
    brought = found.select(
        **{f"_on_{c}": found[c] for c in view.key},
        _asked_at=found["_t"],
        **{column: found[feature.name] for column, feature in lookup.columns.items()},
    )
    matched = joined(examples, brought, [*asked, "_asked_at"])
    empty = nothing(view)
    delivered = {
        column: _delivered(matched[column], feature, empty[feature.name]) for column, feature in lookup.columns.items()
    }
    return matched.mutate(**delivered).drop(*asked, "_asked_at")


def _keyed(view: CompiledView) -> CompiledView:
    """A view without a key as one whose rows all have the same: SQL groups by something."""
    return view if view.key else replace(view, key={_ALL: "int8"}, events=view.events.mutate({_ALL: byte(0)}))


def _delivered(value: Any, feature: Feature, empty: Any) -> Any:
    """A feature as examples get it: an instant as a timestamp, and what an empty window has where nothing was found."""
    if feature.type.startswith("timestamp"):
        return to_instant(value)
    return value if empty is None else value.fill_null(ibis.literal(empty, type=feature.type))
