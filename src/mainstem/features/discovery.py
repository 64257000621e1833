"""A description of features for users: sources, statistics, freshness and near duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import ibis
import ibis.expr.operations as ops

from mainstem.features.alike import likely, sampled
from mainstem.features.offline.join import answered
from mainstem.features.online.meta import Meta
from mainstem.features.online.view import OnlineView
from mainstem.features.retrieval import compiled, retrieval_of
from mainstem.features.views.view import CompiledView, Feature
from mainstem.graph.fingerprint import of_expression
from mainstem.graph.lineage import leaves
from mainstem.graph.named import named
from mainstem.graph.units import SECOND
from mainstem.nodes.features import FeatureView
from mainstem.nodes.hidden import ARRIVED
from mainstem.nodes.instants import instant_of
from mainstem.nodes.models import Model
from mainstem.planning.execution import Context
from mainstem.ports import OnlineStore, Session

ALIKE = 0.999
"""From this correlation on (for texts: share of equal values), two features count as near duplicates."""

TOGETHER = 100
"""The number of measures per query. An exact count of distinct values keeps all of them in memory, once per thread."""


def features(context: Context, name: str) -> list[dict[str, Any]]:
    """Return a row per feature of the view `name`: type, source columns, near duplicates, and statistics
    in a dataset."""
    view = compiled(context.graph, name)
    columns = {feature.name: {"feature": feature.name, "type": feature.type} for feature in view.features}
    of = context.graph[view.source].columns
    for feature in view.features:
        read = [field for argument in feature.arguments for field in view.rows[argument].op().find(ops.Field)]
        sources = sorted({source for field in read for source in of.get(field.name, _of_view(view, field.name))})
        columns[feature.name]["from"] = ", ".join(sources) or view.source
    _add_statistics(context, name, columns)
    for one, others in _twins(context.graph, view):
        columns[one]["like"] = ", ".join(dict.fromkeys((*filter(None, [columns[one].get("like")]), *others)))
    return list(columns.values())


def _of_view(view: CompiledView, column: str) -> tuple[str, ...]:
    """Return the feature of another view that a column is, or None."""
    lookups = view.chain.lookups if view.chain else ()
    return tuple(f"{each.view.name}.{each.columns[column].name}" for each in lookups if column in each.columns)


def freshness(context: Context, name: str, store: OnlineStore | None) -> dict[str, str]:
    """Return how new the view's events are, how many of a stream's came late and by how much, and the online state."""
    view = answered(compiled(context.graph, name))
    if not leaves(view.events) <= context.release.tables.keys():
        return {}
    events = view.events
    asked = {"newest": events["_u"].max(), "events": events.count()}
    if view.arrives:
        lag = (events[ARRIVED] - events["_u"]) / SECOND
        late = lag > 0
        asked |= {"late": late.sum(), "median": lag.median(where=late), "high": lag.quantile(0.95, where=late)}
        asked |= {"longest": lag.max(where=late)}
    with context.session(leaves(events)) as session:
        (row,) = session.fetch(events.aggregate(named(asked))).to_pylist()
    return dict(_told(row, view)) | dict(_online(context, view, store))


def _told(row: Mapping[str, Any], view: CompiledView) -> Iterator[tuple[str, str]]:
    if row["newest"] is not None and view.known.moments:
        yield "newest event", f"{instant_of(row['newest']):%Y-%m-%d %H:%M:%S} UTC, of {row['events']:,}"
    if row.get("late"):
        share = row["late"] / row["events"]
        lags = ", ".join(f"{what} {row[key]:,.3g} s" for what, key in _LAGS)
        yield "late events", f"{row['late']:,} ({share:.2%}) arrived after they had happened: {lags}"


_LAGS = (("median", "median"), ("95 % within", "high"), ("longest", "longest"))


def _online(context: Context, view: CompiledView, store: OnlineStore | None) -> Iterator[tuple[str, str]]:
    fingerprint = context.release.online.get(view.name)
    if fingerprint is None:
        return
    meta = OnlineView(view, store, fingerprint).meta() if store is not None else Meta()
    if not meta.ready:
        yield "online", "missing in the store: mainstem run rebuilds it"
        return
    if view.known.moments:
        yield "online until", f"{instant_of(meta.watermark):%Y-%m-%d %H:%M:%S} UTC"
    if meta.complete_from > -(2**62):
        yield "answers from", f"{instant_of(meta.complete_from):%Y-%m-%d %H:%M:%S} UTC on (grace {view.grace_text})"


# ── statistics, of the newest dataset that has the view ───────────────────────────────────────────────


def _add_statistics(context: Context, name: str, columns: dict[str, dict[str, Any]]) -> None:
    graph = context.graph
    for model in graph.of(Model):
        lookup = next((step for step in retrieval_of(graph, model).lookups if step.view.name == name), None)
        relation = f"dataset.{model}"
        if lookup is None or relation not in context.release.tables:
            continue
        stored = {field.name: field.type for field in context.snapshot(relation).fields}
        table, own = ibis.table(stored, name=relation), {c: f.name for c, f in lookup.columns.items() if c in stored}
        others = [c for c in retrieval_of(graph, model).columns if c in stored]
        asked = {f"{c}|{what}": value for c in own for what, value in _statistics(table[c])}
        with context.session([relation]) as session:
            sample = session.fetch(sampled(table.select(others), context.snapshot(relation).rows))
            near = likely(sample, list(own))
            asked |= {f"{c}|like|{o}": _alike(table[c], table[o]) for c in own for o in near[c]}
            found = _measured(session, table, asked)
        _fill(columns, own, found)
        return


def _measured(session: Session, table: ibis.Table, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of each measure, from several queries of a bounded number of measures."""
    found: dict[str, Any] = {}
    names = list(asked)
    for begin in range(0, len(names), TOGETHER):
        some = {name: asked[name] for name in names[begin : begin + TOGETHER]}
        found |= session.fetch(table.aggregate(named(some))).to_pylist()[0]
    return found


