"""The events of a view as an unbound Ibis table, from the rows of its source. `views.view` lists the columns."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import ibis

from mainstem.features.instants import ALWAYS, to_micros
from mainstem.features.values import SMALLEST, nulls
from mainstem.graph.known import Known
from mainstem.graph.named import named
from mainstem.nodes.hidden import ARRIVED, GONE, SEQ


def usable(rows: ibis.Table, known: Known) -> Any:
    """Return when a row became usable. Null means never: one of the instants is null."""
    moments = [to_micros(rows[m.column]) + m.offset for m in sorted(known.moments)]
    moments += [] if known.since is None else [ibis.literal(known.since, type="int64")]
    always = ibis.literal(ALWAYS, type="int64")
    return reduce(_later, moments) if moments else always


def asking(rows: ibis.Table, known: Known) -> ibis.Table:
    """Return rows with the time they became usable, `_u`, and for a stream the time they arrived, `_came`."""
    u = usable(rows, known)
    return rows.mutate(_u=u, **({"_came": _came(rows, u)} if ARRIVED in rows.columns else {}))


def normal(
    rows: ibis.Table,
    known: Known,
    key: Mapping[str, str],
    order: tuple[str, str] | None,
    arguments: Mapping[str, ibis.Value],
) -> ibis.Table:
    """Return the events. `key` maps key columns to types. `order` is the ordering column with its type.

    `arguments` are expressions over `rows`.
    """
    columns: dict[str, Any] = {c: rows[c].cast(t) for c, t in key.items()}
    columns["_u"] = usable(rows, known)
    if ARRIVED in rows.columns:
        columns[ARRIVED] = _came(rows, columns["_u"])
    if GONE in rows.columns:
        columns[GONE] = to_micros(rows[GONE])
    if order is not None:
        column, kind = rows[order[0]], order[1]
        raw = to_micros(column) if column.type().is_timestamp() else column.cast(kind)
        columns["_order"] = nulls(raw).fill_null(ibis.literal(SMALLEST[kind], type=kind))
    if SEQ in rows.columns:
        columns[SEQ] = rows[SEQ].fill_null(-1)
    for name, raw in arguments.items():
        columns[name] = nulls(to_micros(raw) if raw.type().is_timestamp() else raw)
    events = rows.select(*named(columns))
    return events.filter(events["_u"].notnull(), *(events[c].notnull() for c in key))


def _came(rows: ibis.Table, u: Any) -> Any:
    return to_micros(rows[ARRIVED]).fill_null(u)


def _later(a: Any, b: Any) -> Any:
    # SQL's GREATEST skips nulls, but a row with a null instant is not known yet.
    return (a.isnull() | b.isnull()).ifelse(ibis.null("int64"), ibis.greatest(a, b))
