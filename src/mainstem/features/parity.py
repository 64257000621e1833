"""Parity: what was served, against what the offline query says should have been, read by read.

The prediction log has every feature as it was used. The same requests at the same times are looked up again in the
lake, and each difference is traced: the query is repeated with one rule of time changed, and the change under which
the served value comes out is its cause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np

from mainstem.errors import NotFound
from mainstem.features.dataset import with_features
from mainstem.features.offline import AsOf, Lookup
from mainstem.features.plan import FeaturePlan, plan_features
from mainstem.features.view import CompiledView
from mainstem.features.windows import SECOND
from mainstem.graph.lineage import leaves
from mainstem.nodes.records import ModelVersion
from mainstem.planning.execution import Context

if TYPE_CHECKING:
    import pyarrow as pa

TOLERANCE = 1e-9
"""The relative difference below which floats are equal."""

_NEARLY = 1e-6
_IN_FLIGHT = 10 * SECOND
_SERVED = "_served_"


@dataclass(frozen=True)
class FeatureParity:
    """One feature: how many reads were equal, different, missing (null only when served) or extra (null only offline).

    `causes` counts the unequal ones by cause; `example` is the prediction id of one of them.
    """

    name: str
    reads: int
    equal: int
    different: int = 0
    missing: int = 0
    extra: int = 0
    causes: Mapping[str, int] = field(default_factory=dict)
    example: str | None = None

    @property
    def mismatches(self) -> int:
        return self.reads - self.equal


@dataclass(frozen=True)
class ParityReport:
    """The logged reads of an endpoint, recomputed."""

    endpoint: str
    reads: int
    features: tuple[FeatureParity, ...]

    @property
    def mismatches(self) -> int:
        return sum(feature.mismatches for feature in self.features)

    @property
    def ok(self) -> bool:
        return self.mismatches == 0

    def lines(self) -> list[str]:
        """What `mainstem parity` prints."""
        found = [f"{self.reads:,} reads × {len(self.features)} features: {self.mismatches:,} mismatches"]
        for f in self.features:
            if f.mismatches:
                causes = ", ".join(f"{count:,} {cause}" for cause, count in f.causes.items())
                kinds = f"{f.different:,} different, {f.missing:,} missing, {f.extra:,} extra"
                found.append(f"  {f.name}: {kinds} ({causes}), such as {f.example}")
        return found


def compare(context: Context, endpoint: str, *, view: str | None = None, sample: int | None = None) -> ParityReport:
    """Recompute the logged reads of `endpoint`, all or a `sample`, and compare; only features of `view` if given.

    Raises `NotFound` if no prediction is in the lake yet.
    """
    relation = f"predictions.{endpoint}"
    if relation not in context.release.tables:
        raise NotFound(f"{endpoint!r} has no predictions in the lake yet", hint="mainstem run, after some were made")
    node: Any = context.graph[endpoint].node
    plan = plan_features(context.graph, context.graph.name_of(node.model))
    return _Comparison(context, relation, plan, view, sample).report(endpoint)


Change = tuple[str, AsOf, Callable[[CompiledView], CompiledView]]

_CHANGES: tuple[Change, ...] = (
    ("late event", "known", lambda view: view),
    ("event in flight", "arrived", lambda view: _delayed(view, _IN_FLIGHT)),
    ("ttl", "arrived", lambda view: replace(view, ttl=None)),
)
"""Rules that may have been applied differently, in the order they are tried."""


class _Comparison:
    def __init__(
        self, context: Context, relation: str, plan: FeaturePlan, view: str | None, sample: int | None
    ) -> None:
        self.context, self.relation, self.plan = context, relation, plan
        self.columns = _columns_of(plan, view)
        self.sample = sample

    def report(self, endpoint: str) -> ParityReport:
        table = self._recomputed("arrived", lambda view: view)
        served = {c: table[f"{_SERVED}{c}"] for c in self.columns}
        unequal = {c: ~_equal(served[c], table[c]) for c in self.columns}
        causes = self._causes(table, unequal) if any(map(np.any, unequal.values())) else {}
        features = [
            _summary(c, served[c], table[c], unequal[c], causes.get(c, Counter()), table["_id"]) for c in self.columns
        ]
        return ParityReport(endpoint, len(table), tuple(features))

    def _recomputed(self, as_of: AsOf, changed: Callable[[CompiledView], CompiledView]) -> pa.Table:
        """The logged reads in order of their id: each feature as it was served and as it is offline."""
        log = ibis.table({f.name: f.type for f in self.context.snapshot(self.relation).fields}, name=self.relation)
        if self.sample is not None:
            log = log.order_by("_id").limit(self.sample)
        served = {f"{_SERVED}{c}": log[c] for c in self.columns}
        rows = log.select("_id", "_t", "_version", *self.plan.request, **served)
        steps = tuple(
            replace(step, view=changed(step.view)) if isinstance(step, Lookup) else step for step in self.plan.steps
        )
        found = with_features(rows, replace(self.plan, steps=steps), as_of)
        query = found.select("_id", "_version", *served, *self.columns).order_by("_id")
        with self.context.session(leaves(query)) as session:
            return session.fetch(query)

    def _causes(self, table: pa.Table, unequal: Mapping[str, Any]) -> dict[str, Counter[str]]:
        found: dict[str, Counter[str]] = {c: Counter() for c in self.columns}
        open_ = dict(unequal)

        def settle(cause: str, column: str, explained: Any) -> None:
            if count := int(np.sum(open_[column] & explained)):
                found[column][cause] += count
                open_[column] = open_[column] & ~explained

        older = np.isin(table["_version"].to_numpy(zero_copy_only=False), self._older())
        for column in self.columns:
            settle("definition changed", column, older)
            settle("float tolerance", column, _equal(table[f"{_SERVED}{column}"], table[column], _NEARLY))
        for cause, as_of, changed in _CHANGES:
            if any(map(np.any, open_.values())):
                other = self._recomputed(as_of, changed)
                for column in self.columns:
                    settle(cause, column, _equal(table[f"{_SERVED}{column}"], other[column]))
        for column in self.columns:
            settle("data changed, or unknown", column, open_[column])
        return found

    def _older(self) -> list[str]:
        """The model versions that were made when a view had another definition than now."""
        graph = self.context.graph
        versions = self.context.state.find(ModelVersion, model=self.plan.model)
        views = {step.view.name for step in self.plan.lookups}
        return [
            version.id
            for version in versions
            if any(version.definitions.get(v, graph[v].fingerprint) != graph[v].fingerprint for v in views)
        ]


def _columns_of(plan: FeaturePlan, view: str | None) -> tuple[str, ...]:
    if view is not None:
        return tuple(column for step in plan.lookups if step.view.name == view for column in step.columns)
    return tuple(column for column in plan.columns if column not in plan.request)


def _delayed(view: CompiledView, by: int) -> CompiledView:
    """The view as it would be if everything had arrived later, as when a read overtakes an event being written."""
    if not view.arrives:
        return view
    return replace(view, events=view.events.mutate(_arrived=view.events["_arrived"] + by))


def _equal(a: Any, b: Any, tolerance: float = TOLERANCE) -> Any:
    """For each row whether two Arrow columns agree; null equals null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    empty = np.asarray(pc.and_(a.is_null(), b.is_null()))
    if pa.types.is_list(a.type):
        return empty | _equal_lists(a.to_pylist(), b.to_pylist(), tolerance)
    if pa.types.is_floating(a.type):
        x, y = (np.asarray(column.fill_null(np.nan)) for column in (a, b))
        # A sum of large values that cancel is near zero, and as exact as they are.
        size = np.nanmax(np.abs(np.concatenate([x, y])), initial=0.0, where=~np.isnan(np.concatenate([x, y])))
        return empty | np.isclose(x, y, rtol=tolerance, atol=tolerance * 1e-3 * size)
    return empty | np.asarray(pc.fill_null(pc.equal(a, b.cast(a.type)), False))


def _equal_lists(a: Sequence[list[Any] | None], b: Sequence[list[Any] | None], tolerance: float) -> Any:
    return np.array([x == y or _close(x, y, tolerance) for x, y in zip(a, b, strict=True)], dtype=bool)


def _close(a: list[Any] | None, b: list[Any] | None, tolerance: float) -> bool:
    """Whether two lists that differ are of floats that hardly do."""
    if a is None or b is None or len(a) != len(b) or not isinstance(a[0], float):
        return False
    return bool(np.allclose(a, b, rtol=tolerance, atol=0.0))


def _summary(
    name: str, served: Any, offline: Any, unequal: Any, causes: Mapping[str, int], ids: Sequence[Any]
) -> FeatureParity:
    missing = unequal & np.asarray(served.is_null())
    extra = unequal & np.asarray(offline.is_null())
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
