"""Latest values for many queries at once, as one Ibis query.

The rows of a key have one total order `(u, order_by, _seq, values)`, hence a rank. A query wants the greatest rank
among the rows that had become visible by then: a running maximum in the order of visibility, which is when a row was
both usable and here. So late arrivals need no correction.
"""

from __future__ import annotations

from typing import Any

import ibis

from mainstem.features.joins import byte, joined
from mainstem.features.view import CompiledView


def latest(queries: ibis.Table, view: CompiledView, *, arrived: bool) -> ibis.Table:
    """The features of `view` for each of `queries`: distinct rows of the view's key columns and `_t` (int64, µs)."""
    key, rows = list(view.key), ranked(view)
    found = _greatest_rank(queries, rows, view, visible(rows, view) if arrived else rows["_u"])
    if view.retracts:
        found = _unless_taken_back(found, rows, view)
    values = rows.select(*key, "_rank", "_u", **{f.name: rows[str(f.argument)] for f in view.features})
    matched = joined(found, values, [*key, "_rank"])
    if view.ttl is not None and view.known.moments:
        matched = matched.filter(matched["_u"] >= matched["_t"] - view.ttl)
    return matched.select(*key, "_t", *(f.name for f in view.features))


def ranked(view: CompiledView) -> ibis.Table:
    """The events of each key with their `_rank` from 0; nulls rank lowest."""
    events = view.events
    order = [ibis.asc(events[c], nulls_first=True) for c in (*view.position, *view.arguments)]
    return events.mutate(_rank=ibis.row_number().over(ibis.window(group_by=list(view.key), order_by=order)))


def visible(events: ibis.Table, view: CompiledView) -> Any:
    """When each event was both usable and here."""
    return ibis.greatest(events["_u"], events["_arrived"]) if view.arrives else events["_u"]


def _unless_taken_back(found: ibis.Table, rows: ibis.Table, view: CompiledView) -> ibis.Table:
    """Where the row found had been taken back by the query's time, the greatest rank of those that had not been."""
    key = list(view.key)

    def before(instant: Any, t: Any) -> Any:
        return (instant <= t if view.inclusive else instant < t).fill_null(False)

    own = joined(found, rows.select(*key, "_rank", "_gone"), [*key, "_rank"])
    lost = before(own["_gone"], own["_t"])
    theirs = rows.select(
        **{f"_of_{c}": rows[c] for c in key}, _rank=rows["_rank"], _at=visible(rows, view), _back=rows["_gone"]
    )
    pairs = own.filter(lost).select(*key, "_t").inner_join(theirs, [own[c] == theirs[f"_of_{c}"] for c in key])
    standing = pairs.filter(before(pairs["_at"], pairs["_t"]), ~before(pairs["_back"], pairs["_t"]))
    again = standing.group_by([*key, "_t"]).aggregate(_rank=standing["_rank"].max())
    return own.filter(~lost).select(*key, "_t", "_rank").union(again)


def _greatest_rank(queries: ibis.Table, rows: ibis.Table, view: CompiledView, seen_at: Any) -> ibis.Table:
    """For each query the greatest rank of the rows seen before it; queries that see none are left out."""
    key = list(view.key)
    theirs = rows.select(*key, "_rank", _at=seen_at, _turn=byte(1), _t=ibis.null("int64"))
    turn, t = byte(2 if view.inclusive else 0), queries["_t"]
    lined_up = theirs.union(queries.select(*key, _rank=ibis.null("int64"), _at=t, _turn=turn, _t=t))
    frame = ibis.window(group_by=key, order_by=["_at", "_turn"], preceding=None, following=0)
    running = lined_up.select(*key, "_t", _rank=lined_up["_rank"].max().over(frame))
    return running.filter(running["_t"].notnull(), running["_rank"].notnull())
