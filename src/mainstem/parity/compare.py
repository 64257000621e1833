"""Parity: compare the served features with the offline query, read by read.

The prediction log holds every feature as it was used. The same requests at the same times are looked up again in the
lake. To find the cause of a difference, the query is repeated with one rule changed: the change that gives the served
value is the cause. (If the store is unavailable, a request is not answered and not logged, so this cannot be a cause.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from math import isclose
from typing import TYPE_CHECKING, Any, NamedTuple

import ibis
import numpy as np

from mainstem.errors import NotFound
from mainstem.features.dataset import with_features
from mainstem.features.offline.join import AsOf
from mainstem.features.retrieval import Computation, Retrieval, retrieval_of
from mainstem.features.slack import is_measured, measured, slack, unitless
from mainstem.features.views.view import CompiledView, Feature, Lookup
from mainstem.graph.lineage import leaves
from mainstem.graph.named import named
from mainstem.graph.units import SECOND
from mainstem.logs.lateness import decided_in_time
from mainstem.nodes.expressions import names_in
from mainstem.nodes.hidden import ARRIVED, GONE, LOGGED_AT, PREDICTION, T
from mainstem.nodes.instants import micros_of
from mainstem.nodes.parity import FeatureParity, ParityReport
from mainstem.nodes.records import Release
from mainstem.parity.decisions import decisions
from mainstem.planning.execution import Context

if TYPE_CHECKING:
    import pyarrow as pa

TOLERANCE = 1e-9
"""The relative difference below which floats are equal."""

_NEARLY = 1e-6
_IN_FLIGHT = 10 * SECOND
_FEW = 1_000
"""The maximum number of reads that a query names. More reads are looked up all together."""

_SERVED = "_served_"


def compare(
    context: Context,
    endpoint: str,
    *,
    view: str | None = None,
    sample: int | None = None,
    since: datetime | None = None,
) -> ParityReport:
    """Look up the logged reads of `endpoint`, all or a `sample`, in the offline query and compare.

    `view` limits this to features of one view, `since` to reads logged after it. Raises `NotFound` if the lake has no
    predictions of the endpoint.
    """
    relation = f"predictions.{endpoint}"
    if relation not in context.release.tables:
        raise NotFound(f"{endpoint!r} has no predictions in the lake yet", hint="mainstem run stores them there")
    node: Any = context.graph[endpoint].node
    retrieval = retrieval_of(context.graph, context.graph.name_of(node.model))
    report = _Comparison(context, relation, retrieval, view, sample, since).report(endpoint)
    if view is not None:
        return report
    decided = decisions(context, endpoint, relation, sample=sample, since=since)
    return report if decided is None else replace(report, features=(*report.features, decided))


Changed = Callable[[CompiledView], CompiledView]
Mask = Any
"""A boolean per read, as a numpy array."""

_CHANGES: tuple[tuple[str, AsOf, Changed], ...] = (
    ("late event", "known", lambda view: replace(view) if view.arrives else view),
    ("event in flight", "arrived", lambda view: _delayed(view, _IN_FLIGHT)),
    ("ttl", "arrived", lambda view: view if view.ttl is None else replace(view, ttl=None)),
    ("tie", "arrived", lambda view: _least_of_ties(view)),
)
"""The rules that may have been applied differently, in the order they are tried. A view without a rule
stays the same."""


class _Comparison:
    def __init__(
        self,
        context: Context,
        relation: str,
        retrieval: Retrieval,
        view: str | None,
        sample: int | None,
        since: datetime | None,
    ) -> None:
        self.context, self.relation, self.retrieval = context, relation, retrieval
        self.columns = _columns_of(retrieval, view)
        self.sample, self.since = sample, since

    def report(self, endpoint: str) -> ParityReport:
        table = self._recomputed(_needed(self.retrieval, self.columns))
        served = {c: table[f"{_SERVED}{c}"] for c in self.columns}
        slacks = {c: unitless(feature) for c, feature in self.features.items()}
        unequal = {c: ~_equal(served[c], table[c], slack=slacks.get(c, 0.0)) for c in self.columns}
        unequal = self._beyond_rounding(table, unequal)
        causes = self._causes(table, unequal) if any(map(np.any, unequal.values())) else {}
        ids = table[PREDICTION]
        features = [_summary(c, served[c], table[c], unequal[c], causes.get(c, Counter()), ids) for c in self.columns]
        until = max(table[LOGGED_AT].to_pylist(), default=None)
        release = self.context.release
        return ParityReport(endpoint, self.context.branch, release.id, len(table), tuple(features), until)

    def _recomputed(self, retrieval: Retrieval, as_of: AsOf = "arrived", ids: Sequence[str] | None = None) -> pa.Table:
        """Return the logged reads, or those of `ids`, ordered by id.

        Each row has the offline value of each column of the retrieval, and the served value of each compared column.
        """
        log = ibis.table({f.name: f.type for f in self.context.snapshot(self.relation).fields}, name=self.relation)
        log = decided_in_time(log)
        if self.since is not None:
            log = log.filter(log[LOGGED_AT] > ibis.literal(self.since).cast(log[LOGGED_AT].type()))
        if self.sample is not None:
            log = log.order_by(PREDICTION).limit(self.sample)
        if ids is not None:
            log = log.filter(log[PREDICTION].isin(list(ids)))
        served = {f"{_SERVED}{c}": log[c] for c in self.columns}
        rows = log.select(PREDICTION, T, LOGGED_AT, *retrieval.request, *named(served))
        found = with_features(rows, retrieval, as_of)
        query = found.select(PREDICTION, LOGGED_AT, *served, *retrieval.columns).order_by(PREDICTION)
        with self.context.session(leaves(query)) as session:
            return session.fetch(query)

    def _again(self, table: pa.Table, open_: Mapping[str, Mask], as_of: AsOf, changed: Changed) -> _Again | None:
        """Recompute the columns and reads that are `open_` with each view changed. Return None if no view changes."""
        retrieval = _needed(self.retrieval, [column for column, reads in open_.items() if reads.any()])
        views = {action.view: changed(action.view) for action in retrieval.lookups}
        if all(new is old for old, new in views.items()):
            return None
        actions = tuple(replace(s, view=views[s.view]) if isinstance(s, Lookup) else s for s in retrieval.actions)
        rows = np.flatnonzero(np.any([*open_.values()], axis=0))
        ids = table[PREDICTION].take(rows).to_pylist() if len(rows) <= _FEW else None
        brought = {c: f.type for action in actions if isinstance(action, Lookup) for c, f in action.columns.items()}
        retrieval = replace(retrieval, actions=actions, columns={**brought, **retrieval.columns})
        return _Again(np.arange(len(table)) if ids is None else rows, self._recomputed(retrieval, as_of, ids))

    def _beyond_rounding(self, table: pa.Table, unequal: Mapping[str, Mask]) -> dict[str, Mask]:
        """Return the unequal reads whose difference exceeds the rounding error of sums.

        The bound depends on the window of each read, so these windows are read.
        """
        features = {column: feature for column, feature in self.features.items() if is_measured(feature)}
        again = self._again(table, {column: unequal[column] for column in features}, "arrived", measured)
        found = dict(unequal)
        for column, feature in features.items() if again else ():
            if again and column in again.table.column_names:
                a, b = (table[name].take(again.rows) for name in (f"{_SERVED}{column}", column))
                near = _equal(a, b, slack=slack(feature, column, again.table))
                found[column] = found[column] & ~np.isin(np.arange(len(table)), again.rows[near])
        return found

    def _causes(self, table: pa.Table, unequal: Mapping[str, Mask]) -> dict[str, Counter[str]]:
        found: dict[str, Counter[str]] = {c: Counter() for c in self.columns}
        open_ = dict(unequal)

        def settle(cause: str, column: str, explained: Mask) -> None:
            if count := int(np.sum(open_[column] & explained)):
                found[column][cause] += count
                open_[column] = open_[column] & ~explained

        logged = np.array([micros_of(at) for at in table[LOGGED_AT].to_pylist()])
        for column in self.columns:
            settle("definition changed", column, self._older(column, logged))
            settle("float tolerance", column, _equal(table[f"{_SERVED}{column}"], table[column], _NEARLY))
        for cause, as_of, changed in _CHANGES:
            again = self._again(table, open_, as_of, changed)
            for column in self.columns if again else ():
                if again and column in again.table.column_names:
                    same = _equal(again.table[f"{_SERVED}{column}"], again.table[column])
                    settle(cause, column, np.isin(np.arange(len(table)), again.rows[same]))
        for column in self.columns:
            settle("data changed, or unknown", column, open_[column])
        return found

    @cached_property
    def features(self) -> dict[str, Feature]:
        """The features by column, for all columns of views."""
        compared = set(self.columns)
        return {c: f for action in self.retrieval.lookups for c, f in action.columns.items() if c in compared}

    def _older(self, column: str, logged: Any) -> Any:
        """Return the reads that an earlier release served with another definition of the view or of its source."""
        view = next((action.view.name for action in self.retrieval.lookups if column in action.columns), None)
        if view is None:
            return np.zeros(len(logged), bool)
        since = [micros_of(release.created_at) for release in self._history]
        other = [release.fingerprints.get(view) != self.context.graph[view].made_by for release in self._history]
        served_by = np.searchsorted(since, logged, side="right") - 1
        return np.where(served_by < 0, False, np.array([*other, False])[served_by])

    @cached_property
    def _history(self) -> list[Release]:
        """Return the branch's releases that have online state, oldest first."""
        found, release = [], self.context.state.get(Release, self.context.release.id)
        while release is not None:
            found.append(release)
            release = self.context.state.get(Release, release.parent) if release.parent else None
        return [release for release in reversed(found) if release.online]


