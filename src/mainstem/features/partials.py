"""The partials of a view's features as columns of a query, and back to features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ibis

from mainstem.features.algebra import Partial
from mainstem.features.columns import Columns
from mainstem.features.frames import Rows
from mainstem.features.stages import exchanged, sources
from mainstem.features.view import CompiledView, Feature
from mainstem.features.windows import Window

CALCULUS = Columns()


class Lifted:
    """The partials of some features: what an engine has to reduce for them, each once, and what follows from that."""

    def __init__(self, features: tuple[Feature, ...], view: CompiledView, rows: ibis.Table, frame: Any = None) -> None:
        self._parts: dict[str, Any] = {}
        self._names: dict[str, list[str]] = {}
        self._doubts: dict[str, Any] = {}
        for feature in features:
            events = Rows(rows, feature, view, frame)
            parts = {f"{feature.name}_{i}": part.op() for i, part in enumerate(feature.kind.lift(events))}
            self._names[feature.name] = list(parts)
            self._parts |= parts
            self._doubts |= {f"{feature.name}_{i}": doubt.op() for i, doubt in enumerate(events.doubts)}
        self._reduced = sources([*self._parts.values(), *self._doubts.values()])

    def reduced(self, side: str) -> dict[str, Any]:
        """The reductions, as columns."""
        return {f"{side}{place}": op.to_expr() for place, op in enumerate(self._reduced)}

    def partials(self, table: ibis.Table, side: str) -> dict[str, Partial]:
        """Each feature's partial, in a table that has the reductions."""
        parts = exchanged(self._parts, self._exchange(table, side))
        return {feature: tuple(parts[name] for name in names) for feature, names in self._names.items()}

    def doubts(self, table: ibis.Table, side: str) -> list[Any]:
        """Where digits were lost, in a table that has the reductions."""
        return list(exchanged(self._doubts, self._exchange(table, side)).values())

    def _exchange(self, table: ibis.Table, side: str) -> dict[Any, Any]:
        return {op: table[f"{side}{place}"].op() for place, op in enumerate(self._reduced)}


@dataclass(frozen=True)
class Part:
    """Features of a view over one window, computed in one way. With `arrived`, only what had arrived is seen."""

    view: CompiledView
    window: Window
    features: tuple[Feature, ...]
    arrived: bool

    @property
    def key(self) -> list[str]:
        """What tells queries apart."""
        return [*self.view.key, "_t"]

    def before(self, instant: Any, t: Any) -> Any:
        """Whether a query at `t` sees what happened, or arrived, at an instant."""
        return instant <= t if self.view.inclusive else instant < t

    def finalized(self, partials: Mapping[str, Partial], t: Any) -> dict[str, Any]:
        """The features' values; NaN is null."""
        span = self.window.span(t)
        return {f.name: _exact(f, f.kind.finalize(CALCULUS, partials[f.name], span)) for f in self.features}


def _exact(feature: Feature, value: Any) -> Any:
    value = value.cast("int64" if feature.type.startswith("timestamp") else feature.type)
    return value.isnan().ifelse(ibis.null("float64"), value) if value.type().is_floating() else value
