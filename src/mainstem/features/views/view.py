"""A feature view in its normal form: one relation of events, and features over its columns.

The events of a view are an unbound Ibis table with the columns

    the key columns
    _u         int64   when the row became usable: the latest `known` of the columns the view reads, in µs
    _arrived   int64   when it reached us (streams only), µs
    _gone      int64   when word reached us that it was corrected or deleted, else null (streams of changes only), µs
    _order     the `order_by` column, a null as the smallest value (views with `order_by` only)
    _seq       int64   the order of landing, -1 where there is none (sources with a time only)
    _a0, _a1…  one per distinct argument: int64 (instants in µs), float64 (NaN is null), boolean or string

Every interpreter starts from here. None reads the user's declaration again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import ibis
import ibis.expr.operations as ops

from mainstem.features.algebra import Aggregation
from mainstem.features.rowwise.on_demand import RowFunction
from mainstem.features.windows import Window
from mainstem.graph.fingerprint import canonical, digest, of_expression
from mainstem.graph.known import Known
from mainstem.nodes.hidden import GONE, SEQ


@dataclass(frozen=True)
class Feature:
    """One feature: `aggregation` of the column `argument` over `window`, or its latest value (both None).

    Without an `argument` it is of the rows. `by` is a second argument. `type` is the value's Ibis type.
    """

    name: str
    type: str
    argument: str | None
    aggregation: Aggregation | None = None
    window: Window | None = None
    by: str | None = None

    @property
    def kind(self) -> Aggregation:
        """The name of a windowed feature's aggregation."""
        assert self.aggregation is not None
        return self.aggregation

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """The columns of its arguments."""
        return tuple(column for column in (self.argument, self.by) if column is not None)


@dataclass(frozen=True)
class Lookup:
    """A lookup of a view. Each key column has its value in the column `on`. Features get the prefix `prefix__`."""

    view: CompiledView
    on: tuple[str, ...]
    prefix: str

    @cached_property
    def keys(self) -> dict[str, str]:
        """Key column → the column of its value."""
        return dict(zip(self.view.key, self.on, strict=True))

    @cached_property
    def columns(self) -> dict[str, Feature]:
        """Column → feature."""
        return {f"{self.prefix}__{feature.name}": feature for feature in self.view.features}


@dataclass(frozen=True, eq=False)
class Chain:
    """The features of other views that the rows of a view look up, as of when each row became known.

    `rows` are the source's rows, with `_u` and, for a stream, `_came`, in µs. `answered` represents those rows with the
    columns of `lookups`: the view's events are expressions over it. The offline query replaces it by the results.
    """

    lookups: tuple[Lookup, ...]
    rows: ibis.Table
    answered: ibis.Table

    @cached_property
    def columns(self) -> dict[str, Feature]:
        """Column → feature."""
        return {column: feature for lookup in self.lookups for column, feature in lookup.columns.items()}

    @property
    def grace(self) -> int:
        """A row that arrives later than this after it became known looks up nulls, because the used view has expired
        the past."""
        return min(lookup.view.grace for lookup in self.lookups)


@dataclass(frozen=True, eq=False)
class CompiledView:
    """A feature view, typed and in its normal form. See the module for the columns of `events`.

    `key` and `arguments` map columns to Ibis types. `order` is the type of `_order`. `rows` are the arguments as
    expressions over `inputs`, the source's rows, for single events. The arguments in `identity` identify the event of a
    change. Times are in µs.
    """

    name: str
    source: str
    key: Mapping[str, str]
    features: tuple[Feature, ...]
    events: ibis.Table
    arguments: Mapping[str, str]
    rows: Mapping[str, ibis.Value]
    inputs: Mapping[str, str]
    known: Known
    order_by: str | None
    order: str | None
    arrives: bool
    retracts: bool
    identity: tuple[str, ...]
    sequenced: bool
    ttl: int | None
    inclusive: bool
    grace: int
    grace_text: str
    fingerprint: str
    chain: Chain | None = None

    @property
    def schema(self) -> dict[str, str]:
        """Feature → Ibis type."""
        return {feature.name: feature.type for feature in self.features}

    @cached_property
    def instants(self) -> tuple[str, ...]:
        """The features whose values are instants."""
        return tuple(feature.name for feature in self.features if feature.type.startswith("timestamp"))

    def as_known(self) -> CompiledView:
        """Return the view of present knowledge, without arrival times."""
        if not self.retracts:
            return self
        return replace(self, events=self.events.filter(self.events[GONE].isnull()), retracts=False)

    def meaning(self, feature: Feature) -> str:
        """Return a hash of what one feature's values depend on, except the source's rows."""
        read = [of_expression(self.rows[column]) for column in feature.arguments]
        made = [feature.type, feature.aggregation and feature.aggregation.identity(), feature.window]
        rules = [list(self.key), self.order_by, self.ttl, self.inclusive]
        used = self.chain.lookups if self.chain and not self.brought.isdisjoint(feature.arguments) else ()
        return digest("feature", *map(canonical, (read, made, rules, [lookup.view.fingerprint for lookup in used])))

    @property
    def windowed(self) -> bool:
        return bool(self.windows)

    @cached_property
    def windows(self) -> dict[Window, tuple[Feature, ...]]:
        """The features by window."""
        distinct = dict.fromkeys(f.window for f in self.features if f.window is not None)
        return {window: tuple(f for f in self.features if f.window == window) for window in distinct}

    @cached_property
    def reach(self) -> int:
        """The maximum age of visible events. 0 for a latest view, which has no such limit."""
        return max((window.reach for window in self.windows), default=0)

    @cached_property
    def brought(self) -> frozenset[str]:
        """The arguments that depend on features of other views."""
        columns = self.chain.columns if self.chain else {}
        fields = {name: {f.name for f in value.op().find(ops.Field)} for name, value in self.rows.items()}
        return frozenset(name for name, read in fields.items() if not read.isdisjoint(columns))

    @cached_property
    def position(self) -> tuple[str, ...]:
        """The columns of events that order them. Remaining ties are ordered by value."""
        return ("_u", *(["_order"] if self.order else []), *([SEQ] if self.sequenced else []))

    @cached_property
    def row_function(self) -> RowFunction:
        """Return the arguments as a function of one row of the source."""
        return RowFunction(self.rows, self.inputs)
