"""Point-in-time joins: features as known at each example's time, as one Ibis query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import ibis

from mainstem.features.instants import to_instant, to_micros
from mainstem.features.offline.joins import byte, joined
from mainstem.features.offline.latest import latest
from mainstem.features.offline.windowed import windowed
from mainstem.features.online.sight import nothing
from mainstem.features.views.view import Chain, CompiledView, Feature, Lookup
from mainstem.graph.named import named

AsOf = Literal["arrived", "known"]
"""The events that a query at `t` may see: those that had arrived by then, or those that were known by then."""


_ALL = "_all"


def join(examples: ibis.Table, time: str, lookups: Sequence[Lookup], as_of: AsOf = "arrived") -> ibis.Table:
    """Return every row of `examples` once, with the features of each lookup as of the instant in its column `time`.

    Later lookups may use columns of earlier ones as keys.
    """
    return _looked_up(examples.mutate(_asked_at=to_micros(examples[time])), lookups, as_of)


def answered(view: CompiledView, as_of: AsOf = "arrived") -> CompiledView:
    """Return the view with the lookups of its rows in other views replaced by their results. See `Chain`."""
    chain = view.chain
    if chain is None:
        return view
    found = _looked_up(_asking(chain, as_of), chain.lookups, as_of).select(chain.answered.columns)
    events: ibis.Table = view.events.op().replace({chain.answered.op(): found.op()}).to_expr()
    return replace(view, events=events, chain=None)


def _asking(chain: Chain, as_of: AsOf) -> ibis.Table:
    """Return a view's rows with the time of their lookup: the earlier of known and arrival. Late rows are left out."""
    rows = chain.rows
    if as_of == "known" or "_came" not in rows.columns:
        return rows.mutate(_asked_at=rows["_u"])
    late = rows["_came"] - rows["_u"] > chain.grace
    return rows.mutate(_asked_at=late.ifelse(ibis.null("int64"), ibis.least(rows["_u"], rows["_came"])))


def _looked_up(rows: ibis.Table, lookups: Sequence[Lookup], as_of: AsOf) -> ibis.Table:
    """Return rows with the features of each lookup as of their `_asked_at` (int64, µs), without that column."""
    for lookup in lookups:
        rows = _with(rows, lookup, as_of)
    return rows.drop("_asked_at")


def _with(examples: ibis.Table, lookup: Lookup, as_of: AsOf) -> ibis.Table:
    """Join features to rows. Features depend on key and time, so they are computed once for each distinct pair."""
    view = answered(lookup.view if as_of == "arrived" else lookup.view.as_known(), as_of)
    view = _keyed(view)
    asked: dict[str, Any] = {f"_on_{c}": examples[ours].cast(view.key[c]) for c, ours in lookup.keys.items()}
    asked = asked or {f"_on_{_ALL}": byte(0)}
    examples = examples.mutate(*named(asked))
    pairs = examples.select(*named({c: examples[f"_on_{c}"] for c in view.key}), _t=examples["_asked_at"])
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
    return matched.mutate(*named(delivered)).drop(*asked)


def _keyed(view: CompiledView) -> CompiledView:
    """Return a view without a key as a view with a constant key, because SQL must group by something."""
    return view if view.key else replace(view, key={_ALL: "int8"}, events=view.events.mutate({_ALL: byte(0)}))


def _delivered(value: Any, feature: Feature, empty: Any) -> Any:
    """Return a feature as examples get it: instants as timestamps, and the empty window's value if nothing
    was found."""
    if feature.type.startswith("timestamp"):
        return to_instant(value)
    return value if empty is None else value.fill_null(ibis.literal(empty, type=feature.type))