def _columns_of(retrieval: Retrieval, view: str | None) -> tuple[str, ...]:
    if view is not None:
        return tuple(column for action in retrieval.lookups if action.view.name == view for column in action.columns)
    return tuple(column for column in retrieval.columns if column not in retrieval.request)


class _Again(NamedTuple):
    """Some of the reads, recomputed, with their row numbers in the first table."""

    rows: Any
    table: pa.Table


def _needed(retrieval: Retrieval, columns: Sequence[str]) -> Retrieval:
    """Return the part of a retrieval that computes some of its columns and their keys."""
    wanted, actions = set(columns), list[Lookup | Computation]()
    for action in reversed(retrieval.actions):
        if isinstance(action, Lookup):
            if features := tuple(feature for column, feature in action.columns.items() if column in wanted):
                actions.append(replace(action, view=replace(action.view, features=features)))
                wanted |= set(action.on)
        elif values := {name: value for name, value in action.node.features.items() if name in wanted}:
            actions.append(replace(action, node=replace(action.node, features=values)))
            wanted |= {name for value in values.values() for name in names_in(value)}
    return replace(
        retrieval, actions=tuple(reversed(actions)), columns={column: retrieval.columns[column] for column in columns}
    )


def _delayed(view: CompiledView, by: int) -> CompiledView:
    """Return the view with every arrival later by `by`, as for a read during the write of an event."""
    if not view.arrives:
        return view
    return replace(view, events=view.events.mutate(**{ARRIVED: view.events[ARRIVED] + by}))