def _statistics(column: ibis.Column) -> Iterator[tuple[str, Any]]:
    yield "nulls", column.isnull().mean()
    if column.type().is_numeric():
        yield from (("mean", column.mean()), ("low", column.min()), ("high", column.max()))
    elif column.type().is_boolean():
        yield "mean", column.cast("int64").mean()
    elif not column.type().is_array():
        yield from (("low", column.min().cast("string")), ("high", column.max().cast("string")))
    if not column.type().is_array():
        yield "distinct", column.nunique()


def _alike(one: Any, other: Any) -> Any:
    if one.type().is_string():
        return (one == other).mean()
    return one.cast("float64").corr(other.cast("float64"), how="pop").abs()


def _fill(columns: dict[str, dict[str, Any]], own: Mapping[str, str], found: Mapping[str, Any]) -> None:
    for label, value in found.items():
        column, what, *other = label.split("|")
        row = columns[own[column]]
        if what != "like":
            row[what] = f"{value:.1%}" if what == "nulls" and value is not None else value
        elif value is not None and value >= ALIKE:
            row["like"] = ", ".join(filter(None, [row.get("like"), f"{other[0]} ({value:.4f})"]))


# ── twins, by definition ──────────────────────────────────────────────────────────────────────────────


def _twins(graph: Any, view: CompiledView) -> Iterator[tuple[str, list[str]]]:
    """Yield the features with the same definition under another name."""
    known: dict[Any, list[str]] = {}
    for name in graph.of(FeatureView):
        other = compiled(graph, name)
        for feature in other.features:
            known.setdefault(_meaning(other, feature), []).append(f"{name}__{feature.name}")
    for feature in view.features:
        own = f"{view.name}__{feature.name}"
        others = [f"{twin} (same definition)" for twin in known[_meaning(view, feature)] if twin != own]
        if others:
            yield feature.name, others


def _meaning(view: CompiledView, feature: Feature) -> tuple[Any, ...]:
    arguments = tuple(of_expression(view.rows[argument]) for argument in feature.arguments)
    window = None if feature.window is None else (feature.window.size, feature.window.resolution)
    rules = (view.ttl, view.inclusive, view.order_by)
    return view.source, tuple(view.key), arguments, repr(feature.aggregation), window, rules
