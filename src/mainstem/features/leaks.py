"""Leaks, found when the project loads: features that nobody could have known when the prediction was made.

The features of other things than the example, and all windows, are looked up as of the prediction: the join itself
hides what was not known yet. What describes the example itself must be known by then as a matter of definition, for
otherwise it would be there in training, where the past is complete, and missing when it counts.

What is vouched for by `assume_known` passes; how often the rows contradict it is counted, and shown with the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.operations as ops

from mainstem.errors import LeakError
from mainstem.features.instants import to_micros
from mainstem.features.plan import plan_features
from mainstem.graph.bounds import bounds_of
from mainstem.graph.known import Known
from mainstem.graph.lineage import moment_of
from mainstem.nodes.definition import Graph
from mainstem.nodes.expressions import resolve_column
from mainstem.nodes.models import Model


def check_leaks(graph: Graph, model: str) -> None:
    """Raises `LeakError` for the first model column that is not certainly known by the prediction time."""
    _Check(graph, model).run()


@dataclass(frozen=True, eq=False)
class Vouched:
    """Model columns in `assume_known` that have a clock of their own: `query` gives one row, for each column its values
    among the examples and how many of them that clock calls too late.
    """

    query: ibis.Table
    columns: tuple[str, ...]

    def told(self, counts: Mapping[str, int]) -> dict[str, str]:
        """Given the row of `query`: for each column that is contradicted, how often."""
        found = {c: (counts[f"late_{i}"], counts[f"values_{i}"]) for i, c in enumerate(self.columns)}
        return {
            c: f"by its own clock known too late in {late:,} of {values:,} examples"
            for c, (late, values) in found.items()
            if late
        }


def vouched(graph: Graph, model: str) -> Vouched | None:
    """What a model vouches for and the rows can be asked about; None if there is nothing of the kind."""
    return _Check(graph, model).vouched()


class _Check:
    def __init__(self, graph: Graph, model: str) -> None:
        self.graph, self.plan = graph, plan_features(graph, model)
        self.where = graph[model].where
        node: Any = graph[model].node
        self.node: Model = node
        self.examples = graph[self.plan.examples]
        visible = {c: t for c, t in (self.examples.schema or {}).items() if not c.startswith("_")}
        self.table = ibis.table(visible, name=self.examples.name)
        self.prediction = resolve_column(self.table, node.prediction_time, self.where)
        self.moment, self.bounds = moment_of(self.prediction), bounds_of(self.prediction)

    def run(self) -> None:
        targets = self._targets()
        for column, known, derived in self._columns():
            if column in self.node.assume_known:
                continue
            if targets & set(derived):
                raise self._leak(column, "it is what the target is made from", known)
            self._check(column, known)

    def vouched(self) -> Vouched | None:
        known = {c: k for c, k, _ in self._columns() if c in self.node.assume_known and k.moments and not k.unknown}
        read: Any = self.examples.read
        asked = to_micros(resolve_column(read, self.node.prediction_time, self.where))
        counts: dict[str, Any] = {}
        for number, moments in enumerate(k.moments for k in known.values()):
            at = [to_micros(read[moment.column]) + moment.offset for moment in sorted(moments)]
            latest = ibis.greatest(*at) if len(at) > 1 else at[0]
            counts |= {f"values_{number}": latest.count(), f"late_{number}": (latest >= asked).sum().fill_null(0)}
        return Vouched(read.aggregate(**counts), tuple(known)) if known else None

    def _columns(self) -> Iterable[tuple[str, Known, tuple[str, ...]]]:
        """The model's columns that describe the example itself, when each is known, and what it derives from.

        Those of other relations have no moment that could be compared with the examples'.
        """
        for name in self.plan.request:
            yield name, self.examples.known[name], self.examples.columns.get(name, ())
        for lookup in self.plan.lookups:
            source = self.graph[lookup.view.source]
            own = bool(lookup.on) and lookup.on == tuple(self._identity())
            for column, feature in lookup.columns.items():
                known = source.known.get(feature.name) if not lookup.view.windowed else lookup.view.known
                known = known or lookup.view.known
                if own and not lookup.view.windowed:
                    same = source is self.examples
                    yield column, known if same else _unmoved(known), source.columns.get(feature.name, ())
                else:
                    yield column, _unmoved(known), ()

    def _identity(self) -> tuple[str, ...]:
        return tuple(getattr(self.examples.node, "key", ()))

    def _targets(self) -> set[str]:
        fields = resolve_column(self.table, self.node.target, self.where).op().find(ops.Field)
        return {source for f in fields for source in self.examples.columns.get(f.name, ())}

    def _check(self, column: str, known: Known) -> None:
        if known.unknown:
            raise self._leak(column, f"nobody can say when it becomes known ({known.unknown})", known)
        verdict = self.bounds.after(known)
        if verdict == "too late" or (verdict == "undecided" and not self._as_soon_as_the_example(known)):
            raise self._leak(column, f"it is known only at {known}", known)

    def _as_soon_as_the_example(self, known: Known) -> bool:
        """Whether a value is known once the example's key is: nothing can be predicted of an example before that."""
        key = Known().latest(*(self.examples.known[column] for column in self._identity()))
        offsets = {moment.column: moment.offset for moment in key.moments}
        return all(m.column in offsets and m.offset <= offsets[m.column] for m in known.moments)

    def _leak(self, column: str, why: str, known: Known) -> LeakError:
        return LeakError(
            f"{column!r} leaks: {why}, and the prediction is made at {self._at()}",
            where=self.where,
            got=f"{column!r}, known {known}",
            expected=f"features known before {self._at()}",
            hint="leave it out, use past values of it (a window over events), "
            f'or say why it is known: assume_known={{"{column}": "…"}}',
        )

    def _at(self) -> str:
        return str(self.moment) if self.moment else repr(self.node.prediction_time)


def _unmoved(known: Known) -> Known:
    """Only whether anything is known at all: the rest is for the point-in-time join to decide."""
    return Known(unknown=known.unknown)