def _least_of_ties(view: CompiledView) -> CompiledView:
    """Return the view with the smallest value among tied events."""
    if not view.arguments:
        return view
    here = [*([ARRIVED] if view.arrives else []), *([GONE] if view.retracts else [])]
    key = [*view.key, *view.position, *here]
    least = {argument: view.events[argument].min() for argument in view.arguments}
    return replace(view, events=view.events.group_by(key).aggregate(named(least)).select(view.events.columns))


def _equal(a: Any, b: Any, tolerance: float = TOLERANCE, slack: Any = 0.0) -> Any:
    """Return for each row whether two Arrow columns agree.

    Floats agree relative to the larger of the two values, or within `slack` (a number, or one for each row). A null (or
    NaN) equals only a null.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(a.type):
        x, y = (np.asarray(column.fill_null(np.nan)) for column in (a, b))
        with np.errstate(invalid="ignore", over="ignore"):
            near = np.abs(x - y) <= np.maximum(tolerance * np.maximum(np.abs(x), np.abs(y)), slack)
        return (np.isnan(x) & np.isnan(y)) | (x == y) | (np.isfinite(x) & np.isfinite(y) & near)
    empty = np.asarray(pc.and_(a.is_null(), b.is_null()))
    if pa.types.is_list(a.type):
        pairs = zip(a.to_pylist(), b.to_pylist(), strict=True)
        return empty | np.array([x == y or _close(x, y, tolerance) for x, y in pairs], dtype=bool)
    return empty | np.asarray(pc.fill_null(pc.equal(a, b.cast(a.type)), False))


def _close(a: list[Any] | None, b: list[Any] | None, tolerance: float) -> bool:
    """Return whether two lists differ only in floats, and only within the tolerance."""
    if a is None or b is None or len(a) != len(b):
        return False
    floats = all(isinstance(item, float) for item in (*a, *b))
    return floats and all(isclose(x, y, rel_tol=tolerance) for x, y in zip(a, b, strict=True))


def _summary(
    name: str, served: Any, offline: Any, unequal: Any, causes: Mapping[str, int], ids: Sequence[Any]
) -> FeatureParity:
    missing = unequal & np.asarray(served.is_null(nan_is_null=True))
    extra = unequal & np.asarray(offline.is_null(nan_is_null=True))
    first = np.flatnonzero(unequal)
    return FeatureParity(
        name=name,
        reads=len(unequal),
        equal=int((~unequal).sum()),
        different=int((unequal & ~missing & ~extra).sum()),
        missing=int(missing.sum()),
        extra=int(extra.sum()),
        causes=dict(causes),
        example=str(ids[int(first[0])]) if len(first) else None,
    )
